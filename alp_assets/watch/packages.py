"""What the folders of a data root tell of its packages, read once and again only where something changed."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from alp_assets.home import object_url
from alp_assets.watch.runs import BROKEN, QUEUED, Run
from schemas.sections import SLUG

if TYPE_CHECKING:
    from alp_assets.watch.bucket import BucketPackages

State = Literal["waiting", "running", "finished", "refused", "failed", "stopped"]
STATES: tuple[State, ...] = get_args(State)

# as alp_assets.stages.package has them, which cannot be had without importing pandas; a test compares them
STAGES = ("upload", "metadata", "quality", "clips", "embeddings", "models", "scores", "report")

_SUMMARY = "summary.json"
_NOTE = ".problem.txt"
_PROMISE = "false_alarm_promise"


@dataclass(frozen=True)
class Alarms:
    """Alarms of a scored package.

    Attributes:
        clips: test clips that were scored; ``flagged`` of them are above their threshold.
        normals: unseen normals among them, where labels tell; ``observed`` of these rang, ``promised`` (not a
            whole number) was what the thresholds promised.
    """

    clips: int = 0
    flagged: int = 0
    normals: int = 0
    observed: int = 0
    promised: float = 0.0


@dataclass(frozen=True)
class Package:
    """One package as its folder shows it.

    Attributes:
        customer: its customer; ``name`` is the package's, ``key`` Dagster's partition.
        received_at: seconds since 1970, of the receipt, else when the zip came into the inbox.
        stages: the stages that have a folder.
        finished_at: when the report was written, where this disk tells; else 0.
        arrived_only: there is nothing of it but the zip in the inbox.
        working: a stage is being written.
        rejected: it has a letter of rejection, or its file in the inbox a note.
        gates: (gate, ``warned`` or ``failed``) of every gate that it did not simply pass, with its text.
        clips: standard clips of it.
        bytes: what its stages say they take.
    """

    customer: str
    name: str
    received_at: float
    stages: frozenset[str] = frozenset()
    finished_at: float = 0.0
    arrived_only: bool = False
    working: bool = False
    rejected: bool = False
    gates: Mapping[tuple[str, str], str] = field(default_factory=dict)
    clips: int = 0
    bytes: int = 0
    alarms: Alarms = Alarms()

    @property
    def key(self) -> str:
        """The partition in Dagster."""
        return f"{self.customer}__{self.name}"

    @property
    def refusal(self) -> str:
        """What the first failed gate says, or nothing."""
        return next((text for (_, status), text in self.gates.items() if status == "failed"), "")


def state_of(package: Package, run: Run | None) -> State:
    """The state of a package. ``run`` is its run in Dagster that goes on, or its last one where that broke."""
    broke = run is not None and run.status in BROKEN
    if run is not None and not broke:
        return "waiting" if run.status in QUEUED else "running"
    if package.rejected or package.refusal:
        return "refused"
    # a report that is newer was made without Dagster, by `alp stage` or `dvc repro`
    if run is not None and run.ended >= package.finished_at:
        return "failed"
    if "report" in package.stages:
        return "finished"
    if package.working:
        return "running"
    return "waiting" if package.arrived_only else "stopped"


class Packages:
    """The packages of a data root. A folder that has not changed since the last look is not read again.

    Safe to use from several threads. What thresholds promised stands in large files, which are read only with
    ``promises``.
    """

    def __init__(self, data_root: Path, *, promises: bool = False) -> None:
        self._root, self._promises = data_root, promises
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], Package]] = {}
        self._bucket: BucketPackages | None = None

    def look(self) -> list[Package]:
        """All packages that have arrived, by key.

        Raises:
            AlpError: the data root is in a bucket that cannot be asked.
        """
        with self._lock:
            found = self._in_bucket() if self._mirrors() else self._on_disk()
            return [found[key] for key in sorted(found)]

    def _on_disk(self) -> Mapping[str, Package]:
        found: dict[str, Package] = {}
        known: dict[Path, tuple[tuple[int, int], Package]] = {}
        for place in _folders(self._root / "packages"):
            try:
                status = place.stat()
                stamp = (status.st_ino, status.st_mtime_ns)
                before = self._known.get(place)
                package = before[1] if before and before[0] == stamp else read_package(place, self._promises)
            except OSError:
                continue  # gone between two looks
            known[place] = (stamp, package)
            # a process that is killed leaves the folder as it was, so this is not known from before
            found[package.key] = replace(package, working=is_worked_on(place)) if package.working else package
        self._known = known
        for package in _arrived(self._root / "inbox"):
            if package.key not in found or not found[package.key].stages:
                found[package.key] = package
        return found

    def _mirrors(self) -> bool:
        return object_url(self._root) is not None

    def _in_bucket(self) -> Mapping[str, Package]:
        from alp_assets.store.base import store_of
        from alp_assets.watch.bucket import BucketPackages, all_of

        if self._bucket is None:
            self._bucket = BucketPackages(self._root, store_of(self._root), promises=self._promises)
        return all_of(self._bucket)


def _folders(packages: Path) -> Iterator[Path]:
    for customer in _entries(packages):
        if SLUG.fullmatch(customer.name) and customer.is_dir():
            for entry in _entries(Path(customer.path)):
                if SLUG.fullmatch(entry.name) and entry.is_dir():
                    yield Path(entry.path)


def _entries(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError:
        return []


def is_worked_on(place: Path) -> bool:
    """Whether a process holds the lock of a package, as each does while it writes a stage.

    For an instant this keeps others from taking it, so it is asked only where an unfinished stage lies.
    """
    try:
        with (place.parent / f".{place.name}.lock").open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _arrived(inbox: Path) -> Iterator[Package]:
    """What lies in the inbox."""
    for customer in _entries(inbox):
        entries = {f"{customer.name}/{entry.name}": entry for entry in _entries(Path(customer.path))}
        for name, entry in entries.items():
            try:
                if not entry.is_file(follow_symlinks=False):
                    continue  # nor does the sensor take a link
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            # not the time of modification: `cp -p`, `rsync -t` and `unzip` set that to one before the arrival
            package = arrived_one(name, status.st_ctime, status.st_size, entries)
            if package is not None:
                yield package


def arrived_one(name: str, arrived_at: float, size: int, beside: Container[str]) -> Package | None:
    """A file of the inbox, by its path there; ``None`` where it can be no package.

    One with a note ``beside`` it was looked at and cannot be taken, whatever its name.
    """
    customer, _, file = name.partition("/")
    stem, noted = file[: -len(".zip")], f"{name}{_NOTE}" in beside
    named = SLUG.fullmatch(customer) and SLUG.fullmatch(stem)
    if not (file.lower().endswith(".zip") and (named or noted)):
        return None
    return Package(customer, stem, arrived_at, arrived_only=True, rejected=noted, bytes=size)


def read_package(
    place: Path, promises: bool, stages: frozenset[str] | None = None, *, rejected: bool = False
) -> Package:
    """What the folder of a package tells. ``stages`` says which it has, where the folder does not hold all."""
    working, finished_at = False, 0.0
    if stages is None:
        names = {entry.name for entry in _entries(place)}
        stages = frozenset(STAGES) & names
        finished_at = (place / STAGES[-1]).stat().st_mtime if STAGES[-1] in stages else 0.0
        working = any(name.startswith(".") and name.endswith(".part") for name in names)
        rejected = "rejected" in names
    summaries = {name: _json(place / name / _SUMMARY) for name in STAGES if name in stages}
    gates = {
        (str(gate.get("name")), str(gate["status"])): str(gate.get("text", ""))
        for summary in summaries.values()
        for gate in summary.get("gates", [])
        if gate.get("status") in ("warned", "failed")
    }
    figures = {name: summary.get("figures", {}) for name, summary in summaries.items()}
    return Package(
        customer=place.parent.name,
        name=place.name,
        received_at=_received(place),
        stages=stages,
        finished_at=finished_at,
        working=working,
        rejected=rejected,
        gates=gates,
        clips=int(figures.get("clips", {}).get("clips", 0)),
        bytes=sum(int(figure.get("bytes", 0)) for figure in figures.values()),
        alarms=_alarms(place, figures.get("scores", {}), summaries.get("scores", {}), promises),
    )


def _received(place: Path) -> float:
    try:
        return datetime.fromisoformat(_json(place / "upload" / "receipt.json")["received_at"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return place.stat().st_mtime if place.exists() else time.time()


def _alarms(place: Path, figures: Mapping[str, Any], summary: Mapping[str, Any], promises: bool) -> Alarms:
    if not summary:
        return Alarms()
    gate: Mapping[str, Any] = next((item for item in summary.get("gates", []) if item.get("name") == _PROMISE), {})
    counted = gate.get("figures", {})
    return Alarms(
        clips=int(figures.get("test_clips", 0)),
        flagged=int(figures.get("flagged", 0)),
        normals=int(counted.get("normals", 0)),
        observed=int(counted.get("false_alarms", 0)),
        promised=_promised(_json(place / "scores" / "metrics.json")) if promises else 0.0,
    )


def _promised(metrics: Mapping[str, Any]) -> float:
    """False alarms that the thresholds promised among the unseen normals."""
    total = 0.0
    for entry in metrics.get("sections", []):
        observed, rate = entry.get("observed"), entry.get("promised_false_alarm_rate")
        if observed and rate is not None:
            total += float(rate) * int(observed.get("normals", 0))
    return total


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none that can be read: a stage may be replacing it."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
