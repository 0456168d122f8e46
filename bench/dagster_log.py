"""Reading back from Dagster's event log when a run's steps began and ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.stages.package import STAGES

VERSIONED = "versioned"
ASSETS = (*STAGES, VERSIONED)


@dataclass(frozen=True)
class RunTimes:
    """Seconds since the epoch at which a run began and ended, and the seconds inside each of its steps.

    ``stages`` holds the steps of assets by name, ``checks`` is the sum over the steps of asset checks.
    """

    began: float
    ended: float
    stages: dict[str, float]
    checks: float

    @property
    def inside(self) -> float:
        """Seconds inside steps."""
        return sum(self.stages.values()) + self.checks

    @property
    def between(self) -> float:
        """Seconds of the run outside its steps: what the orchestrator takes."""
        return self.ended - self.began - self.inside


def run_times(home: Path, run_id: str | None = None) -> RunTimes:
    """The times of one run of an instance, by default of its only one.

    Raises:
        RuntimeError: the run has not succeeded.
    """
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        chosen = run_id or instance.get_runs()[0].run_id
        return times_of(instance.all_logs(chosen))


def times_of(logs: Any) -> RunTimes:
    """The times in the event log of one run."""
    starts: dict[str, float] = {}
    stages: dict[str, float] = {}
    checks, began, ended = 0.0, None, None
    for entry in logs:
        if not entry.is_dagster_event:
            continue
        kind, step = entry.dagster_event.event_type_value, entry.step_key
        began = entry.timestamp if kind in ("PIPELINE_STARTING", "PIPELINE_START") and not began else began
        if kind == "STEP_START":
            starts[step] = entry.timestamp
        elif kind == "STEP_SUCCESS":
            seconds = entry.timestamp - starts[step]
            if step in ASSETS:
                stages[step] = seconds
            else:
                checks += seconds
        elif kind == "PIPELINE_SUCCESS":
            ended = entry.timestamp
    if began is None or ended is None:
        raise RuntimeError("the run has not succeeded; its event log has no end")
    return RunTimes(began, ended, stages, checks)
