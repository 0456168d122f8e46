"""The upload sensor: a zip in the inbox becomes a partition and one run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg

from alp_assets.assets.job import onboard
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.errors import AlpError
from alp_assets.watch.notices import Outbox
from sensors.inbox import SETTLE_S, Arrival, Scan, Seen, leave_note, load_cursor, save_cursor, scan_inbox
from sensors.queues import queue_tags
from sensors.turns import turn_tags

INTERVAL_S = 2
_NAMED = 10
MOST_AT_ONCE = 20

MOST_WAITING = 200
"""Packages that wait in Dagster's queue, which is slow to choose from a long one; more wait in the inbox."""


@dg.sensor(
    name="uploads",
    job=onboard,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches inbox/<customer>/<package>.zip; one run for each content.",
)
def uploads(context: dg.SensorEvaluationContext, workplace: dg.ResourceParam[Workplace]) -> dg.SensorResult:
    """Add a partition and ask for a run for every zip that has arrived; report what cannot be taken."""
    waiting = context.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    room = max(0, min(MOST_AT_ONCE, MOST_WAITING - waiting))
    scan = _look(workplace.data_root, load_cursor(context.cursor), room)
    for name, complaint in scan.complaints.items():
        context.log.warning(f"{name}: {complaint}")
        _tell(workplace, name, complaint)
        try:
            leave_note(workplace.data_root / "inbox" / name, complaint)
        except (OSError, AlpError) as error:
            context.log.warning(f"{name}: no note could be left ({error})")
    keys = [arrival.folder.key for arrival in scan.arrivals]
    return dg.SensorResult(
        run_requests=_requests(context.instance, scan.arrivals, workplace),
        dynamic_partitions_requests=[packages.build_add_request(keys)] if keys else [],
        asset_events=[_observation(name, text) for name, text in scan.complaints.items()],
        skip_reason=None if keys else _why_nothing(scan, waiting),
        cursor=save_cursor(scan.seen),
    )


def _tell(workplace: Workplace, name: str, complaint: str) -> None:
    """Let somebody know of a file that cannot be taken; who sent it sees the note."""
    customer, _, file = name.partition("/")
    Outbox(workplace.data_root).put(
        workplace.params().notices,
        "refused",
        f"{name}: {complaint}",
        customer=customer,
        package=file.removesuffix(".zip"),
        about=complaint,
    )


def _look(data_root: Path, seen: Mapping[str, Seen], most: int) -> Scan:
    """Look at the inbox, and once more in a moment where a file is settling: the next tick is 5 s away."""
    scan = scan_inbox(data_root, seen, most)
    if scan.arrivals or not scan.waiting or not most:
        return scan
    time.sleep(SETTLE_S)
    again = scan_inbox(data_root, scan.seen, most)
    return replace(again, complaints={**scan.complaints, **again.complaints})


def _requests(
    instance: dg.DagsterInstance, arrivals: Sequence[Arrival], workplace: Workplace
) -> list[dg.RunRequest]:
    params = workplace.params() if arrivals else None
    turns = turn_tags(instance, [arrival.folder.customer for arrival in arrivals])
    requests = []
    for arrival, turn in zip(arrivals, turns, strict=True):
        assert params is not None
        queue = queue_tags(arrival.path, params, workplace.data_root)
        tags = {"customer": arrival.folder.customer, "sha256": arrival.sha256[:16], **turn, **queue}
        run_key = ":".join(filter(None, (arrival.folder.key, arrival.sha256, arrival.attempt)))
        requests.append(dg.RunRequest(run_key=run_key, partition_key=arrival.folder.key, tags=tags))
    return requests


def _observation(name: str, complaint: str) -> dg.AssetObservation:
    return dg.AssetObservation(asset_key="upload", metadata={"inbox_file": name, "complaint": complaint})


def _why_nothing(scan: Scan, waiting: int) -> str:
    reasons = [f"{name}: {complaint}" for name, complaint in scan.complaints.items()]
    if scan.waiting and waiting >= MOST_WAITING:
        reasons.append(f"{waiting} packages wait already; {len(scan.waiting)} more stay in the inbox until then")
    elif scan.waiting:
        reasons.append(f"still arriving: {_named(scan.waiting)}")
    if scan.unreadable:
        reasons.append(f"cannot be read, and tried again: {_named(scan.unreadable)}")
    return "; ".join(reasons) or "Nothing new in the inbox."


def _named(files: Sequence[str]) -> str:
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"{', '.join(files[:_NAMED])}{more}"
