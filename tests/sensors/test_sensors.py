"""The sensors as Dagster evaluates them."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from alp_assets.assets.job import assets, onboard
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.checks.gates import gates
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.queue import Queue
from alp_assets.watch.notices import Outbox
from sensors.failures import failures
from sensors.uploads import uploads
from tests.packages import machine_package, receive, zipped

OVERRIDES = {"quality.data_docs": False, "versioned.enabled": False}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def settle(path: Path) -> Path:
    stamp = time.time() - 60
    os.utime(path, (stamp, stamp))
    return path


def tick(instance, root: Path, cursor: str | None = None, **more) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"workplace": Workplace(root, OVERRIDES | more)}
    )
    return uploads(context)


def test_a_zip_becomes_a_partition_and_one_run_for_its_content(instance, tmp_path):
    settle(machine_package(tmp_path / "inbox/acme/first.zip"))
    result = tick(instance, tmp_path)
    (request,) = result.run_requests
    assert request.partition_key == "acme__first"
    assert request.run_key.startswith("acme__first:")
    assert request.tags["customer"] == "acme"
    assert result.dynamic_partitions_requests[0].partition_keys == ["acme__first"]
    again = tick(instance, tmp_path, result.cursor)
    assert not again.run_requests
    forgotten = tick(instance, tmp_path)
    assert forgotten.run_requests[0].run_key == request.run_key


def test_two_ticks_at_once_ask_for_the_same_runs(instance, tmp_path):
    """Dagster starts one run for a run key, so two daemons that look at the same time do no harm."""
    for customer in ("acme", "other"):
        settle(machine_package(tmp_path / f"inbox/{customer}/first.zip", seed=len(customer)))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: tick(instance, tmp_path), range(2))
    runs = [
        {request.run_key: request.partition_key for request in ticked.run_requests} for ticked in (first, second)
    ]
    assert runs[0] == runs[1]
    assert sorted(runs[0].values()) == ["acme__first", "other__first"]


def test_a_run_says_whose_turn_it_is_and_which_workers_take_it(instance, tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_RUN_TAGS", "{cpu: {dagster-celery/queue: cpu}}")
    for number in range(2):
        settle(machine_package(tmp_path / f"inbox/acme/p{number}.zip", seed=number))
    tags = [request.tags for request in tick(instance, tmp_path).run_requests]
    assert [tag["dagster/priority"] for tag in tags] == ["0", "-1"]
    assert {tag["dagster-celery/queue"] for tag in tags} == {"cpu"}


def test_a_long_queue_is_kept_in_the_inbox(instance, tmp_path, monkeypatch):
    monkeypatch.setattr("sensors.uploads.MOST_WAITING", 3)
    monkeypatch.setattr(instance, "get_runs_count", lambda _filter: waiting)
    for number in range(5):
        settle(zipped(tmp_path / f"inbox/acme/p{number}.zip", {"a": bytes([number])}))
    waiting = 1
    first = tick(instance, tmp_path)
    assert len(first.run_requests) == 2
    waiting = 3
    full = tick(instance, tmp_path, first.cursor)
    assert not full.run_requests
    assert "3 more stay in the inbox" in full.skip_reason.skip_message
    waiting = 0
    assert len(tick(instance, tmp_path, full.cursor).run_requests) == 3


def test_a_file_that_is_just_settling_is_taken_in_the_same_tick(instance, tmp_path):
    machine_package(tmp_path / "inbox/acme/first.zip")
    assert [request.partition_key for request in tick(instance, tmp_path).run_requests] == ["acme__first"]


def test_a_bad_name_is_told_in_the_tick_beside_the_file_and_as_an_event(instance, tmp_path):
    bad = settle(zipped(tmp_path / "inbox/acme/팬 데이터.zip", {"a": b"x"}))
    result = tick(instance, tmp_path)
    assert not result.run_requests
    assert "팬 데이터" in result.skip_reason.skip_message
    assert "small letters" in bad.with_name(bad.name + ".problem.txt").read_text()
    assert "팬 데이터" in str(result.asset_events[0].metadata["complaint"].value)


def test_whoever_wants_notices_is_told_of_a_file_that_cannot_be_taken(instance, tmp_path, monkeypatch):
    settle(zipped(tmp_path / "inbox/acme/팬 데이터.zip", {"a": b"x"}))
    tick(instance, tmp_path, **{"notices.webhook": "ALP_TEST_HOOK"})
    (notice,) = Outbox(tmp_path).due(time.time() + 1, 10)
    assert (notice.kind, notice.customer, notice.package) == ("refused", "acme", "팬 데이터")
    assert "small letters" in notice.text


def test_the_daemon_accepts_what_the_sensor_asks_for(instance, tmp_path):
    """Through Dagster's own checks of partitions and run keys."""
    settle(machine_package(tmp_path / "inbox/acme/first.zip"))
    result = tick(instance, tmp_path)
    instance.add_dynamic_partitions(packages.name, result.dynamic_partitions_requests[0].partition_keys)
    definitions = definitions_for(tmp_path)
    done = definitions.resolve_job_def("onboard").execute_in_process(
        instance=instance, partition_key=result.run_requests[0].partition_key, tags=result.run_requests[0].tags
    )
    assert done.success


