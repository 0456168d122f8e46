"""Kubernetes values, against the parts of the official chart's schema that they use: another key is a mistake."""
# ruff: noqa: N815  the chart's names

from __future__ import annotations

from typing import Any, Literal

import dagster
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._utils.tags import TagConcurrencyLimitsCounter
from pydantic import BaseModel, ConfigDict, Field

from alp_assets.params import Params
from deploy.cluster.place import TEMPLATE
from sensors.queues import VARIABLE, queue_tags

DEPLOY = TEMPLATE.parents[1]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Image(Part):
    repository: str
    tag: str
    pullPolicy: Literal["Always", "IfNotPresent", "Never"]


class Variable(Part):
    name: str
    value: str


class Named(Part):
    name: str


class PodSecurity(Part):
    runAsNonRoot: Literal[True]
    runAsUser: int
    runAsGroup: int
    fsGroup: int
    fsGroupChangePolicy: str
    seccompProfile: dict[Literal["type"], str]


class Security(Part):
    allowPrivilegeEscalation: Literal[False]
    capabilities: dict[Literal["drop"], list[str]]


class Resources(Part):
    requests: dict[Literal["cpu", "memory"], str]
    limits: dict[Literal["memory"], str]


class Claim(Part):
    claimName: str


class Volume(Part):
    name: str
    persistentVolumeClaim: Claim


class Mount(Part):
    name: str
    mountPath: str


class Enabled(Part):
    enabled: bool


class CodeServer(Part):
    name: str
    image: Image
    codeServerArgs: list[str]
    port: int
    includeConfigInLaunchedRuns: Enabled
    env: list[Variable]
    envSecrets: list[Named]
    podSecurityContext: PodSecurity
    securityContext: Security
    resources: Resources
    volumes: list[Volume]
    volumeMounts: list[Mount]


class CodeServers(Part):
    enabled: bool
    enableSubchart: bool
    deployments: list[CodeServer]


class RunPods(Part):
    containerConfig: dict[str, Any]
    podSpecConfig: dict[str, Any]
    jobSpecConfig: dict[str, Any]


class K8sLauncher(Part):
    imagePullPolicy: str
    envSecrets: list[Named]
    failPodOnRunFailure: bool
    volumes: list[Volume]
    volumeMounts: list[Mount]
    runK8sConfig: RunPods


class Launcher(Part):
    type: Literal["K8sRunLauncher"]
    config: dict[Literal["k8sRunLauncher"], K8sLauncher]


class Class(Part):
    module: str
    class_: str = Field(alias="class")
    config: dict[str, Any]


class Scheduler(Part):
    type: Literal["CustomScheduler"]
    config: dict[Literal["customScheduler"], Class]


class Webserver(Part):
    image: Image
    replicaCount: int
    enableReadOnly: bool
    podSecurityContext: PodSecurity
    securityContext: Security
    resources: Resources


class Queue(Part):
    dequeueIntervalSeconds: int
    dequeueUseThreads: bool
    dequeueNumWorkers: int


class Coordinator(Part):
    enabled: bool
    type: Literal["QueuedRunCoordinator"]
    config: dict[Literal["queuedRunCoordinator"], Queue]


class Threads(Part):
    useThreads: bool
    numWorkers: int
    numSubmitWorkers: int


class Daemon(Part):
    image: Image
    enabled: bool
    runCoordinator: Coordinator
    runMonitoring: Enabled
    runRetries: Enabled
    sensors: Threads
    podSecurityContext: PodSecurity
    securityContext: Security
    resources: Resources


class Kept(Part):
    purgeAfterDays: dict[Literal["skipped", "success", "failure", "started"], int]


class Retention(Part):
    enabled: bool
    sensor: Kept
    schedule: Kept


class Postgres(Part):
    enabled: bool
    postgresqlHost: str
    postgresqlUsername: str
    postgresqlDatabase: str
    postgresqlScheme: str
    service: dict[Literal["port"], int]


