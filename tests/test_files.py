"""Files and folders that are there whole or not at all, also when a process is killed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from alp_assets.files import read_json, replaced_folder, sha256_of, write_bytes, write_json

KOREAN = {"b": 1, "a": ["팬", None, 0.1], "c": {"nested": True}}


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_json_survives_and_people_can_read_it(tmp_path):
    path = tmp_path / "new" / "folder" / "card.json"
    write_json(path, KOREAN)
    assert read_json(path) == KOREAN
    assert "팬" in path.read_text(encoding="utf-8")
    assert path.read_bytes().endswith(b"}\n")


def test_the_same_value_is_the_same_bytes(tmp_path):
    write_json(tmp_path / "a.json", KOREAN)
    write_json(tmp_path / "b.json", dict(reversed(KOREAN.items())))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("nan")]}, object()])
def test_what_is_not_json_is_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "card.json"
    write_json(path, {"old": True})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, value)
    assert read_json(path) == {"old": True}
    assert _names(tmp_path) == ["card.json"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_bytes(tmp_path / "taken", b"content")
    assert _names(tmp_path) == ["taken"]


def test_written_files_can_be_read_by_others(tmp_path):
    write_bytes(tmp_path / "file", b"content")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    with replaced_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class TestReplacedFolder:
    """The folder of a stage."""

    def test_it_appears_when_the_block_ends(self, tmp_path):
        target = tmp_path / "deep" / "stage"
        with replaced_folder(target) as part:
            (part / "inner").mkdir()
            (part / "inner" / "file").write_text("new")
            assert not target.exists()
            assert part.parent == target.parent
        assert (target / "inner" / "file").read_text() == "new"
        assert _names(target.parent) == ["stage"]

    def test_it_takes_the_place_of_the_old_one_whole(self, tmp_path):
        target = tmp_path / "stage"
        with replaced_folder(target) as part:
            (part / "old").write_text("old")
        with replaced_folder(target) as part:
            assert _names(part) == []
            (part / "new").write_text("new")
            assert _names(target) == ["old"]
        assert _names(target) == ["new"]
        assert _names(tmp_path) == ["stage"]

    @pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("existed", [True, False])
    def test_a_block_that_raises_leaves_what_was_there(self, tmp_path, failure, existed):
        target = tmp_path / "stage"
        if existed:
            with replaced_folder(target) as part:
                (part / "old").write_text("old")

        def fail():
            with replaced_folder(target) as part:
                (part / "half").write_text("half")
                raise failure

        with pytest.raises(failure):
            fail()
        assert _names(tmp_path) == (["stage"] if existed else [])
        if existed:
            assert _names(target) == ["old"]

    def test_leftovers_of_killed_runs_are_removed(self, tmp_path):
        for name in (".stage.abcd1234.part", ".stage.efgh5678.part"):
            (tmp_path / name / "old").mkdir(parents=True)
            (tmp_path / name / "old" / "file").write_text("left over")
        with replaced_folder(tmp_path / "stage"):
            pass
        assert _names(tmp_path) == ["stage"]

    def test_what_belongs_to_others_is_left_alone(self, tmp_path):
        others = [".other.abcd1234.part", ".stages.abcd1234.part", "stage.part", ".stage.json.tmp", ".git"]
        for name in others:
            (tmp_path / name).mkdir()
        with replaced_folder(tmp_path / "stage"):
            pass
        assert _names(tmp_path) == sorted([*others, "stage"])

    def test_work_on_a_name_that_begins_alike_is_left_alone(self, tmp_path):
        with replaced_folder(tmp_path / "stage.v2") as running, replaced_folder(tmp_path / "stage"):
            assert running.is_dir()
        assert _names(tmp_path) == ["stage", "stage.v2"]

    def test_a_name_with_signs_of_patterns_is_only_a_name(self, tmp_path):
        (tmp_path / ".a[b]*.abcd1234.part").mkdir()
        (tmp_path / ".ab.abcd1234.part").mkdir()
        with replaced_folder(tmp_path / "a[b]*"):
            pass
        assert _names(tmp_path) == [".ab.abcd1234.part", "a[b]*"]


class Killed(BaseException):
    """What a process meets that dies."""


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("step", range(6))
def test_dying_at_any_step_leaves_the_old_folder_the_new_one_or_none(tmp_path, monkeypatch, existed, step):
    """From the chosen renaming or removing on nothing happens any more; a removal stops halfway."""
    target = tmp_path / "stage"
    if existed:
        with replaced_folder(target) as part:
            for name in "abc":
                (part / name).write_text("old")
    steps = itertools.count()
    rename, rmtree = os.rename, shutil.rmtree

    def dying_rename(*arguments):
        if next(steps) >= step:
            raise Killed
        rename(*arguments)

    def dying_rmtree(folder, **options):
        if next(steps) >= step:
            for path in sorted(folder.rglob("a")):
                path.unlink()
            raise Killed
        rmtree(folder, **options)

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(os, "rename", dying_rename)
        patched.setattr(shutil, "rmtree", dying_rmtree)
        with replaced_folder(target) as part:
            for name in "abc":
                (part / name).write_text("new")
    if target.exists():
        assert [(target / name).read_text() for name in "abc"] in (["old"] * 3, ["new"] * 3)
    with replaced_folder(target):
        pass
    assert _names(tmp_path) == ["stage"]


_GENERATIONS = """
import sys
from pathlib import Path
from alp_assets.files import replaced_folder

target, generation = Path(sys.argv[1]), 0
while True:
    generation += 1
    with replaced_folder(target) as part:
        for name in "abc":
            (part / name).write_text(str(generation))
            if name == "a":
                print(generation, flush=True)
"""


def _killed(script, *arguments, lines, wait=0.0):
    """Run a script until it has printed so many lines, then kill it as the kernel does."""
    child = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    for _ in range(lines):
        assert child.stdout.readline()
    time.sleep(wait)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("lines", "wait"), [(1, 0), (2, 0.0003), (20, 0.0007), (50, 0.001)])
def test_a_killed_process_leaves_the_old_folder_the_new_one_or_none(tmp_path, lines, wait):
    target = tmp_path / "stage"
    _killed(_GENERATIONS, str(target), lines=lines, wait=wait)
    if target.exists():
        assert _names(target) == ["a", "b", "c"]
        assert len({(target / name).read_text() for name in "abc"}) == 1
    with replaced_folder(target) as part:
        (part / "a").write_text("again")
    assert _names(tmp_path) == ["stage"]


_HALF = """
import sys, time
from pathlib import Path
from alp_assets.files import replaced_folder

with replaced_folder(Path(sys.argv[1])) as part:
    (part / "half").write_text("half")
    print("in the middle", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("existed", [True, False])
def test_a_process_killed_in_the_middle_leaves_the_old_folder_or_none(tmp_path, existed):
    target = tmp_path / "stage"
    if existed:
        with replaced_folder(target) as part:
            write_json(part / "card.json", {"old": True})
    _killed(_HALF, str(target), lines=1)
    assert target.exists() is existed
    if existed:
        assert json.loads((target / "card.json").read_text()) == {"old": True}
        assert _names(target) == ["card.json"]
    with replaced_folder(target):
        pass
    assert _names(tmp_path) == ["stage"]