def definitions_for(root: Path) -> dg.Definitions:
    return dg.Definitions(
        assets=assets,
        asset_checks=gates,
        jobs=[onboard],
        sensors=[uploads, failures],
        resources={"workplace": Workplace(root, OVERRIDES)},
        executor=dg.in_process_executor,
        loggers={"console": dg.LoggerDefinition(lambda _: _quiet())},
    )


def _quiet():
    import logging

    logger = logging.getLogger("quiet")
    logger.setLevel(logging.CRITICAL)
    return logger


def failed_run(instance, root: Path, key: str, **more):
    instance.add_dynamic_partitions(packages.name, [key])
    result = (
        definitions_for(root)
        .resolve_job_def("onboard")
        .execute_in_process(instance=instance, partition_key=key, raise_on_error=False)
    )
    assert not result.success
    return dg.build_run_status_sensor_context(
        sensor_name="failures",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
        resources={"workplace": Workplace(root, OVERRIDES | more)},
    ).for_run_failure()


def test_a_refused_package_gets_letter_and_problems(instance, tmp_path):
    settle(zipped(tmp_path / "inbox/acme/first.zip", {"audio/a.wav": b"x"}))
    failures(failed_run(instance, tmp_path, "acme__first"))
    rejected = PackageFolder(tmp_path, "acme", "first").stage("rejected")
    assert "no table" in (rejected / "letter.html").read_text()
    assert "metadata.csv" in (rejected / "problems.csv").read_text(encoding="utf-8-sig")


def test_a_refused_package_waits_to_be_versioned(instance, tmp_path):
    settle(zipped(tmp_path / "inbox/acme/first.zip", {"audio/a.wav": b"x"}))
    failures(failed_run(instance, tmp_path, "acme__first"))
    assert not Queue(tmp_path).waiting(), "snapshots are switched off"
    failures(failed_run(instance, tmp_path, "acme__first", **{"versioned.enabled": True}))
    assert [ticket.key for ticket in Queue(tmp_path).waiting()] == ["acme__first"]


def test_other_bytes_under_a_name_leave_the_package_alone_and_a_note_in_the_inbox(instance, tmp_path):
    archive = settle(machine_package(tmp_path / "inbox/acme/first.zip"))
    folder = receive(tmp_path, archive)
    machine_package(archive, seed=3)
    failures(failed_run(instance, tmp_path, "acme__first"))
    assert not folder.stage("rejected").exists()
    assert "new package name" in archive.with_name("first.zip.problem.txt").read_text()


def test_a_file_that_is_gone_is_no_fault_of_the_package(instance, tmp_path):
    failures(failed_run(instance, tmp_path, "acme__gone"))
    assert not PackageFolder(tmp_path, "acme", "gone").stage("rejected").exists()


def test_a_crash_of_alp_rejects_nobody(instance, tmp_path, monkeypatch):
    settle(machine_package(tmp_path / "inbox/acme/first.zip"))

    def crash(*_args, **_more):
        raise RuntimeError("out of luck")

    monkeypatch.setattr("alp_assets.stages.quality.quality", crash)
    failures(failed_run(instance, tmp_path, "acme__first"))
    assert not PackageFolder(tmp_path, "acme", "first").stage("rejected").exists()
