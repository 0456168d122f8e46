"""Runs as Dagster keeps them, read from its files and through Dagster."""

from __future__ import annotations

import dagster as dg
import pytest

from alp_assets.watch import runs as module
from alp_assets.watch.ledger import Ledger
from alp_assets.watch.packages import Package
from alp_assets.watch.runs import Run, Runs, read_runs, why_failed

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


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """A data root whose Dagster has worked on four packages, with one more run that goes on."""
    root = tmp_path_factory.mktemp("runs")
    home = root / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("packages", list(KEYS))
        for key in KEYS:
            dg.materialize(
                [upload, holds, metadata],
                partition_key=key,
                instance=instance,
                raise_on_error=False,
                run_config=quiet,
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
    assert found.status("acme__queued") == "STARTING"
    assert found.status("acme__crash") == "FAILURE"
    assert found.status("acme__good") is None


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
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("storage: {postgres: {postgres_url: 5}}\n")
    assert "cannot be read" in read_runs(tmp_path).problem
    assert why_failed(tmp_path, Run("x", "acme__x", "FAILURE", 0.0)) == ""


def test_the_ledger_counts_each_run_once(data_root):
    known = {key: Package("acme", key.partition("__")[2], 0.0, clips=10) for key in KEYS}
    sums = Ledger(data_root).advance(known)
    assert sums.runs == {"success": 1, "failure": 3}
    assert sums.failures == {"ArchiveRefused": 1, "crash": 1, "refused": 1}
    assert sum(sums.stages["upload"].counts) == 4
    assert sum(sums.stages["metadata"].counts) == 1
    assert sums.clips == {"upload": 20, "metadata": 10}
    assert sums.clips_per_second > 0
    again = Ledger(data_root)
    assert again.advance(known) == sums
    again.close()


def test_a_ledger_that_is_damaged_is_counted_anew(data_root):
    file = data_root / "watch" / "ledger.json"
    before = Ledger(data_root).advance({}).runs
    file.write_text("{")
    assert Ledger(data_root).advance({}).runs == before
