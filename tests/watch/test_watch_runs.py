"""Runs as Dagster keeps them, read from its files and through Dagster."""

from __future__ import annotations

from types import SimpleNamespace

import dagster as dg
import pytest

from alp_assets.watch import runs as module
from alp_assets.watch.ledger import Ledger
from alp_assets.watch.packages import STAGES, Package
from alp_assets.watch.runs import Run, Runs, read_runs, why_failed
from tests.watch.roots import NOW

packages = dg.DynamicPartitionsDefinition(name="packages")


@dg.asset(partitions_def=packages)
def upload(context) -> None:
    """Fails in different ways, by the package."""
    if "meant" in context.partition_key:
        raise dg.Failure("the zip is damaged", metadata={"error": "ArchiveRefused"})
    if "crash" in context.partition_key:
        raise ZeroDivisionError("out of luck")


@dg.asset_check(asset=upload, blocking=True, partitions_def=packages)
def holds(context) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed="refused" not in context.partition_key)


@dg.asset(partitions_def=packages, deps=[upload])
def metadata() -> None:
    """Comes after the gate."""


KEYS = ("acme__good", "acme__meant", "acme__crash", "acme__refused")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def home_in(root, settings="telemetry: {enabled: false}\n"):
    """Dagster's home in a data root."""
    (root / "dagster").mkdir()
    (root / "dagster" / "dagster.yaml").write_text(settings)
    return root / "dagster"


def instance_in(root):
    """Dagster's instance of a data root."""
    return dg.DagsterInstance.from_config(str(home_in(root)))


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """A data root whose Dagster has worked on four packages, with one more run that goes on."""
    root = tmp_path_factory.mktemp("runs")
    with instance_in(root) as instance:
        instance.add_dynamic_partitions("packages", list(KEYS))
        for key in KEYS:
            dg.materialize(
                [upload, holds, metadata],
                partition_key=key,
                instance=instance,
                raise_on_error=False,
                run_config=QUIET,
            )
        queued = dg.DagsterRun(
            job_name="onboard", tags={"dagster/partition": "acme__queued"}, status=dg.DagsterRunStatus.STARTING
        )
        instance.add_run(queued)
    return root


def test_what_goes_on_and_what_broke(data_root):
    found = read_runs(data_root)
    assert [(run.key, run.status) for run in found.going] == [("acme__queued", "STARTING")]
    assert {run.key for run in found.broken} == {"acme__meant", "acme__crash", "acme__refused"}
    assert all(run.ended >= run.began > 1e9 for run in found.broken)
    assert found.last("acme__queued").status == "STARTING"
    assert found.last("acme__crash").status == "FAILURE"
    assert found.last("acme__good") is None


@pytest.fixture(scope="module")
def tried_again(tmp_path_factory):
    """A data root with two packages that were run twice: one went well at last, one had gone well before."""
    root = tmp_path_factory.mktemp("again")
    endings = {"acme__mended": ("FAILURE", "SUCCESS"), "acme__spoiled": ("SUCCESS", "FAILURE")}
    with instance_in(root) as instance:
        for key, words in endings.items():
            for word in words:
                run = instance.add_run(dg.DagsterRun(job_name="onboard", tags={"dagster/partition": key}))
                instance.report_dagster_event(dg.DagsterEvent(f"PIPELINE_{word}", "onboard"), run.run_id)
    return root


@pytest.mark.parametrize("by_dagster", [False, True])
def test_a_broken_run_tells_until_another_goes_well(tried_again, monkeypatch, by_dagster):
    if by_dagster:
        monkeypatch.setattr(module, "_own_files", lambda home: None)
    found = read_runs(tried_again)
    assert {run.key for run in found.broken} == {"acme__mended", "acme__spoiled"}
    assert found.last("acme__mended") is None
    assert found.last("acme__spoiled").status == "FAILURE"


def test_of_two_broken_runs_the_one_that_ended_last_tells():
    first, last = (Run(name, "acme__x", "FAILURE", 0.0, ended) for name, ended in (("a", 50.0), ("b", 90.0)))
    assert Runs(broken=(first, last)).last("acme__x") == last
    assert Runs(broken=(last, first)).last("acme__x") == last
    assert Runs(broken=(last, first), mended={"acme__x": 70.0}).last("acme__x") == last


