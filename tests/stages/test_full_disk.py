"""A disk that takes no more: told in words, nothing half-finished kept, and the process lives."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest

from alp_assets.errors import AlpError, DiskRefused, MemoryExceeded
from alp_assets.params import RunParams
from alp_assets.stages.disk import disk_told
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.shards import Arrays


def told(place, error):
    with disk_told(place, "clips of acme__first"):
        raise error


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "the disk is read-only"),
    ],
)
def test_the_disk_is_named_also_where_it_is_the_cause_of_a_cause(tmp_path, number, words):
    error = AlpError("the library says: it failed")
    error.__cause__ = RuntimeError("x")
    error.__cause__.__cause__ = OSError(number, "no")
    with pytest.raises(DiskRefused, match=f"{words}, so that clips of acme__first could not be finished"):
        told(tmp_path, error)


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "no"), ValueError("x"), AlpError("x"), MemoryExceeded("x", 1)], ids=repr
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught:
        told(tmp_path, error)
    assert caught.value is error


def full_disk(_):
    return SimpleNamespace(f_blocks=1000, f_bavail=3, f_frsize=4096, f_flag=0)


def test_on_a_full_disk_an_error_that_says_nothing_is_put_into_words(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", full_disk)
    with pytest.raises(DiskRefused, match="Make room"):
        told(tmp_path, RuntimeError("System error"))
    for error in (AlpError("a gate failed"), MemoryError()):
        with pytest.raises(type(error)):
            told(tmp_path, error)


def publish_without_room(folder):
    with folder.publish("report") as part:
        (part / "report.html").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stage_without_room_publishes_nothing(tmp_path):
    folder = PackageFolder(tmp_path, "acme", "first")
    with pytest.raises(DiskRefused, match="report of acme__first"):
        publish_without_room(folder)
    assert list(folder.path.iterdir()) == []


class Ones:
    name = "logmel"

    @property
    def views(self):
        return {"pooled": (3,)}

    def encode(self, sounds, views):
        return {view: np.ones((len(sounds), 3), np.float32) for view in views}


def arrays(place):
    (place / "done").mkdir()
    return Arrays(place, place / "done", Ones(), Ones, ["pooled"], 5)


def test_room_is_asked_for_before_rows_are_written(tmp_path, monkeypatch):
    """Else the kernel would kill the process at the first page that finds no room."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        arrays(tmp_path).fill(dict.fromkeys((0, 1, 4), int), RunParams(), lambda _: None)
    assert not list((tmp_path / "done").iterdir())


def test_rows_without_a_clip_stay_empty(tmp_path):
    arrays(tmp_path).fill(dict.fromkeys((0, 1, 4), int), RunParams(), lambda _: None)
    assert np.load(tmp_path / "pooled.npy").sum(axis=1).tolist() == [3, 3, 0, 0, 3]
