"""Dagster on one machine: its pages, its daemon, the code server, and the runs that this one starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from alp_assets.params import PROJECT
from drills.children import descendants, environment_without_dagster, wait_for
from drills.verdict import DrillFailed

if TYPE_CHECKING:
    import dagster as dg

_GOODBYE_S, _HELLO_S = 60.0, 120.0
_SAID = 300

TRAP = "ALP_DRILL_TRAP"
"""Environment variable: ``module:function``, a function of no arguments that changes what runs do."""


class Dagster:
    """`dagster dev` on a data root, with the instance that ALP gives it.

    ``home`` is where Dagster keeps its own files, by default in the data root. ``trap`` is called in the processes
    of runs, see ``drills.definitions``; ``more`` are environment variables.
    """

    def __init__(
        self, root: Path, more: Mapping[str, str] | None = None, *, home: Path | None = None, trap: str = ""
    ) -> None:
        from alp_assets.assets.instance import ready_home

        environment = environment_without_dagster() | ({"DAGSTER_HOME": str(home)} if home else {})
        with patch.dict(os.environ, environment, clear=True):
            self.home = ready_home(root)
        self.root = root
        self._log = self.home / "dagster.log"
        self._loaded = ["-m", "drills.definitions"] if trap else ["-w", str(PROJECT / "workspace.yaml")]
        self._environment = {
            **environment,
            "ALP_DATA": str(root),
            "DAGSTER_HOME": str(self.home),
            TRAP: trap,
            **(more or {}),
        }
        self._process = self._start()

    def launch(
        self, job: str, tags: dict[str, str], config: Mapping[str, Any], stages: Sequence[str] | None
    ) -> str:
        """Launch a run of some assets, or all of a job, as its pages do; the run's id."""
        from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

        until = time.monotonic() + _HELLO_S
        while True:
            try:
                client = DagsterGraphQLClient("127.0.0.1", port_number=self._port)
                return client.submit_job_execution(job, tags=tags, run_config=config, asset_selection=stages)
            except DagsterGraphQLClientError as error:  # not yet there, or it has not loaded the job yet
                if time.monotonic() > until:
                    said = self._log.read_text(errors="replace")[-_SAID:]
                    raise DrillFailed(
                        f"Dagster takes no run within {_HELLO_S:g} s. It said last: {said}"
                    ) from error
                time.sleep(0.5)

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
            self._port = free.getsockname()[1]
        place = [*self._loaded, "-h", "127.0.0.1", "-p", str(self._port)]
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
