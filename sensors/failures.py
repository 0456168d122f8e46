"""The failure sensor: a package that was refused gets its letter."""

import dagster as dg

from alp_assets.assets.job import onboard
from alp_assets.assets.workplace import Workplace
from alp_assets.stages.rejection import failed_gates, reject


@dg.run_failure_sensor(
    name="failures",
    monitored_jobs=[onboard],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
    description="Writes rejected/ (letter and list of problems) for packages that were refused.",
)
def failures(context: dg.RunFailureSensorContext, workplace: dg.ResourceParam[Workplace]) -> None:
    """Reject the package of a failed run, unless the run failed for a reason of ALP's own."""
    key = context.dagster_run.tags.get("dagster/partition")
    if key is None:
        return
    folder = workplace.folder(key)
    error = _plain_error(context)
    if not failed_gates(folder) and error is None:
        context.log.error(f"{key}: the run failed for a reason of ALP's own, so nothing was rejected.")
        return
    reasons = reject(folder, error or "")
    context.log.info(f"{key} was rejected: {'; '.join(reasons)}")


def _plain_error(context: dg.RunFailureSensorContext) -> str | None:
    """The text of the first failure that ALP raised on purpose; none for a crash."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.description:
            return failure.description
    return None
