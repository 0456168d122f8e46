"""One look at a data root: who waits for how long, and what is told where a part cannot be read."""

from __future__ import annotations

import time

import pytest

from alp_assets.errors import StoreFailed
from alp_assets.params import Params
from alp_assets.watch import look as module
from alp_assets.watch.look import PARTS, Looker
from alp_assets.watch.runs import Run, Runs
from tests.watch.roots import DAY, arrive, package

READERS = {
    "packages": "Packages.look",
    "dagster": "read_runs",
    "registry": "_models",
    "notices": "Outbox.counts",
    "disk": "_disk",
}


def look(root):
    return Looker(root, Params()).look()


def test_a_package_that_is_run_again_waits_since_somebody_asked_for_that(tmp_path, monkeypatch):
    package(tmp_path, "acme__old", received=time.time() - 90 * DAY)
    asked = Run("r2", "acme__old", "QUEUED", time.time() - 600)
    monkeypatch.setattr(module, "read_runs", lambda _: Runs(going=(asked,)))
    found = look(tmp_path)
    assert found.oldest_waiting.key == "acme__old"
    assert found.queue_age_s == pytest.approx(600, abs=DAY)


def test_the_oldest_is_who_waits_longest_and_not_who_came_first(tmp_path, monkeypatch):
    now = time.time()
    package(tmp_path, "acme__old", received=now - 90 * DAY)
    package(tmp_path, "acme__new", received=now - 5 * DAY, until="upload")
    asked = (Run("r3", "acme__old", "QUEUED", now - DAY), Run("r2", "acme__new", "QUEUED", now - 4 * DAY))
    monkeypatch.setattr(module, "read_runs", lambda _: Runs(going=asked))
    assert look(tmp_path).oldest_waiting.key == "acme__new"


def test_a_copied_zip_makes_no_old_queue(tmp_path):
    arrive(tmp_path, "acme__copied", at=time.time() - 90 * DAY)
    found = look(tmp_path)
    assert found.oldest_waiting.key == "acme__copied"
    assert found.queue_age_s < DAY


def test_every_part_is_read_by_somebody():
    assert set(READERS) == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("error", [RuntimeError("out of luck"), StoreFailed("out of luck")])
def test_a_part_that_cannot_be_read_is_told_and_the_others_are_there(tmp_path, monkeypatch, part, error):
    def fail(*_, **__):
        raise error

    package(tmp_path, "acme__first")
    monkeypatch.setattr(f"{module.__name__}.{READERS[part]}", fail)
    found = look(tmp_path)
    assert found.problems.keys() == {part}
    assert "out of luck" in found.problems[part]
    assert found.by_state["finished"] == (part != "packages")
    assert (found.disk[0] > 0) == (part != "disk")


def test_a_password_in_a_reason_is_not_told(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("postgresql://alp:hunter2@db cannot be parsed")

    monkeypatch.setattr(module, "_models", fail)
    assert "hunter2" not in look(tmp_path).problems["registry"]
