"""Dagster's daemon: whether the clock was set back under it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from alp_assets.home import home_of
from alp_assets.watch.doctor.finding import Finding, problem
from alp_assets.watch.doctor.instance import instance_settings

_AHEAD_S = 300.0
_ANEW = "Its daemon starts itself anew. If this is still told in a minute, restart Dagster (the daemon is enough)."
_RESTART = (
    "Restart Dagster (the daemon is enough). It will do so by itself with the lines under `scheduler` of "
    "deploy/dagster.yaml in its own dagster.yaml."
)


def daemon(data_root: Path) -> Iterator[Finding]:
    """A daemon whose last sign of life lies in the future waits until the clock has caught up with it.

    One that was started since has given a sign of life by the clock as it is.
    """
    ahead = _last_sign_of_life(data_root) - time.time()
    if ahead > _AHEAD_S:
        yield problem(
            "dagster daemon",
            f"the clock was set back while it ran: what waits in its queue would wait {ahead / 3600:,.1f} hours",
            _ANEW if "scheduler" in instance_settings(data_root) else _RESTART,
        )


def _last_sign_of_life(data_root: Path) -> float:
    """Seconds since 1970, by the clock of then; 0 where there was none."""
    home = home_of(data_root)
    if {"storage", "run_storage"} & instance_settings(data_root).keys():
        return _by_dagster(home)
    file = home / "history" / "runs.db"
    if not file.is_file():
        return 0.0
    with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
        (stamp,) = connection.execute("SELECT MAX(timestamp) FROM daemon_heartbeats").fetchone()
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() if stamp else 0.0


def _by_dagster(home: Path) -> float:
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        return max((found.timestamp for found in instance.get_daemon_heartbeats().values()), default=0.0)
