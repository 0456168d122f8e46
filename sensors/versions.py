"""The sensor that has versions taken of what waits for them and no package's own run does."""

from __future__ import annotations

import time
from datetime import timedelta

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from alp_assets.assets.catching_up import catch_up_versions
from alp_assets.assets.workplace import Workplace
from alp_assets.params import Params
from alp_assets.versions.queue import Queue, takes_versions
from alp_assets.versions.unpushed import Unpushed
from sensors.queues import light_tags

PATIENCE_S = 300.0
"""Until then a package's own run may be at it, or the next one may take what waits."""

AGAIN_S = 3_600.0
"""Between two tries: what keeps a remote away may last for long."""


@dg.sensor(
    name="versions",
    job=catch_up_versions,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has versions taken of refused packages, and of what a snapshot or a copy could not do.",
)
def versions(
    context: dg.SensorEvaluationContext, workplace: dg.ResourceParam[Workplace]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run when something has waited for a while, and the last run was long enough ago."""
    params = workplace.params()
    if not takes_versions(workplace.data_root, params.versioned):
        return dg.SkipReason("No versions are taken here.")
    since, now = _waits_since(workplace, params), time.time()
    if since is None or 0 <= now - since < PATIENCE_S:
        return dg.SkipReason("Nothing has waited for long.")
    if 0 <= now - float(context.cursor or "-inf") < AGAIN_S:
        return dg.SkipReason(f"What waits is tried again every {timedelta(seconds=AGAIN_S)}.")
    of_this_job = dg.RunsFilter(job_name=catch_up_versions.name, statuses=NOT_FINISHED_STATUSES)
    if context.instance.get_runs_count(of_this_job):
        return dg.SkipReason("A run is at it.")
    return dg.SensorResult(run_requests=[dg.RunRequest(tags=light_tags())], cursor=repr(now))


def _waits_since(workplace: Workplace, params: Params) -> float | None:
    """When what has waited for longest began to; ``None`` where nothing waits."""
    since = [Queue(workplace.data_root).since()]
    if params.versioned.push:
        since.append(Unpushed(workplace.data_root).since())
    return min((moment for moment in since if moment is not None), default=None)
