"""Processes that are kept running: started, started again when they die, and ended together."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LOOK_S = 0.5
_PATIENCE_S = 20.0
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0


@dataclass(frozen=True)
class Service:
    """A program that belongs to the cluster. ``stop_with`` is the signal that it ends well on."""

    name: str
    command: Sequence[str]
    account: pwd.struct_passwd | None = None
    stop_with: str = "TERM"
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    since: float
    failures: int = 0
    again_at: float | None = None


class Supervisor:
    """Keeps services running. A service that dies is started again, at once at first and then ever later.

    What they say goes to ``<logs>/<name>.log``. Each is a process group of its own, so that what it started
    ends with it.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str], cwd: Path, told: Callable[[str], None]) -> None:
        self._logs, self._environment, self._cwd, self._told = logs, dict(environment), cwd, told
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, service: Service) -> None:
        """Start a service and keep it running."""
        with self._lock:
            self._running[service.name] = _Running(service, self._launch(service), time.monotonic())
        if not self._watcher.is_alive() and not self._ending.is_set():
            with suppress(RuntimeError):
                self._watcher.start()

    def pid(self, name: str) -> int:
        """The process of a service, as it runs at this moment."""
        return self._running[name].process.pid

    def names(self) -> list[str]:
        """Every service, in the order of starting."""
        return list(self._running)

    def stop(self) -> None:
        """End all services, the last one first. What does not end in time is killed."""
        self._ending.set()
        if self._watcher.is_alive():
            self._watcher.join(_PATIENCE_S)
        with self._lock:
            for group in _waves(list(self._running.values())):
                _end(group)

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK_S):
            with self._lock:
                for running in self._running.values():
                    try:
                        self._look_after(running)
                    except OSError:  # a full disk, no process to be had, nobody who reads what is told
                        running.again_at = time.monotonic() + _LONGEST_PAUSE_S

    def _look_after(self, running: _Running) -> None:
        now, name = time.monotonic(), running.service.name
        if running.process.poll() is None:
            return
        if running.again_at is None:
            running.failures = 0 if now - running.since > _STEADY_S else running.failures + 1
            pause = min(_LONGEST_PAUSE_S, 2.0 ** (running.failures - 1)) if running.failures else 0.0
            running.again_at = now + pause
            _kill_group(running.process.pid)
            self._told(f"{name} ended ({running.process.returncode}); started again in {pause:g} s")
        if now >= running.again_at and not self._ending.is_set():
            running.process, running.since, running.again_at = self._launch(running.service), now, None

    def _launch(self, service: Service) -> subprocess.Popen[bytes]:
        with (self._logs / f"{service.name}.log").open("ab") as output:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                list(service.command),
                cwd="/" if service.account else self._cwd,
                env={**self._environment, **service.more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_account(service.account),
            )
            return process


def as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """What `subprocess` is told to run something as somebody else."""
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def _waves(running: Sequence[_Running]) -> list[list[_Running]]:
    """What depends on the stores ends first, all at once; the stores end after it."""
    stores = [one for one in running if one.service.name in ("postgres", "redis")]
    return [[one for one in running if one not in stores], stores]


def _end(group: Sequence[_Running]) -> None:
    for one in group:
        with suppress(ProcessLookupError):
            one.process.send_signal(signal.Signals[f"SIG{one.service.stop_with}"])
    until = time.monotonic() + _PATIENCE_S
    for one in group:
        with suppress(subprocess.TimeoutExpired):
            one.process.wait(max(0.1, until - time.monotonic()))
        _kill_group(one.process.pid)
        one.process.wait()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
