"""A data root on a disk: what lies in the inbox."""

from __future__ import annotations

import os

from alp_assets.store.disk import Disk


def names(root):
    return sorted(item.name for item in Disk(root).arrived("inbox"))


def test_files_lie_in_the_inbox_and_links_do_not(tmp_path):
    inbox, rival = tmp_path / "inbox", tmp_path / "packages" / "rival"
    (inbox / "acme" / "deep").mkdir(parents=True)
    rival.mkdir(parents=True)
    (rival / "package.zip").write_bytes(b"secret")
    for name in ("one.zip", "deep/two.zip"):
        (inbox / "acme" / name).write_bytes(b"own")
    (inbox / "acme" / "link.zip").symlink_to(rival / "package.zip")
    (inbox / "acme" / "gone.zip").symlink_to(tmp_path / "nowhere")
    (inbox / "acme" / "circle.zip").symlink_to("circle.zip")
    (inbox / "other").symlink_to(rival)
    os.mkfifo(inbox / "acme" / "pipe.zip")
    assert names(tmp_path) == ["acme/deep/two.zip", "acme/one.zip"]


def test_the_inbox_itself_may_lie_elsewhere(tmp_path):
    (tmp_path / "share" / "acme").mkdir(parents=True)
    (tmp_path / "share" / "acme" / "one.zip").write_bytes(b"own")
    (tmp_path / "inbox").symlink_to(tmp_path / "share")
    assert names(tmp_path) == ["acme/one.zip"]


def test_an_inbox_that_is_not_there_is_empty(tmp_path):
    assert names(tmp_path) == []
