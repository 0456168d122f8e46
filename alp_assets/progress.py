"""How a stage tells its driver how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``: ``what`` names the thing being counted, in the plural."""


def silent(done: int, total: int, what: str) -> None:
    """The progress of a caller who does not care."""


_EVERY_S = 5.0


def in_lines(write: Callable[[str], object]) -> Progress:
    """Progress as a line of text every few seconds, for logs and outputs that are no terminal."""
    last = time.monotonic()

    def progress(done: int, total: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last > _EVERY_S:
            last = time.monotonic()
            write(f"{done:,} of {total:,} {what}")

    return progress
