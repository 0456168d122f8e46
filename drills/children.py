"""Runs in processes of their own, which may be held, killed or left to fail."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from alp_assets.stages.package import STAGES, PackageFolder
from drills.verdict import DrillFailed, expect

PATIENCE_S = 600.0
"""A run that has not ended by itself after so long hangs: it takes seconds, on a busy machine minutes."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["drills.warm"])


@dataclass(frozen=True)
class End:
    """How a process ended: the signal that killed it, or the error that ended its work, if any."""

    signal: int
    kind: str
    text: str

    @property
    def well(self) -> bool:
        """Whether all was done."""
        return not self.signal and not self.kind

    def __str__(self) -> str:
        if self.signal:
            return f"killed by {signal.Signals(self.signal).name}"
        return f"{self.kind}: {self.text}" if self.kind else "ended well"


class Child:
    """A process that works on something. It ends with the block that it is used in."""

    def __init__(self, work: Callable[..., None], *given: Any) -> None:
        from drills.work import told

        self._answers, there = _context.Pipe(duplex=False)
        self._process = _context.Process(target=told, args=(there, work, *given))
        self._process.start()
        there.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Kill it with SIGKILL, if it still runs."""
        self._process.kill()
        self._process.join()

    def end(self, seconds: float = PATIENCE_S) -> End:
        """Wait for it to end by itself; ``DrillFailed`` when it does not."""
        self._process.join(seconds)
        if self._process.is_alive():
            self.kill()
            raise DrillFailed(f"the run did not end by itself within {seconds:g} s")
        code = self._process.exitcode or 0
        kind, text = _answer(self._answers)
        if code > 0 and not kind:
            kind, text = "exit", f"code {code}"
        return End(max(0, -code), kind, text)


def stages_of(
    folder: PackageFolder, archive: Path | None, *names: str, before: Callable[[], None] | None = None
) -> Child:
    """A process that runs some stages of a package, all of them where none is named.

    ``before`` is called there first; it must be picklable.
    """
    from drills.work import run_stages

    return Child(run_stages, folder, archive, names or STAGES, before)


def wait_for(
    happened: Callable[[], object], what: str, child: Child | None = None, seconds: float = PATIENCE_S
) -> None:
    """Wait until something has happened; ``DrillFailed`` when it does not, or when the child has ended before."""
    until = time.monotonic() + seconds
    while not happened():
        expect(child is None or child.alive or happened(), f"the run ended before {what}")
        expect(time.monotonic() < until, f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.02)


def descendants(pid: int, said: str) -> Sequence[int]:
    """Processes that a process started, at any remove, whose command line has these words."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = []
    for one in parents:
        above = one
        while above not in (0, pid):
            above = parents.get(above, 0)
        if above == pid and one != pid and said.encode() in _command(one):
            found.append(one)
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; one that has may wait for its parent to ask how."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _answer(answers: Connection) -> tuple[str, str]:
    try:
        kind, text = answers.recv() if answers.poll() else ("", "")
    except (EOFError, OSError):
        return "", ""
    return str(kind), str(text)


def environment_without_dagster() -> dict[str, str]:
    """The environment for a command, which is to find its Dagster instance by its data root."""
    return {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "ALP_DATA")}
