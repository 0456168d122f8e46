"""Reading lines in the envelope and low-frequency spectra of clips: families of multiples, and the rotation."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from alp_assets.audio.envelope import ENVELOPE_HZ, LOW_HZ

Lines = npt.NDArray[np.float64]

_BACKGROUND = 41
"""Lines whose median is the background that a line stands out from."""

_FAULTS_HZ = (20, 250)
_SLIP = 0.02
"""Where fault frequencies are looked for, and how far rolling elements may slip from those that are given."""

_SHAFTS_HZ = (8.0, 70.0)
_MAINS_HZ = (50.0, 60.0)
_STANDS_OUT_DB = 6.0
_SPEED_SPAN = 0.2
"""A machine's speed may change by so much; recordings whose rotation lies closer together agree."""


def prominence(spectra: Lines) -> Lines:
    """How far lines (n, f), in dB, stand out from the median of their neighbourhood."""
    from scipy.ndimage import median_filter

    background = median_filter(spectra, size=(1, _BACKGROUND), mode="nearest")
    result: Lines = spectra - background
    return result


def families(lines: Lines) -> Lines:
    """For each line (n, 496) of envelope spectra: the mean of it and of the stronger of its next two multiples.

    A line whose second multiple lies beyond the spectrum counts alone. As a line is known to half a hertz,
    its multiples are looked for around where they should be.
    """
    best = np.full_like(lines, -np.inf)
    for factor in (2, 3):
        for shift in range(1 - factor, factor):
            place = factor * ENVELOPE_HZ + shift - ENVELOPE_HZ[0]
            inside = place < ENVELOPE_HZ.size
            best[:, inside] = np.maximum(best[:, inside], lines[:, place[inside]])
    return np.where(np.isneginf(best), lines, (lines + best) / 2)


def fault_lines(given_hz: Collection[float]) -> npt.NDArray[np.intp]:
    """Which lines of an envelope spectrum may be a bearing's: those near the given ones, else 20 to 250 Hz."""
    if not given_hz:
        return np.flatnonzero((_FAULTS_HZ[0] <= ENVELOPE_HZ) & (_FAULTS_HZ[1] >= ENVELOPE_HZ))
    near = [np.abs(ENVELOPE_HZ - hz) <= max(1.0, _SLIP * hz) for hz in given_hz]
    return np.flatnonzero(np.any(near, axis=0))


def shaft_lines(hz: float, given: bool) -> npt.NDArray[np.intp]:
    """Which lines of a low-frequency spectrum may be the rotation; an estimated one moves with the speed."""
    return np.flatnonzero(np.abs(LOW_HZ - hz) <= max(0.5, (_SLIP if given else _SPEED_SPAN) * hz))


def estimated_shaft(low: Lines) -> float:
    """The rotation frequency that at least half of low-frequency spectra (n, 391) agree on, or 0.

    In each, it and one of its next two multiples must stand out by 6 dB; of several, the strongest pair
    wins. Lines at the frequency of the mains are hum, and never taken for it.
    """
    lines = prominence(low)
    step = LOW_HZ[1] - LOW_HZ[0]
    hum = np.min([np.abs(LOW_HZ - mains) for mains in _MAINS_HZ], axis=0) <= step
    candidates = np.flatnonzero((_SHAFTS_HZ[0] <= LOW_HZ) & (_SHAFTS_HZ[1] >= LOW_HZ) & ~hum)
    pairs = np.stack([np.minimum(lines[:, at], _multiples(lines, int(at))) for at in candidates], axis=1)
    clear = pairs.max(axis=1) >= _STANDS_OUT_DB
    found = LOW_HZ[candidates[pairs.argmax(axis=1)]]
    if not clear.any():
        return 0.0
    middle = float(np.median(found[clear]))
    agree = clear & (np.abs(found - middle) <= _SPEED_SPAN * middle)
    return middle if 2 * agree.sum() >= len(low) else 0.0


def _multiples(lines: Lines, at: int) -> Lines:
    """The stronger (n,) of the second and third multiple of a low-frequency line."""
    first = round(LOW_HZ[0] / (LOW_HZ[1] - LOW_HZ[0]))
    places = [factor * (at + first) + shift - first for factor in (2, 3) for shift in range(1 - factor, factor)]
    result: Lines = lines[:, [place for place in places if place < LOW_HZ.size]].max(axis=1)
    return result
