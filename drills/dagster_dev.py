"""Dagster on one machine: its pages, its daemon, the code server, and the runs that this one starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from alp_assets.home import dagster_home
from alp_assets.params import PROJECT
from drills.children import descendants, environment_without_dagster, wait_for

if TYPE_CHECKING:
    import dagster as dg

_GOODBYE_S = 60.0


class Dagster:
    """`dagster dev` on a data root, with the instance that ALP gives it."""

    def __init__(self, root: Path, more: Mapping[str, str] | None = None) -> None:
        environment = environment_without_dagster()
        with patch.dict(os.environ, environment, clear=True):
            self.home = dagster_home(root)
        self._log = root / "dagster.log"
        self._environment = {**environment, "ALP_DATA": str(root), "DAGSTER_HOME": str(self.home), **(more or {})}
        self._process = self._start()

    def kill_all(self) -> None:
        """SIGKILL to the whole tree, as when the power fails."""
        tree = [self._process.pid, *descendants(self._process.pid, "")]
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in tree), "all processes are gone")

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE_S)
        self.kill_all()

    def start_again(self) -> None:
        """Start it anew, after it was ended."""
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        place = ["-w", str(PROJECT / "workspace.yaml"), "-h", "127.0.0.1", "-p", port]
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", *place],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@contextmanager
def running(dagster: Dagster) -> Iterator[dg.DagsterInstance]:
    """Its instance, until the block ends, with which the whole tree does."""
    from dagster import DagsterInstance

    try:
        with DagsterInstance.from_config(str(dagster.home)) as instance:
            yield instance
    finally:
        dagster.kill_all()
