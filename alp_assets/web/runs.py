"""Dagster's runs of packages, where Dagster has an instance in the data root."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alp_assets.home import home_of
from alp_assets.stages.package import PackageFolder
from alp_assets.watch import runs as watched

_log = logging.getLogger(__name__)

_KEEP_S = 2.0
"""Several people may look at the list at once."""


@dataclass(frozen=True)
class Run(watched.Run):
    """The last run of a package. ``error`` is what failed it, in a line."""

    error: str = ""


class Runs:
    """Looks runs up. An instance that cannot be read is as good as none: the folders tell the rest."""

    def __init__(self, data_root: Path) -> None:
        self._root, self._home = data_root, home_of(data_root)
        self._lock = threading.Lock()
        self._all, self._until = watched.Runs(), 0.0
        self._instance: Any = None

    @property
    def there(self) -> bool:
        """Whether there is an instance."""
        return (self._home / "dagster.yaml").is_file()

    def last(self, folder: PackageFolder) -> Run | None:
        """The last run of a package."""
        return self._last(folder.key) if self.there else None

    def all(self) -> watched.Runs:
        """The runs of all packages that go on or broke."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._all, self._until = watched.read_runs(self._root), time.monotonic() + _KEEP_S
            return self._all

    def close(self) -> None:
        """Let go of the instance."""
        if self._instance is not None:
            self._instance.dispose()

    def _last(self, key: str) -> Run | None:
        try:
            with self._lock:
                instance = self._opened()
            from dagster import RunsFilter

            records = instance.get_run_records(RunsFilter(tags={"dagster/partition": key}), limit=1)
            if not records:
                return None
            run, began, ended = records[0].dagster_run, records[0].start_time or 0.0, records[0].end_time or 0.0
            found = Run(run.run_id, key, run.status.value, began, ended)
            if found.status != "FAILURE":
                return found
            return replace(found, error=watched.why_failed(self._root, found))
        except Exception:  # whatever Dagster raises, the package's folder is still there to be shown
            _log.warning("Dagster's instance in %s cannot be read", self._home, exc_info=True)
            return None

    def _opened(self) -> Any:
        if self._instance is None:
            os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
            from dagster import DagsterInstance

            self._instance = DagsterInstance.from_config(str(self._home))
        return self._instance
