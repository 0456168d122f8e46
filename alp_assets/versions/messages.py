"""What the commit of a version says: what the package came to, for people who read the history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.summary import counted

_LONGEST_REASON = 200


def message_of(folder: PackageFolder, content_hash: str, models: Sequence[Path]) -> str:
    """Customer, package, sections with the alarms promised and observed, content hash, model versions."""
    metrics = _metrics(folder)
    lines = [f"{folder.customer}/{folder.package}: {_came_to(folder, metrics)}", ""]
    lines += [_section(entry) for entry in metrics.get("sections", ())]
    lines += ["", f"Content: {content_hash}"]
    lines += [f"Model: {path.relative_to(folder.data_root).as_posix()}" for path in models]
    return "\n".join(_printable(line) for line in lines) + "\n"


def _printable(line: str) -> str:
    """A line without control characters, whatever a customer called a machine."""
    return "".join(c if c.isprintable() else " " for c in line)


def _metrics(folder: PackageFolder) -> dict[str, Any]:
    """What ``metrics.json`` holds; nothing where the package was not scored."""
    if not folder.stage("scores").is_dir():
        return {}
    from alp_assets.stages.scores import read_metrics

    return read_metrics(folder)


def _came_to(folder: PackageFolder, metrics: dict[str, Any]) -> str:
    if not metrics:
        done = [name for name in STAGES if folder.stage(name).is_dir()]
        return f"worked through up to {done[-1]}" if done else "nothing but its name"
    counts = metrics["counts"]
    return (
        f"{counts['scored']} of {counted(counts['sections'], 'section')} scored, "
        f"{counts['flagged']} of {counted(counts['test_clips'], 'test clip')} flagged"
    )


def _section(entry: dict[str, Any]) -> str:
    name = f"{entry['machine_type']}/{entry['section_id']}"
    if entry["state"] != "scored":
        return f"{name}: {' '.join(entry['reason'].split())[:_LONGEST_REASON]}"
    said = [entry["engine"], f"alarms promised {entry['promised_false_alarm_rate']:.2%}"]
    if observed := entry.get("observed"):
        said.append(f"observed {observed['false_alarms']} of {counted(observed['normals'], 'normal')}")
    if entry.get("auc") is not None:
        said.append(f"AUC {entry['auc']:.3f}")
    return f"{name}: {', '.join(said)}"
