"""What a recording holds: the sound of a machine, or a signal that was measured on it."""

from __future__ import annotations

from typing import Any

SOUND = "sound"
SIGNALS = ("current", "flux", "vibration")


def modality_of(cell: Any) -> str:
    """The modality that a cell of the table states; an empty one is sound."""
    return cell if isinstance(cell, str) and cell else SOUND


def is_signal(cell: Any) -> bool:
    """Whether a row of the table, by its cell, is a signal."""
    return modality_of(cell) in SIGNALS
