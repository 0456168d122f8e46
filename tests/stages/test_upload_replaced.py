"""A zip that is written to while it is read."""

import os

import pytest

import alp_assets.stages.upload as stage
from alp_assets.errors import AlpError
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt, upload
from tests.packages import FAST

OLD, YOUNG = b"old" * 1000, b"young" * 1000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_CHUNK", 512)
    return PackageFolder(tmp_path / "data", "acme", "first")


def writing(path, times):
    """Progress that finds other bytes in the file, so many times."""
    left = [times]

    def progress(done, total, what):
        assert done <= total
        if left[0]:
            left[0] -= 1
            path.write_bytes(YOUNG)
            os.utime(path, ns=(left[0], left[0]))

    return progress


def test_it_is_read_anew_so_that_no_mixture_is_kept(tmp_path, folder):
    path = tmp_path / "x.zip"
    path.write_bytes(OLD)
    upload(folder, FAST, writing(path, 1), archive=path)
    assert (folder.stage("upload") / "package.zip").read_bytes() == YOUNG
    assert read_receipt(folder)["bytes"] == len(YOUNG)


def test_a_file_that_never_comes_to_rest_is_not_kept(tmp_path, folder):
    path = tmp_path / "x.zip"
    path.write_bytes(OLD)
    with pytest.raises(AlpError, match=r"x\.zip: was written to while it was read, 3 times"):
        upload(folder, FAST, writing(path, 1000), archive=path)
    assert not folder.has("upload")
