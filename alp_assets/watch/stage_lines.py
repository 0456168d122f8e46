"""What a stage came to, in the log: a line for the stage, its gates that did not simply pass, and its sections."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from alp_assets.files import read_json
from alp_assets.watch.logs import logging_about, wanted

if TYPE_CHECKING:
    from alp_assets.stages.package import PackageFolder
    from alp_assets.stages.summary import Summary

_PLAN = ("engine", "encoder", "source_normals", "target_normals", "reason")
_SCORES = ("state", "engine", "test_clips", "flagged", "threshold", "promised_false_alarm_rate", "reason")

_log = logging.getLogger("alp.stages")


def stage_ended(folder: PackageFolder, summary: Summary, seconds: float) -> None:
    """Log a finished stage of a package, where lines are wanted: in a terminal others tell of it."""
    if not wanted():
        return
    with logging_about(package=folder.key, stage=summary.stage):
        fields = {"seconds": round(seconds, 3), "passed": summary.passed, "figures": dict(summary.figures)}
        _log.info("%s ended", summary.stage, extra={"fields": fields})
        for gate in summary.gates:
            if gate.status != "passed":
                fields = {"gate": gate.name, "status": gate.status}
                _log.warning("%s %s: %s", gate.name, gate.status, gate.text, extra={"fields": fields})
        for section, known in _sections(folder, summary.stage):
            _log.info("%s %s", section, summary.stage, extra={"section": section, "fields": known})


def _sections(folder: PackageFolder, stage: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What ``models`` and ``scores`` wrote of each machine."""
    place = folder.stage(stage)
    found: list[Any] = []
    if stage == "models":
        found = [_json(path) for path in sorted(place.glob("*/plan.json"))]
    elif stage == "scores":
        found = _json(place / "metrics.json").get("sections", [])
    wanted = _PLAN if stage == "models" else _SCORES
    for entry in found:
        if "section" in entry:
            yield (
                str(entry["section"]),
                {name: entry[name] for name in wanted if entry.get(name) not in (None, "")},
            )


def _json(path: Any) -> dict[str, Any]:
    """What a file holds; a log line is never worth a failure."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
