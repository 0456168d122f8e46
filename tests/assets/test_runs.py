"""Packages through the Dagster job: gates, what is recorded, what is refused."""

from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from alp_assets.assets.job import assets
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.checks.gates import gates
from alp_assets.stages.package import PackageFolder
from tests.packages import audio, machine_package, row, table, zipped

OVERRIDES = {"quality.data_docs": False, "versioned.enabled": False}


def materialize(instance, root: Path, key: str, *, selection=None, overrides=OVERRIDES):
    instance.add_dynamic_partitions(packages.name, [key])
    return dg.materialize(
        [*assets, *gates],
        partition_key=key,
        instance=instance,
        selection=selection,
        resources={"workplace": Workplace(root, overrides)},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def silent_package(path: Path) -> Path:
    sound = audio(np.zeros(32_000, np.float32))
    return zipped(path, {"audio/a.wav": sound, "metadata.csv": table([row("audio/a.wav")])})


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A good package and a bad one in one instance."""
    root = tmp_path_factory.mktemp("runs")
    machine_package(root / "inbox" / "acme" / "good.zip")
    silent_package(root / "inbox" / "acme" / "silent.zip")
    with dg.DagsterInstance.ephemeral() as instance:
        good = materialize(instance, root, "acme__good")
        bad = materialize(instance, root, "acme__silent")
        yield root, instance, good, bad


def checks_of(result) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_a_good_package_goes_all_the_way(ran):
    root, _, good, _ = ran
    assert good.success
    assert {event.asset_key.to_user_string() for event in good.get_asset_materialization_events()} == {
        "upload", "metadata", "quality", "clips", "embeddings", "models", "scores", "report", "versioned"
    }  # fmt: skip
    assert (PackageFolder(root, "acme", "good").stage("report") / "report.html").is_file()
    found = checks_of(good)
    assert found["contract_holds"].passed
    assert found["scores_complete"].passed
    assert found["false_alarm_promise"].passed
    assert not found["kpi"].passed
    assert found["kpi"].severity is dg.AssetCheckSeverity.WARN


def test_a_failed_gate_stops_that_package_alone(ran):
    _, _, _, bad = ran
    assert not bad.success
    done = {event.asset_key.to_user_string() for event in bad.get_asset_materialization_events()}
    assert done == {"upload", "metadata", "quality"}
    assert checks_of(bad)["audio_quality"].severity is dg.AssetCheckSeverity.ERROR


def test_checks_and_materializations_carry_the_partition(ran):
    _, instance, good, _ = ran
    for event in good.get_asset_materialization_events():
        assert event.partition == "acme__good"
    for evaluation in good.get_asset_check_evaluations():
        assert evaluation.partition == "acme__good"
    assert instance.get_dynamic_partitions(packages.name) == ["acme__good", "acme__silent"]


def test_metadata_shows_figures_tables_and_pictures(ran):
    _, _, good, _ = ran
    shown = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in good.get_asset_materialization_events()
    }
    assert shown["quality"]["recordings"].value == 14
    assert shown["scores"]["auc"].value == 1.0
    assert shown["models"]["sections"].records[0].data["engine"] == "memory_bank"
    assert shown["scores"]["distribution"].value.startswith("![")
    assert shown["scores"]["dagster/column_schema"].schema.columns[0].name == "clip_id"
    assert shown["clips"]["dagster/partition_row_count"].value == 14
    assert shown["report"]["report"].value.endswith("report.html")


def test_the_models_asset_shows_the_registered_version_its_state_and_then_its_figures(ran):
    _, instance, good, _ = ran
    (fitted,) = good.asset_materializations_for_node("models")
    row = fitted.metadata["registered"].records[0].data
    assert (row["model"], row["state"], row["auc"]) == ("fan-1-memory_bank-1", "champion", "")
    observed = instance.fetch_observations(dg.AssetKey("models"), limit=10).records
    scored = next(item.asset_observation for item in observed if item.partition_key == "acme__good")
    later = scored.metadata["registered"].records[0].data
    assert (later["version"], later["auc"]) == (row["version"], 1.0)


def test_a_stage_asked_for_alone_on_a_bad_package_refuses(ran):
    root, instance, _, _ = ran
    result = materialize(instance, root, "acme__silent", selection=dg.AssetSelection.assets("clips"))
    assert not result.success
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "audio_quality" in failure.step_failure_data.user_failure_data.description


def test_a_wrong_parameter_is_told_in_words(ran):
    root, instance, _, _ = ran
    result = materialize(instance, root, "acme__good", overrides={"models.engine": "magic"})
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "models.engine" in failure.step_failure_data.user_failure_data.description
