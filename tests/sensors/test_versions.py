"""Versions of what no package's own run takes."""

import os
import time

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from alp_assets.assets.catching_up import catch_up_versions
from alp_assets.assets.workplace import Workplace
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.history import package_history
from alp_assets.versions.queue import Queue
from alp_assets.versions.unpushed import Unpushed
from sensors.versions import AGAIN_S, PATIENCE_S, versions

LONG_AGO = time.time() - PATIENCE_S - 60


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def root(tmp_path, monkeypatch):
    place = tmp_path / "data"
    place.mkdir()
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(place / "cache" / "dvc"))
    return place


def package(root, name="first"):
    folder = PackageFolder(root, "acme", name)
    (folder.stage("upload")).mkdir(parents=True)
    (folder.stage("upload") / "package.zip").write_bytes(b"no zip")
    return folder


def waiting(root, since=LONG_AGO, name="first"):
    folder = package(root, name)
    Queue(root).enter(folder)
    os.utime(root / f"versions/queue/{folder.key}.json", (since, since))
    return folder


def look(instance, root, cursor=None, **overrides):
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    return versions(context, workplace=Workplace(root, {"versioned.tries": 1, **overrides}))


def asked(found):
    return isinstance(found, dg.SensorResult) and len(found.run_requests)


def test_a_run_is_asked_for_once_something_has_waited_for_a_while(instance, root):
    assert not asked(look(instance, root))
    waiting(root, since=time.time())
    assert not asked(look(instance, root))
    waiting(root, name="second")
    assert asked(look(instance, root)) == 1


def test_what_the_remotes_lack_is_asked_for_too_where_they_are_wanted(instance, root):
    Unpushed(root).add("acme__first", ["a"])
    (path,) = (root / "versions/unpushed").glob("*.json")
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert asked(look(instance, root)) == 1
    assert not asked(look(instance, root, **{"versioned.push": False}))


def test_what_cannot_be_done_is_tried_again_after_an_hour(instance, root):
    waiting(root)
    cursor = look(instance, root).cursor
    assert not asked(look(instance, root, cursor))
    assert asked(look(instance, root, repr(float(cursor) - AGAIN_S))) == 1
    assert asked(look(instance, root, repr(float(cursor) + 2 * AGAIN_S))) == 1, "the clock was set back"


def test_there_is_one_run_at_a_time(instance, root):
    waiting(root)
    create_run_for_test(instance, job_name=catch_up_versions.name, status=dg.DagsterRunStatus.STARTED)
    assert not asked(look(instance, root))


def test_nothing_is_asked_for_where_no_versions_are_taken(instance, root):
    waiting(root)
    assert not asked(look(instance, root, **{"versioned.enabled": False}))


def test_the_run_goes_to_workers_that_any_package_may_go_to(instance, root, monkeypatch):
    monkeypatch.setenv("ALP_RUN_TAGS", "{cpu: {dagster-celery/queue: cpu}, gpu: {dagster-celery/queue: gpu}}")
    waiting(root)
    (request,) = look(instance, root).run_requests
    assert request.tags == {"dagster-celery/queue": "cpu"}


def caught_up(instance, root, **more):
    return catch_up_versions.execute_in_process(
        instance=instance, resources={"workplace": Workplace(root, {"versioned.tries": 1})}, **more
    )


def test_the_run_versions_what_waits(instance, root):
    folder = waiting(root)
    assert caught_up(instance, root).success
    assert not Queue(root).waiting()
    assert "worked through up to upload" in package_history(folder, 1)[0].message


def test_a_run_that_leaves_something_waiting_fails_in_words(instance, root, monkeypatch):
    waiting(root)

    def broken(*_):
        raise OSError("no more ink")

    monkeypatch.setattr("alp_assets.versions.store.Store.keep", broken)
    result = caught_up(instance, root, raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "acme__first: DVC could not version the package" in failure.user_failure_data.description
    assert "no more ink" in failure.user_failure_data.description
    assert [ticket.key for ticket in Queue(root).waiting()] == ["acme__first"]
