"""The failure sensor: a package that was refused gets its letter."""

import dagster as dg

from alp_assets.assets.job import onboard
from alp_assets.assets.workplace import Workplace
from alp_assets.errors import GateFailed, UploadConflict
from alp_assets.stages.rejection import failed_gates, reject
from sensors.inbox import leave_note


@dg.run_failure_sensor(
    name="failures",
    monitored_jobs=[onboard],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
    description="Writes rejected/ (letter and list of problems) for packages that were refused.",
)
def failures(context: dg.RunFailureSensorContext, workplace: dg.ResourceParam[Workplace]) -> None:
    """Reject the package of a failed run, unless the run failed for another reason than the package.

    Other bytes under the name of a package that is here already are no fault of that package: a note beside
    the file in the inbox says so.
    """
    key = context.dagster_run.tags.get("dagster/partition")
    if key is None:
        return
    folder = workplace.folder(key)
    kind, error = _plain_error(context)
    if kind == UploadConflict.__name__:
        leave_note(folder.inbox, error)
        context.log.info(error)
    elif kind in ("", GateFailed.__name__) and failed_gates(folder):
        context.log.info(f"{key} was rejected: {'; '.join(reject(folder))}")
    else:
        context.log.error(f"{key}: nothing was rejected, because the package is not to blame. {error}")


def _plain_error(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """Name and text of the first error that ALP raised on purpose; empty for a crash."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.description:
            name = failure.metadata.get("error")
            return str(name.value) if name else "", failure.description
    return "", ""
