"""Bringing versions back, giving packages up, and removing what no version needs."""

import os
import shutil
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from typer.testing import CliRunner

from alp_assets.assets.events import forget_package, prune
from alp_assets.assets.instance import open_instance
from alp_assets.assets.workplace import packages
from alp_assets.cli import app
from alp_assets.errors import PackageBusy, VersionRefused
from alp_assets.home import dagster_home
from alp_assets.onboarding import onboard
from alp_assets.registry.records import State
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.package import PackageFolder
from alp_assets.versions import git
from alp_assets.versions.repository import make_repository, repository_of
from alp_assets.versions.restore import restore, restore_models
from alp_assets.versions.retire import retire
from alp_assets.versions.revisions import committed, find_revision
from alp_assets.versions.snapshot import snapshot
from alp_assets.versions.store import opened
from alp_assets.versions.unused import find_unused, remove_unused
from schemas.sections import Section
from tests.packages import tree

FAN = Section("acme", "fan", "1")


def test_a_package_comes_back_as_it_was_and_the_registry_stays(twice, worked_through, quick):
    registry = Registry(twice.data_root)
    before = [(item.version, item.state) for item in registry.versions(FAN)]
    done = restore(twice, "HEAD~1", quick)
    assert done.changed
    assert tree(twice.path) == tree(worked_through.path)
    assert [(item.version, item.state) for item in registry.versions(FAN)] == before
    assert "fan-1-isolation_forest-1" in done.notes[0]
    assert repository_of(twice.data_root).git("status", "--porcelain") == ""
    assert committed(repository_of(twice.data_root), twice)[0].commit.commit == done.revision
    assert not restore(twice, "HEAD", quick).changed
    assert restore(twice, "HEAD~1", quick).changed


def test_it_comes_back_from_the_remote_when_the_cache_is_gone(twice, quick, tmp_path):
    make_repository(twice.data_root, str(tmp_path / "store"))
    assert snapshot(twice, quick).pushed
    before = tree(twice.path)
    shutil.rmtree(twice.data_root / ".dvc" / "cache")
    shutil.rmtree(twice.path)
    restore(twice, "", quick)
    assert tree(twice.path) == before


def test_a_lock_of_a_git_that_was_killed_just_now_is_waited_for(twice, quick, monkeypatch):
    lock = twice.data_root / ".git" / "index.lock"
    lock.touch()
    waits = []

    def later(seconds):
        waits.append(seconds)
        os.utime(lock, (1, 1))

    monkeypatch.setattr(git.time, "sleep", later)
    assert restore(twice, "HEAD~1", quick).revision
    assert len(waits) == 1
    assert not lock.exists()


def test_a_version_comes_back_over_a_file_that_is_not_dvcs(twice, quick):
    path = twice.path.with_name("first.dvc")
    path.write_text("hello")
    with pytest.raises(VersionRefused, match=r"first\.dvc: is no file of DVC's.*checkout -- first\.dvc"):
        restore(twice, "", quick)
    assert restore(twice, "HEAD~1", quick, force=True).changed
    assert "md5" in path.read_text()


def test_a_commit_with_a_file_that_is_not_dvcs_holds_no_version_and_the_others_come_back(twice, quick):
    repository, path = repository_of(twice.data_root), twice.path.with_name("first.dvc")
    good = path.read_text()
    for text in ("outs: []", "hello", "<<<<<<< HEAD\n", good):
        path.write_text(text)
        repository.git.committed(["packages/acme/first.dvc"], "by hand")
    assert len(committed(repository, twice)) == 3
    for revision in ("HEAD~1", "HEAD~2", "HEAD~3"):
        with pytest.raises(VersionRefused, match=r"first\.dvc, as of \w{10}: is no file of DVC's"):
            restore(twice, revision, quick)
    assert restore(twice, "HEAD~5", quick).changed


def test_files_of_a_model_whose_file_is_not_dvcs_are_told(twice):
    champion = Registry(twice.data_root).champion(FAN)
    shutil.rmtree(champion.folder)
    champion.folder.with_name(f"{champion.version}.dvc").write_text("hello")
    assert any("is no file of DVC's" in text for text in restore_models(twice.data_root, FAN))


def test_files_of_a_model_come_back(twice):
    champion = Registry(twice.data_root).champion(FAN)
    shutil.rmtree(champion.folder)
    assert any("brought back" in text for text in restore_models(twice.data_root, FAN))
    verify(champion)


def test_results_that_no_version_holds_are_not_overwritten(twice, quick):
    (twice.stage("scores") / "note.txt").write_text("new")
    with pytest.raises(VersionRefused, match="no version has yet"):
        restore(twice, "HEAD~1", quick)
    assert (twice.stage("scores") / "note.txt").is_file()
    assert restore(twice, "HEAD~1", quick, force=True).changed
    assert not (twice.stage("scores") / "note.txt").exists()


