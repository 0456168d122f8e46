"""The sample rate by the time column: the usual step, how steady it is, and what is missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alp_assets.signals.recording import Clock, SignalUnreadable

_GAP = 1.5
_COARSE_SHARE = 0.2
"""Of the steps that are 0: from here on it is the clock that ticks slowly, and no row that stands twice."""

_SAME_RATE = 0.02
_UNITS = (1e3, 1e6, 1e9)


def read_clock(time: npt.NDArray[np.float64], first_row: int) -> Clock:
    """What a time column (n,) in seconds tells.

    Args:
        time: seconds since any moment.
        first_row: the row of the first point as the customer counts.

    Raises:
        SignalUnreadable: a time is missing or no number, it runs backwards or stands still.
    """
    bad = np.flatnonzero(~np.isfinite(time))
    if bad.size:
        raise SignalUnreadable("signal_time_missing", row=first_row + int(bad[0]))
    steps = np.diff(time)
    back = np.flatnonzero(steps < 0)
    if back.size:
        at = int(back[0]) + 1
        raise SignalUnreadable(
            "signal_time_backwards", row=first_row + at, before=_seconds(time[at - 1]), after=_seconds(time[at])
        )
    length = float(time[-1] - time[0]) if len(time) else 0.0
    if length <= 0:
        raise SignalUnreadable("signal_time_still")
    if float(np.mean(steps == 0)) > _COARSE_SHARE:
        ticks = np.flatnonzero(steps) + 1
        length = float(time[ticks[-1]] - time[ticks[0]])
        if length <= 0:
            raise SignalUnreadable("signal_time_still")
        return Clock(int(ticks[-1] - ticks[0]) / length, 0.0, 0.0, 0, 0, coarse=True)
    usual = float(np.median(steps))
    gaps = steps > _GAP * usual
    usual = float(steps[~gaps].mean())  # a median of rounded steps would be off by the rounding
    missing = int(np.rint(steps[gaps] / usual - 1).sum())
    relative = steps / usual
    return Clock(
        rate_hz=1.0 / usual,
        jitter=float(relative[~gaps].std()),
        largest=float(relative.max()),
        gaps=int(gaps.sum()),
        missing=missing,
    )


def is_time(values: npt.NDArray[np.float64]) -> bool:
    """Whether a column (n,) without a name rises as steadily as time or a count of points does."""
    if len(values) < 3 or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    middle = float(np.median(steps))
    return bool(middle > 0 and np.mean(np.abs(steps - middle) < 0.5 * middle) > 0.9)


def in_unit_of(rate_hz: float, stated_hz: float) -> float | None:
    """By how much to divide times whose unit nobody names, so that their rate is the stated one; else None."""
    for factor in (1.0, *_UNITS):
        if agree(rate_hz * factor, stated_hz):
            return factor
    return None


def agree(one_hz: float, other_hz: float) -> bool:
    """Whether two sample rates are the same but for rounding."""
    return abs(one_hz - other_hz) <= _SAME_RATE * max(abs(one_hz), abs(other_hz))


def _seconds(value: float) -> str:
    return f"{value:.9g}"
