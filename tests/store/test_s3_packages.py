"""Packages, models and reports on a data root in a bucket."""

import os
import subprocess
import sys

import pytest

from alp_assets.errors import StageDamaged
from alp_assets.onboarding import onboard
from alp_assets.progress import silent
from alp_assets.registry.records import RegistryRefused
from alp_assets.registry.registry import Registry
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.rejection import reject
from alp_assets.stages.report import write_report
from alp_assets.stages.single import score_file
from alp_assets.stages.upload import upload
from alp_assets.web.problems import Problem
from alp_assets.web.uploads import put_in_inbox
from alp_assets.web.views.packages import customers, overview, packages_of
from schemas.sections import Section
from sensors.inbox import leave_note, scan_inbox
from tests.packages import FAST, audio, hum, machine_package, receive, run_through, tree
from tests.store.buckets import machine

BUCKET = "plant"
FAN = Section("acme", "fan", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="module")
def archive(place):
    return machine_package(place / "p.zip", train=4, normal=2, anomaly=2)


@pytest.fixture(scope="module")
def bucket(server):
    return server.bucket(BUCKET)


@pytest.fixture(scope="module")
def local(place, archive):
    """The same package on a disk."""
    folder = receive(place / "local", archive)
    assert all(summary.passed for summary in run_through(folder).values())
    return folder


@pytest.fixture(scope="module")
def onboarded(place, archive, bucket):
    """The package worked through by machine one; its data root is of the bucket."""
    with machine(BUCKET, place / "one", place / "registry.db") as root:
        folder = receive(root, archive)
        assert all(summary.passed for summary in run_through(folder).values())
    return folder


@pytest.fixture
def two(place, onboarded, tmp_path):
    """Another machine, its cache empty."""
    with machine(BUCKET, tmp_path / "two", place / "registry.db") as root:
        yield PackageFolder(root, "acme", "first")


def test_the_bytes_are_those_of_a_disk(onboarded, local, bucket):
    for stage in STAGES:
        mine, others = tree(onboarded.path / stage), tree(local.path / stage)
        if stage in ("upload", "report"):  # these hold the time of the upload
            assert mine.keys() == others.keys()
        else:
            assert mine == others
    assert tree(onboarded.data_root / "models").items() >= tree(local.data_root / "models").items()
    assert bucket.listed("locks") == {}
    assert bucket.folders("packages/acme/first") == sorted(STAGES)


def test_another_machine_reads_report_and_scores_and_fetches_no_audio_that_it_does_not_need(two, tmp_path):
    page = write_report(two, tmp_path, FAST, None)
    assert page.stat().st_size > 10_000
    assert not (two.path / "upload" / "package.zip").exists()
    assert len(list((two.path / "clips" / "audio").glob("*.wav"))) < 8


def test_another_machine_scores_with_the_champion(two, onboarded, tmp_path):
    (tmp_path / "x.wav").write_bytes(audio(hum(3, faulty=True)))
    (found,) = score_file(two.data_root, FAN, tmp_path / "x.wav", FAST)
    assert found.decision == "anomaly"
    assert not two.path.exists(), "no package is needed for it"


def test_another_machine_goes_on_where_the_first_one_ended(two, local):
    run_stage("scores", two, FAST)
    assert tree(two.path / "scores") == tree(local.path / "scores")


def test_the_same_upload_again_changes_nothing(two, archive, bucket):
    before = bucket.listed("packages/acme/first/upload")
    upload(two, FAST, archive=archive)
    assert bucket.listed("packages/acme/first/upload") == before
    assert (two.stage("upload") / "package.zip").read_bytes() == archive.read_bytes()


def test_a_flipped_byte_is_named_and_the_stage_mends_it(two, bucket):
    key = next(key for key in sorted(bucket.listed("packages/acme/first/clips")) if key.endswith(".wav"))
    whole = bucket.read(key).data
    bucket.write(key, whole[:-1] + bytes([whole[-1] ^ 1]))
    name = key.rpartition("/")[2]
    with pytest.raises(StageDamaged, match=rf"{name} has other bytes.*Run the stage clips of acme__first again"):
        run_stage("embeddings", two, FAST)
    run_stage("clips", two, FAST)
    assert bucket.read(key).data == whole
    run_stage("embeddings", two, FAST)


