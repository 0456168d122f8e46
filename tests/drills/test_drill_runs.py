"""What drills ask of Dagster's runs: an end in words, no second try of a failure, few of a crash."""

import importlib

import dagster as dg
import pytest

from drills import memory
from drills.dagster_dev import TRAP
from drills.job import Job
from drills.verdict import DrillFailed

SEEN = f"EVENT_LOG_CONSUMER_CURSOR-{dg.DagsterEventType.RUN_FAILURE.value}"
RETRIES = {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}


@dg.op
def full():
    raise dg.Failure("the disk is full", allow_retries=False)


@dg.op
def empty():
    pass


@dg.job
def refuses():
    full()


@dg.job
def passes():
    empty()


@pytest.fixture
def job():
    overrides = {"run_retries": RETRIES, "telemetry": {"enabled": False}}
    with dg.instance_for_test(overrides) as instance:
        yield Job(None, None, instance)


def ended(job, definition):
    run = definition.execute_in_process(instance=job.instance, raise_on_error=False).run_id
    seen(job)
    return run


def crashed(job):
    run = job.instance.create_run_for_job(passes)
    job.instance.report_run_failed(run)
    seen(job)
    return run.run_id


def tried_again(job, definition, run):
    tags = {"dagster/root_run_id": run, "dagster/parent_run_id": run}
    again = job.instance.create_run_for_job(definition, parent_run_id=run, root_run_id=run, tags=tags)
    return again.run_id


def seen(job):
    job.instance.daemon_cursor_storage.set_cursor_values({SEEN: "1000000"})


def test_a_run_that_failed_tells_why(job):
    assert job.refused(ended(job, refuses)) == "the disk is full"


def test_a_run_that_ended_well_is_no_refusal(job):
    with pytest.raises(DrillFailed, match="ended with SUCCESS"):
        job.refused(ended(job, passes))


def test_a_run_that_failed_has_not_ended_well(job):
    with pytest.raises(DrillFailed, match="ended with FAILURE: the disk is full"):
        job.well(ended(job, refuses))


def test_a_crash_is_no_refusal(job):
    with pytest.raises(DrillFailed, match="does not say why"):
        job.refused(crashed(job))


def test_a_refusal_that_is_tried_again_is_seen(job):
    run = ended(job, refuses)
    tried_again(job, refuses, run)
    with pytest.raises(DrillFailed, match="was tried again"):
        job.refused(run)


def test_a_crash_that_is_not_tried_again_is_seen(job):
    with pytest.raises(DrillFailed, match="is to be tried again: "):
        job.next_try(crashed(job))


def test_a_crash_is_followed_to_its_next_try(job):
    run = crashed(job)
    again = tried_again(job, passes, run)
    assert job.next_try(run) == again


def test_a_trap_is_set_where_runs_are_loaded(monkeypatch):
    caught = []
    monkeypatch.setattr(memory, "eat", lambda: caught.append("eat"))
    monkeypatch.setenv(TRAP, "drills.memory:eat")
    loaded = importlib.import_module("drills.definitions")
    caught.clear()
    importlib.reload(loaded)
    assert caught == ["eat"]
    assert loaded.defs.resolve_job_def("onboard")
