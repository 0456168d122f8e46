"""Recordings of several channels as single series, in the scale that a network sees."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.signals.windows import EPSILON, Integers, covering_starts, replaced, scale_of

Wide = npt.NDArray[np.float64]
Scaling = Literal["section", "recording"]

_LEAST_LEVEL = 1e-3

_MOST_WINDOWS = 4_096
"""Windows that a profile is made of, at most; of more, evenly spread recordings are taken."""


@dataclass(frozen=True)
class ChannelScale:
    """How the channels of a section are scaled, learnt from its normals.

    ``centre`` and ``spread`` (channels,) are mean and standard deviation over all normals. A channel with no
    spread at all, a masked one for example, is silent: nothing can be learnt from it and it counts nowhere.
    With ``scaling`` recording each series has its own mean and deviation instead.
    """

    centre: Wide
    spread: Wide
    scaling: Scaling

    @property
    def channels(self) -> Integers:
        """The channels that are not silent."""
        return np.flatnonzero(self.spread > EPSILON).astype(np.int64)

    def of(self, recording: FloatArray) -> npt.NDArray[np.float32]:
        """The series (active channels, points) of a recording (channels, points), finite whatever it holds."""
        rows = self.channels
        wide = np.asarray(recording[rows], np.float64)
        if self.scaling == "recording":
            return np.stack([scale_of(row).of(row) for row in wide])
        with np.errstate(invalid="ignore", over="ignore"):
            return replaced((wide - self.centre[rows, None]) / (self.spread[rows, None] + EPSILON))

    def silent_but(self, values: Wide, channels: int) -> Wide:
        """Values (active, ...) of the active channels among all, the silent ones 0."""
        found = np.zeros((channels, *values.shape[1:]), values.dtype)
        found[self.channels] = values
        return found


def fit_scale(embeddings: FloatArray, scaling: Scaling) -> ChannelScale:
    """The scale of the channels of normals (n, channels, points), recording by recording."""
    count = len(embeddings) * embeddings.shape[2]
    centre = sum(np.asarray(item, np.float64).sum(axis=1) for item in embeddings) / count
    squares = sum(((np.asarray(item, np.float64) - centre[:, None]) ** 2).sum(axis=1) for item in embeddings)
    return ChannelScale(centre, np.sqrt(squares / count), scaling)


@dataclass(frozen=True)
class RecordedSeries:
    """The active channels of recordings (n, channels, points) as series, one after the other.

    A recording is scaled when it is read, and the last one is kept; embeddings may lie on disk.
    """

    embeddings: FloatArray
    scale: ChannelScale

    @property
    def lengths(self) -> Integers:
        """Points of each series."""
        n, _, points = self.embeddings.shape
        return np.full(n * len(self.scale.channels), points, np.int64)

    def read(self, series: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Some points of a series."""
        recording, place = divmod(series, len(self.scale.channels))
        if self.scale.scaling == "recording":
            return self.scale.of(self.embeddings[recording])[place, start : start + length]
        channel = self.scale.channels[place]
        part = np.asarray(self.embeddings[recording, channel, start : start + length], np.float64)
        return replaced((part - self.scale.centre[channel]) / (self.scale.spread[channel] + EPSILON))


def windows_of(
    series: npt.NDArray[np.float32], window: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp], Integers]:
    """Windows (w, points) that cover series (s, points) side by side, the last one ending with the series.

    Also the series (w,) and the start (w,) of each. Shorter series are one window each.
    """
    points = series.shape[1]
    window = min(window, points)
    starts = covering_starts(points, window, window)
    cut = np.concatenate([series[:, start : start + window] for start in starts])
    return cut, np.tile(np.arange(len(series)), len(starts)), np.repeat(starts, len(series))


def normal_windows(
    embeddings: FloatArray, scale: ChannelScale, window: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Windows of recordings (n, channels, points), their place among the active channels, and their recordings."""
    of_each = max(1, -(-embeddings.shape[2] // window) * len(scale.channels))
    count = min(max(1, _MOST_WINDOWS // of_each), len(embeddings))
    rows = np.linspace(0, len(embeddings) - 1, count).astype(np.intp)
    cut, groups, _ = zip(*(windows_of(scale.of(embeddings[row]), window) for row in rows), strict=True)
    return np.concatenate(cut), np.concatenate(groups), np.repeat(rows, [len(part) for part in cut])


def upper_mean(values: Wide, share: float) -> float:
    """The mean of the upper part of values, at least of one of them."""
    count = max(1, round(share * len(values)))
    return float(np.sort(values)[-count:].mean())


def missing(level: float) -> float:
    """How much less than normals have there is of something, whose usual level is 1; 0 where it is no less.

    Silence is easy to forecast and lies in the middle of all that swings: without this a dead phase would pass.
    """
    return max(1.0 / max(level, _LEAST_LEVEL) - 1.0, 0.0)


def over_time(course: Wide, series: npt.NDArray[np.intp], starts: Integers, points: int, bins: int) -> Any:
    """Courses (w, window) of windows as a map (series, bins) of means over time."""
    total = np.zeros((int(series.max()) + 1, points))
    times = np.zeros_like(total)
    for row, place, start in zip(course, series, starts, strict=True):
        total[place, start : start + len(row)] += row
        times[place, start : start + len(row)] += 1
    mean = total / np.maximum(times, 1)
    edges = np.linspace(0, points, min(bins, points) + 1).astype(int)
    return np.stack([mean[:, low:high].mean(axis=1) for low, high in itertools.pairwise(edges)], axis=1)
