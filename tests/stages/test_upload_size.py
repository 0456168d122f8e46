"""Uploads that would fill the disk that others work on, and receipts that cannot be read."""

import os

import pytest

from alp_assets.errors import AlpError, DiskRefused, StageDamaged
from alp_assets.params import with_overrides
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt, upload
from tests.packages import FAST, receive, zipped


def test_an_upload_over_the_limit_is_refused_before_it_is_copied(tmp_path):
    folder = PackageFolder(tmp_path / "data", "acme", "first")
    zipped(folder.inbox, {"a.txt": b"x" * 1000})
    with pytest.raises(AlpError, match=r"first\.zip: has .* bytes; an upload may have 500"):
        upload(folder, with_overrides(FAST, {"upload.max_bytes": 500}))
    assert not folder.path.exists()


def test_a_file_that_says_it_is_larger_than_the_disk_does_not_fill_it(tmp_path):
    folder = PackageFolder(tmp_path / "data", "acme", "first")
    zipped(folder.inbox, {"a.txt": b"x"})
    os.truncate(folder.inbox, 1 << 42)  # it takes nothing on the disk
    with pytest.raises(DiskRefused, match=r"the disk is full: first\.zip has 4,398,046,511,104 bytes"):
        upload(folder, with_overrides(FAST, {"upload.max_bytes": 1 << 50}))
    assert not folder.has("upload")


def test_a_receipt_that_cannot_be_read_says_what_mends_it(tmp_path):
    folder = receive(tmp_path / "data", zipped(tmp_path / "p.zip", {"a.txt": b"x"}))
    (folder.path / "upload" / "receipt.json").write_text("")
    with pytest.raises(StageDamaged, match=r"receipt\.json: cannot be read .* Send the zip of package"):
        read_receipt(folder)
