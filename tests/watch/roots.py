"""Data roots for tests of watching: packages as their stages leave them, without any recording."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from alp_assets.watch.packages import STAGES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


def package(
    root: Path,
    key: str,
    *,
    until: str = "report",
    received: float = NOW - DAY,
    gates: dict[str, list[dict[str, object]]] | None = None,
    rejected: bool = False,
    clips: int = 10,
) -> Path:
    """A package that got through its stages up to one; ``gates`` by stage."""
    customer, _, name = key.partition("__")
    place = root / "packages" / customer / name
    figures: dict[str, dict[str, object]] = {
        "upload": {"bytes": 1_000, "sha256": "0" * 64},
        "clips": {"clips": clips, "bytes": 2_000},
        "scores": {"clips": clips, "test_clips": 8, "flagged": 3},
    }
    for stage in STAGES[: STAGES.index(until) + 1] if until else ():
        (place / stage).mkdir(parents=True)
        summary = {"stage": stage, "figures": figures.get(stage, {}), "gates": (gates or {}).get(stage, [])}
        (place / stage / "summary.json").write_text(json.dumps(summary))
    if until:
        receipt = {"received_at": datetime.fromtimestamp(received, UTC).isoformat(), "sha256": "0" * 64}
        (place / "upload" / "receipt.json").write_text(json.dumps(receipt))
    if rejected:
        (place / "rejected").mkdir(parents=True)
    return place


def gate(name: str, status: str, text: str = "because", **figures: int) -> dict[str, object]:
    """A gate as a summary has it."""
    return {"name": name, "status": status, "text": text, "figures": figures}


def arrive(root: Path, key: str, *, at: float = NOW - 60) -> Path:
    """A zip in the inbox that nobody has looked at."""
    customer, _, name = key.partition("__")
    path = root / "inbox" / customer / f"{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"zip")
    os.utime(path, (at, at))
    return path
