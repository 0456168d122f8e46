"""The sensor that puts right what Dagster leaves: killed runs that nobody ends, and a clock that was set back."""

from __future__ import annotations

import time

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

from alp_assets.assets.processes import end_killed_runs

ALWAYS_DUE_S = -1_000_000_000
"""Dagster looks at a sensor whose last look is no less than this long ago, by the clock: also when that was set
back, and all other sensors would wait until it has caught up."""

AHEAD_S = 60.0
"""Clocks of several machines differ by less."""


@dg.sensor(
    name="upkeep",
    minimum_interval_seconds=ALWAYS_DUE_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process on this machine is gone; wakes sensors after the clock was set back.",
)
def upkeep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look at the runs that say which process works on them, and at the other sensors."""
    ended, woken = end_killed_runs(context.instance), wake_sensors(context.instance)
    for run_id in ended:
        context.log.warning(f"The process of run {run_id} is gone; the run has failed.")
    for name in woken:
        context.log.warning(f"The clock was set back: sensor {name} would have waited until it has caught up.")
    return dg.SkipReason(f"{len(ended)} killed runs ended, {len(woken)} sensors woken.")


def wake_sensors(instance: dg.DagsterInstance) -> list[str]:
    """Let sensors be due at once whose last look lies in the future; their names. What they remember stays."""
    woken = []
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        known = state.instigator_data
        if isinstance(known, SensorInstigatorData) and _last_look(known) > time.time() + AHEAD_S:
            due = known._replace(last_tick_timestamp=None, last_tick_start_timestamp=None)
            instance.update_instigator_state(state.with_data(due))
            woken.append(state.name)
    return woken


def _last_look(known: SensorInstigatorData) -> float:
    return max(known.last_tick_timestamp or 0.0, known.last_tick_start_timestamp or 0.0)
