"""Drills: which are made, how they end, what is kept, and that their common check sees what it is for."""

import json
import shutil

import pytest

from drills import clock, half_zip
from drills.__main__ import DRILLS, make
from drills.aftermath import check_intact, check_recovered
from drills.ground import open_ground
from drills.results import keep
from drills.verdict import Drill, DrillFailed, DrillSkipped, Result, chosen, expect

FAULTS = """
kill-process kill-run kill-all kill-worker kill-daemon kill-postgres kill-redis read-only two-processes
two-machines replaced half-zip memory stuck-decode clock-run clock-dagster clock-inbox clock-freshness
disk-full-upload disk-full-metadata disk-full-quality disk-full-clips disk-full-embeddings disk-full-models
disk-full-scores disk-full-report disk-full-onboard disk-full-arrays corrupted-stage corrupted-model
corrupted-registry corrupted-registry-value
"""
SLOW = ("clock-run", "clock-dagster")
QUICK = [drill for drill in (*half_zip.DRILLS, *clock.DRILLS) if drill.name not in SLOW]


@pytest.fixture(scope="module")
def ground():
    with open_ground() as found:
        yield found


@pytest.mark.parametrize("drill", QUICK, ids=lambda drill: drill.name)
def test_drills_that_need_no_process_of_their_own(ground, drill):
    assert drill.work(ground)


def test_a_package_that_nobody_disturbed_passes(ground):
    check_recovered(ground, ground.before("end"))


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("upload/package.zip", "not whole: .*package.zip has other bytes"),
        ("clips/clips.parquet", "not whole: .*clips.parquet has other bytes"),
        ("clips/manifest.json", "clips is there without a manifest"),
        ("report", "there is no report"),
    ],
)
def test_harm_is_seen(ground, harm, what):
    folder = ground.before("end")
    path = folder.path / harm
    if path.is_dir():
        shutil.rmtree(path)
    elif path.name == "manifest.json":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(DrillFailed, match=what):
        check_recovered(ground, folder)


def test_a_stage_that_is_whole_and_another_is_seen(ground):
    folder = ground.before("end")
    with folder.publish("quality") as part:
        (part / "summary.json").write_text(json.dumps({"gates": []}))
    check_intact(ground, folder)
    with pytest.raises(DrillFailed, match="quality is not that of an undisturbed run: manifest"):
        check_recovered(ground, folder)


def test_half_written_folders_are_seen(ground):
    folder = ground.before("end")
    (folder.path / ".clips.abcdefgh.part").mkdir()
    with pytest.raises(DrillFailed, match="half-written"):
        check_recovered(ground, folder)


def test_a_model_that_was_changed_is_seen(ground):
    folder = ground.before("end")
    next((folder.data_root / "models").rglob("model.json")).write_text("{}")
    with pytest.raises(DrillFailed, match="missing or was changed"):
        check_recovered(ground, folder)


def works(_):
    return "seen"


def fails(_):
    expect(False, "nothing held")


def breaks(_):
    raise KeyError("x")


def skips(_):
    raise DrillSkipped("no root")


@pytest.mark.parametrize(
    ("work", "verdict", "seen"),
    [
        (works, "passed", "seen"),
        (fails, "failed", "nothing held"),
        (breaks, "failed", "KeyError: 'x'"),
        (skips, "skipped", "no root"),
    ],
)
def test_verdicts(ground, work, verdict, seen):
    result = make(Drill("x", "done", work), ground)
    assert (result.verdict, result.seen, result.drill) == (verdict, seen, "x")


def test_drills_are_chosen_by_name_or_beginning():
    names = [drill.name for drill in DRILLS]
    assert len(set(names)) == len(names)
    assert [drill.name for drill in chosen(DRILLS, [])] == names
    assert [drill.name for drill in chosen(DRILLS, ["read-only", "clock", "read-only"])] == [
        "read-only",
        *(name for name in names if name.startswith("clock-")),
    ]
    with pytest.raises(KeyError):
        chosen(DRILLS, ["clo"])


def test_every_fault_has_a_drill():
    for fault in FAULTS.split():
        assert chosen(DRILLS, [fault])


def test_what_was_made_is_kept_and_what_was_not_stays(tmp_path):
    drills = [Drill(name, f"do {name}", works) for name in ("a", "b")]
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"

    def result(name, seen, verdict="passed"):
        return Result(name, f"do {name}", seen, 1.25, verdict, "2025-01-02", "2 cores")

    keep([result("b", "one | other"), result("gone", "x")], drills, kept, page)
    keep([result("a", "first", "failed")], drills, kept, page)
    assert list(json.loads(kept.read_text())) == ["a", "b"]
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| a | do a | first | 1.2 | failed | 2025-01-02 |",
        "| b | do b | one / other | 1.2 | passed | 2025-01-02 |",
    ]
