"""A stage folder that is not as it was written: named, refused, and mended by running its stage again."""

import json
import shutil

import pytest

from alp_assets.errors import StageDamaged, UploadConflict
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.upload import read_receipt, upload
from tests.packages import FAST, machine_package, receive, run_through, tree


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return machine_package(tmp_path_factory.mktemp("zip") / "p.zip", train=3, normal=1, anomaly=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, archive):
    folder = receive(tmp_path_factory.mktemp("whole") / "data", archive)
    assert all(summary.passed for summary in run_through(folder, until="clips").values())
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole.data_root, tmp_path / "data")
    return PackageFolder(tmp_path / "data", whole.customer, whole.package)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def wav_of(folder):
    return sorted((folder.stage("clips") / "audio").iterdir())[1]


def test_every_stage_has_a_manifest_as_its_last_word(whole):
    for name in STAGES[: STAGES.index("embeddings")]:
        told = json.loads((whole.stage(name) / "manifest.json").read_text())["files"]
        there = {path for path in tree(whole.stage(name)) if (whole.stage(name) / path).is_file()}
        assert there == {*told, "manifest.json"}


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda folder: flip(wav_of(folder)), r"audio/\S+\.wav has other bytes than were written"),
        (lambda folder: wav_of(folder).unlink(), r"audio/\S+\.wav is missing"),
        (lambda folder: (folder.stage("clips") / "x.txt").touch(), r"x\.txt does not belong there"),
        (lambda folder: (folder.stage("clips") / "manifest.json").unlink(), r"manifest\.json is missing"),
        (
            lambda folder: (folder.stage("clips") / "manifest.json").write_text("{"),
            r"manifest\.json: is no manifest",
        ),
        (lambda folder: (folder.stage("clips") / "summary.json").write_text("{"), r"summary\.json: damaged"),
        (lambda folder: (folder.stage("clips") / "summary.json").write_text('{"gate": []}'), r"tells of no gates"),
    ],
    ids=["flipped", "missing", "additional", "no manifest", "broken manifest", "broken summary", "other summary"],
)
def test_a_later_stage_names_the_file_and_the_stage_and_goes_on_once_that_ran_again(folder, whole, harm, what):
    harm(folder)
    with pytest.raises(StageDamaged, match=f"{what}.*Run the stage clips of acme__first again: .alp stage clips"):
        folder.require("embeddings")
    run_stage("clips", folder, FAST)
    folder.require("embeddings")
    assert tree(folder.stage("clips")) == tree(whole.stage("clips"))


def test_many_damaged_files_are_counted(folder):
    for path in (folder.stage("clips") / "audio").iterdir():
        flip(path)
    with pytest.raises(StageDamaged, match="and 2 more"):
        folder.require("embeddings")


def test_an_earlier_stage_does_not_mind(folder):
    flip(wav_of(folder))
    folder.require("clips")


def test_folders_of_before_there_were_manifests_pass(folder):
    for name in ("upload", "metadata", "quality", "clips"):
        (folder.stage(name) / "manifest.json").unlink()
        summary = folder.stage(name) / "summary.json"
        told = json.loads(summary.read_text())
        del told["proof"]
        summary.write_text(json.dumps(told))
    flip(wav_of(folder))
    folder.require("embeddings")


@pytest.mark.parametrize("file", ["package.zip", "receipt.json", "summary.json", "manifest.json"])
def test_a_damaged_upload_is_mended_by_the_same_zip_and_by_no_other(folder, whole, archive, tmp_path, file):
    flip(folder.stage("upload") / file)
    with pytest.raises(StageDamaged, match="Run the stage upload of acme__first again: `alp onboard ZIP"):
        folder.require("metadata")
    with pytest.raises(UploadConflict):
        upload(folder, FAST, archive=machine_package(tmp_path / "o.zip", train=1, normal=0, anomaly=0))
    upload(folder, FAST, archive=archive)
    folder.require("metadata")
    assert (folder.stage("upload") / "package.zip").read_bytes() == archive.read_bytes()
    if file != "receipt.json":
        assert read_receipt(folder) == read_receipt(whole)


def test_without_the_zip_a_damaged_upload_says_so(folder):
    flip(folder.stage("upload") / "package.zip")
    with pytest.raises(StageDamaged, match=r"package\.zip has other bytes"):
        upload(folder, FAST)