def test_a_version_that_nobody_committed_is_not_overwritten(done, quick, tmp_path):
    def run(*command):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    somebody = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    run("git", "init", "--quiet")
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    snapshot(done, quick)
    run("git", "add", "--force", "data/packages/acme/first.dvc")
    run("git", *somebody, "commit", "--quiet", "-m", "first version")
    with done.publish("report") as part:
        (part / "report.html").write_text("new")
    snapshot(done, quick)
    latest = tree(done.path)
    with pytest.raises(VersionRefused, match=r"not committed.*Commit first\.dvc first"):
        restore(done, "HEAD", quick)
    shutil.rmtree(done.path)
    assert restore(done, "", quick).changed
    assert tree(done.path) == latest
    run("git", *somebody, "commit", "--quiet", "--all", "-m", "second version")
    assert restore(done, "HEAD~1", quick).changed


def test_bytes_that_changed_in_place_are_fetched_again_or_refused(done, quick, tmp_path):
    scores = done.stage("scores") / "scores.csv"
    good = scores.read_bytes()
    make_repository(done.data_root, str(tmp_path / "store"))
    assert snapshot(done, quick).pushed
    scores.chmod(0o644)
    with scores.open("r+b") as stream:  # DVC's cache has the same file
        stream.write(b"X")
    assert restore(done, "HEAD", quick, force=True).changed
    assert scores.read_bytes() == good
    shutil.rmtree(tmp_path / "store")
    scores.chmod(0o644)
    with scores.open("r+b") as stream:
        stream.write(b"X")
    with pytest.raises(VersionRefused, match=r"in neither|damaged|cannot be reached"):
        restore(done, "HEAD", quick, force=True)
    assert scores.read_bytes() == b"X" + good[1:]


def test_a_damaged_version_without_a_remote_names_the_file(done, quick):
    snapshot(done, quick)
    scores = done.stage("scores") / "scores.csv"
    scores.chmod(0o644)
    with scores.open("r+b") as stream:
        stream.write(b"X")
    with pytest.raises(
        VersionRefused, match=r"damaged in DVC's cache, and there is no remote: scores/scores\.csv"
    ):
        restore(done, "HEAD", quick, force=True)


def test_a_package_that_is_being_worked_on_is_left_alone(twice, quick):
    with twice.lock(), pytest.raises(PackageBusy):
        restore(twice, "HEAD~1", quick)


def test_what_was_never_there_is_refused_and_leaves_no_trace(twice, quick):
    never = PackageFolder(twice.data_root, "stranger", "none")
    before = {path for path in twice.data_root.rglob("*") if ".git" not in path.parts}
    for change in (lambda: restore(never, "", quick), lambda: retire(never, quick, "me")):
        with pytest.raises(VersionRefused, match=r"no such package|has no version of this package"):
            change()
    assert {path for path in twice.data_root.rglob("*") if ".git" not in path.parts} == before


def test_retiring_takes_files_and_keeps_history(twice, quick):
    registry = Registry(twice.data_root)
    twice.inbox.parent.mkdir(parents=True)
    shutil.copy(twice.stage("upload") / "package.zip", twice.inbox)
    with pytest.raises(VersionRefused, match="its models are in force: fan-1-isolation_forest"):
        retire(twice, quick, "me")
    before = tree(twice.path)
    done = retire(twice, quick, "me", force=True)
    assert not twice.path.exists()
    assert not twice.inbox.exists()
    assert not twice.path.with_name("first.dvc").exists()
    assert done.in_force == [registry.champion(FAN).name]
    assert all(item.state is not State.CANDIDATE for item in registry.versions(FAN))
    verify(registry.champion(FAN))
    assert retire(twice, quick, "me", force=True).revision == ""
    with pytest.raises(VersionRefused, match="no such package"):
        retire(PackageFolder(twice.data_root, "acme", "none"), quick, "me")
    restore(twice, "", quick)
    assert tree(twice.path) == before


def test_a_zip_in_the_inbox_that_is_another_stays(twice, quick):
    twice.inbox.parent.mkdir(parents=True)
    twice.inbox.write_bytes(b"other bytes")
    assert "stays" in retire(twice, quick, "me", force=True).notes[0]
    assert twice.inbox.is_file()


