"""The sensor of finished runs: whoever wants to know is told what their checks warned of."""

import dagster as dg

from alp_assets.assets.job import onboard
from alp_assets.assets.workplace import Workplace
from alp_assets.watch.notices import Outbox
from alp_assets.watch_params import NoticeKind

TOLD: dict[str, NoticeKind] = {"drift": "drift", "false_alarm_promise": "promise", "snapshot_taken": "snapshot"}
"""The checks that are told of, and as what."""


@dg.run_status_sensor(
    name="findings",
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[onboard],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Tells of drift, broken promises and missing snapshots of packages that got through.",
)
def findings(context: dg.RunStatusSensorContext, workplace: dg.ResourceParam[Workplace]) -> None:
    """Put a notice of every check that did not pass into the outbox."""
    run, params = context.dagster_run, workplace.params().notices
    key = run.tags.get("dagster/partition")
    if key is None or not params.wanted:
        return
    folder, outbox = workplace.folder(key), Outbox(workplace.data_root)
    for entry in context.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        event = entry.dagster_event
        if event is None:
            continue
        check = event.asset_check_evaluation_data
        kind = TOLD.get(check.check_name)
        if kind is not None and not check.passed:
            outbox.put(
                params,
                kind,
                check.description or check.check_name,
                customer=folder.customer,
                package=folder.package,
                run_id=run.run_id,
            )
