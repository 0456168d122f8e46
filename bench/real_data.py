"""Where real recordings lie, on machines that have them. They are never part of the project."""

from __future__ import annotations

import os
from pathlib import Path

from alp_assets.params import PROJECT

VARIABLE = "ALP_REAL_DATA"


def place() -> Path:
    """``$ALP_REAL_DATA``, else ``shared/data`` beside the checkout; it need not exist."""
    return Path(os.environ.get(VARIABLE) or PROJECT.parent / "shared" / "data")


def motor_sounds() -> Path | None:
    """The recordings of electric motors with their ``labels.csv``, or ``None`` where they are not."""
    folder = place() / "motor-sounds"
    return folder if (folder / "labels.csv").is_file() else None


def absent() -> str:
    """What to say where they are not."""
    return f"no real motor recordings in {place() / 'motor-sounds'} (set {VARIABLE} to the folder that holds it)"
