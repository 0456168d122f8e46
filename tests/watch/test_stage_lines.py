"""Log lines of a finished stage."""

from __future__ import annotations

import io
import json
import logging

import pytest

from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Gate, Summary
from alp_assets.watch import logs
from alp_assets.watch.stage_lines import stage_ended


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setenv(logs.CHOICE, "json")
    stream = io.StringIO()
    logger, handler = logging.getLogger("alp.stages"), logs.handler(stream)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def folder(tmp_path):
    return PackageFolder(tmp_path, "acme", "first")


def test_a_stage_and_its_gates(folder, told):
    gates = (Gate("kpi", "passed", "fine"), Gate("drift", "warned", "9 dB away"))
    stage_ended(folder, Summary("quality", {"recordings": 3}, gates), 1.23456)
    stage, gate = told()
    assert (stage["package"], stage["stage"], stage["seconds"]) == ("acme__first", "quality", 1.235)
    assert stage["figures"] == {"recordings": 3}
    assert (gate["level"], gate["gate"], gate["message"]) == ("warning", "drift", "drift warned: 9 dB away")


def test_every_section_has_a_line(folder, told):
    for name, engine in (("fan__00", "patch_memory"), ("pump__01", "")):
        place = folder.stage("models") / name
        place.mkdir(parents=True)
        plan = {"section": f"acme/{name.replace('__', '/')}", "engine": engine, "reason": "few normals"}
        (place / "plan.json").write_text(json.dumps(plan))
    stage_ended(folder, Summary("models", {}), 1.0)
    _, fan, pump = told()
    assert (fan["section"], fan["engine"], fan["package"]) == ("acme/fan/00", "patch_memory", "acme__first")
    assert pump["section"] == "acme/pump/01"
    assert "engine" not in pump


def test_a_terminal_is_left_alone(folder, told, monkeypatch):
    monkeypatch.delenv(logs.CHOICE)
    stage_ended(folder, Summary("quality", {}, (Gate("drift", "warned", "9 dB away"),)), 1.0)
    assert told() == []


def test_damaged_files_cost_lines_and_nothing_else(folder, told):
    folder.stage("scores").mkdir(parents=True)
    (folder.stage("scores") / "metrics.json").write_text("{")
    stage_ended(folder, Summary("scores", {}), 1.0)
    assert len(told()) == 1
