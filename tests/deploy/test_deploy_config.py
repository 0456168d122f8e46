"""Dagster's configuration for several machines, and the image, against what Dagster and pip understand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from deploy.cluster.launcher import WatchedRunLauncher
from deploy.cluster.place import TEMPLATE, Workers, configure, open_place

DEPLOY = TEMPLATE.parents[1]


def read(path: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", ["dagster.yaml", "cluster/dagster.yaml"])
def test_dagster_takes_the_instance(path):
    checked = validate_config(dagster_instance_config_schema(), read(path))
    assert checked.success, checked.errors


def test_the_launcher_takes_its_settings(monkeypatch):
    monkeypatch.setenv("ALP_BROKER_URL", "redis://localhost/0")
    launcher = read("cluster/dagster.yaml")["run_launcher"]
    assert (launcher["module"], launcher["class"]) == (WatchedRunLauncher.__module__, WatchedRunLauncher.__name__)
    assert validate_config(WatchedRunLauncher.config_type(), launcher["config"]).success


@pytest.mark.parametrize("path", ["cluster/dagster.yaml", "dagster.yaml"])
def test_crashes_are_tried_again_a_few_times_and_failed_gates_are_not(path):
    config = read(path)
    assert config["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    assert config["run_monitoring"]["max_runtime_seconds"] > 0


def test_the_number_of_workers_sets_the_limits(tmp_path):
    place = open_place(tmp_path, tmp_path / "cluster")
    configure(place, Workers(cpu=4, gpu=2))
    runs = yaml.safe_load((place.home / "dagster.yaml").read_text())["concurrency"]["runs"]
    limits = {(limit["key"], str(limit["value"])): limit["limit"] for limit in runs["tag_concurrency_limits"]}
    assert runs["max_concurrent_runs"] == 6
    assert limits == {
        ("customer", "{'applyLimitPerUniqueValue': True}"): 5,
        ("dagster-celery/queue", "cpu"): 4,
        ("dagster-celery/queue", "gpu"): 2,
    }


def test_the_image_installs_by_hash_and_does_not_run_as_root():
    text = (DEPLOY / "Dockerfile").read_text()
    assert "sh tools/install.sh" in text
    assert "--require-hashes" in (DEPLOY.parent / "tools/install.sh").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", text, re.MULTILINE)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for source in " ".join(copied).split():
        assert (DEPLOY.parent / source).exists(), source
        assert f"!{source.split('/')[0]}" in allowed, source
