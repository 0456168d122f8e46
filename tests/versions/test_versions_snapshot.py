"""Taking versions: what is kept, committed and pushed, and what happens when that fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alp_assets.errors import ModelCorrupt, SnapshotFailed, VersionRefused
from alp_assets.params import with_overrides
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.catalog import run_stage
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import make_repository
from alp_assets.versions.snapshot import snapshot, snapshot_all
from schemas.sections import Section
from tests.packages import tree

FAN = Section("acme", "fan", "1")


def git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def dvc(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_package_and_model_versions_get_a_dvc_file_each(done, quick):
    taken = snapshot(done, quick)
    root = done.data_root
    assert taken.repository == root
    assert (root / "packages/acme/first.dvc").is_file()
    assert len(list(root.glob("models/acme/fan__1/*.dvc"))) == taken.models == 1
    recorded = yaml.safe_load((root / "packages/acme/first.dvc").read_text())["outs"][0]["md5"]
    assert taken.content_hash == recorded
    assert not taken.pushed
    assert not taken.problem


def test_the_commit_says_what_the_package_came_to_and_nothing_else_is_in_git(done, quick):
    taken = snapshot(done, quick)
    root = done.data_root
    message = git("log", "-1", "--format=%B", cwd=root)
    assert message.startswith("acme/first: 1 of 1 section scored, ")
    assert "fan/1: isolation_forest, alarms promised " in message
    assert "observed " in message
    assert f"Content: {taken.content_hash}" in message
    assert "Model: models/acme/fan__1/" in message
    assert git("rev-parse", "HEAD", cwd=root).strip() == taken.revision
    assert git("status", "--porcelain", cwd=root) == ""
    kept = git("ls-files", cwd=root).split()
    assert all(name.endswith(".dvc") or name.startswith(".") or name == "params.yaml" for name in kept)


def test_dvc_itself_finds_everything_in_order(done, quick):
    snapshot(done, quick)
    assert "up to date" in dvc("status", cwd=done.data_root)
    before = tree(done.path)
    shutil.rmtree(done.path)
    dvc("checkout", "packages/acme/first.dvc", cwd=done.data_root)
    assert tree(done.path) == before


def test_the_snapshot_brings_a_model_version_back(done, quick):
    snapshot(done, quick)
    champion = Registry(done.data_root).champion(FAN)
    shutil.rmtree(champion.folder)
    with pytest.raises(ModelCorrupt):
        verify(champion)
    dvc("checkout", f"{champion.folder}.dvc", cwd=done.data_root)
    verify(champion)


def test_taking_it_again_changes_nothing_and_a_change_changes_the_hash(done, quick):
    first = snapshot(done, quick)
    assert snapshot(done, quick) == first
    run_stage("models", done, with_overrides(quick, {"decision.false_alarm_rate": 0.3}))
    again = snapshot(done, quick)
    assert again.content_hash != first.content_hash
    assert again.revision != first.revision
    assert again.models == 2
    assert len(list(done.data_root.glob("models/acme/fan__1/*.dvc"))) == 2


def test_it_is_pushed_where_there_is_a_remote(done, quick, tmp_path):
    make_repository(done.data_root, str(tmp_path / "store"))
    assert not snapshot(done, with_overrides(quick, {"versioned.push": False})).pushed
    assert not any((tmp_path / "store").rglob("*"))
    assert snapshot(done, quick).pushed
    shutil.rmtree(done.data_root / ".dvc" / "cache")
    shutil.rmtree(done.path)
    dvc("pull", cwd=done.data_root)
    assert (done.stage("scores") / "scores.csv").is_file()


def test_a_remote_that_is_away_is_told_and_pushed_to_later(done, quick, tmp_path):
    store = tmp_path / "mounted" / "store"
    make_repository(done.data_root, str(store))
    shutil.rmtree(store.parent)
    store.parent.write_text("no folder")
    taken = snapshot(done, quick)
    assert taken.content_hash
    assert not taken.pushed
    assert "not copied to the remote" in taken.problem
    store.parent.unlink()
    assert snapshot_all(done.data_root, [], quick).problem == ""
    assert len(list(store.rglob("*.dir"))) == 2


def test_the_history_goes_to_a_git_remote(done, quick, tmp_path):
    make_repository(done.data_root)
    git("init", "--bare", "--quiet", str(tmp_path / "history.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "history.git"), cwd=done.data_root)
    taken = snapshot(done, quick)
    assert git("rev-parse", "main", cwd=tmp_path / "history.git").strip() == taken.revision


def test_a_repository_that_fails_is_told_in_words_and_the_package_waits(done, quick):
    make_repository(done.data_root)
    (done.data_root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(SnapshotFailed, match="results are whole"):
        snapshot(done, quick)
    (done.data_root / ".dvc" / "config").write_text("[core]\n")
    assert snapshot_all(done.data_root, [], quick).packages["acme__first"].taken
    assert not Queue(done.data_root).waiting()


def test_a_failure_is_tried_again(done, quick, monkeypatch):
    from alp_assets.versions import patience
    from alp_assets.versions import snapshot as module

    waits = []
    monkeypatch.setattr(patience.time, "sleep", waits.append)
    real, failures = module.opened, iter([RuntimeError("the lock is held"), RuntimeError("still")])

    def failing(repository):
        if error := next(failures, None):
            raise error
        return real(repository)

    monkeypatch.setattr(module, "opened", failing)
    assert snapshot(done, with_overrides(quick, {"versioned.tries": 3})).content_hash
    assert waits == [1.0, 2.0]


def test_a_package_that_is_being_worked_on_waits_for_its_turn(done, quick):
    with done.lock(), pytest.raises(SnapshotFailed, match="another process is working on this package"):
        snapshot(done, quick)
    assert [ticket.key for ticket in Queue(done.data_root).waiting()] == ["acme__first"]
    assert snapshot_all(done.data_root, [], quick).packages["acme__first"].taken


def test_what_a_killed_process_left_waiting_is_taken_with_the_next(done, quick):
    from alp_assets.stages.package import PackageFolder

    shutil.copytree(done.path, done.data_root / "packages/acme/second")
    Queue(done.data_root).enter(PackageFolder(done.data_root, "acme", "second"))
    snapshot(done, quick)
    assert (done.data_root / "packages/acme/second.dvc").is_file()
    assert not Queue(done.data_root).waiting()


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_a_lock_that_a_killed_git_left_is_removed(done, quick, name):
    snapshot(done, quick)
    lock = done.data_root / ".git" / name
    lock.touch()
    os.utime(lock, (1, 1))
    (done.path / "report").mkdir()
    (done.path / "report" / "report.html").touch()
    assert snapshot(done, quick).revision
    assert not lock.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_data_root_of_another_user_is_versioned(done, quick):
    os.chown(done.data_root, 12345, 12345)  # as the top of a mounted volume is
    assert snapshot(done, quick).revision
    os.chown(done.data_root / ".git", 12345, 12345)
    with pytest.raises(SnapshotFailed, match="ownership"):
        snapshot(done, quick)


def test_a_package_that_is_not_there_is_refused(root, quick):
    from alp_assets.stages.package import PackageFolder

    with pytest.raises(SnapshotFailed, match="no such package"):
        snapshot(PackageFolder(root, "acme", "none"), quick)


def test_a_repository_without_git_gets_one(done, quick):
    dvc("init", "--no-scm", "-q", cwd=_made(done.data_root))
    taken = snapshot(done, quick)
    assert git("rev-parse", "HEAD", cwd=done.data_root).strip() == taken.revision


def test_inside_a_project_nothing_is_committed(done, quick, tmp_path):
    git("init", "--quiet", cwd=tmp_path)
    dvc("init", "-q", cwd=tmp_path)
    taken = snapshot(done, quick)
    assert taken.repository == tmp_path
    assert taken.revision == ""
    assert (done.data_root / "packages/acme/first.dvc").is_file()
    assert not (done.data_root / ".git").exists()
    assert subprocess.run(["git", "rev-parse", "-q", "HEAD"], cwd=tmp_path, capture_output=True).returncode


def test_in_somebodys_git_repository_nothing_is_committed(done, quick):
    git("init", "--quiet", cwd=done.data_root)
    with pytest.raises(SnapshotFailed, match="a git repository that ALP did not make"):
        snapshot(done, quick)
    dvc("init", "-q", cwd=done.data_root)
    assert snapshot(done, quick).revision == ""


def test_a_remote_that_cannot_be_reached_makes_no_repository(root, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(VersionRefused, match="cannot be reached"):
        make_repository(root, str(tmp_path / "file" / "store"))
    with pytest.raises(VersionRefused, match=r"dvc-ssh|cannot be reached"):
        make_repository(root, "ssh://nobody@127.0.0.1:1/store")
    assert not root.exists()


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place
