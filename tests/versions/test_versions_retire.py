"""Giving packages up where the first call did not get through, and in a bucket."""

import secrets
import shutil
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from s3fs import S3FileSystem
from typer.testing import CliRunner

from alp_assets.assets.instance import open_instance
from alp_assets.assets.versioned import versioned
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.cli import app
from alp_assets.errors import PackageBusy, StoreFailed, VersionRefused
from alp_assets.registry.records import State
from alp_assets.registry.registry import Registry
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.single import score_file
from alp_assets.store.bucket import Bucket
from alp_assets.versions.git import Git
from alp_assets.versions.repository import repository_of
from alp_assets.versions.restore import restore
from alp_assets.versions.retire import retire
from schemas.sections import Section
from tests.packages import audio, hum, machine_package, receive, run_through, tree
from tests.store.buckets import machine, running
from tests.versions.conftest import LATER, QUICK

FAN = Section("acme", "fan", "1")
SOME = ("upload", "clips", "scores")


@pytest.mark.parametrize("lock", ["index.lock", "refs/heads/main.lock"])
def test_a_retirement_whose_commit_failed_is_committed_by_the_next_call(twice, quick, monkeypatch, lock):
    real = Git.committed

    def while_git_is_locked(git, paths, message):
        held = git.root / ".git" / lock
        if "retired" in message:
            held.touch()
        try:
            return real(git, paths, message)
        finally:
            held.unlink(missing_ok=True)

    before, git = tree(twice.path), repository_of(twice.data_root).git
    with monkeypatch.context() as patch:
        patch.setattr(Git, "committed", while_git_is_locked)
        patch.setattr(Git, "_break_stale_locks", lambda git: None)
        with pytest.raises(VersionRefused, match="lock"):
            retire(twice, quick, "me", force=True)
    assert not twice.path.exists()
    assert git.asked("cat-file", "-e", "HEAD:packages/acme/first.dvc") is not None
    done = retire(twice, quick, "me", force=True)
    assert git.asked("cat-file", "-e", "HEAD:packages/acme/first.dvc") is None
    assert git("status", "--porcelain") == ""
    assert done.revision == git("rev-parse", "HEAD").strip()
    assert retire(twice, quick, "me", force=True).revision == ""
    restore(twice, "", quick)
    assert tree(twice.path) == before


def test_a_retirement_is_copied_to_where_commits_go(twice, quick, tmp_path):
    git = repository_of(twice.data_root).git
    git("init", "--quiet", "--bare", str(tmp_path / "history.git"))
    git("remote", "add", "origin", str(tmp_path / "history.git"))
    done = retire(twice, quick, "me", force=True)
    assert done.notes == []
    assert git("ls-remote", "origin", "refs/heads/main").split()[0] == done.revision


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("retired")


@pytest.fixture(scope="module")
def archive(place):
    return machine_package(place / "p.zip", train=3, normal=2, anomaly=2)


@pytest.fixture(scope="module")
def worked_on(server, place, archive):
    """What a bucket holds with a package, its zip in the inbox, a champion and a candidate."""
    bucket = server.bucket("worked-on")
    with machine("worked-on", place / "cache", place / "registry.db") as root:
        folder = receive(root, archive)
        run_through(folder, until="scores", params=QUICK)
        run_stage("models", folder, LATER)
    keys = [*bucket.listed("packages"), *bucket.listed("models")]
    return {key: bucket.read(key).data for key in keys} | {"inbox/acme/first.zip": archive.read_bytes()}


@pytest.fixture
def bucket(server, worked_on, place, tmp_path):
    """A bucket of the test's own that holds it and keeps no versions."""
    own = server.bucket(f"b{secrets.token_hex(8)}")
    own._fs.pipe({own._path(key): data for key, data in worked_on.items()})
    shutil.copy(place / "registry.db", tmp_path / "registry.db")
    return own


@pytest.fixture
def keeping(bucket):
    """The same bucket, which keeps versions from here on."""
    wanted = {"Status": "Enabled"}
    bucket._fs.call_s3("put_bucket_versioning", Bucket=bucket._bucket, VersioningConfiguration=wanted)
    return bucket


