"""Cutting series into windows: where they start, in which order they are read, and in which scale.

A series is one channel of one recording. In every epoch each series gets an offset of its own, so that windows
start at other points than in the epoch before. Order and offsets follow from the seed and the number of the
epoch alone: nothing is shuffled in memory, and reading can go on from any position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]

EPSILON = 1e-6
"""What is added to a deviation before anything is divided by it."""

FARTHEST = 1e4
"""Deviations from the mean beyond which a point is merely far: squares of more would overflow."""

_ROUNDS = 4

_BLOCK = 2**15
"""Points that are brought to double precision at a time, few enough to stay in the cache."""


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the finite points of a series; 0 and 0 where there are none."""

    mean: float
    deviation: float

    def of(self, values: FloatArray) -> npt.NDArray[np.float32]:
        """Scaled values, float32 and finite: see ``z_score``."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (values.astype(np.float64) - self.mean) / (self.deviation + EPSILON)
        return replaced(scaled)


def scale_of(values: FloatArray) -> Scale:
    """The scale of values (n,), whatever else than numbers is among them."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(values.mean(dtype=np.float64)) if len(values) else 0.0
        if not np.isfinite(mean):
            values = values[np.isfinite(values)]
            mean = float(values.mean(dtype=np.float64)) if len(values) else 0.0
        blocks = (values[start : start + _BLOCK].astype(np.float64) for start in range(0, len(values), _BLOCK))
        squares = sum(float(np.square(block - mean).sum()) for block in blocks)
    if not np.isfinite([mean, squares]).all():
        return Scale(0.0, float(np.finfo(np.float64).max))
    return Scale(mean, (squares / max(len(values), 1)) ** 0.5)


def z_score(values: FloatArray) -> npt.NDArray[np.float32]:
    """Values (n,) by mean and deviation of their finite points, (x - mean) / (deviation + 1e-6).

    After that NaN is 0, the mean, and infinities are as far as a point can be. A flat line is zeros.
    """
    return scale_of(values).of(values)


def replaced(scaled: FloatArray) -> npt.NDArray[np.float32]:
    """Scaled values without NaN (0 instead) and with nothing farther than ``FARTHEST``."""
    found = np.nan_to_num(scaled, nan=0.0, posinf=FARTHEST, neginf=-FARTHEST)
    return np.clip(found, -FARTHEST, FARTHEST).astype(np.float32)


def window_starts(length: int, window: int, stride: int, offset: int = 0) -> Integers:
    """Where windows start in a series; nothing where it is shorter than a window."""
    return np.arange(offset, length - window + 1, stride, dtype=np.int64)


def covering_starts(length: int, window: int, stride: int) -> Integers:
    """Starts of windows of which the last one ends with the series, so that every point is in one."""
    starts = window_starts(length, window, stride)
    if len(starts) and starts[-1] + window < length:
        return np.append(starts, length - window)
    return starts


class SeriesSource(Protocol):
    """Series that windows are cut from."""

    @property
    def lengths(self) -> Integers:
        """Points of each series (s,)."""
        ...

    def read(self, series: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Some points of a series, scaled and finite."""
        ...


@dataclass(frozen=True)
class ArraySeries:
    """Series (s, points) in memory, scaled already."""

    values: npt.NDArray[np.float32]

    @property
    def lengths(self) -> Integers:
        """Points of each series (s,)."""
        return np.full(len(self.values), self.values.shape[1], np.int64)

    def read(self, series: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Some points of a series."""
        return self.values[series, start : start + length]


@dataclass(frozen=True)
class Epoch:
    """The windows of one epoch in the order in which they are read.

    ``offsets`` (s,) are where the first window of each series starts, ``until`` (s,) the count of windows up to
    and with each series.
    """

    offsets: Integers
    until: Integers
    stride: int
    key: int

    @property
    def count(self) -> int:
        """Windows in the epoch."""
        return int(self.until[-1]) if len(self.until) else 0

    def pick(self, positions: Integers) -> tuple[Integers, Integers]:
        """The series (k,) and the starts (k,) of the windows at some positions (k,) of the order."""
        number = permuted(positions, self.count, self.key)
        series = np.searchsorted(self.until, number, side="right")
        before = np.where(series > 0, self.until[series - 1], 0)
        return series.astype(np.int64), self.offsets[series] + (number - before) * self.stride


@dataclass(frozen=True)
class WindowPlan:
    """Windows of series with so many points (s,), one epoch after the other.

    Memory grows with the number of series, not with their points. Series shorter than a window give none.
    """

    lengths: Integers
    window: int
    stride: int
    seed: int = 0

    def epoch(self, number: int) -> Epoch:
        """The windows of an epoch, starting at offsets from 0 to min(stride - 1, length - window)."""
        slack = self.lengths - self.window
        most = np.minimum(self.stride - 1, np.maximum(slack, 0))
        key = _mixed(np.array([self.seed], np.uint64), number)[0]
        drawn = _mixed(np.arange(len(self.lengths), dtype=np.uint64), int(key))
        offsets = (drawn % (most.astype(np.uint64) + np.uint64(1))).astype(np.int64)
        counts = np.where(slack >= 0, (slack - offsets) // self.stride + 1, 0)
        return Epoch(offsets, np.cumsum(counts), self.stride, int(key))


@dataclass
class Feed:
    """Batches of windows without end. ``epoch`` and ``position`` are all that it remembers."""

    source: SeriesSource
    plan: WindowPlan
    epoch: int = 0
    position: int = 0
    _present: tuple[int, Epoch] | None = field(default=None, repr=False)

    def take(self, count: int) -> npt.NDArray[np.float32]:
        """The next windows (count, window); ``ValueError`` where no series is as long as a window."""
        return np.stack([self.source.read(series, start, self.plan.window) for series, start in self.pick(count)])

    def pick(self, count: int) -> list[tuple[int, int]]:
        """Series and starts of the next windows, unread; errors as ``take``."""
        found: list[tuple[int, int]] = []
        while len(found) < count:
            epoch = self._epoch()
            upto = min(self.position + count - len(found), epoch.count)
            series, starts = epoch.pick(np.arange(self.position, upto))
            found += list(zip(series.tolist(), starts.tolist(), strict=True))
            self.position = upto
            if upto == epoch.count:
                self.epoch, self.position = self.epoch + 1, 0
        return found

    def _epoch(self) -> Epoch:
        if self._present is None or self._present[0] != self.epoch:
            self._present = (self.epoch, self.plan.epoch(self.epoch))
        epoch = self._present[1]
        if not epoch.count:
            raise ValueError(f"no series has the {self.plan.window} points of a window")
        return epoch


def permuted(positions: Integers, count: int, key: int) -> Integers:
    """Where a permutation of ``range(count)`` puts some positions, without the permutation in memory.

    A balanced Feistel network (Luby and Rackoff, 1988), walked on while it leaves the range.
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    found = positions.astype(np.uint64)
    outside = np.ones(len(found), np.bool_)
    while outside.any():
        left, right = found[outside] >> half, found[outside] & low
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mixed(right, key + turn) & low)
        found[outside] = (left << half) | right
        outside = found >= count
    return found.astype(np.int64)


def _mixed(values: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """A hash of values and key (the finaliser of SplitMix64; Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        found = values + np.uint64((key * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
        return found ^ (found >> np.uint64(31))
