"""The upload sensor: a zip in the inbox becomes a partition and one run."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import dagster as dg

from alp_assets.assets.job import onboard
from alp_assets.assets.workplace import Workplace, packages
from sensors.inbox import SETTLE_S, Arrival, Scan, Seen, leave_note, load_cursor, save_cursor, scan_inbox

INTERVAL_S = 2
MOST_AT_ONCE = 20


@dg.sensor(
    name="uploads",
    job=onboard,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches inbox/<customer>/<package>.zip; one run for each content.",
)
def uploads(context: dg.SensorEvaluationContext, workplace: dg.ResourceParam[Workplace]) -> dg.SensorResult:
    """Add a partition and ask for a run for every zip that has arrived; report what cannot be taken."""
    scan = _look(workplace.data_root, load_cursor(context.cursor))
    for name, complaint in scan.complaints.items():
        context.log.warning(f"{name}: {complaint}")
        leave_note(workplace.data_root / "inbox" / name, complaint)
    keys = [arrival.folder.key for arrival in scan.arrivals]
    return dg.SensorResult(
        run_requests=[_request(arrival) for arrival in scan.arrivals],
        dynamic_partitions_requests=[packages.build_add_request(keys)] if keys else [],
        asset_events=[_observation(name, text) for name, text in scan.complaints.items()],
        skip_reason=None if keys else _why_nothing(scan),
        cursor=save_cursor(scan.seen),
    )


def _look(data_root: Path, seen: Mapping[str, Seen]) -> Scan:
    """Look at the inbox, and once more in a moment where a file is settling: the next tick is 5 s away."""
    scan = scan_inbox(data_root, seen, MOST_AT_ONCE)
    if scan.arrivals or not scan.waiting:
        return scan
    time.sleep(SETTLE_S)
    again = scan_inbox(data_root, scan.seen, MOST_AT_ONCE)
    return replace(again, complaints={**scan.complaints, **again.complaints})


def _request(arrival: Arrival) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=":".join(filter(None, (arrival.folder.key, arrival.sha256, arrival.attempt))),
        partition_key=arrival.folder.key,
        tags={"customer": arrival.folder.customer, "sha256": arrival.sha256[:16]},
    )


def _observation(name: str, complaint: str) -> dg.AssetObservation:
    return dg.AssetObservation(asset_key="upload", metadata={"inbox_file": name, "complaint": complaint})


def _why_nothing(scan: Scan) -> str:
    reasons = [f"{name}: {complaint}" for name, complaint in scan.complaints.items()]
    if scan.waiting:
        reasons.append(f"still arriving: {', '.join(scan.waiting)}")
    return "; ".join(reasons) or "Nothing new in the inbox."
