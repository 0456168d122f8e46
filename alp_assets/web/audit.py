"""The audit log: who did what, when, and how it ended. No secrets and no contents."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Audit:
    """Appends JSON lines to ``web/audit.jsonl`` in the data root; a rotated file is let go at once."""

    def __init__(self, data_root: Path) -> None:
        self.path = data_root / "web" / "audit.jsonl"
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, who: str, what: str, outcome: int | str, **more: Any) -> None:
        """One line. A single write of an appending handle keeps lines of many threads apart."""
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": who,
            "what": what,
            "outcome": outcome,
            **more,
        }
        data = (json.dumps(line, ensure_ascii=False, default=str) + "\n").encode("utf-8", "backslashreplace")
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
