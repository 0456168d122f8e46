"""``alp doctor``: what it looks at, and what it says to do."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
import time

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.errors import StoreFailed
from alp_assets.params import Params, with_overrides
from alp_assets.registry.registry import Registry
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.queue import Queue
from alp_assets.versions.unpushed import Unpushed
from alp_assets.watch.doctor import machine, services, software
from alp_assets.watch.doctor.visit import visit
from tests.watch.roots import package

SILENT = (
    "ALP_REGISTRY_URL",
    "ALP_BROKER_URL",
    "DAGSTER_HOME",
    "ALP_PARAMS",
    "ALP_WEIGHTS_AST",
    "ALP_WEIGHTS_BEATS",
    "ALP_RUN_MEMORY_BYTES",
    "ALP_DEBUG",
)


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    for name in SILENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def found(tmp_path):
    def look(root=None):
        return {item.what: item for item in visit(root or tmp_path)}

    return look


def services_of(root, **overrides):
    return {item.what: item for item in services.services(root, with_overrides(Params(), overrides))}


def machine_of(root, **overrides):
    return {item.what: item for item in machine.machine(root, with_overrides(Params(), overrides))}


def test_an_empty_root_is_well_and_stays_empty(found, tmp_path):
    told = found()
    assert [item for item in told.values() if item.state == "problem"] == []
    assert {"python", "antlr", "telemetry", "disk", "gpu", "clock", "registry", "broker", "weights"} <= set(told)
    assert list(tmp_path.iterdir()) == []


def test_whatever_is_not_well_says_what_to_do(found, monkeypatch):
    monkeypatch.setenv("ALP_BROKER_URL", "redis://127.0.0.1:9/0")
    assert all(item.fix for item in found().values() if item.state != "ok")


def test_the_antlr_trap_is_named(monkeypatch):
    have = {"antlr4-python3-runtime": "4.9.3", "omegaconf": "2.3.0"}
    monkeypatch.setattr(software, "version", lambda name: have.get(name, "9.9"))
    item = next(item for item in software.software() if item.what == "antlr")
    assert item.state == "problem"
    assert "antlr4-python3-runtime>=4.13" in item.fix


def test_telemetry_that_is_on_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    (item,) = software.telemetry(tmp_path)
    assert item.state == "warning"
    assert "Great Expectations" in item.found
    assert "Dagster" in item.found


def test_a_root_that_cannot_be_written_to_is_a_problem(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(machine.tempfile, "mkstemp", refuse)
    item = machine_of(tmp_path)["write rights"]
    assert item.state == "problem"
    assert "Read-only" in item.found


def test_a_root_that_is_a_file_is_a_problem(found, tmp_path):
    place = tmp_path / "file"
    place.write_text("x")
    assert found(place)["data root"].state == "problem"


def test_a_full_disk_is_a_problem(tmp_path, monkeypatch):
    usage = machine.shutil.disk_usage(tmp_path)._replace(free=2**30)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    assert machine_of(tmp_path)["disk"].state == "problem"


@pytest.mark.parametrize(
    ("runs", "overrides", "in_bytes", "state"),
    [
        (2, {}, "", "warning"),
        (2, {}, "0", "warning"),
        (-1, {}, "", "warning"),
        (1, {}, "", "ok"),
        (2, {"run.max_memory_mb": 3_000}, "", "ok"),
        (2, {}, "3000000000", "ok"),
    ],
)
def test_runs_that_share_a_machine_without_a_limit_of_memory_are_told(
    tmp_path, monkeypatch, runs, overrides, in_bytes, state
):
    monkeypatch.setenv("ALP_RUN_MEMORY_BYTES", in_bytes)
    (tmp_path / "dagster").mkdir()
    settings = f"concurrency: {{runs: {{max_concurrent_runs: {runs}}}}}\n"
    (tmp_path / "dagster" / "dagster.yaml").write_text(settings)
    item = machine_of(tmp_path, **overrides)["memory of a run"]
    assert item.state == state
    assert ("run: {max_memory_mb: " in item.fix) == (state == "warning")


def test_the_sandbox_of_the_decoders_is_tried_and_where_there_is_none_that_is_told(tmp_path, monkeypatch):
    tried = machine_of(tmp_path)["sandbox"]
    probe = "from alp_assets.sandbox.confine import give_up_writing as g; raise SystemExit(not g())"
    confined = subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
    assert tried.state == ("ok" if confined else "warning")
    monkeypatch.setattr(machine, "_CONFINE", "print(False)")
    item = machine_of(tmp_path)["sandbox"]
    assert item.state == "warning"
    assert "landlock" in item.fix


def test_a_clock_that_was_put_back_is_told(tmp_path, found):
    place = package(tmp_path, "acme__first")
    later = time.time() + 7_200
    os.utime(place.parent, (later, later))
    assert found()["clock"].state == "warning"


def test_the_registry_is_looked_at_and_not_made(tmp_path, found):
    assert "none yet" in found()["registry"].found
    root = tmp_path / "fünfzig #1"
    root.mkdir()
    Registry(root)
    told = found(root)["registry"]
    assert told.state == "ok"
    assert "revision" in told.found


def test_a_damaged_registry_and_one_that_does_not_answer(tmp_path, found, monkeypatch):
    (tmp_path / "registry.db").write_bytes(b"this is no database, however long one looks at it" * 100)
    assert found()["registry"].state == "problem"
    monkeypatch.setenv("ALP_REGISTRY_URL", "postgresql://alp:hunter2@127.0.0.1:9/alp")
    item = found()["registry"]
    assert item.state == "problem"
    assert "hunter2" not in item.found


class _Redis(socketserver.BaseRequestHandler):
    def handle(self):
        signed_in = False
        while data := self.request.recv(1024):
            if b"AUTH" in data:
                signed_in = b"right" in data
                self.request.sendall(b"+OK\r\n" if signed_in else b"-WRONGPASS invalid\r\n")
            else:
                self.request.sendall(b"+PONG\r\n" if signed_in else b"-NOAUTH sign in\r\n")


@pytest.fixture
def redis():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Redis) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("address", "state"),
    [
        ("redis://:right@{}/0", "ok"),
        ("redis://:wrong@{}/0", "problem"),
        ("redis://{}/0", "problem"),
        ("amqp://{}", "problem"),
        ("redis://:right@{}0000/0", "problem"),
    ],
)
def test_the_broker_is_asked(tmp_path, redis, monkeypatch, address, state):
    monkeypatch.setenv("ALP_BROKER_URL", address.format(redis))
    item = services_of(tmp_path)["broker"]
    assert item.state == state
    assert "right" not in item.found
    assert "wrong@" not in item.found


@pytest.mark.parametrize(
    ("name", "what", "address"),
    [
        ("ALP_BROKER_URL", "broker", "redis://:hunter2@redis:port/0"),
        ("ALP_BROKER_URL", "broker", "redis://user:hunter2"),
        ("ALP_BROKER_URL", "broker", "redis://:hunter2@[redis:6379/0"),
        ("ALP_BROKER_URL", "broker", "redis://:hunter2/x@redis:6379/0"),
        ("ALP_REGISTRY_URL", "registry", "postgresql://alp:hunter2@host:port/alp"),
        ("ALP_REGISTRY_URL", "registry", "postgresql://alp:hunter2"),
        ("ALP_REGISTRY_URL", "registry", "hunter2"),
    ],
)
def test_an_address_that_is_none_is_a_finding_of_its_own_without_its_password(
    tmp_path, monkeypatch, name, what, address
):
    monkeypatch.setenv(name, address)
    told = services_of(tmp_path)
    assert told.keys() == {"registry", "dagster home", "broker", "repository", "weights", "notices"}
    assert [item.what for item in told.values() if item.state == "problem"] == [what]
    assert f"{name}=" in told[what].fix
    assert not any("hunter2" in item.found + item.fix for item in told.values())


def test_a_damaged_configuration_of_dagster_is_told_with_what_to_do(tmp_path):
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("run_queue: [\n")
    item = services_of(tmp_path)["dagster home"]
    assert item.state == "problem"
    assert "ParserError" in item.found
    assert "dagster.yaml" in item.fix


def test_a_bucket_that_cannot_be_asked_is_a_problem(tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    monkeypatch.setattr(services, "object_url", lambda _: "s3://plant/root")
    assert services_of(tmp_path)["bucket"].state == "ok"

    def refuse(_):
        raise StoreFailed("s3://plant/root: cannot be reached")

    monkeypatch.setattr("alp_assets.store.base.store_of", refuse)
    assert services_of(tmp_path)["bucket"].state == "problem"


def test_weights_that_the_parameters_name_must_be_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    assert services_of(tmp_path)["weights"].state == "ok"
    item = services_of(tmp_path, **{"embeddings.encoder": "ast"})["weights"]
    assert item.state == "problem"
    assert "alp weights add" in item.fix


def test_a_repository_without_git_or_remote_is_told(tmp_path):
    assert services_of(tmp_path)["repository"].state == "warning"
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n")
    assert "without git" in services_of(tmp_path)["repository"].found
    (tmp_path / ".git").mkdir()
    assert "no DVC remote" in services_of(tmp_path)["repository"].found
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n    remote = backup\n"
        "['remote \"backup\"']\n    url = /nowhere\n['remote \"old\"']\n    url = /gone\n"
    )
    (tmp_path / ".dvc" / "config.local").write_text("['remote \"backup\"']\n    url = ../backup\n")
    lost = services_of(tmp_path)["repository"]
    assert lost.state == "problem"
    assert str(tmp_path / "backup") in lost.found
    assert "`alp snapshot` copies every version" in lost.fix
    (tmp_path / "backup").mkdir()
    assert services_of(tmp_path)["repository"].state == "ok"


def test_versions_that_have_waited_for_long_are_told(tmp_path):
    folder = PackageFolder(tmp_path, "acme", "first")
    Queue(tmp_path).enter(folder)
    Unpushed(tmp_path).add(folder.key, ["a"])
    assert "versions" not in services_of(tmp_path), "somebody will be at it"
    for path in (tmp_path / "versions").rglob("*.json"):
        os.utime(path, (time.time() - 9 * 3600,) * 2)
    told = [item for item in services.services(tmp_path, Params()) if item.what == "versions"]
    assert [item.state for item in told] == ["warning", "warning"]
    assert "9 hours to be versioned" in told[0].found
    assert "9 hours to be copied to the remote" in told[1].found
    assert "alp snapshot" in told[0].fix


def test_notices_whose_address_is_not_set_are_told(tmp_path, monkeypatch):
    monkeypatch.delenv("ALP_TEST_HOOK", raising=False)
    item = services_of(tmp_path, **{"notices.webhook": "ALP_TEST_HOOK"})["notices"]
    assert item.state == "warning"
    assert "$ALP_TEST_HOOK" in item.found
    assert "code server" in item.fix


def test_notices_that_were_dropped_are_told(tmp_path):
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "dropped.txt").write_text("2026-03-01T12:00:00+00:00 failed acme first r1\n")
    item = services_of(tmp_path)["notices"]
    assert item.state == "warning"
    assert "1 dropped" in item.found
    assert "dropped.txt" in item.fix


@pytest.mark.parametrize(
    ("module", "look", "what"),
    [
        (services, "_registry", "registry"),
        (services, "_weights", "weights"),
        (machine, "_clock", "clock"),
        (software, "version", "libraries"),
    ],
)
def test_a_look_that_breaks_is_a_finding_and_all_others_are_there(found, monkeypatch, module, look, what):
    before = found().keys()
    monkeypatch.setattr(module, look, lambda *_: 1 / 0)
    told = found()
    assert told.keys() == before
    assert told[what].state == "problem"
    assert "ZeroDivisionError" in told[what].found


def test_what_broke_a_look_can_be_seen(found, monkeypatch):
    monkeypatch.setattr(services, "_registry", lambda _: 1 / 0)
    monkeypatch.setenv("ALP_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        found()


def run(root, *arguments, columns=80):
    return CliRunner().invoke(app, ["doctor", "--data", str(root), *arguments], env={"COLUMNS": str(columns)})


def test_the_command_s_exit_code_says_whether_there_is_a_problem(tmp_path):
    assert run(tmp_path).exit_code == 0
    (tmp_path / "params.yaml").write_text("nonsense: 1\n")
    broken = run(tmp_path, "--json")
    assert broken.exit_code == 1
    told = {item["what"]: item for item in json.loads(broken.output)}
    assert "nonsense" in told["parameters"]["found"]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(tmp_path, columns):
    lines = run(tmp_path, columns=columns).output.splitlines()
    assert max(map(len, lines)) <= columns
    assert any(line.split()[:3] == ["write", "rights", "ok"] for line in lines)
