"""The spectral profile of a recording: levels of mel bands as they go by, and steps of the gain among them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from alp_assets.audio.decode import FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BANDS = 64
"""Mel bands of a profile, from 20 Hz to 8 kHz."""

PROFILE_SIZE = 2 * BANDS
"""Figures in a profile: the mean power of each band in dB, then how much its level changes from frame to frame."""

_LOWEST_HZ, _HIGHEST_HZ = 20.0, 8_000.0
_FRAME_S = 0.064
_FLOOR = 1e-13
_FRAMES_A_STRETCH = 8
_LEAST_STRETCHES = 4
"""Frames are put together to stretches of half a second; a step has at least 2 s on either side."""


class GainStep(NamedTuple):
    """The likeliest step of level inside a recording.

    ``size_db`` is by how much the bands rise, ``shape_db`` how far apart the bands are in that, and
    ``unrest_db`` how much the level changes on the two sides of the step.
    """

    size_db: float
    shape_db: float
    unrest_db: float


class ProfileMeter:
    """Takes in the samples of one channel block by block."""

    def __init__(self, sample_rate: int) -> None:
        self._bank = _mel_bank(sample_rate)
        self._window = _window(sample_rate)
        self._rest = np.zeros(0, np.float32)
        self._frames = 0
        self._power = np.zeros(BANDS)
        self._sum = np.zeros(BANDS)
        self._squares = np.zeros(BANDS)
        self._waiting = np.zeros((0, BANDS), np.float32)
        self._stretches: list[FloatArray] = []

    def add(self, x: FloatArray) -> None:
        """Take in the next samples (n,)."""
        joined = np.concatenate([self._rest, x]) if self._rest.size else x
        size = self._window.size
        count = joined.size // size
        if count:
            self._add_frames(joined[: count * size].reshape(count, size))
        self._rest = joined[count * size :].copy()

    def profile(self) -> FloatArray:
        """The profile (128,) in dB relative to full scale; bands that the sample rate lacks are not a number."""
        if not self._frames:
            if not self._rest.size:
                return np.full(PROFILE_SIZE, np.nan, np.float32)
            self._add_frames(np.pad(self._rest, (0, self._window.size - self._rest.size))[None, :])
        mean = self._sum / self._frames
        deviation = np.sqrt(np.maximum(self._squares / self._frames - mean**2, 0))
        level = 10 * np.log10(self._power / self._frames + _FLOOR)
        absent = np.diff(self._bank.indptr) == 0
        level[absent] = deviation[absent] = np.nan
        return np.concatenate([level, deviation]).astype(np.float32)

    def gain_step(self) -> GainStep:
        """The likeliest step; nothing but zeros where the recording is too short for one."""
        if sum(map(len, self._stretches)) < 2 * _LEAST_STRETCHES:
            return GainStep(0.0, 0.0, 0.0)
        levels = np.concatenate(self._stretches)[:, np.diff(self._bank.indptr) > 0]
        course = levels.mean(axis=1)
        at = _split(course)
        before, after = levels[:at], levels[at:]
        change = np.median(after, axis=0) - np.median(before, axis=0)
        size = float(np.median(change))
        sides = (course[:at] - np.median(course[:at]), course[at:] - np.median(course[at:]))
        return GainStep(
            size_db=size,
            shape_db=float(np.quantile(np.abs(change - size), 0.75)),
            unrest_db=float(np.quantile(np.abs(np.concatenate(sides)), 0.9)),
        )

    def _add_frames(self, frames: FloatArray) -> None:
        for part in _portions(frames):
            self._add_levels(self._levels(part))

    def _levels(self, frames: FloatArray) -> FloatArray:
        from scipy import fft

        spectrum = fft.rfft(frames * self._window, axis=1)[:, : self._bank.shape[1]]
        power = spectrum.real**2 + spectrum.imag**2
        found: FloatArray = (self._bank @ power.T).T
        return found

    def _add_levels(self, power: FloatArray) -> None:
        self._frames += len(power)
        self._power += power.sum(axis=0, dtype=np.float64)
        levels = 10 * np.log10(power + np.float32(_FLOOR))
        self._sum += levels.sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("ij,ij->j", levels, levels, dtype=np.float64)
        waiting = np.concatenate([self._waiting, power])
        count = len(waiting) // _FRAMES_A_STRETCH
        whole = waiting[: count * _FRAMES_A_STRETCH].reshape(count, _FRAMES_A_STRETCH, BANDS)
        self._stretches.append(10 * np.log10(whole.mean(axis=1) + np.float32(_FLOOR)))
        self._waiting = waiting[count * _FRAMES_A_STRETCH :]


def _portions(frames: FloatArray) -> Iterator[FloatArray]:
    """A few frames at a time, which the processor's cache holds."""
    step = max(1, (1 << 18) // frames.shape[1])
    for start in range(0, len(frames), step):
        yield frames[start : start + step]


def _split(course: FloatArray) -> int:
    """Where a series (n,) is best cut in two of different means (least squares)."""
    count = np.arange(1, course.size)
    sums = np.cumsum(course, dtype=np.float64)
    left, right = sums[:-1] / count, (sums[-1] - sums[:-1]) / (course.size - count)
    gain = count * (course.size - count) * (left - right) ** 2
    inner = slice(_LEAST_STRETCHES - 1, course.size - _LEAST_STRETCHES)
    return int(np.argmax(gain[inner])) + _LEAST_STRETCHES


@lru_cache(maxsize=16)
def _window(sample_rate: int) -> FloatArray:
    return np.hanning(round(_FRAME_S * sample_rate)).astype(np.float32)


@lru_cache(maxsize=16)
def _mel_bank(sample_rate: int) -> csr_array[np.float32, tuple[int, int]]:
    """Triangular filters (64, bins up to 8 kHz) that add up to 1, scaled to mean squares of the samples.

    Sparse, because a dense product would go to BLAS, whose own threads get in the way of those that decode.
    """
    from scipy.sparse import csr_array

    size = _window(sample_rate).size
    hz = np.arange(size // 2 + 1) * sample_rate / size
    hz = hz[hz <= _HIGHEST_HZ]
    edges = np.linspace(_mel(np.array(_LOWEST_HZ)), _mel(np.array(_HIGHEST_HZ)), BANDS + 2)
    width = edges[1] - edges[0]
    bank = np.maximum(0.0, 1 - np.abs(_mel(hz)[None, :] - edges[1:-1, None]) / width)
    bank[edges[2:] > _mel(np.array(sample_rate / 2)) + 1e-6] = 0.0
    window = _window(sample_rate)
    return csr_array((bank * 2 / (size * float(window @ window))).astype(np.float32))


def _mel(hz: np.ndarray) -> np.ndarray:
    result: np.ndarray = 2595 * np.log10(1 + hz / 700)
    return result
