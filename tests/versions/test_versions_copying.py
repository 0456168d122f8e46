"""Copies of versions in remotes: nothing is left out, and a remote that is away stands in nobody's way."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.files import write_json
from alp_assets.params import with_overrides
from alp_assets.stages.package import PackageFolder
from alp_assets.versions import copying
from alp_assets.versions.repository import make_repository
from alp_assets.versions.restore import restore
from alp_assets.versions.revisions import recorded_hash
from alp_assets.versions.snapshot import snapshot, snapshot_all
from alp_assets.versions.unpushed import Unpushed
from tests.packages import tree


def package(root, name: str, content: str) -> PackageFolder:
    folder = PackageFolder(root, "acme", name)
    with folder.publish("upload") as part:
        write_json(part / "receipt.json", {"sha256": content})
    return folder


def lost(folder: PackageFolder) -> None:
    shutil.rmtree(folder.data_root / ".dvc" / "cache")
    shutil.rmtree(folder.path)


def test_a_remote_that_comes_later_gets_what_was_versioned_before(root, quick, tmp_path):
    old = package(root, "old", "one")
    snapshot(old, quick)
    package(root, "old", "two")
    snapshot(old, quick)
    before = tree(old.path)
    make_repository(root, str(tmp_path / "store"))
    assert snapshot(package(root, "new", "three"), quick).pushed
    lost(old)
    assert restore(old, "", quick).changed
    assert tree(old.path) == before
    assert restore(old, "HEAD~3", quick).changed


def test_another_remote_gets_everything_too(root, quick, tmp_path):
    folder = package(root, "p", "one")
    make_repository(root, str(tmp_path / "first"))
    assert snapshot(folder, quick).pushed
    make_repository(root, str(tmp_path / "second"))
    taken = snapshot_all(root, [], quick)
    assert (taken.copied, taken.problem, taken.filled) == ([], "", ("store",))
    assert snapshot_all(root, [], quick).filled == ()
    shutil.rmtree(tmp_path / "first")
    lost(folder)
    assert restore(folder, "", quick).changed


def test_a_remote_that_was_away_from_the_settings_gets_what_came_meanwhile(root, quick, tmp_path):
    first = package(root, "first", "one")
    make_repository(root, str(tmp_path / "store"))
    assert snapshot(first, quick).pushed
    config = root / ".dvc" / "config"
    settings = config.read_text()
    config.write_text("\n".join(line for line in settings.splitlines() if "remote = store" not in line))
    second = package(root, "second", "two")
    assert not snapshot(second, quick).pushed
    config.write_text(settings)
    assert snapshot(package(root, "third", "three"), quick).pushed
    lost(second)
    assert restore(second, "", quick).changed


def test_what_was_not_to_be_copied_is_copied_when_it_is_allowed(root, quick, tmp_path):
    folder = package(root, "p", "one")
    make_repository(root, str(tmp_path / "store"))
    snapshot(package(root, "other", "two"), quick)
    assert not snapshot(folder, with_overrides(quick, {"versioned.push": False})).pushed
    assert snapshot_all(root, [], quick).copied == ["acme__p"]
    lost(folder)
    assert restore(folder, "", quick).changed


def test_objects_that_are_nowhere_are_told_once_and_the_others_are_copied(root, quick, tmp_path):
    snapshot(package(root, "first", "one"), quick)
    shutil.rmtree(root / ".dvc" / "cache")
    first, second = package(root, "first", "another"), package(root, "second", "two")
    snapshot_all(root, [first, second], quick)
    make_repository(root, str(tmp_path / "store"))
    assert "in neither DVC's cache nor the remote" in snapshot_all(root, [], quick).problem
    assert snapshot_all(root, [], quick).problem == ""
    lost(second)
    assert restore(second, "", quick).changed


@pytest.mark.parametrize("protected", [False, True])
@pytest.mark.parametrize("suffix", ["", ".dir"])
def test_a_damaged_object_waits_until_its_package_is_taken_again(root, quick, tmp_path, protected, suffix):
    damaged, sound = package(root, "damaged", "one"), package(root, "sound", "two")
    snapshot_all(root, [damaged, sound], quick)
    before = tree(damaged.path)
    spoil(root, damaged, suffix, protected=protected)
    make_repository(root, str(tmp_path / "store"))
    for _ in range(2):
        told = snapshot_all(root, [], quick)
        assert "1 objects are damaged or gone" in told.problem
        assert "`alp snapshot acme/damaged` takes again" in told.problem
        assert "acme/sound" not in told.problem
    assert snapshot_all(root, [damaged], quick).problem == ""
    assert snapshot_all(root, [], quick).problem == ""
    for folder in (damaged, sound):
        lost(folder)
        assert restore(folder, "", quick).changed
    assert tree(damaged.path) == before


def test_a_model_that_is_gone_from_the_cache_waits_until_its_package_is_taken_again(done, quick, tmp_path):
    root = done.data_root
    snapshot(done, quick)
    shutil.rmtree(root / ".dvc" / "cache")
    snapshot(package(root, "sound", "one"), quick)
    done.path.with_name("first.dvc").unlink()
    make_repository(root, str(tmp_path / "store"))
    for _ in range(2):
        assert "`alp snapshot acme/first` takes again" in snapshot_all(root, [], quick).problem
    assert snapshot_all(root, [done], quick).problem == ""
    assert snapshot_all(root, [], quick).problem == ""


def test_a_damaged_object_of_a_waiting_package_is_not_taken_for_copied(root, quick, tmp_path):
    folder = package(root, "p", "one")
    make_repository(root, str(tmp_path / "store"))
    snapshot(folder, with_overrides(quick, {"versioned.push": False}))
    spoil(root, folder, "", protected=False)
    told = snapshot_all(root, [], quick)
    assert told.copied == []
    assert "`alp snapshot acme/p`" in told.problem
    assert Unpushed(root).names() == {"acme__p"}
    assert snapshot_all(root, [folder], quick).copied == ["acme__p"]


def test_a_remote_whose_disk_is_not_mounted_is_told_and_gets_what_came_meanwhile(root, quick, tmp_path):
    make_repository(root, str(tmp_path / "store"))
    assert snapshot(package(root, "first", "one"), quick).pushed
    (tmp_path / "store").rename(tmp_path / "unmounted")
    second = package(root, "second", "two")
    away = snapshot(second, quick)
    assert not away.pushed
    assert str(tmp_path / "store") in away.problem
    assert not (tmp_path / "store").exists()
    assert Unpushed(root).names() == {"acme__second"}
    (tmp_path / "unmounted").rename(tmp_path / "store")
    assert snapshot_all(root, [], quick).copied == ["acme__second"]
    lost(second)
    assert restore(second, "", quick).changed


def test_a_remote_that_was_emptied_gets_everything_again(root, quick, tmp_path):
    folder = package(root, "p", "one")
    make_repository(root, str(tmp_path / "store"))
    assert snapshot(folder, quick).pushed
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").mkdir()
    assert snapshot_all(root, [], quick).filled == ("store",)
    lost(folder)
    assert restore(folder, "", quick).changed


def test_a_remote_that_was_covered_by_an_empty_folder_gets_what_that_one_got(root, quick, tmp_path):
    make_repository(root, str(tmp_path / "store"))
    assert snapshot(package(root, "first", "one"), quick).pushed
    (tmp_path / "store").rename(tmp_path / "unmounted")
    (tmp_path / "store").mkdir()
    second = package(root, "second", "two")
    assert snapshot(second, quick).pushed
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "unmounted").rename(tmp_path / "store")
    assert snapshot_all(root, [], quick).filled == ("store",)
    lost(second)
    assert restore(second, "", quick).changed


def test_a_remote_that_several_data_roots_share_is_filled_by_each(root, quick, tmp_path):
    for place in (root, tmp_path / "another"):
        package(place, "p", place.name)
        snapshot_all(place, [PackageFolder(place, "acme", "p")], quick)
        make_repository(place, str(tmp_path / "store"))
        assert snapshot_all(place, [], quick).filled == ("store",)
    assert snapshot_all(root, [], quick).filled == ()


def test_what_is_damaged_here_and_sound_in_the_remote_is_no_loss(root, quick, tmp_path):
    folder = package(root, "p", "one")
    make_repository(root, str(tmp_path / "store"))
    assert snapshot(folder, quick).pushed
    spoil(root, folder, "", protected=False)
    Unpushed(root).add(folder.key, [recorded_hash(folder.path.with_name("p.dvc"))])
    told = snapshot_all(root, [], quick)
    assert (told.copied, told.problem) == (["acme__p"], "")


def test_who_versions_does_not_wait_for_who_copies(root, quick, tmp_path, monkeypatch):
    make_repository(root, str(tmp_path / "store"))
    going, may_end = threading.Event(), threading.Event()
    real = copying._copy

    def slow(repository, unpushed):
        done = real(repository, unpushed)
        going.set()
        assert may_end.wait(60)
        return done

    monkeypatch.setattr(copying, "_copy", slow)
    copier = threading.Thread(target=snapshot, args=(package(root, "first", "one"), quick))
    copier.start()
    assert going.wait(60)
    taken = snapshot(package(root, "second", "two"), quick)
    assert taken.revision
    assert (taken.pushed, taken.problem) == (False, "")
    may_end.set()
    copier.join(60)
    assert Unpushed(root).names() == set()  # who copied took it along
    assert len(list((tmp_path / "store").rglob("*.dir"))) == 2


def test_commits_of_restore_go_to_the_git_remote(root, quick, tmp_path):
    folder = package(root, "p", "one")
    snapshot(folder, quick)
    package(root, "p", "two")
    subprocess.run(["git", "init", "--bare", "--quiet", tmp_path / "history.git"], check=True)
    subprocess.run(["git", "-C", root, "remote", "add", "origin", tmp_path / "history.git"], check=True)
    snapshot(folder, quick)
    done = restore(folder, "HEAD~1", quick)
    asked = ["git", "-C", tmp_path / "history.git", "rev-parse", "main"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout.strip() == done.revision


def test_commits_go_to_a_git_remote_that_comes_later_or_in_the_place_of_another(root, quick, tmp_path):
    revision = snapshot(package(root, "p", "one"), quick).revision
    for how, name in (("add", "first.git"), ("set-url", "second.git")):
        subprocess.run(["git", "init", "--bare", "--quiet", tmp_path / name], check=True)
        subprocess.run(["git", "-C", root, "remote", how, "origin", tmp_path / name], check=True)
        assert snapshot_all(root, [], quick).filled == ("git origin",)
        asked = ["git", "-C", tmp_path / name, "rev-parse", "main"]
        assert subprocess.run(asked, capture_output=True, text=True).stdout.strip() == revision
    assert snapshot_all(root, [], quick).filled == ()


def test_the_command_says_that_a_new_remote_was_filled(root, quick, tmp_path):
    snapshot(package(root, "p", "one"), quick)
    make_repository(root, str(tmp_path / "store"))
    said = [CliRunner().invoke(app, ["snapshot", "--data", str(root)]).output for _ in range(2)]
    assert "Copied all that there is to a new remote: store" in said[0]
    assert "Nothing waits" not in said[0]
    assert "Nothing waits" in said[1]


def spoil(root, folder: PackageFolder, suffix: str, *, protected: bool) -> None:
    """Change bytes of the cache: the list of a package's files, or its receipt."""
    value = recorded_hash(Path(f"{folder.path}.dvc"))
    objects = root / ".dvc" / "cache" / "files" / "md5"
    place = objects / value[:2] / value[2:]
    if not suffix:
        (entry,) = [item for item in json.loads(place.read_bytes()) if item["relpath"].endswith("receipt.json")]
        place = objects / entry["md5"][:2] / entry["md5"][2:]
    place.unlink()  # the package's own file may be the same one
    place.write_bytes(b"spoiled")
    place.chmod(0o444 if protected else 0o644)


@pytest.fixture(autouse=True)
def no_server(root, monkeypatch):
    monkeypatch.delenv("ALP_REGISTRY_URL", raising=False)
