"""Dagster's runs of packages, where Dagster has an instance in the data root."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.stages.package import PackageFolder

_log = logging.getLogger(__name__)

_GOING = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")


@dataclass(frozen=True)
class Run:
    """The last run of a package. ``error`` is what failed it, in a line."""

    id: str
    status: str
    error: str = ""

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self.status in _GOING


class Runs:
    """Looks runs up. An instance that cannot be read is as good as none: the folders tell the rest."""

    def __init__(self, data_root: Path) -> None:
        chosen = os.environ.get("DAGSTER_HOME")
        self._home = Path(chosen) if chosen else data_root / "dagster"
        self._lock = threading.Lock()
        self._instance: Any = None

    @property
    def there(self) -> bool:
        """Whether there is an instance."""
        return (self._home / "dagster.yaml").is_file()

    def last(self, folder: PackageFolder) -> Run | None:
        """The last run of a package."""
        return self._last(folder.key) if self.there else None

    def close(self) -> None:
        """Let go of the instance."""
        if self._instance is not None:
            self._instance.dispose()

    def _last(self, key: str) -> Run | None:
        try:
            with self._lock:
                instance = self._opened()
            from dagster import DagsterEventType, RunsFilter

            runs = instance.get_runs(RunsFilter(tags={"dagster/partition": key}), limit=1)
            if not runs:
                return None
            run, error = runs[0], ""
            if run.status.value == "FAILURE":
                failures = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
                error = _first_line(failures)
            return Run(run.run_id, run.status.value, error)
        except Exception:  # whatever Dagster raises, the package's folder is still there to be shown
            _log.warning("Dagster's instance in %s cannot be read", self._home, exc_info=True)
            return None

    def _opened(self) -> Any:
        if self._instance is None:
            os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
            from dagster import DagsterInstance

            self._instance = DagsterInstance.from_config(str(self._home))
        return self._instance


def _first_line(failures: Any) -> str:
    for event in failures:
        failure = event.dagster_event.step_failure_data
        told = failure.user_failure_data.description if failure.user_failure_data else None
        error = failure.error.cause or failure.error if failure.error else None
        text = told or (error.message if error else "")
        if text:
            return f"{event.step_key}: {text.strip().splitlines()[0]}"
    return ""
