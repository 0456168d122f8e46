"""Features of a window of signals: lines at and beside the mains, and those of the swing of three phases.

Frequencies are counted in the mains, the strongest line of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alp_assets.errors import EngineUnfit
from alp_assets.signals.park import harmonics_in, park_swing, swing_lines, turns_evenly
from alp_assets.signals.windows import covering_starts

Wide = npt.NDArray[np.float64]

_RINGS = ((0.02, 0.06), (0.06, 0.15), (0.15, 0.3), (0.3, 0.6))
"""Sidebands on either side of the mains, in units of its frequency."""

_BETWEEN = (0.2, 0.8)
"""The part of the way from one harmonic to the next in which neither is."""

_LEAST_PERIODS = 4
"""A window must hold so many periods of the mains."""

_LEAST_LEVEL = 1e-4
"""Amplitudes count from this on, in units of the channel's deviation: below is noise of the converter."""

SHORTEST = 64
"""A spectrum of fewer points tells nothing."""

PHASES = 3

_SWING_PERIODS = 12
"""Of the mains in a stretch whose swing is looked at; less where windows hold fewer."""

_SWING_HARMONICS = 8
"""Lines of the swing are taken up to so many times the mains, as far as the sample rate allows."""


@dataclass(frozen=True)
class Layout:
    """Which features there are. ``lines`` are those of the swing of modulus and angle, 0 without three phases."""

    harmonics: int
    periods: int = 0
    lines: int = 0

    @property
    def of_channel(self) -> int:
        """Features of one channel."""
        return 1 + 2 * self.harmonics + 2 * len(_RINGS)

    @property
    def of_swing(self) -> int:
        """Features of the swing, the last ones."""
        return 2 * self.lines


def laid_out(
    series: Sequence[npt.NDArray[np.float32]], window: int, harmonics: int, *, three_phases: bool
) -> Layout:
    """The features that windows of normals, each series (s, points), bear; ``EngineUnfit`` where none.

    With ``three_phases`` the first three series are measured where phases are. Those of vibration lie there as
    well, so they must turn like phases too.
    """
    parts = [part for item in series for part in _cut(item, window)]
    mains = np.array([_mains(part) for part in parts])
    usual = float(np.median(mains))
    if window < SHORTEST or usual * window < _LEAST_PERIODS:
        raise EngineUnfit(
            f"windows of {window} points hold {usual * window:.1f} periods of the mains; harmonics and sidebands "
            f"need {_LEAST_PERIODS} periods and {SHORTEST} points. Send longer recordings."
        )
    harmonics = max(1, min(harmonics, int(0.49 / usual)))
    pairs = zip(parts, mains, strict=True)
    if not three_phases or np.mean([turns_evenly(_lines(part[:PHASES], at, 1)[:, 0]) for part, at in pairs]) < 0.5:
        return Layout(harmonics)
    periods = max(1, min(_SWING_PERIODS, int(usual * window)))
    lines = int(min(_SWING_HARMONICS, 0.49 / mains.max()) * periods)
    return Layout(harmonics, periods, lines)


def features(series: npt.NDArray[np.float32], window: int, layout: Layout) -> Wide:
    """Features (w, d) of the windows of series (s, points): each channel's, between them, the swing's."""
    return np.stack([_of_window(part, layout) for part in _cut(series, window)])


def _cut(series: npt.NDArray[np.float32], window: int) -> list[Wide]:
    """Windows (s, window) of series (s, points), side by side."""
    window = min(window, series.shape[1])
    starts = covering_starts(series.shape[1], window, window)
    return [series[:, start : start + window].astype(np.float64) for start in starts]


def _of_window(part: Wide, layout: Layout) -> Wide:
    mains, harmonics = _mains(part), layout.harmonics
    taper = _taper(part.shape[1])
    lines = _lines(part, mains, harmonics)
    levels = np.log(np.abs(lines) + _LEAST_LEVEL)
    offset = np.log(part.std(axis=1) + _LEAST_LEVEL)
    channels = [
        np.concatenate(
            [
                [offset[row], levels[row, 0]],
                levels[row, 1:] - levels[row, 0],
                _beside(part[row], mains, taper, harmonics),
            ]
        )
        for row in range(len(part))
    ]
    first = lines[:, 0]
    between = first[1:] * first[:-1].conj()
    between = between / np.maximum(np.abs(between), _LEAST_LEVEL**2)
    found = [*channels, between.real, between.imag]
    if layout.lines:
        swing = park_swing(part[:PHASES])
        found.append(swing_lines(swing, mains, layout.periods, layout.lines).ravel())
    return np.concatenate(found)


def _lines(part: Wide, mains: float, harmonics: int) -> npt.NDArray[np.complex128]:
    """Complex amplitudes (s, harmonics) of the mains and their harmonics in series (s, points)."""
    taper = _taper(part.shape[1])
    tapered = (part - part.mean(axis=1, keepdims=True)) * taper
    found = harmonics_in(tapered, mains, harmonics)
    found *= 2 / taper.sum()
    return found


def _taper(points: int) -> Wide:
    return np.hanning(points + 2)[1:-1]


def _beside(channel: Wide, mains: float, taper: Wide, harmonics: int) -> Wide:
    """Strongest levels in the rings below and above the mains, and between harmonics, relative to the mains."""
    spectrum = np.abs(np.fft.rfft((channel - channel.mean()) * taper)) * (2 / taper.sum())
    frequency = np.fft.rfftfreq(len(channel)) / mains
    centre = np.log(spectrum[np.argmin(np.abs(frequency - 1.0))] + _LEAST_LEVEL)
    bands = [(1 - high, 1 - low) for low, high in _RINGS] + [(1 + low, 1 + high) for low, high in _RINGS]
    bands += [(number + _BETWEEN[0], number + _BETWEEN[1]) for number in range(1, harmonics + 1)]
    edges = np.searchsorted(frequency, bands)
    levels = np.array([spectrum[low:high].max(initial=0.0) for low, high in edges])
    found: Wide = np.log(levels + _LEAST_LEVEL) - centre
    return found


def _mains(part: Wide | npt.NDArray[np.float32]) -> float:
    """The strongest line of all series (s, points) together, in cycles per point, between bins by a parabola."""
    taper = _taper(part.shape[1])
    centred = part - part.mean(axis=1, keepdims=True)
    spectrum = np.sqrt((np.abs(np.fft.rfft(centred * taper, axis=1)) ** 2).sum(axis=0))
    spectrum[0] = 0.0
    peak = int(np.argmax(spectrum))
    if not 0 < peak < len(spectrum) - 1:
        return max(peak, 1) / int(part.shape[1])
    low, top, high = np.log(spectrum[peak - 1 : peak + 2] + 1e-12)
    bend = low - 2 * top + high
    shift = 0.5 * (low - high) / bend if bend < 0 else 0.0
    return (peak + min(max(float(shift), -0.5), 0.5)) / int(part.shape[1])
