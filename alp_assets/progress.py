"""How a stage tells its driver how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``: ``what`` names the thing being counted, in the plural."""


def silent(done: int, total: int, what: str) -> None:
    """The progress of a caller who does not care."""
