"""What Dagster remembers of packages: forgotten with a package that is retired, or when it is old.

Dagster can delete a run with its events, but not the events of a partition, and leaves the results of
checks behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.tags import PARTITION_NAME_TAG

from alp_assets.assets.job import assets
from alp_assets.assets.workplace import packages
from alp_assets.errors import PackageBusy

_AT_ONCE = 500
_BUSY = [*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.QUEUED]


@dataclass(frozen=True)
class Pruned:
    """How many runs were deleted, or would be, and of how many packages the latest ones were kept."""

    runs: int
    kept: int


def refuse_running(instance: dg.DagsterInstance, key: str) -> None:
    """``PackageBusy`` when a run of a package has not ended."""
    running = instance.get_runs(filters=dg.RunsFilter(statuses=_BUSY, tags={PARTITION_NAME_TAG: key}), limit=1)
    if running:
        raise PackageBusy(f"{key}: run {running[0].run_id} works on this package. Wait for its end, or cancel it.")


def remembers(instance: dg.DagsterInstance, key: str) -> bool:
    """Whether Dagster has the partition of a package, which goes last."""
    return instance.has_dynamic_partition(str(packages.name), key)


def forget_package(instance: dg.DagsterInstance, key: str) -> int:
    """Delete the partition of a package and all runs and events of it; how many runs there were."""
    refuse_running(instance, key)
    runs = instance.get_runs(filters=dg.RunsFilter(tags={PARTITION_NAME_TAG: key}))
    _delete(instance, [run.run_id for run in runs])
    instance.delete_dynamic_partition(str(packages.name), key)
    instance.wipe_asset_cached_status([asset.key for asset in assets])
    return len(runs)


def prune(instance: dg.DagsterInstance, keep_days: float, *, dry_run: bool) -> Pruned:
    """Delete ended runs older than ``keep_days`` with their events, but for the latest of each package.

    Of whole runs and of those of some stages, of those that went well and those that did not, the latest is kept:
    so Dagster goes on showing for every package what it came to.
    """
    limit = datetime.now(UTC) - timedelta(days=keep_days)
    seen: set[tuple[str, bool, bool]] = set()
    old: list[str] = []
    cursor: str | None = None
    while records := instance.get_run_records(limit=_AT_ONCE, cursor=cursor):
        cursor = records[-1].dagster_run.run_id
        for record in records:
            run = record.dagster_run
            kind = (run.tags.get(PARTITION_NAME_TAG, ""), bool(run.asset_selection), run.is_success)
            latest = bool(kind[0]) and kind not in seen
            seen.add(kind)
            if not latest and run.is_finished and record.create_timestamp < limit:
                old.append(run.run_id)
    if not dry_run:
        _delete(instance, old)
    return Pruned(len(old), len({key for key, _, _ in seen} - {""}))


def _delete(instance: dg.DagsterInstance, runs: Iterable[str]) -> None:
    for run in runs:
        instance.delete_run(run)
        _delete_rest(instance, run)
        instance.compute_log_manager.delete_logs(prefix=[run])


def _delete_rest(instance: dg.DagsterInstance, run: str) -> None:
    """Delete what Dagster leaves of a run: the results of its checks, and SQLite's file of its events."""
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        with storage.index_connection() as connection:
            table = AssetCheckExecutionsTable
            connection.execute(table.delete().where(table.c.run_id == run))
    if isinstance(storage, SqliteEventLogStorage):
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{storage.path_for_shard(run)}{end}").unlink(missing_ok=True)
