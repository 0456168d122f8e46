"""What Dagster's instance tells of packages."""

from __future__ import annotations

import pytest

from alp_assets.files import write_bytes
from alp_assets.stages.package import PackageFolder
from alp_assets.web.runs import Run, Runs


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    import dagster as dg

    write_bytes(tmp_path / "dagster" / "dagster.yaml", b"telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as found:
        yield found


def test_the_last_run_of_a_package_is_found(instance, tmp_path):
    import dagster as dg

    folder = PackageFolder(tmp_path, "acme", "first")
    runs = Runs(tmp_path)
    assert runs.there
    assert runs.last(folder) is None
    for run_id, status in (("a" * 8, dg.DagsterRunStatus.FAILURE), ("b" * 8, dg.DagsterRunStatus.STARTED)):
        tags = {"dagster/partition": folder.key}
        instance.add_run(dg.DagsterRun(job_name="onboard", run_id=run_id, status=status, tags=tags))
    assert runs.last(folder) == Run("b" * 8, folder.key, "STARTED", 0.0)
    assert runs.all().last(folder.key).id == "b" * 8
    assert runs.all().last("acme__other") is None
    assert runs.last(PackageFolder(tmp_path, "acme", "other")) is None
    runs.close()


def test_a_run_that_was_killed_says_so(instance, tmp_path):
    import dagster as dg
    from dagster._core.test_utils import create_run_for_test

    tags = {"dagster/partition": "acme__first"}
    run = create_run_for_test(instance, job_name="onboard", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.report_run_failed(run, "The process of the run was killed.")
    runs = Runs(tmp_path)
    assert runs.last(PackageFolder(tmp_path, "acme", "first")).error == "The process of the run was killed."
    runs.close()


def test_without_an_instance_there_are_no_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert Runs(tmp_path).last(PackageFolder(tmp_path, "acme", "first")) is None


def test_a_broken_instance_costs_nothing_but_its_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    write_bytes(tmp_path / "dagster" / "dagster.yaml", b"nonsense: [")
    assert Runs(tmp_path).last(PackageFolder(tmp_path, "acme", "first")) is None
