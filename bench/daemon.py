"""Dagster's daemon on a data root of its own, for as long as a block runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alp_assets.params import PROJECT

if TYPE_CHECKING:
    from dagster import DagsterInstance

_POLL_S = 0.1
_STOP_S = 15.0


@dataclass(frozen=True)
class Daemon:
    """A daemon that runs: its process, its instance, and the file that its output goes to."""

    process: subprocess.Popen[bytes]
    instance: DagsterInstance
    log: Path

    def wait_for(self, found: Callable[[], bool], what: str, seconds: float) -> None:
        """Return when something has come about.

        Raises:
            RuntimeError: the daemon ended or the time is up; the end of its output is in the text.
        """
        latest = time.monotonic() + seconds
        while not found():
            if self.process.poll() is not None or time.monotonic() > latest:
                raise RuntimeError(f"no {what} within {seconds:g} s; the daemon said:\n{self._said()}")
            time.sleep(_POLL_S)

    def has_ticked(self, sensor: str) -> bool:
        """Whether a sensor has been evaluated."""
        states = [state for state in self.instance.all_instigator_state() if state.instigator_name == sensor]
        return any(self.instance.get_ticks(state.instigator_origin_id, state.selector_id) for state in states)

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@contextmanager
def running_daemon(data_root: Path) -> Iterator[Daemon]:
    """Start the daemon with the project's workspace on a data root; it is stopped in any case.

    The instance is made before the daemon starts: processes that make it at the same time get into each
    other's way.
    """
    import dagster as dg

    kept = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "ALP_PARAMS")}
    command = [sys.executable, "-m", "alp_assets", "home", "--data", str(data_root)]
    home = Path(subprocess.run(command, env=kept, check=True, capture_output=True, text=True).stdout.strip())
    log = home / "daemon.log"
    with dg.DagsterInstance.from_config(str(home)) as instance, log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-w", PROJECT / "workspace.yaml"],
            cwd=PROJECT,
            env={**kept, "DAGSTER_HOME": str(home), "ALP_DATA": str(data_root)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Daemon(process, instance, log)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the daemon and the code server and runs that it has started: they are one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
