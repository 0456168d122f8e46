"""The failure sensor: a package that was refused gets its letter, and whoever wants to know is told."""

import dagster as dg

from alp_assets.assets.job import onboard
from alp_assets.assets.workplace import Workplace
from alp_assets.errors import AlpError, GateFailed, UploadConflict
from alp_assets.params import Params
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.rejection import failed_gates, known_problems, refusal_reasons, reject
from alp_assets.versions.queue import Queue, takes_versions
from alp_assets.watch.notices import Outbox
from schemas.texts import read_texts
from sensors.inbox import leave_note

_WILL_RETRY = "dagster/will_retry"


@dg.run_failure_sensor(
    name="failures",
    monitored_jobs=[onboard],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
    description="Writes rejected/ (letter and list of problems) for packages that were refused; and tells. "
    "They wait for the next snapshot.",
)
def failures(context: dg.RunFailureSensorContext, workplace: dg.ResourceParam[Workplace]) -> None:
    """Reject the package of a failed run, unless the run failed for another reason than the package.

    A rejected package waits to be versioned, as its run ends before its own snapshot.

    Other bytes under the name of a package that is here already are no fault of that package: a note beside
    the file in the inbox says so.
    """
    key = context.dagster_run.tags.get("dagster/partition")
    if key is None:
        return
    folder, params = workplace.folder(key), workplace.params()
    kind, error = _plain_error(context)
    refused, trouble = False, None
    try:
        refused = kind in ("", GateFailed.__name__) and bool(failed_gates(folder))
        if kind == UploadConflict.__name__:
            leave_note(folder.inbox, error)
            context.log.info(error)
        elif refused:
            context.log.info(f"{key} was rejected: {'; '.join(reject(folder))}")
            if takes_versions(workplace.data_root, params.versioned):
                Queue(workplace.data_root).enter(folder)
        else:
            context.log.error(f"{key}: nothing was rejected, because the package is not to blame. {error}")
    except (AlpError, OSError) as error:  # this sensor sees a run once: the notice goes out all the same
        trouble = error
    if context.dagster_run.tags.get(_WILL_RETRY) == "true":
        if trouble is not None:
            raise trouble
        return  # nobody needs to do anything yet
    Outbox(workplace.data_root).put(
        params.notices,
        "refused" if refused else "failed",
        _reasons(folder, params) if refused else error or _crash(context, params),
        customer=folder.customer,
        package=folder.package,
        run_id=context.dagster_run.run_id,
    )
    if trouble is not None:
        raise trouble


def _plain_error(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """Name and text of the first error that ALP raised on purpose; empty for a crash."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.description:
            name = failure.metadata.get("error")
            return str(name.value) if name else "", failure.description
    return "", ""


def _reasons(folder: PackageFolder, params: Params) -> str:
    return "; ".join(refusal_reasons(folder, known_problems(folder), params.notices.language))


def _crash(context: dg.RunFailureSensorContext, params: Params) -> str:
    """The first line of what crashed a step, else Dagster's word on why the run ended."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        if error is not None:
            first = (error.cause or error).message.strip().splitlines()
            return f"{event.step_key}: {first[0] if first else error.cls_name}"
    return context.failure_event.message or str(read_texts("notices", params.notices.language)["texts"]["crash"])
