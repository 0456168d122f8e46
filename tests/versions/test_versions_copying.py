"""Copies of versions in remotes: nothing is left out, and a remote that is away stands in nobody's way."""

import shutil
import subprocess
import threading

import pytest

from alp_assets.files import write_json
from alp_assets.params import with_overrides
from alp_assets.stages.package import PackageFolder
from alp_assets.versions import copying
from alp_assets.versions.repository import make_repository
from alp_assets.versions.restore import restore
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
    assert (taken.copied, taken.problem) == ([], "")
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
    first, second = package(root, "first", "one"), package(root, "second", "two")
    snapshot(first, quick)
    shutil.rmtree(root / ".dvc" / "cache")
    snapshot(second, quick)
    make_repository(root, str(tmp_path / "store"))
    assert "in neither DVC's cache nor the remote" in snapshot_all(root, [], quick).problem
    assert snapshot_all(root, [], quick).problem == ""
    lost(second)
    assert restore(second, "", quick).changed


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


@pytest.fixture(autouse=True)
def no_server(root, monkeypatch):
    monkeypatch.delenv("ALP_REGISTRY_URL", raising=False)
