"""The whole cluster on this machine, for as long as a block runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.params import PROJECT
from deploy.cluster.broker import pid_file, redis, wait_for_redis
from deploy.cluster.place import MARK, ClusterError, Place, Workers, configure
from deploy.cluster.postgres import postgres, wait_and_fill
from deploy.cluster.services import Service, Supervisor

_BIN = Path(sys.executable).parent
_READY_S = 180.0
_GONE_S = 10.0


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs."""

    place: Place
    workers: Workers
    supervisor: Supervisor
    environment: dict[str, str]


@contextmanager
def running_cluster(
    place: Place,
    workers: Workers,
    *,
    web: bool = True,
    told: Callable[[str], None] = print,
    **instance: Any,
) -> Iterator[Cluster]:
    """Start everything, wait until it works, and end it all when the block ends. The rest is for ``configure``.

    Raises:
        ClusterError: something is not installed, is not free, or did not come up.
    """
    end_leftovers(place)
    _check_ports(place, web=web)
    configure(place, workers, **instance)
    environment = place.environment(workers)
    supervisor = Supervisor(place.logs, environment, PROJECT, told)
    try:
        for store in (postgres(place), redis(place)):
            supervisor.start(store)
        wait_and_fill(place)
        wait_for_redis(place)
        _prepare(place, environment)
        for service in _services(place, workers, web=web):
            supervisor.start(service)
        _wait_until_ready(place, workers, web=web)
        yield Cluster(place, workers, supervisor, environment)
    finally:
        with _undisturbed():
            supervisor.stop()
            end_leftovers(place)


def end_leftovers(place: Place) -> int:
    """End what an earlier start left behind when it was killed; how many processes that were."""
    found = _marked(place.folder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = _marked(place.folder)
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        until = time.monotonic() + _GONE_S
        while left and _marked(place.folder) and time.monotonic() < until:
            time.sleep(0.1)
    kept = [pid for pid in (_postgres(place), _redis(place)) if pid is not None]
    for pid in kept:
        _end(pid)
    return len(found) + len(kept)


def worker(queues: str, name: str, log_level: str = "WARNING") -> Service:
    """A worker process that takes runs from some queues, one at a time."""
    command = [str(_BIN / "celery"), "-A", "deploy.cluster.worker", "worker", "-Q", queues, "-n", f"{name}@%h"]
    options = ["--pool", "prefork", "--concurrency", "1", "--without-gossip", "--without-mingle"]
    return Service(name, [*command, *options, "--loglevel", log_level])


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait, so that the first one's work gets done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _check_ports(place: Place, *, web: bool) -> None:
    for name, port in {**place.ports, **({"webserver": place.web_port} if web else {})}.items():
        with socket.socket() as probe:
            if probe.connect_ex((place.host, port)) == 0:
                what = "choose another with --port" if name == "webserver" else "delete ports.json to choose anew"
                raise ClusterError(
                    f"{place.folder}: another program listens on port {port}, which is for {name}; {what}."
                )


def _services(place: Place, workers: Workers, *, web: bool) -> Iterator[Service]:
    code = ["api", "grpc", "-h", place.host, "-p", str(place.ports["code"]), "--location-name", "alp"]
    yield Service("code", [str(_BIN / "dagster"), *code, "-m", "alp_assets.definitions", "--log-level", "warning"])
    queues = "cpu" if workers.gpu else "cpu,gpu"
    yield from (worker(queues, f"cpu-{number}") for number in range(1, workers.cpu + 1))
    yield from (worker("gpu", f"gpu-{number}") for number in range(1, workers.gpu + 1))
    _wait_for_code(place)
    yield Service("daemon", [str(_BIN / "dagster-daemon"), "run", "-w", str(place.workspace)])
    if web:
        options = ["-h", place.host, "-p", str(place.web_port), "--log-level", "warning"]
        yield Service("webserver", [str(_BIN / "dagster-webserver"), "-w", str(place.workspace), *options])


def _prepare(place: Place, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cluster.prepare"],
        cwd=PROJECT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    (place.logs / "prepare.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise ClusterError(f"The databases could not be made ready; why is in {place.logs / 'prepare.log'}.")


def _wait_for_code(place: Place) -> None:
    import grpc  # type: ignore[import-untyped]

    with grpc.insecure_channel(f"{place.host}:{place.ports['code']}") as channel:
        try:
            grpc.channel_ready_future(channel).result(_READY_S)
        except grpc.FutureTimeoutError:
            raise ClusterError(f"The code server did not come up; why is in {place.logs / 'code.log'}.") from None


def _wait_until_ready(place: Place, workers: Workers, *, web: bool) -> None:
    """Until every worker answers, and the webserver where there is one."""
    from celery import Celery  # type: ignore[import-untyped]

    app = Celery(broker=place.broker_url)
    until = time.monotonic() + _READY_S
    while len(app.control.ping(timeout=2.0, limit=workers.all)) < workers.all:
        if time.monotonic() > until:
            raise ClusterError(f"Not every worker came up; why is in {place.logs}/cpu-*.log and gpu-*.log.")
    app.close()
    while web and not _answers(f"http://{place.host}:{place.web_port}/server_info"):
        if time.monotonic() > until:
            raise ClusterError(f"Dagster's webserver did not come up; why is in {place.logs / 'webserver.log'}.")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _marked(folder: Path) -> list[int]:
    """Processes other than this one whose environment says that they belong to the cluster of a folder."""
    wanted = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _postgres(place: Place) -> int | None:
    """PostgreSQL writes over its environment; it keeps its process in a file."""
    folder = place.folder / "postgres"
    lines = _lines(folder / "postmaster.pid")
    if len(lines) > 1 and lines[1] == str(folder) and b"postgres" in _command(lines[0]):
        return int(lines[0])
    return None


def _redis(place: Place) -> int | None:
    """So does Redis, which shows its port instead."""
    lines = _lines(pid_file(place))
    command = _command(lines[0]) if lines else b""
    return int(lines[0]) if b"redis-server" in command and f":{place.ports['redis']}".encode() in command else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _command(pid: str) -> bytes:
    """What a process shows of itself; nothing where there is none, or it has ended."""
    try:
        return Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return b""


def _end(pid: int) -> None:
    """Ask for a quick and clean end, and wait for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGINT)
    until = time.monotonic() + _GONE_S
    while _command(str(pid)) and time.monotonic() < until:
        time.sleep(0.1)
