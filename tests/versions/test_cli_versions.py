"""The commands of versions, as people type them."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.errors import VersionRefused
from alp_assets.versions.repository import find_repository


def alp(*arguments: str, code: int = 0, **more) -> str:
    done = CliRunner().invoke(app, list(arguments), **more)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def test_init_makes_a_repository_with_a_remote_once(root, tmp_path):
    said = alp("init", str(root), "--remote", str(tmp_path / "store"))
    assert "a repository of its own" in said
    assert (root / "params.yaml").is_file()
    config = (root / ".dvc" / "config").read_text()
    assert "analytics = False" in config
    assert "hardlink" in config
    found = find_repository(root)
    assert found.own
    before = found.git("rev-parse", "HEAD")
    alp("init", str(root))
    with pytest.raises(VersionRefused, match="names no place"):
        alp("init", str(root), "--remote", "")
    assert found.git("rev-parse", "HEAD") == before


def test_snapshot_says_what_was_taken(done):
    assert "acme/first: " in alp("snapshot", "acme/first")
    assert "Nothing waits." in alp("snapshot")


def test_history_and_diff_tell_what_changed(twice):
    shown = json.loads(alp("history", "acme/first", "--json"))
    assert [item["parameters"] == {} for item in shown] == [False, True]
    assert "decision.policy" in alp("history", "acme/first")
    assert "champion" in alp("history", "acme/fan/1")
    models = json.loads(alp("history", "acme/fan/1", "--json"))
    assert [item["name"] for item in models] == ["fan-1-isolation_forest-2", "fan-1-isolation_forest-1"]
    between = json.loads(alp("diff", "acme/first@HEAD~1", "HEAD", "--json"))
    assert between["parameters"]["decision.policy"] == {"before": "alarms_per_day", "after": "quantile"}
    assert "decision.policy" in alp("diff", "acme/first@HEAD~1")
    assert "are the same" in alp("diff", "acme/first@HEAD", "acme/first@HEAD")
    with pytest.raises(VersionRefused, match="versions of one package"):
        alp("diff", "acme/first@HEAD", "acme/other@HEAD")


def test_restore_says_what_became_of_the_models(twice):
    assert "puts the restored one in force" in alp("restore", "acme/first@HEAD~1")
    assert "Its files are whole" in alp("restore", "acme/fan/1")


def test_retire_asks_first(twice):
    alp("retire", "acme/first", "--force", input="n\n", code=1)
    assert twice.path.is_dir()
    with pytest.raises(VersionRefused, match="in force"):
        alp("retire", "acme/first", "--yes")
    assert "retired" in alp("retire", "acme/first", "--force", "--yes")
    assert not twice.path.exists()
    alp("restore", "acme/first")
    assert twice.path.is_dir()


def test_gc_only_tells_when_dry_and_asks_else(twice):
    stray = twice.data_root / ".dvc/cache/files/md5/ab" / ("c" * 30)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"12345")
    told = json.loads(alp("gc", "--dry-run", "--json"))
    assert told["cache"] == {"objects": 1, "bytes": 5}
    alp("gc", input="n\n", code=1)
    assert stray.is_file()
    assert "Removed: 1 object of 5 bytes" in alp("gc", "--yes")
    assert not stray.exists()


def test_reproduce_tells_a_difference_by_its_exit_code(twice):
    path = twice.stage("scores") / "scores.csv"
    text = path.read_text()
    path.unlink()
    path.write_text(text + " ")
    alp("snapshot", "acme/first")
    assert "Not identical" in alp("reproduce", "acme/first", code=1)


def test_what_was_never_versioned_is_told(root):
    shutil.rmtree(root, ignore_errors=True)
    with pytest.raises(VersionRefused, match="alp init"):
        alp("history", "acme/first")
