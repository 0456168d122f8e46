"""The compose file, against the parts of the Compose Specification that it uses: another key is a mistake."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
import yaml
from dagster import DagsterRun
from dagster._utils.tags import TagConcurrencyLimitsCounter
from pydantic import BaseModel, ConfigDict, Field

from deploy.cluster.place import TEMPLATE
from sensors.queues import CPU, GPU, VARIABLE

DEPLOY = TEMPLATE.parents[1]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Health(Part):
    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str = "0s"


class Condition(Part):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Build(Part):
    context: str
    dockerfile: str


class Replicas(Part):
    replicas: int


class ComposeService(Part):
    image: str
    build: Build | None = None
    restart: Literal["no", "unless-stopped"]
    init: bool = False
    read_only: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []
    tmpfs: list[str] = []
    volumes: list[str] = []
    environment: dict[str, str] = {}
    command: list[str] = []
    depends_on: dict[str, Condition] = {}
    healthcheck: Health | None = None
    stop_grace_period: str | None = None
    mem_limit: str | None = None
    deploy: Replicas | None = None
    profiles: list[str] = []
    gpus: str | None = None
    network_mode: str | None = None
    ports: list[str] = []


class Compose(Part):
    name: str
    alp: dict[str, Any] = Field(alias="x-alp")
    services: dict[str, ComposeService]
    volumes: dict[str, None]


@pytest.fixture(scope="module")
def compose() -> Compose:
    return Compose.model_validate(yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text()))


def ours(compose: Compose) -> dict[str, ComposeService]:
    return {name: service for name, service in compose.services.items() if "alp:latest" in service.image}


def queues_of(worker: ComposeService) -> list[str]:
    return worker.command[worker.command.index("-Q") + 1].split(",")


def test_only_the_proxy_can_be_reached_from_outside(compose):
    assert {name for name, service in compose.services.items() if service.ports} == {"proxy"}
    inside = ("console", "dagster-readers", "dagster-team")
    assert all(compose.services[name].network_mode == "service:proxy" for name in inside)


def test_readers_get_no_buttons_and_both_paths_are_those_of_the_proxy(compose):
    caddy = (DEPLOY / "proxy/Caddyfile").read_text()
    readers, team = (compose.services[name].command for name in ("dagster-readers", "dagster-team"))
    assert "--read-only" in readers
    assert "--read-only" not in team
    for command, variable in ((readers, "DAGSTER_PORT"), (team, "DAGSTER_ADMIN_PORT")):
        assert f"{{${variable}:{command[command.index('-p') + 1]}}}" in caddy
        assert f"handle {command[command.index('--path-prefix') + 1]}*" in caddy
        assert command[command.index("-h") + 1] == "127.0.0.1"


def test_every_process_of_alp_is_told_what_its_instance_asks_for(compose):
    asked = set(re.findall(r"env: (\w+)", (DEPLOY / "cluster/dagster.yaml").read_text()))
    assert asked
    assert len(ours(compose)) == 8
    for service in ours(compose).values():
        assert asked | {"ALP_REGISTRY_URL", VARIABLE} <= set(service.environment)
        assert "../cluster/dagster.yaml:/dagster/dagster.yaml:ro" in service.volumes


def test_with_gpus_switched_on_dagster_lets_every_package_go_to_a_worker_of_its_queue(compose):
    example = (DEPLOY / "compose/env.example").read_text()
    offered = dict(re.findall(r"^#?(ALP_\w+)=(.*)$", example, re.MULTILINE))
    runs = yaml.safe_load(TEMPLATE.read_text())["concurrency"]["runs"]
    served = {*offered["ALP_WORKER_QUEUES"].split(","), *queues_of(compose.services["worker-gpu"])}
    asked_for = yaml.safe_load(offered[VARIABLE])
    assert asked_for.keys() == {CPU, GPU}
    for tags in asked_for.values():
        run = DagsterRun(job_name="onboard", tags={"customer": "acme", **tags})
        assert not TagConcurrencyLimitsCounter(runs["tag_concurrency_limits"], []).is_blocked(run), tags
        assert tags["dagster-celery/queue"] in served
    assert runs["max_concurrent_runs"] > 0


def readers(compose: Compose) -> dict[str, set[str]]:
    """The variables of docs/watching.md that are set by whoever runs ALP, and the services that read them."""
    notices = {name: {"code"} for name in ("ALP_NOTICE_URL", "ALP_NOTICE_SECRET", "ALP_NOTICE_SMTP")}
    return {**notices, "ALP_METRICS_TOKEN": {"console"}, "ALP_LOG": set(ours(compose))}


def test_what_watching_needs_reaches_the_services_that_read_it_and_no_secret_reaches_others(compose):
    example = (DEPLOY / "compose/env.example").read_text()
    for name, services in readers(compose).items():
        told = {service for service, found in compose.services.items() if name in found.environment}
        assert told == services, name
        assert all(compose.services[service].environment[name] == f"${{{name}:-}}" for service in services)
        assert re.search(rf"^#{name}=", example, re.MULTILINE), name


def test_every_variable_that_the_page_on_watching_names_has_a_reader(compose):
    page = (DEPLOY.parent / "docs/watching.md").read_text()
    assert set(re.findall(r"\bALP_[A-Z_]+\b", page)) - {"ALP_BROKER_URL"} == set(readers(compose))


def test_the_sensors_run_in_the_service_that_is_told_where_notices_go(compose):
    assert "alp_assets.definitions" in compose.services["code"].command
    (server,) = yaml.safe_load((DEPLOY / "compose/workspace.yaml").read_text())["load_from"]
    assert server["grpc_server"]["host"] == "code"


def test_processes_of_alp_may_do_nothing_that_they_need_not(compose):
    for service in ours(compose).values():
        assert service.read_only
        assert service.cap_drop == ["ALL"]
        assert service.security_opt == ["no-new-privileges:true"]


def test_no_password_stands_in_the_files(compose):
    for service in compose.services.values():
        for name, value in service.environment.items():
            assert value.startswith("${") or not re.search("PASSWORD|AUTH", name), name
            assert not re.search(r"://[^@]*:(?!\$)[^/@]+@", value), name
    assert re.findall(r"PASSWORD=(.*)", (DEPLOY / "compose/env.example").read_text()) == ["", ""]
    assert (DEPLOY / "compose/.gitignore").read_text() == ".env\n"


def test_mounted_files_and_named_volumes_are_there(compose):
    named = set()
    for service in compose.services.values():
        for volume in service.volumes:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).is_file(), source
            else:
                named.add(source)
    assert named == set(compose.volumes)
    assert all(
        condition in compose.services for service in compose.services.values() for condition in service.depends_on
    )
