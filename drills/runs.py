"""Packages that are dropped into the inbox, and what becomes of their runs in Dagster."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alp_assets.stages.package import PackageFolder
from drills.ground import Ground

if TYPE_CHECKING:
    import dagster as dg

DONE_S = 900.0
MOST_TRIES = 3

Runs = dict[str, list[Any]]
"""Dagster's records of the runs of each package, by its key, the first try first."""


def send(ground: Ground, folders: Sequence[PackageFolder]) -> None:
    """Drop the zip of the drills into the inbox, for each of some packages."""
    for folder in folders:
        folder.inbox.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.inbox.with_suffix(".part")
        shutil.copyfile(ground.archive, fresh)
        fresh.rename(folder.inbox)


def half_through(folder: PackageFolder) -> bool:
    """Whether a run is in the middle of a package."""
    return (folder.path / "metadata").is_dir() and not (folder.path / "scores").is_dir()


def runs_of(instance: dg.DagsterInstance, keys: set[str]) -> Runs:
    """Asked again while the database is away."""
    until = time.monotonic() + DONE_S
    while True:
        try:
            records = instance.get_run_records(ascending=True)
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
            continue
        found: Runs = {}
        for record in records:
            key = record.dagster_run.tags.get("dagster/partition", "")
            if key in keys:
                found.setdefault(key, []).append(record)
        return found


def all_ended(instance: dg.DagsterInstance, keys: set[str]) -> bool:
    """Whether each package's last run is over and will not be tried again."""
    runs = runs_of(instance, keys)
    time.sleep(0.5)
    return runs.keys() == keys and all(_over(found[-1], len(found)) for found in runs.values())


def reasons(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why steps of a run failed, in the words of their events; empty where none did."""
    from dagster import DagsterEventType

    found = []
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        failure = entry.dagster_event.step_failure_data if entry.dagster_event else None
        if failure and failure.user_failure_data and failure.user_failure_data.description:
            found.append(failure.user_failure_data.description)
        elif failure and failure.error:
            found.append(f"{entry.step_key} broke: {failure.error.message.strip()}")
    return "; ".join(found)


def _over(record: Any, tries: int) -> bool:
    run = record.dagster_run
    if run.status.value == "SUCCESS":
        return True
    retried = run.tags.get("dagster/will_retry") == "true" or "dagster/will_retry" not in run.tags
    return run.is_finished and (tries >= MOST_TRIES or not retried)
