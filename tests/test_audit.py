"""What ALP is built on: licences that are allowed, a list that is true, an audit that says when it was none."""

from __future__ import annotations

import json
import socket
import sys

import pytest

from tools import audit, licences


def test_every_licence_is_allowed_or_a_stated_exception():
    assert [f"{item.name}: {item.licence}" for item in licences.packages() if not item.allowed] == []


def test_the_list_names_what_is_installed_and_nothing_that_is_gone():
    installed = {item.name for item in licences.packages()}
    assert installed - licences.listed() == set(), "run `make audit` and commit docs/licences.md"
    assert licences.listed() - licences.locked() == set(), "run `make audit` and commit docs/licences.md"


def test_no_exception_outlives_its_package():
    assert licences.EXCEPTIONS.keys() | licences.BUNDLED.keys() <= licences.locked()


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 WITH LLVM-exception AND MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("GPL-2.0-or-later OR Apache-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only AND AGPL-3.0-only", True),
        ("(MIT OR Apache-2.0) AND SSPL-1.0", False),
        ("Some Licence Of My Own", False),
        ("not told", False),
        ("", False),
    ],
)
def test_an_expression_is_met_by_allowed_licences_alone(licence, allowed):
    assert licences.is_allowed(licence) is allowed


def test_a_machine_that_is_offline_passes_and_says_that_nothing_was_audited(capsys, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert audit.advisories("nowhere.invalid") is False
    assert "NOT AUDITED: no advisory database reachable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "vulnerable", "said"),
    [
        ("print('No known vulnerabilities found')", False, "none of"),
        ("import sys; print('jinja2 3.0 PYSEC-1'); sys.exit(1)", True, "jinja2 3.0 PYSEC-1"),
        ("import sys; sys.exit('requests.exceptions.ConnectionError: gone')", False, "NOT AUDITED"),
        ("import sys; sys.exit('error: unknown option')", True, "unknown option"),
    ],
)
def test_what_the_auditor_says_decides(capsys, monkeypatch, code, vulnerable, said):
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    assert audit.advisories("somewhere", (sys.executable, "-c", code)) is vulnerable
    assert said in capsys.readouterr().out


def test_the_bill_of_materials_names_every_package(tmp_path):
    count = audit.bill_of_materials(tmp_path / "build" / "sbom.json")
    found = json.loads((tmp_path / "build" / "sbom.json").read_text())
    names = {licences._normal(part["name"]) for part in found["components"]}
    assert found["bomFormat"] == "CycloneDX"
    assert count >= len(licences.packages())
    assert {item.name for item in licences.packages()} <= names