def test_nothing_is_retired_that_cannot_be_versioned(done, quick):
    make_repository(done.data_root)
    (done.data_root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(VersionRefused, match="not retired"):
        retire(done, quick, "me", force=True)
    assert done.path.is_dir()


def test_what_no_version_needs_is_found_and_removed(twice, quick, tmp_path):
    make_repository(twice.data_root, str(tmp_path / "store"))
    snapshot(twice, quick)
    repository = repository_of(twice.data_root)
    assert find_unused(repository, keep_days=None, remote=True).cache == {}
    with opened(repository) as store:
        (stray := tmp_path / "data" / "packages" / "acme" / "stray").mkdir()
        (stray / "file").write_text("not in any version")
        value = store.keep(stray)
        store.push([value])
    shutil.rmtree(stray)
    stray.with_name("stray.dvc").unlink()
    found = find_unused(repository, keep_days=None, remote=True)
    assert len(found.cache) == len(found.remote) == 2
    assert found.cache[value] > 0
    remove_unused(repository, quick, keep_days=None, remote=True)
    left = find_unused(repository, keep_days=None, remote=True)
    assert (left.cache, left.remote) == ({}, {})
    assert restore(twice, "HEAD~2", quick).changed


def test_old_versions_are_not_kept_when_days_are_given(twice):
    repository = repository_of(twice.data_root)
    first = committed(repository, twice)[1].outs[""]
    assert find_unused(repository, keep_days=30, remote=True).cache == {}
    old = {"GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z", "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in old.items():
            patch.setenv(name, value)
        somebody = ("-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "core.editor=true")
        repository.git(*somebody, "rebase", "--quiet", "--root", "--committer-date-is-author-date")
        tip = repository.git(*somebody, "commit-tree", "HEAD^{tree}", "-m", "all in one").strip()
        repository.git("reset", "--quiet", "--soft", tip)
    found = find_unused(repository, keep_days=30, remote=False)
    assert first in found.cache
    assert find_revision(repository, twice, "HEAD").outs[""] not in found.cache


def test_a_clock_that_was_put_back_makes_no_version_old(twice, quick):
    repository = repository_of(twice.data_root)
    today = committed(repository, twice)[0].outs[""]
    for number in range(2):
        with twice.publish("report") as part:
            (part / "report.html").write_text(str(number))
        with pytest.MonkeyPatch.context() as patch:
            if number == 0:
                patch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
            snapshot(twice, quick)
    assert today not in find_unused(repository, keep_days=30, remote=False).cache


@pytest.fixture
def instance(root):
    with dg.DagsterInstance.from_config(str(dagster_home(root))) as found:
        yield found


def run_of(instance, key: str) -> str:
    @dg.asset(name="upload", partitions_def=packages, check_specs=[dg.AssetCheckSpec("whole", asset="upload")])
    def upload():
        yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="whole", passed=True)])

    instance.add_dynamic_partitions(packages.name, [key])
    return dg.materialize([upload], partition_key=key, instance=instance).run_id


def test_dagster_forgets_a_package_and_no_other(instance, root):
    for key in ("acme__first", "acme__second"):
        run_of(instance, key)
    before = set((root / "dagster").rglob("*.db"))
    assert forget_package(instance, "acme__first") == 1
    assert len(before - set((root / "dagster").rglob("*.db"))) == 1
    assert instance.get_dynamic_partitions(packages.name) == ["acme__second"]
    upload = dg.AssetKey("upload")
    assert instance.get_materialized_partitions(upload) == {"acme__second"}
    checks = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(upload, "whole"), limit=10
    )
    assert len(checks) == 1


def test_a_refused_package_is_versioned_and_comes_back(root, quick):
    archive = root.parent / "first.zip"
    archive.write_bytes(b"not a zip")
    folder = PackageFolder(root, "acme", "first")
    assert not onboard(folder, archive, {}, lambda _: None, lambda _: lambda *_: None).success
    shutil.rmtree(folder.path)
    restore(folder, "HEAD", quick)
    assert (folder.stage("upload") / "package.zip").read_bytes() == b"not a zip"
    assert "not a zip" in (folder.stage("rejected") / "letter.html").read_text(encoding="utf-8")


def test_old_runs_are_pruned_and_the_latest_of_a_package_stays(instance):
    first, second = run_of(instance, "acme__first"), run_of(instance, "acme__first")
    assert prune(instance, 1, dry_run=False).runs == 0
    assert prune(instance, 0, dry_run=True).runs == 1
    assert prune(instance, 0, dry_run=False).runs == 1
    assert instance.get_run_by_id(first) is None
    assert instance.get_run_by_id(second) is not None


def test_a_package_with_a_run_that_goes_on_is_not_forgotten(instance):
    run = create_run_for_test(
        instance, tags={"dagster/partition": "acme__first"}, status=dg.DagsterRunStatus.STARTED
    )
    with pytest.raises(PackageBusy, match=run.run_id):
        forget_package(instance, "acme__first")


def test_a_package_with_a_run_that_goes_on_is_not_restored(twice):
    with open_instance(twice.data_root) as instance:
        run = create_run_for_test(
            instance, tags={"dagster/partition": twice.key}, status=dg.DagsterRunStatus.STARTED
        )
    done = CliRunner().invoke(app, ["restore", "acme/first@HEAD~1"])
    assert isinstance(done.exception, PackageBusy)
    assert run.run_id in str(done.exception)


def test_another_package_of_the_name_is_not_touched(twice, quick):
    other = PackageFolder(twice.data_root, "acme", "first-2")
    shutil.copytree(twice.path, other.path)
    retire(twice, quick, "me", force=True)
    assert other.path.is_dir()