def test_a_damaged_model_is_no_champion_until_its_stage_ran_again(two, place, bucket, tmp_path):
    champion = Registry(two.data_root).champion(FAN)
    name = champion.folder.relative_to(two.data_root).as_posix()
    (key,) = (key for key in bucket.listed(name) if key.endswith("threshold.json"))
    whole = bucket.read(key).data
    bucket.write(key, whole + b" ")
    (tmp_path / "x.wav").write_bytes(audio(hum(3)))
    with machine(BUCKET, tmp_path / "three", place / "registry.db") as root:
        with pytest.raises(Exception, match="missing or was changed"):
            score_file(root, FAN, tmp_path / "x.wav", FAST)
        run_stage("models", PackageFolder(root, "acme", "first"), FAST)
        assert bucket.read(key).data == whole
    with machine(BUCKET, tmp_path / "four", place / "registry.db") as root:
        assert score_file(root, FAN, tmp_path / "x.wav", FAST)


def test_a_refused_package_gets_its_letter_in_the_bucket_and_a_mended_one_loses_it(two, bucket):
    reject(two)
    assert any(key.endswith("letter.html") for key in bucket.listed("packages/acme/first/rejected"))
    assert two.has("rejected")
    two.withdraw("rejected")
    assert not bucket.listed("packages/acme/first/rejected")


def test_a_zip_in_the_buckets_inbox_arrives_and_is_worked_on_from_there(two, archive, bucket, tmp_path, place):
    bucket.upload({"inbox/acme/second.zip": machine_package(tmp_path / "s.zip", train=2, normal=1, anomaly=0)})
    bucket.upload({"inbox/acme/again.zip": archive})
    root = two.data_root
    scan = scan_inbox(root, {}, 5, now=4e9)
    assert [item.folder.package for item in scan.arrivals] == ["second"]
    assert scan.complaints.keys() == {"acme/again.zip"}
    leave_note(root / "inbox" / "acme" / "again.zip", "twice")
    assert bucket.read("inbox/acme/again.zip.problem.txt").data == b"twice\n"
    assert scan_inbox(root, scan.seen, 5, now=4e9).arrivals == ()
    with machine(BUCKET, tmp_path / "three", place / "registry.db") as other:
        second = PackageFolder(other, "acme", "second")
        assert second.arrived()
        upload(second, FAST)
        assert (second.stage("upload") / "package.zip").read_bytes() == (tmp_path / "s.zip").read_bytes()
        assert run_stage("metadata", second, FAST).passed
    bucket.delete(list(bucket.listed("inbox")))


def test_the_console_shows_what_is_in_the_bucket_and_puts_uploads_there(two, archive, place, tmp_path):
    root = two.data_root
    assert customers(root) == ["acme"]
    assert two.package in [folder.package for folder in packages_of(root, "acme")]
    shown = overview(two, None)
    assert (shown["state"], shown["bytes"]) == ("finished", archive.stat().st_size)
    (tmp_path / "sent.zip").write_bytes(b"zip")
    sent = PackageFolder(root, "other", "sent")
    put_in_inbox(tmp_path / "sent.zip", sent)
    with machine(BUCKET, tmp_path / "three", place / "registry.db") as other:
        again = PackageFolder(other, "other", "sent")
        assert again.arrived()
        assert customers(other) == ["acme", "other"]
        with pytest.raises(Problem, match="waits already"):
            put_in_inbox(tmp_path / "sent.zip", again)
        assert again.fetch_inbox().read_bytes() == b"zip"


@pytest.mark.slow
def test_onboarding_in_dagster_gives_the_same_scores(archive, local, place, bucket, tmp_path):
    overrides = {"quality.data_docs": False, "run.workers": 1, "sensitivity.clips": 2}
    with machine(BUCKET, tmp_path / "four", place / "registry.db") as root:
        folder = PackageFolder(root, "dagster", "first")
        done = onboard(folder, archive, overrides, lambda _: None, lambda _: silent)
        assert done.success, done.reasons
    assert (folder.path / "scores" / "scores.csv").read_bytes() == (
        local.path / "scores" / "scores.csv"
    ).read_bytes()
    assert bucket.folders("packages/dagster/first") == sorted(STAGES)


def test_a_bucket_needs_a_database_for_its_registry(two, monkeypatch):
    monkeypatch.delenv("ALP_REGISTRY_URL")
    with pytest.raises(RegistryRefused, match="ALP_REGISTRY_URL=postgresql"):
        Registry(two.data_root)


def test_nothing_of_s3_is_imported_for_a_data_root_on_a_disk(tmp_path):
    code = (
        "import sys; from pathlib import Path; from alp_assets.stages.package import PackageFolder\n"
        "folder = PackageFolder(Path(sys.argv[1]), 'acme', 'first')\n"
        "with folder.publish('upload') as part: (part / 'x').write_bytes(b'x')\n"
        "folder.prove('upload'); folder.stage('upload'); assert folder.has('upload')\n"
        "print(sorted({'fsspec', 's3fs', 'botocore', 'dagster'} & set(sys.modules)))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALP_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
