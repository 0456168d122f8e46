"""One look at a data root: its packages and their states, runs, customers, models, notices and disk."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from alp_assets.errors import AlpError
from alp_assets.params import Params
from alp_assets.watch.freshness import Freshness, freshness
from alp_assets.watch.notices import Counts, Outbox
from alp_assets.watch.packages import STATES, Package, Packages, State, state_of
from alp_assets.watch.redact import redact
from alp_assets.watch.runs import Runs, read_runs

PARTS = ("packages", "dagster", "registry", "notices", "disk")
"""What a look reads, each of which may fail alone."""

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        at: seconds since 1970; ``seconds`` is how long it took.
        packages: all that have arrived, with ``states`` by key.
        runs: Dagster's.
        customers: how long each has been silent.
        models: registered versions by state; ``champions`` is how many sections have one.
        notices: how many wait, could not be delivered, and were dropped.
        disk: bytes of the data root's disk: all, free, and what the packages say they take.
        problems: what could not be read and why, by part.
    """

    at: float
    seconds: float
    packages: tuple[Package, ...]
    states: Mapping[str, State]
    runs: Runs
    customers: tuple[Freshness, ...]
    models: Mapping[str, int]
    notices: Counts
    disk: tuple[int, int, int]
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_state(self) -> dict[State, int]:
        """How many packages there are in each state."""
        found = Counter(self.states.values())
        return {state: found[state] for state in STATES}

    @property
    def oldest_waiting(self) -> Package | None:
        """The package that has waited longest."""
        waiting = [package for package in self.packages if self.states[package.key] == "waiting"]
        return min(waiting, key=self._waits_since, default=None)

    @property
    def queue_age_s(self) -> float:
        """For how long it has; 0 when none waits."""
        oldest = self.oldest_waiting
        return max(0.0, self.at - self._waits_since(oldest)) if oldest else 0.0

    def _waits_since(self, package: Package) -> float:
        """When a waiting package arrived, or when somebody asked for the run that it waits for."""
        run = self.runs.last(package.key)
        return max(package.received_at, run.began if run else 0.0)

    @property
    def overdue(self) -> tuple[Freshness, ...]:
        """The customers that are silent for too long."""
        return tuple(item for item in self.customers if item.overdue)


class Looker:
    """Looks at a data root, at most once in ``keep_s``; in between everybody gets what was found last."""

    def __init__(self, data_root: Path, params: Params, keep_s: float = 5.0, *, promises: bool = False) -> None:
        self._root, self._params, self._keep_s = data_root, params, keep_s
        self._packages = Packages(data_root, promises=promises)
        self._lock = threading.Lock()
        self._last: Look | None = None
        self._until = 0.0

    def look(self) -> Look:
        """What there is, never older than ``keep_s``."""
        with self._lock:
            if self._last is None or time.monotonic() >= self._until:
                self._last = self._take()
                self._until = time.monotonic() + self._keep_s
            return self._last

    def _take(self) -> Look:
        began, now = time.monotonic(), time.time()
        problems: dict[str, str] = {}
        packages = _part("packages", self._packages.look, list[Package](), problems)
        runs = _part("dagster", lambda: read_runs(self._root), Runs(), problems)
        if runs.problem:
            problems["dagster"] = runs.problem
        models = _part("registry", lambda: _models(self._root), dict[str, int](), problems)
        notices = _part("notices", lambda: Outbox(self._root).counts(), Counts(), problems)
        total, free = _part("disk", lambda: _disk(self._root), (0, 0), problems)
        return Look(
            at=now,
            packages=tuple(packages),
            states={package.key: state_of(package, runs.last(package.key)) for package in packages},
            runs=runs,
            customers=tuple(freshness(packages, self._params.freshness, now)),
            models=models,
            notices=notices,
            disk=(total, free, sum(package.bytes for package in packages)),
            problems=problems,
            seconds=time.monotonic() - began,
        )


def _part(name: str, read: Callable[[], _Found], otherwise: _Found, problems: dict[str, str]) -> _Found:
    """What was read; where that fails, ``otherwise``, with the reason among the problems."""
    try:
        return read()
    except AlpError as error:
        problems[name] = str(error)
    except Exception as error:  # whatever it is, the other parts are still worth telling
        why = " ".join(redact(f"{type(error).__name__}: {error}").split())
        problems[name] = f"cannot be read ({why})."
    return otherwise


def _models(data_root: Path) -> dict[str, int]:
    """Registered versions by state. Nothing is made where there is no registry yet."""
    from alp_assets.registry.database import FILE
    from alp_assets.registry.records import State as ModelState
    from alp_assets.registry.registry import Registry

    if not os.environ.get("ALP_REGISTRY_URL") and not (data_root / FILE).is_file():
        return {str(state): 0 for state in ModelState}
    found = Counter(str(version.state) for version in Registry(data_root).find())
    return {str(state): found[str(state)] for state in ModelState}


def _disk(data_root: Path) -> tuple[int, int]:
    """Bytes of the data root's disk, and how many are free."""
    place = next(path for path in (data_root, *data_root.parents) if path.exists())
    usage = shutil.disk_usage(place)
    return usage.total, usage.free
