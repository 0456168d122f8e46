"""What ended runs came to, added up: seconds and clips of each stage, outcomes, kinds of failures.

Stage folders hold no times, because the same input gives the same bytes; Dagster's event log has them, also for
runs of ``alp onboard``. The ledger reads each ended run once and keeps its sums in ``watch/ledger.json``, so that
counters go on where they were when the server starts again, and ended runs may be pruned.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alp_assets import errors
from alp_assets.files import write_json
from alp_assets.home import home_of
from alp_assets.watch.packages import STAGES, Package

BUCKETS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0)
_STEPS = (*STAGES, "versioned")
_ERRORS = (item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.AlpError))
KINDS = ("refused", "crash", "killed", "interrupted", *(error.__name__ for error in _ERRORS))
"""Why runs fail, as far as that can be known before one does."""

_OUTCOMES = {"PIPELINE_SUCCESS": "success", "PIPELINE_FAILURE": "failure", "PIPELINE_CANCELED": "canceled"}
_AT_ONCE = 50
_LATEST = 20
_LAYOUT = 1


@dataclass
class Seconds:
    """A histogram: how many took at most so long (``BUCKETS_S``, then longer), and all together."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        place = next((n for n, bound in enumerate(BUCKETS_S) if seconds <= bound), len(BUCKETS_S))
        self.counts[place] += 1
        self.total += seconds


@dataclass
class Sums:
    """The sums.

    Attributes:
        cursors: how far each kind of event has been read.
        stages: seconds by stage; ``clips`` counts clips of the packages that went through it.
        runs: ended runs by outcome.
        failures: failed runs by kind: an error's name, ``refused``, ``crash``, ``interrupted``, ``killed``.
        latest: clips and seconds of the last successful runs that went through all stages.
    """

    layout: int = _LAYOUT
    instance: str = ""
    cursors: dict[str, str] = field(default_factory=dict)
    stages: dict[str, Seconds] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    latest: list[tuple[int, float]] = field(default_factory=list)

    @property
    def clips_per_second(self) -> float | None:
        """Clips of the last runs that went through all stages, over the seconds that those took."""
        seconds = sum(taken for _, taken in self.latest)
        return sum(clips for clips, _ in self.latest) / seconds if seconds else None


class Ledger:
    """The sums of a data root. Several processes may advance it; each run is counted once."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root
        self._file = data_root / "watch" / "ledger.json"
        self._instance: Any = None

    def advance(self, packages: Mapping[str, Package], budget_s: float = 1.0) -> Sums:
        """Read the runs that have ended since, for as long as the budget lasts; the rest comes next time.

        ``packages`` by key tell how many clips a run worked on.
        """
        home = home_of(self._root)
        if not (home / "dagster.yaml").is_file():
            return self._load(home)
        with self._alone():
            sums = self._load(home)
            before = dict(sums.cursors)
            until = time.monotonic() + budget_s
            while self._read_some(home, sums, packages) and time.monotonic() < until:
                pass
            if sums.cursors != before:
                write_json(self._file, asdict(sums))
        return sums

    def known(self) -> Sums:
        """The sums as they were written down last."""
        return self._load(home_of(self._root))

    def close(self) -> None:
        """Let go of Dagster's instance."""
        if self._instance is not None:
            self._instance.dispose()
            self._instance = None

    def _read_some(self, home: Path, sums: Sums, packages: Mapping[str, Package]) -> bool:
        """Count some more runs; whether there are more."""
        from dagster import DagsterEventType

        instance, more = self._opened(home), False
        for name, outcome in _OUTCOMES.items():
            found = instance.fetch_run_status_changes(
                DagsterEventType(name), limit=_AT_ONCE, cursor=sums.cursors.get(outcome), ascending=True
            )
            for record in found.records:
                _count(instance, record.run_id, outcome, sums, packages)
            if found.records:
                sums.cursors[outcome] = found.cursor
            more |= found.has_more
        return more

    def _opened(self, home: Path) -> Any:
        if self._instance is None:
            from dagster import DagsterInstance

            self._instance = DagsterInstance.from_config(str(home))
        return self._instance

    def _load(self, home: Path) -> Sums:
        """The sums so far; none where the file is of another layout or instance, or damaged."""
        try:
            found = json.loads(self._file.read_bytes())
            if found["layout"] != _LAYOUT or found["instance"] != str(home):
                return Sums(instance=str(home))
            stages = {name: Seconds(**value) for name, value in found.pop("stages").items()}
            latest = [(int(clips), float(seconds)) for clips, seconds in found.pop("latest")]
            return Sums(**found, stages=stages, latest=latest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Sums(instance=str(home))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with (self._file.parent / ".ledger.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _count(instance: Any, run_id: str, outcome: str, sums: Sums, packages: Mapping[str, Package]) -> None:
    run = instance.get_run_by_id(run_id)
    key = run.tags.get("dagster/partition") if run else None
    if key is None:
        return  # not of a package, or deleted since
    sums.runs[outcome] = sums.runs.get(outcome, 0) + 1
    package = packages.get(key)
    clips = package.clips if package else 0
    taken, passed = 0.0, set()
    for step in instance.get_run_step_stats(run_id):
        if step.step_key not in _STEPS or not step.start_time or not step.end_time:
            continue
        seconds = max(0.0, step.end_time - step.start_time)  # a clock that was put back
        sums.stages.setdefault(step.step_key, Seconds()).add(seconds)
        taken += seconds
        if step.status is not None and step.status.value == "SUCCESS":
            sums.clips[step.step_key] = sums.clips.get(step.step_key, 0) + clips
            passed.add(step.step_key)
    if outcome == "failure":
        kind = _kind_of(instance, run_id)
        sums.failures[kind] = sums.failures.get(kind, 0) + 1
    elif outcome == "success" and clips and passed.issuperset(STAGES):
        # a run of some stages has the clips of all, and the seconds of few
        sums.latest = [*sums.latest, (clips, taken)][-_LATEST:]


def _kind_of(instance: Any, run_id: str) -> str:
    """Why a run failed, as one of few words."""
    from dagster import DagsterEventType

    for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        failure = entry.dagster_event.step_failure_data
        meant = failure.user_failure_data
        if meant is not None and "error" in (meant.metadata or {}):
            return str(meant.metadata["error"].value)
        name = (failure.error.cls_name or "") if failure.error else ""
        if "AssetCheck" in name:
            return "refused"
        return "interrupted" if "Interrupt" in name else "crash"
    return "killed"
