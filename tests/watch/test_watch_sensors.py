"""The sensors of watching, as Dagster evaluates them."""

from __future__ import annotations

import json
import time

import dagster as dg
import pytest

from alp_assets.assets.workplace import Workplace
from alp_assets.watch.notices import Outbox
from sensors.failures import failures
from sensors.findings import findings
from sensors.freshness import FRESH, fresh, freshness
from sensors.notices import notices
from tests.watch.roots import DAY, package

TOLD = {"notices.webhook": "ALP_NOTICE_URL"}
packages = dg.DynamicPartitionsDefinition(name="packages")


@dg.asset(partitions_def=packages)
def quality(context) -> None:
    """Fails in different ways, by the package."""
    if "meant" in context.partition_key:
        raise dg.Failure("the zip is damaged", metadata={"error": "ArchiveRefused"})
    if "crash" in context.partition_key:
        raise ZeroDivisionError("out of luck")


@dg.asset_check(asset=quality, name="drift", partitions_def=packages)
def drift(context) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed="drifted" not in context.partition_key,
        severity=dg.AssetCheckSeverity.WARN,
        description="fan/1 is 9.0 dB away.",
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def root(tmp_path):
    return tmp_path


def workplace(root, **more):
    return Workplace(root, {"versioned.enabled": False, **TOLD, **more})


def waiting(root):
    return [(item.kind, item.customer, item.package, item.text) for item in Outbox(root).due(time.time(), 99)]


def ran(instance, root, key, **more):
    instance.add_dynamic_partitions("packages", [key])
    job = dg.Definitions(
        assets=[quality],
        asset_checks=[drift],
        jobs=[dg.define_asset_job("onboard", partitions_def=packages)],
        executor=dg.in_process_executor,
    ).resolve_job_def("onboard")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(
        instance=instance, partition_key=key, raise_on_error=False, run_config=quiet, tags=more.pop("tags", None)
    )
    event = result.get_run_success_event() if result.success else result.get_run_failure_event()
    context = dg.build_run_status_sensor_context(
        sensor_name="x",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=event,
        resources={"workplace": workplace(root, **more)},
    )
    return context if result.success else context.for_run_failure()


def test_a_failure_is_told_with_its_reason(instance, root):
    failures(ran(instance, root, "acme__meant"))
    failures(ran(instance, root, "acme__crash"))
    found = {(kind, package): text for kind, _, package, text in waiting(root)}
    assert found["failed", "meant"] == "the zip is damaged"
    assert found["failed", "crash"] == "quality: ZeroDivisionError: out of luck"


def test_a_run_that_is_tried_again_is_not_told_of(instance, root):
    failures(ran(instance, root, "acme__crash", tags={"dagster/will_retry": "true"}))
    assert waiting(root) == []


def test_what_checks_warned_of_is_told_and_what_passed_is_not(instance, root):
    findings(ran(instance, root, "acme__drifted"))
    findings(ran(instance, root, "acme__fine"))
    assert waiting(root) == [("drift", "acme", "drifted", "fan/1 is 9.0 dB away.")]


def test_nobody_is_told_where_nobody_wants_to_be(instance, root):
    findings(ran(instance, root, "acme__drifted", **{"notices.webhook": ""}))
    failures(ran(instance, root, "acme__meant", **{"notices.webhook": ""}))
    assert not (root / "watch" / "outbox").exists()


def silent(root, customer="acme"):
    for number, days in enumerate((60, 53, 46, 39, 32)):
        package(root, f"{customer}__p{number}", received=time.time() - days * DAY)


def tick(root, cursor=None):
    context = dg.build_sensor_context(cursor=cursor, resources={"workplace": workplace(root)})
    return freshness(context)


def test_a_silence_is_a_check_and_one_notice(root):
    silent(root)
    first = tick(root)
    (evaluation,) = first.asset_events
    assert not evaluation.passed
    assert "acme" in evaluation.description
    assert [kind for kind, *_ in waiting(root)] == ["silent"]
    second = tick(root, first.cursor)
    assert not second.asset_events
    assert "acme" in second.skip_reason.skip_message
    package(root, "acme__again", received=time.time())
    third = tick(root, second.cursor)
    assert third.asset_events[0].passed
    assert len(waiting(root)) == 1


def test_the_first_look_reports_that_all_is_well_and_a_broken_cursor_is_a_first_look(root):
    package(root, "acme__first", received=time.time())
    assert tick(root).asset_events[0].passed
    assert tick(root, "{").asset_events[0].passed
    assert json.loads(tick(root).cursor) == {}


def test_the_check_can_be_made_by_hand_and_its_event_is_taken_by_dagster(instance, root):
    silent(root)
    assert not fresh(workplace=workplace(root)).passed
    instance.report_runless_asset_event(tick(root).asset_events[0])
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(dg.AssetKey("customers"), FRESH)]
    )
    assert len(checks) == 1


def test_the_delivering_sensor_tells_what_became_of_the_notices(root, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", "http://127.0.0.1:9/hook")
    params = workplace(root).params().notices
    Outbox(root).put(params, "failed", "x", customer="acme", package="first")
    context = dg.build_sensor_context(resources={"workplace": workplace(root)})
    assert notices(context).skip_message == "0 delivered, 1 waiting, 0 undelivered, 0 dropped."
    off = dg.build_sensor_context(resources={"workplace": workplace(root, **{"notices.webhook": ""})})
    assert "Nobody" in notices(off).skip_message


def test_a_refusal_is_told_with_what_its_gates_say(instance, root, monkeypatch):
    monkeypatch.setattr("sensors.failures.failed_gates", lambda _: ["No recording can be used."])
    monkeypatch.setattr("sensors.failures.reject", lambda _: ["No recording can be used."])
    monkeypatch.setattr("sensors.failures.known_problems", lambda _: [])
    monkeypatch.setattr("sensors.failures.refusal_reasons", lambda *given: [f"reasons in {given[-1]}"])
    failures(ran(instance, root, "acme__crash", **{"notices.language": "ko"}))
    assert waiting(root) == [("refused", "acme", "crash", "reasons in ko")]
