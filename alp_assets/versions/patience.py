"""Trying again what may fail for a while: other processes hold DVC's lock, a network is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_FIRST_WAIT_S = 1.0

Result = TypeVar("Result")


def patiently(work: Callable[[], Result], tries: int) -> Result:
    """Do work up to ``tries`` times, with longer and longer waits; then what it raises is raised."""
    for attempt in range(tries - 1):
        try:
            return work()
        except Exception:  # whatever it was, it is raised when patience is at its end
            time.sleep(_FIRST_WAIT_S * 2**attempt)
    return work()