def test_dagster_itself_tells_the_same(data_root, monkeypatch):
    quick = read_runs(data_root)
    told = {run.key: why_failed(data_root, run) for run in quick.broken}
    monkeypatch.setattr(module, "_own_files", lambda home: None)
    slow = read_runs(data_root)
    assert [(run.id, run.status) for run in slow.going] == [(run.id, run.status) for run in quick.going]
    assert {run.id: round(run.ended, 3) for run in slow.broken} == {
        run.id: round(run.ended, 3) for run in quick.broken
    }
    assert {run.key: why_failed(data_root, run) for run in slow.broken} == told


def test_why_a_run_failed(data_root):
    told = {run.key: why_failed(data_root, run) for run in read_runs(data_root).broken}
    assert told["acme__meant"] == "upload: the zip is damaged"
    assert told["acme__crash"] == "upload: ZeroDivisionError: out of luck"
    assert "holds" in told["acme__refused"]


def test_nothing_is_made_where_dagster_has_no_instance(tmp_path):
    assert read_runs(tmp_path) == Runs()
    assert not list(tmp_path.iterdir())


def test_an_instance_that_cannot_be_read_is_told(tmp_path):
    home_in(tmp_path, "storage: {postgres: {postgres_url: 5}}\n")
    assert "cannot be read" in read_runs(tmp_path).problem
    assert why_failed(tmp_path, Run("x", "acme__x", "FAILURE", 0.0)) == ""


@pytest.mark.parametrize("text", ["a: [b\n", "a: b: c\n", "\x00"])
def test_a_damaged_configuration_is_told_with_its_reason(tmp_path, text):
    home = home_in(tmp_path, text)
    told = read_runs(tmp_path).problem
    assert str(home) in told
    assert "Error" in told
    assert "\n" not in told


def test_a_configuration_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    home_in(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "_own_files", refuse)
    monkeypatch.setattr(module, "_from_dagster", refuse)
    assert "Permission denied" in read_runs(tmp_path).problem


def test_the_ledger_counts_each_run_once(data_root):
    known = {key: Package("acme", key.partition("__")[2], 0.0, clips=10) for key in KEYS}
    sums = Ledger(data_root).advance(known)
    assert sums.runs == {"success": 1, "failure": 3}
    assert sums.failures == {"ArchiveRefused": 1, "crash": 1, "refused": 1}
    assert sum(sums.stages["upload"].counts) == 4
    assert sum(sums.stages["metadata"].counts) == 1
    assert sums.clips == {"upload": 20, "metadata": 10}
    assert sums.clips_per_second is None  # no run went through all stages
    again = Ledger(data_root)
    assert again.advance(known) == sums
    again.close()


def test_the_speed_is_that_of_runs_that_went_through_all_stages(tmp_path, monkeypatch):
    steps = {"retried": STAGES[-1:], "whole": STAGES, "report": STAGES[-1:]}

    def step(name):
        return SimpleNamespace(
            step_key=name, start_time=NOW, end_time=NOW + 2, status=SimpleNamespace(value="SUCCESS")
        )

    def ended(kind, **_):
        ids = steps if kind == dg.DagsterEventType.RUN_SUCCESS else ()
        return SimpleNamespace(records=[SimpleNamespace(run_id=name) for name in ids], cursor="x", has_more=False)

    instance = SimpleNamespace(
        fetch_run_status_changes=ended,
        get_run_by_id=lambda _: SimpleNamespace(tags={"dagster/partition": "acme__first"}),
        get_run_step_stats=lambda run_id: [step(name) for name in steps[run_id]],
    )
    home_in(tmp_path)
    monkeypatch.setattr(Ledger, "_opened", lambda *_: instance)
    sums = Ledger(tmp_path).advance({"acme__first": Package("acme", "first", 0.0, clips=200)})
    assert sums.latest == [(200, 2.0 * len(STAGES))]
    assert sums.clips_per_second == pytest.approx(200 / (2.0 * len(STAGES)))


def test_a_ledger_that_is_damaged_is_counted_anew(data_root):
    file = data_root / "watch" / "ledger.json"
    before = Ledger(data_root).advance({}).runs
    file.write_text("{")
    assert Ledger(data_root).advance({}).runs == before