@pytest.fixture
def elsewhere(bucket, tmp_path):
    """Make a machine of the bucket with a cache of its own; the package there."""

    @contextmanager
    def made(name):
        with machine(bucket._bucket, tmp_path / name, tmp_path / "registry.db") as root:
            yield PackageFolder(root, "acme", "first")

    return made


@pytest.fixture
def first(elsewhere, monkeypatch):
    """The package on one machine."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with elsewhere("one") as folder:
        yield folder


def test_a_package_in_a_bucket_goes_with_its_zip_and_its_candidates(first, keeping):
    first.stage("clips")
    first.fetch_inbox()
    done = retire(first, QUICK, "me", force=True)
    assert not keeping.listed("packages")
    assert not keeping.listed("inbox")
    assert not keeping.listed("locks")
    assert not first.path.exists()
    assert not first.inbox.exists()
    found = {item.name: item.state for item in Registry(first.data_root).versions(FAN)}
    assert [found[name] for name in done.in_force] == [State.CHAMPION]
    assert [found[name] for name in done.archived] == [State.ARCHIVED]
    assert len(found) == 2
    assert "keeps versions" in done.way_back


def test_its_champion_scores_on_where_nothing_was_fetched_before(first, keeping, elsewhere, tmp_path):
    (tmp_path / "x.wav").write_bytes(audio(hum(3, faulty=True)))
    before = score_file(first.data_root, FAN, tmp_path / "x.wav", QUICK)
    retire(first, QUICK, "me", force=True)
    with elsewhere("two") as other:
        assert score_file(other.data_root, FAN, tmp_path / "x.wav", QUICK) == before


def test_the_versions_that_the_bucket_keeps_bring_it_back(first, keeping, elsewhere):
    before = {stage: tree(first.stage(stage)) for stage in SOME}
    retire(first, QUICK, "me", force=True)
    told = keeping._fs.call_s3("list_object_versions", Bucket=keeping._bucket, Prefix="root/packages/acme/first/")
    for marker in told["DeleteMarkers"]:
        keeping._fs.call_s3(
            "delete_object", Bucket=keeping._bucket, Key=marker["Key"], VersionId=marker["VersionId"]
        )
    with elsewhere("two") as other:
        assert {stage: tree(other.stage(stage)) for stage in SOME} == before


def test_a_removal_that_broke_off_is_finished_by_the_next_call(first, keeping, monkeypatch):
    real = Bucket.delete

    def broken_off(bucket, keys):
        packages = [key for key in keys if key.startswith("packages/")]
        real(bucket, packages[:10] or keys)
        if packages:
            raise StoreFailed("the network is away")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "delete", broken_off)
        with pytest.raises(StoreFailed, match="network"):
            retire(first, QUICK, "me", force=True)
    assert keeping.listed("packages")
    assert not any(first.has(stage) for stage in SOME), "half a package is none"
    retire(first, QUICK, "me", force=True)
    assert not keeping.listed("packages")
    assert not Registry(first.data_root).find(state=State.CANDIDATE)


def test_another_zip_in_the_buckets_inbox_stays(first, keeping):
    keeping.write("inbox/acme/first.zip", b"other bytes")
    (note,) = retire(first, QUICK, "me", force=True).notes
    assert note.startswith(f"{keeping.url}/inbox/acme/first.zip stays")
    assert list(keeping.listed("inbox")) == ["inbox/acme/first.zip"]


def test_a_package_whose_receipt_is_gone_is_retired_and_its_zip_stays(first, keeping):
    keeping.delete([key for key in keeping.listed("packages/acme/first/upload") if key.endswith("receipt.json")])
    assert "stays" in retire(first, QUICK, "me", force=True).notes[0]
    assert not keeping.listed("packages")


def test_a_model_in_force_keeps_its_package_in_the_bucket(first, keeping):
    before = keeping.listed("packages")
    with pytest.raises(VersionRefused, match="its models are in force: fan-1-isolation_forest"):
        retire(first, QUICK, "me")
    assert keeping.listed("packages") == before


def test_a_bucket_that_keeps_no_versions_gives_nothing_up_without_force(first, bucket, archive):
    second = receive(first.data_root, archive, package="second")
    before = bucket.listed("packages")
    with pytest.raises(VersionRefused, match=r"put-bucket-versioning.*gone for good.*--force"):
        retire(second, QUICK, "me")
    assert bucket.listed("packages") == before
    assert "gone for good" in retire(second, QUICK, "me", force=True).way_back
    assert bucket.folders("packages/acme") == ["first"]


def test_a_bucket_that_does_not_say_gives_nothing_up_either(first, keeping, archive, monkeypatch):
    second = receive(first.data_root, archive, package="second")
    monkeypatch.setattr(S3FileSystem, "call_s3", _forbidding(S3FileSystem.call_s3))
    with pytest.raises(VersionRefused, match=r"AccessDenied.*gone for good.*--force"):
        retire(second, QUICK, "me")
    assert keeping.folders("packages/acme") == ["first", "second"]


def test_a_package_that_is_worked_on_stays_in_its_bucket(first, keeping):
    before = keeping.listed("packages")
    with first.lock(), pytest.raises(PackageBusy):
        retire(first, QUICK, "me", force=True)
    assert keeping.listed("packages") == before


def test_the_command_takes_the_package_from_the_bucket_and_from_dagster(first, keeping):
    with open_instance(first.data_root) as instance:
        instance.add_dynamic_partitions(str(packages.name), [first.key])
        run = create_run_for_test(
            instance, tags={"dagster/partition": first.key}, status=dg.DagsterRunStatus.STARTED
        )
    with pytest.raises(PackageBusy, match=run.run_id):
        alp("retire", "acme/first", "--force", "--yes")
    assert keeping.folders("packages/acme") == ["first"]
    with open_instance(first.data_root) as instance:
        instance.report_run_canceled(run)
    said = alp("retire", "acme/first", "--force", "--yes")
    assert "Dagster has forgotten 1 run of it" in said
    assert "keeps versions" in said
    assert "alp restore" not in said
    with open_instance(first.data_root) as instance:
        assert not instance.has_dynamic_partition(str(packages.name), first.key)
    with pytest.raises(VersionRefused, match=f"no such package in {keeping.url}"):
        alp("retire", "acme/never", "--yes")


def test_the_command_finishes_what_a_killed_one_left_in_dagster_alone(first, bucket):
    with open_instance(first.data_root) as instance:
        instance.add_dynamic_partitions(str(packages.name), [first.key])
    retire(first, QUICK, "me", force=True)
    alp("retire", "acme/first", "--force", "--yes")
    with open_instance(first.data_root) as instance:
        assert not instance.has_dynamic_partition(str(packages.name), first.key)


def test_the_snapshot_of_a_bucket_passes_where_it_keeps_versions(first, keeping):
    check = checked(first)
    assert check.passed
    assert "its own versioning keeps" in check.description


def test_the_snapshot_of_a_bucket_that_keeps_no_versions_is_a_warning(first, bucket):
    check = checked(first)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "keeps no versions" in check.description
    assert "put-bucket-versioning" in check.description


def test_the_snapshot_of_a_bucket_that_does_not_say_is_a_warning(first, keeping, monkeypatch):
    monkeypatch.setattr(S3FileSystem, "call_s3", _forbidding(S3FileSystem.call_s3))
    check = checked(first)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "AccessDenied" in check.description


def checked(folder) -> dg.AssetCheckEvaluation:
    """The check of the last step, in a run that went well."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(packages.name), [folder.key])
        result = dg.materialize(
            [versioned],
            partition_key=folder.key,
            instance=instance,
            resources={"workplace": Workplace(folder.data_root, {"versioned.enabled": True})},
        )
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        return check


def alp(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def _forbidding(real):
    """Calls of a user who may not ask how a bucket is set up."""

    def call(fs, method, *arguments, **more):
        if method == "get_bucket_versioning":
            raise PermissionError("AccessDenied")
        return real(fs, method, *arguments, **more)

    return call
