"""Work that outlives a killed or failed run, until its stage is published."""

import os

import pytest

from alp_assets.errors import StoreFailed
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.unfinished import give, unfinished
from alp_assets.store.disk import Disk

MADE_OF = {"version": "1", "clips": "abc"}


@pytest.fixture
def folder(tmp_path):
    return PackageFolder(tmp_path, "acme", "first")


def kept(folder):
    return sorted(path.name for path in (folder.data_root / "cache").rglob("*") if path.is_file())


def work_on(folder, made_of=MADE_OF):
    """A stage that does a piece of work unless it is done already; whether it did."""
    with folder.lock(), unfinished(folder, "embeddings", made_of) as work:
        with folder.publish_locked("embeddings") as part:
            anew = not (work / "one").exists()
            (work / "one").write_text("done")
            give(work / "one", part)
        return anew


def test_what_was_published_leaves_nothing_behind(folder):
    assert work_on(folder)
    assert (folder.stage("embeddings") / "one").read_text() == "done"
    assert kept(folder) == []


@pytest.fixture
def failed(folder, monkeypatch):
    """The folder after a run that could not publish."""

    def refuse(*_):
        raise StoreFailed("s3://plant: cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(Disk, "publish", refuse)
        with pytest.raises(StoreFailed):
            work_on(folder)
    assert not folder.has("embeddings")
    return folder


def test_what_could_not_be_published_is_kept_and_found_by_the_next_run(failed):
    assert kept(failed) == ["one"]
    assert not work_on(failed)
    assert kept(failed) == []


def test_what_was_made_of_other_things_is_not_taken_and_goes(failed):
    assert work_on(failed, {**MADE_OF, "clips": "other"})
    assert kept(failed) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_given_with_links_or_without(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError("Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "part").mkdir()
    (tmp_path / "one").write_text("done")
    give(tmp_path / "one", tmp_path / "part")
    assert (tmp_path / "part" / "one").read_text() == "done"
    assert (tmp_path / "part" / "one").samefile(tmp_path / "one") == links
