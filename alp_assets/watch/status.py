"""What ``alp status`` tells, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alp_assets.watch.look import Look
from alp_assets.watch.packages import STAGES, Package
from alp_assets.watch.runs import QUEUED, Run, why_failed

SHOWN = 10


@dataclass(frozen=True)
class Trouble:
    """A package that was refused, whose last run failed, or that nobody goes on with."""

    package: str
    state: str
    at: float
    why: str


def running(look: Look) -> list[tuple[Package, Run | None]]:
    """The packages that are being worked on, the longest first, with their run where Dagster has it."""
    runs = {run.key: run for run in look.runs.going if run.status not in QUEUED}
    found = [
        (package, runs.get(package.key)) for package in look.packages if look.states[package.key] == "running"
    ]
    return sorted(found, key=lambda item: item[1].began if item[1] else look.at)


def stage_of(package: Package) -> str:
    """The stage that comes next for a package."""
    return next((name for name in STAGES if name not in package.stages), "versioned")


def troubles(look: Look, data_root: Path, most: int = SHOWN) -> list[Trouble]:
    """The latest packages that did not get through, the newest first."""
    bad = [package for package in look.packages if look.states[package.key] in ("refused", "failed", "stopped")]

    def when(package: Package) -> float:
        run = look.runs.last(package.key)
        return max(package.received_at, run.ended if run else 0.0)

    found = []
    for package in sorted(bad, key=when, reverse=True)[:most]:
        state, run = look.states[package.key], look.runs.last(package.key)
        if state == "refused":
            why = package.refusal or "see the note beside the file in the inbox"
        elif state == "failed" and run is not None:
            why = why_failed(data_root, run) or "the run ended without a word of why"
        else:
            why = "no run works on it; send the package again or run its job in Dagster"
        found.append(Trouble(package.key, state, when(package), why))
    return found


def as_json(look: Look, data_root: Path) -> dict[str, Any]:
    """Everything, for scripts."""
    total, free, taken = look.disk
    oldest = look.oldest_waiting
    return {
        "at": _iso(look.at),
        "data_root": str(data_root),
        "packages": look.by_state,
        "running": [
            {
                "package": package.key,
                "next_stage": stage_of(package),
                "run_id": run.id if run else None,
                "seconds": round(look.at - run.began, 1) if run else None,
            }
            for package, run in running(look)
        ],
        "oldest_waiting": {"package": oldest.key, "seconds": round(look.queue_age_s, 1)} if oldest else None,
        "troubles": [{**asdict(item), "at": _iso(item.at)} for item in troubles(look, data_root)],
        "models": dict(look.models),
        "customers": [
            {**_rounded(asdict(item)), "last": _iso(item.last), "overdue": item.overdue} for item in look.customers
        ],
        "notices": asdict(look.notices),
        "disk": {"bytes": total, "free": free, "packages": taken},
        "unreadable": dict(look.problems),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}