class Values(Part):
    global_: dict[Literal["postgresqlSecretName"], str] = Field(alias="global")
    generatePostgresqlPasswordSecret: bool
    postgresql: Postgres
    code: CodeServers = Field(alias="dagster-user-deployments")
    runLauncher: Launcher
    scheduler: Scheduler
    dagsterWebserver: Webserver
    dagsterDaemon: Daemon
    computeLogManager: dict[Literal["type"], Literal["NoOpComputeLogManager"]]
    telemetry: Enabled
    retention: Retention
    additionalInstanceConfig: dict[str, Any]


@pytest.fixture(scope="module")
def values() -> Values:
    return Values.model_validate(yaml.safe_load((DEPLOY / "kubernetes/values.yaml").read_text()))


def test_dagster_takes_what_the_chart_adds_to_its_instance(values):
    """The chart writes its own run coordinator beside it, which must not set the same limits."""
    coordinator = {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator", "config": {}}
    instance = {**values.additionalInstanceConfig, "run_coordinator": coordinator}
    checked = validate_config(dagster_instance_config_schema(), instance)
    assert checked.success, checked.errors
    assert not values.dagsterDaemon.runMonitoring.enabled  # else the key would be there twice
    assert not values.dagsterDaemon.runRetries.enabled


def test_the_daemon_starts_itself_anew_as_everywhere_else(values):
    """Whoever opens the instance loads its scheduler, so that every pod needs ALP's code."""
    scheduler = values.scheduler.config["customScheduler"]
    there = {"module": scheduler.module, "class": scheduler.class_}
    assert there == yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["scheduler"]
    (code,) = values.code.deployments
    assert values.dagsterDaemon.image == values.dagsterWebserver.image == code.image


def test_pods_of_runs_see_the_same_data_as_the_code_server(values):
    (code,) = values.code.deployments
    launcher = values.runLauncher.config["k8sRunLauncher"]
    assert (launcher.volumes, launcher.volumeMounts) == (code.volumes, code.volumeMounts)
    assert {variable.name: variable.value for variable in code.env}["ALP_DATA"] == code.volumeMounts[0].mountPath


def test_what_watching_needs_is_told_to_the_code_server_where_the_sensors_run(values):
    (code,) = values.code.deployments
    text = (DEPLOY / "kubernetes/values.yaml").read_text()
    (secret,) = {named.name for named in code.envSecrets}
    made = text[text.index(f"generic {secret}") : text.index("helm install")]
    assert all(name in made for name in ("ALP_NOTICE_URL", "ALP_NOTICE_SECRET", "ALP_NOTICE_SMTP"))
    assert {variable.name: variable.value for variable in code.env}["ALP_LOG"] == "json"
    assert "ALP_METRICS_TOKEN" in text


def test_heavy_packages_get_a_gpu_on_kubernetes(values, tmp_path, monkeypatch):
    (code,) = values.code.deployments
    monkeypatch.setenv(VARIABLE, {variable.name: variable.value for variable in code.env}[VARIABLE])
    archive = tmp_path / "first.zip"
    archive.write_bytes(b"x")
    heavy = Params.model_validate({"embeddings": {"encoder": "ast"}})
    assert "nvidia.com/gpu" in queue_tags(archive, heavy, tmp_path)["dagster-k8s/config"]
    assert queue_tags(archive, Params(), tmp_path) == {"alp/queue": "cpu"}
    runs = values.additionalInstanceConfig["concurrency"]["runs"]
    limits = runs["tag_concurrency_limits"]
    assert {limit["key"] for limit in limits} == {"customer", "alp/queue"}
    for params in (heavy, Params()):
        tags = {"customer": "acme", **queue_tags(archive, params, tmp_path)}
        run = dagster.DagsterRun(job_name="onboard", tags=tags)
        assert not TagConcurrencyLimitsCounter(limits, []).is_blocked(run), tags
    assert runs["max_concurrent_runs"] > 0


def test_the_versions_of_chart_and_library_agree():
    assert f"version {dagster.__version__})" in (DEPLOY / "kubernetes/values.yaml").read_text()
