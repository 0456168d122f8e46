"""The Dagster instance of a data root, opened by one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from alp_assets.home import dagster_home


@contextmanager
def open_instance(data_root: Path) -> Iterator[dg.DagsterInstance]:
    """The instance, until the block ends. Several that open a fresh one at once would all make its tables."""
    home = dagster_home(data_root)
    with (home / ".opening.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.from_config(str(home))
    with instance:
        yield instance


def ready_home(data_root: Path) -> Path:
    """The folder of the instance, its tables made: several processes started there next would all make them."""
    with open_instance(data_root):
        return dagster_home(data_root)
