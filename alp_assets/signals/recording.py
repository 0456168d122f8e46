"""A signal recording as it was read, and what is said of one that cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alp_assets.errors import AlpError
from schemas.problems import Problem, Value

FloatArray = npt.NDArray[np.float32]

MOST_POINTS = 2**30
"""Points of all channels together that a recording may have: 4 GiB of them. What is longer comes in parts."""


class SignalUnreadable(AlpError):
    """A signal recording that cannot be used. ``problem`` says why, and what to do."""

    def __init__(self, code: str, **values: Value) -> None:
        self.problem = Problem("error", code, values)
        super().__init__(" ".join(self.problem.told("en")))


@dataclass(frozen=True)
class Clock:
    """What the time column tells.

    ``rate_hz`` follows from the usual step; ``jitter`` is the standard deviation of the steps and ``largest`` the
    largest of them, both relative to the usual one. A step of more than one and a half is a gap: ``missing`` is
    how many points would have filled all ``gaps``. ``coarse`` says that the clock ticks more slowly than the
    points come, so that several have the same time: then jitter and gaps say nothing and are 0.
    """

    rate_hz: float
    jitter: float
    largest: float
    gaps: int
    missing: int
    coarse: bool = False


@dataclass(frozen=True)
class Spikes:
    """Numbers beyond physical sense, such as the 1e30 of an overflow: how many, and the first of them."""

    count: int = 0
    channel: str = ""
    row: int = 0
    value: float = 0.0


@dataclass(frozen=True)
class Table:
    """The channels of a file before anybody says what they are.

    ``values`` (channels, n) holds NaN and infinities as found; ``time`` (n,) is in seconds, unless
    ``time_unit_known`` is false: then it may be in any unit. ``rate_hz`` is what the file itself says beside its
    numbers. ``named`` is whether the names come from the file; ``first_row`` is the row of the first point as the
    customer counts, or that point's number, 1, where a file has no rows.
    """

    container: str
    names: tuple[str, ...]
    values: FloatArray
    named: bool = True
    time: npt.NDArray[np.float64] | None = None
    time_unit_known: bool = True
    rate_hz: float | None = None
    first_row: int = 1


@dataclass(frozen=True)
class SignalRecording:
    """A recording in physical units.

    Args:
        container: what kind of file it was.
        names: the channels as the file calls them, those without a role left out.
        roles: what each channel is, see ``roles.ROWS``.
        sample_rate_hz: points a second.
        values: (channels, n); NaN and infinities as found, numbers beyond sense as NaN.
        non_finite: for each channel, how many of its points are no finite numbers.
        clock: what the time column tells, where there is one.
        spikes: numbers beyond sense.
        warnings: what was assumed while reading.
    """

    container: str
    names: tuple[str, ...]
    roles: tuple[str, ...]
    sample_rate_hz: float
    values: FloatArray
    non_finite: tuple[int, ...]
    clock: Clock | None = None
    spikes: Spikes = Spikes()
    warnings: tuple[Problem, ...] = ()

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return float(self.values.shape[1] / self.sample_rate_hz)
