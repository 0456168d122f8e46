"""``alp status``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.stages.package import PackageFolder
from alp_assets.watch import look
from alp_assets.watch.runs import Run, Runs
from tests.watch.roots import DAY, arrive, gate, package

LONG = "No recording of 40 can be used: every one of them is digital silence from its first to its last sample."


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    now = time.time() + 7_300  # as nobody can put a file there in the past
    monkeypatch.setattr(look, "time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    for number, days in enumerate((60, 53, 46, 39, 32)):
        package(tmp_path, f"acme__p{number}", received=now - days * DAY)
    refused = {"quality": [gate("audio_quality", "failed", LONG)]}
    package(tmp_path, "rival__bad", until="quality", gates=refused, received=now)
    place = package(tmp_path, "rival__busy", until="clips", received=now)
    (place / ".embeddings.abcdefgh.part").mkdir()
    arrive(tmp_path, "rival__waits")
    with PackageFolder(tmp_path, "rival", "busy").lock():
        yield tmp_path


def run(data_root, *arguments, columns=80):
    return CliRunner().invoke(
        app,
        ["status", "--data", str(data_root), *arguments],
        env={"COLUMNS": str(columns)},
        catch_exceptions=False,
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_the_tables_fit_the_terminal_and_break_no_name(data_root, columns):
    shown = run(data_root, columns=columns).output
    assert max(map(len, shown.splitlines())) <= columns
    for word in ("5 finished", "1 refused", "1 running", "1 waiting", "rival__waits, for 2 h"):
        assert word in shown
    lines = shown.splitlines()
    assert any(line.split()[:2] == ["rival__busy", "embeddings"] for line in lines)
    assert any(line.split()[:2] == ["rival__bad", "refused"] for line in lines)
    assert any(line.split()[:2] == ["acme", "5"] and "32 days" in line for line in lines)
    assert " ".join(LONG.split()[:4]) in shown


def test_json_has_it_all(data_root):
    told = json.loads(run(data_root, "--json").output)
    assert told["packages"]["finished"] == 5
    assert told["oldest_waiting"]["package"] == "rival__waits"
    assert told["oldest_waiting"]["seconds"] == pytest.approx(7_300, abs=60)
    assert [item["package"] for item in told["running"]] == ["rival__busy"]
    assert told["troubles"][0]["why"] == LONG
    assert [item["customer"] for item in told["customers"] if item["overdue"]] == ["acme"]
    assert told["unreadable"] == {}


def test_a_part_that_cannot_be_read_is_named_with_the_reason(data_root):
    (data_root / "dagster").mkdir()
    (data_root / "dagster" / "dagster.yaml").write_text("run_queue: [\n")
    shown = run(data_root)
    assert shown.exit_code == 0
    assert "5 finished" in shown.output
    (told,) = (line for line in shown.output.splitlines() if line.startswith("dagster: "))
    assert "ParserError" in told
    assert list(json.loads(run(data_root, "--json").output)["unreadable"]) == ["dagster"]


def test_a_finished_package_whose_last_run_broke_did_not_get_through(data_root, monkeypatch):
    broke = Run("r9", "acme__p4", "FAILURE", time.time(), time.time() + 60)
    monkeypatch.setattr(look, "read_runs", lambda _: Runs(broken=(broke,)))
    told = json.loads(run(data_root, "--json").output)
    assert told["packages"] | {"finished": 4, "failed": 1} == told["packages"]
    assert {item["package"]: item["state"] for item in told["troubles"]}["acme__p4"] == "failed"


def test_nothing_is_made_in_a_root_that_is_looked_at(tmp_path):
    assert run(tmp_path).exit_code == 0
    assert "none" in run(tmp_path).output
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_to_is_looked_at_all_the_same(data_root, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    assert run(data_root).exit_code == 0


def test_a_data_root_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["status", "--data", ""])
    assert told.exit_code == 2
    assert "names no folder" in told.output


def test_a_thousand_packages_take_little_and_no_heavy_library(tmp_path):
    for number in range(1_000):
        place = tmp_path / "packages" / f"c{number % 40}" / f"p{number}"
        for stage in ("quality", "report"):
            (place / stage).mkdir(parents=True)
            (place / stage / "summary.json").write_text('{"figures": {}, "gates": []}')
    code = (
        "import sys, time; from alp_assets.cli import app; began = time.process_time()\n"
        "try: app(['status'])\n"
        "except SystemExit: pass\n"
        "heavy = [name for name in ('pandas', 'dagster', 'torch', 'dvc') if name in sys.modules]\n"
        "print(time.process_time() - began, heavy, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"ALP_DATA": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "1,000 finished" in done.stdout
    seconds, _, heavy = done.stderr.strip().partition(" ")
    assert heavy == "[]"
    assert float(seconds) < 20
