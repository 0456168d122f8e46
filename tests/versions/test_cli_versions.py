"""The commands of versions, as people type them."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.errors import AlpError, VersionRefused
from alp_assets.registry import rows
from alp_assets.registry.registry import Registry
from alp_assets.store.manifest import write_manifest
from alp_assets.versions.repository import find_repository
from schemas.sections import Section

FAN = Section("acme", "fan", "1")


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


@pytest.fixture
def promoted(twice, monkeypatch):
    """The section's first model was promoted again in May 2090, and the later one in June."""
    registry = Registry(twice.data_root)
    for month, name in ((5, "fan-1-isolation_forest-1"), (6, "fan-1-isolation_forest-2")):
        monkeypatch.setattr(rows, "now", lambda month=month: f"2090-0{month}-15T12:00:30.5+00:00")
        registry.promote(name, "me", "")
    return registry


def test_restore_brings_the_model_back_that_was_champion_on_a_day(promoted, twice):
    first, later = (promoted.get(f"fan-1-isolation_forest-{number}") for number in (1, 2))
    shutil.rmtree(first.folder)
    said = " ".join(alp("restore", "acme/fan/1@2090-05-20").split())
    assert "fan-1-isolation_forest-1 was its champion from 2090-05-1" in said
    assert "Its files were brought back." in said
    assert "goes on scoring with fan-1-isolation_forest-2. `alp models promote fan-1-isolation_forest-1`" in said
    assert first.folder.is_dir()
    assert promoted.champion(FAN) == later
    told = json.loads(alp("restore", "acme/fan/1@2090-06-20", "--json"))
    assert (told["model"], told["until"]) == (later.name, "")
    assert not any("promote" in note for note in told["notes"])


def test_the_day_of_a_change_is_that_of_the_model_that_came_and_a_commit_is_its_moment(promoted, twice):
    def restored(revision):
        return json.loads(alp("restore", f"acme/fan/1@{revision}", "--json"))["model"]

    assert restored("2090-05-15") == "fan-1-isolation_forest-1"
    assert restored("2090-06-15T12:00Z") == "fan-1-isolation_forest-2"
    assert restored("2090-06-15T12:00:29Z") == "fan-1-isolation_forest-1"
    assert restored("HEAD") == "fan-1-isolation_forest-2"
    with pytest.raises(VersionRefused, match="had no champion yet"):
        alp("restore", "acme/fan/1@1999-01-01")
    with pytest.raises(VersionRefused, match="no revision 'nonsense'"):
        alp("restore", "acme/fan/1@nonsense")
    with pytest.raises(VersionRefused, match="acme/fan/9: has no models"):
        alp("restore", "acme/fan/9@2090-05-15")


def test_a_threshold_that_was_another_then_is_told(promoted, monkeypatch):
    monkeypatch.setattr(rows, "now", lambda: "2090-06-20T12:00:00+00:00")
    promoted.save_threshold("fan-1-isolation_forest-2", 0.75, "", "me")
    assert "and is 0.75 now" in " ".join(alp("restore", "acme/fan/1@2090-06-18").split())
    assert "0.75" not in alp("restore", "acme/fan/1@2090-06-21")


def test_history_of_a_section_shows_when_each_model_was_champion(promoted, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = alp("history", "acme/fan/1")
    assert "champion since 2090-06-1" in said
    assert "champion from 2090-05-1" in said


def test_a_section_id_may_hold_an_at_sign(twice):
    """It is the start of a revision only where no section of the whole name has models."""
    registry = Registry(twice.data_root)
    made = registry.get("fan-1-isolation_forest-1")
    plan = made.folder / "plan.json"
    for number, name in enumerate(("1@2026-03-31", "@home/left")):
        copy = shutil.copytree(made.folder, twice.data_root / f"copy-{number}")
        (copy / "plan.json").unlink()
        (copy / "plan.json").write_text(plan.read_text() + " " * (number + 1))
        section = Section("acme", "fan", name)
        named = registry.register(section, "first", "", copy).name
        assert [item["name"] for item in json.loads(alp("history", str(section), "--json"))] == [named]
        assert named in alp("restore", str(section))
        assert json.loads(alp("restore", f"{section}@2999-01-01", "--json"))["model"] == named
    for text in ("acme/fan/1@2026-03-30", "acme/first@HEAD", "acme/first@some/branch"):
        with pytest.raises(VersionRefused, match="history shows all versions"):
            alp("history", text)
    with pytest.raises(AlpError, match="no revision 'some/branch'"):
        alp("restore", "acme/first@some/branch")


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
    write_manifest(path.parent, path.parent)
    alp("snapshot", "acme/first")
    assert "Not identical" in alp("reproduce", "acme/first", code=1)


def test_what_was_never_versioned_is_told(root):
    shutil.rmtree(root, ignore_errors=True)
    with pytest.raises(VersionRefused, match="alp init"):
        alp("history", "acme/first")
