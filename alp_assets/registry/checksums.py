"""Rows that say what was written into them, so that a bit that flipped on disk is noticed when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

COLUMN = "checksum"
_DIGITS = 16


def checksum_of(row: Mapping[Any, Any]) -> str:
    """The checksum of a row's other columns: the same from every database that gives back what was written."""
    values = {str(name): value for name, value in row.items() if name != COLUMN}
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def is_sound(row: Mapping[Any, Any]) -> bool:
    """Whether a row is as it was written."""
    return bool(row[COLUMN] == checksum_of(row))
