"""What a recording holds beyond the 8 kHz that a standard clip can carry, measured on the original stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from alp_assets.audio.decode import FloatArray

FLOOR_DB = -120.0
"""Digital silence; below the rounding noise of 16 bits in any of the bands."""

_FRAME = 256
_HOP = 1024
"""Samples of a frame at 48 kHz, and how far apart frames start.

A quarter of the sound, sampled every 21 ms, gives the level of ten seconds to a tenth of a decibel at a
quarter of the cost.
"""

_TOP_HZ = 20_000.0
"""Microphones end here, so recordings at 44.1, 48 and 96 kHz stay comparable."""

_LEAST_ABOVE_HZ = 11_000.0
"""Half a sample rate below this leaves nothing but the slope of an anti-aliasing filter above 10 kHz."""


@dataclass(frozen=True)
class Beyond:
    """Levels in dBFS (10 log10 of the mean square, full scale 1.0) of 8 to 10 kHz and of 10 to 20 kHz.

    NaN where half the sample rate does not reach 10 kHz, or 11 kHz for the upper band, and where the sound
    is shorter than a frame.
    """

    db_8_10k: float = math.nan
    db_above_10k: float = math.nan


class BeyondMeter:
    """Takes in a recording's own samples as they stream by and gives the levels of each stretch of ``seconds``.

    It holds the samples of one stretch and of what was read ahead.
    """

    def __init__(self, sample_rate_hz: int, seconds: int) -> None:
        self._rate = sample_rate_hz
        self._length = sample_rate_hz * seconds
        self._pending: list[FloatArray] = []

    def add(self, samples: FloatArray) -> None:
        """Take in the next samples (n,)."""
        if self._rate >= 20_000:
            self._pending.append(samples)

    def take(self) -> Beyond:
        """The levels of the next stretch, or of as much of it as there is."""
        if not self._pending:
            return Beyond()
        samples = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        self._pending = [samples[self._length :]]
        return measure_beyond(samples[: self._length], self._rate)


@np.errstate(over="ignore", invalid="ignore")
def measure_beyond(samples: FloatArray, sample_rate_hz: int) -> Beyond:
    """The levels of samples (n,) at their own rate, from Hann-windowed frames spread evenly over them."""
    from scipy import fft

    half = sample_rate_hz / 2
    scale = max(1, round(sample_rate_hz / 48_000))
    size = _FRAME * scale
    if half < 10_000 or samples.size < size:
        return Beyond()
    window = _window(size)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: _HOP * scale]
    spectrum = fft.rfft(frames * window, axis=1)
    per_bin = 2 / (len(frames) * size * float(window @ window))
    edges = [math.ceil(hz * size / sample_rate_hz) for hz in (8_000.0, 10_000.0, min(_TOP_HZ, half))]
    low, high = (
        _db(per_bin * float(np.square(np.abs(spectrum[:, start:end])).sum(dtype=np.float64)))
        for start, end in pairwise(edges)
    )
    return Beyond(low, high if half >= _LEAST_ABOVE_HZ else math.nan)


def _db(power: float) -> float:
    if math.isnan(power):
        return math.nan
    return max(FLOOR_DB, 10 * math.log10(max(power, 1e-30)))


@lru_cache(maxsize=8)
def _window(size: int) -> FloatArray:
    phase = 2 * np.pi * np.arange(size) / size
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
