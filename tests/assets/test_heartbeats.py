"""Heartbeats of a training in Dagster: there as they come, with idle experts as warnings."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import dagster as dg
import pytest

from alp_assets.assets.heartbeats import COLLAPSE_CHECK, heartbeat_watch
from alp_assets.assets.job import assets
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.checks.gates import gates
from alp_assets.decision.labelled import Found
from alp_assets.engines.time_moe.heartbeat import Beat
from schemas.sections import Section
from tests.packages import receive, run_through, table, zipped
from tests.stages.test_long_training import PARAMS, QUICK, motors

MODELS = dg.AssetKey("models")
BEAT = Beat(
    step=40,
    seconds=7200.0,
    loss=0.5,
    normal_score=1.1,
    threshold=2.5,
    basis="labels",
    note="",
    found=Found(2.5, 0.9, 0.8, 0.88, 0.85),
    huber_delta=1.96,
    expert_usage=[[0.2, 0.8], [0.5, 0.5]],
    collapsed=[],
    checkpoint="beat-0000040-f1-0.8500.safetensors",
)
SECTION = Section("acme", "motor", "m1")


@pytest.fixture
def context(caplog):
    caplog.set_level(logging.INFO)
    with dg.DagsterInstance.ephemeral() as instance:
        about = {"run_id": "r1", "asset_key": MODELS, "partition_key": "acme__first"}
        yield SimpleNamespace(instance=instance, log=logging.getLogger("training"), **about)


def observed(instance):
    records = instance.fetch_observations(MODELS, limit=10).records
    return [(item.partition_key, item.asset_observation.metadata) for item in records]


def test_a_beat_is_an_observation_at_once_with_all_of_its_figures(context, caplog):
    heartbeat_watch(context)(SECTION, BEAT)
    ((partition, metadata),) = observed(context.instance)
    assert partition == "acme__first"
    assert metadata["section"].value == "acme/motor/m1"
    assert (metadata["step"].value, metadata["training_hours"].value) == (40, 2.0)
    assert (metadata["f1"].value, metadata["f_half"].value) == (0.85, 0.88)
    assert (metadata["least_used_expert"].value, metadata["huber_delta"].value) == (0.2, 1.96)
    assert metadata["checkpoint"].value == BEAT.checkpoint
    assert metadata["run"].value == "r1"
    assert "step 40" in caplog.text


def test_idle_experts_are_a_warning_of_the_asset_at_once(context, caplog):
    heartbeat_watch(context)(SECTION, replace(BEAT, collapsed=[(1, 7)], found=None))
    key = dg.AssetCheckKey(MODELS, COLLAPSE_CHECK)
    (record,) = context.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    found = record.event.dagster_event.asset_check_evaluation_data
    assert (found.passed, found.severity, found.partition) == (False, dg.AssetCheckSeverity.WARN, "acme__first")
    assert "7 of layer 1" in found.description
    assert [item.levelname for item in caplog.records] == ["WARNING"]


def test_the_asset_models_shows_what_its_training_finds(tmp_path):
    files, rows = motors()
    folder = receive(tmp_path, zipped(tmp_path / "first.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, until="embeddings", params=PARAMS)
    short = QUICK | {"models.time_moe.steps": 2, "quality.data_docs": False}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(packages.name, [folder.key])
        done = dg.materialize(
            [*assets, *gates],
            partition_key=folder.key,
            instance=instance,
            selection=dg.AssetSelection.assets("models"),
            resources={"workplace": Workplace(tmp_path, short)},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert done.success
        ((partition, metadata),) = observed(instance)
    assert partition == folder.key
    assert (metadata["step"].value, metadata["threshold_by"].value) == (2, "labels")
    assert metadata["run"].value == done.run_id
    assert {item.check_name: item.passed for item in done.get_asset_check_evaluations()}[COLLAPSE_CHECK]
