"""The three phases as one vector, Park's, and how it swings about an even turn.

A balanced motor draws a vector that turns evenly: its modulus stands still, its angle grows in a straight line.
What makes the phases differ shows as a ripple at twice the supply frequency, and every sideband as one at its
distance from it: series that depend neither on the angle at which a recording begins nor on the load (the
extended Park's vector approach; Cardoso, Cruz, Fonseca, IEEE Trans. Energy Conversion 14(3), 1999). Broken bars
and bearings swing the modulus most; what swings the speed, such as a rotor out of balance, the angle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.signals.recording import FloatArray

Wide = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.floating[Any]]

_SMALLEST = 1e-12

_LEAST_SWING = 1e-3
"""Swings count from this share of the vector on, or from as many radians: below is noise of the converter."""


def park_modulus(phases: FloatArray) -> FloatArray:
    """The modulus (..., n) of Park's vector of three phases (..., 3, n), relative to its mean and less 1.

    0 throughout means balanced and steady; 0.1 is a ripple of 10 %. It is not scaled by its own deviation: how
    large the ripple is tells the fault. Phases that are all zeros give zeros. Holes are to be filled before
    (``clean.mended``), and all three phases are needed.
    """
    return _relative(np.abs(_vector(phases))).astype(np.float32)


def park_swing(phases: AnyFloats) -> Wide:
    """How Park's vector of three phases (3, n) swings, (2, n): its modulus, and its angle in radians.

    The modulus is that of ``park_modulus``; the angle is what an even turn, the straight line that fits best,
    leaves of it.
    """
    vector = _vector(phases)
    angle = np.unwrap(np.angle(vector))
    time = np.arange(len(angle)) - (len(angle) - 1) / 2
    slope = float(time @ angle) / max(float(time @ time), _SMALLEST)
    return np.stack([_relative(np.abs(vector)), angle - angle.mean() - slope * time])


def swing_lines(swing: Wide, mains: float, periods: int, count: int) -> Wide:
    """Logarithms of the lines of a swing (2, n) at multiples of a part of the mains, (2, count).

    Args:
        swing: what ``park_swing`` gives.
        mains: the supply frequency in cycles per point.
        periods: of the mains in the stretches whose mean power is taken (Welch's method); lines are the mains
            divided by it apart. One stretch where there are no so many.
        count: of lines; the first one is at ``mains / periods``.
    """
    points = swing.shape[1]
    stretch = max(1, min(points, round(periods / mains)))
    taper = np.hanning(stretch + 2)[1:-1]
    starts = range(0, points - stretch + 1, max(1, stretch // 2))
    cut = np.stack([swing[:, start : start + stretch] for start in starts])
    cut = (cut - cut.mean(axis=2, keepdims=True)) * taper
    power = np.square(np.abs(harmonics_in(cut, mains / periods, count))).mean(axis=0)
    lines: Wide = np.log(np.sqrt(power) * (2 / taper.sum()) + _LEAST_SWING)
    return lines


def harmonics_in(series: Wide, frequency: float, count: int) -> npt.NDArray[np.complex128]:
    """Sums (..., count) of series (..., n) over the first harmonics of a frequency in cycles per point.

    Each harmonic is the one before times the first: powers cost a fraction of so many exponentials.
    """
    points = series.shape[-1]
    first = np.exp(-2j * np.pi * frequency * np.arange(points))
    turns = np.cumprod(np.broadcast_to(first, (count, points)), axis=0)
    found: npt.NDArray[np.complex128] = series.reshape(-1, points).astype(np.complex128) @ turns.T
    return found.reshape(*series.shape[:-1], count)


def turns_evenly(lines: npt.NDArray[np.complexfloating[Any, Any]], least: float = 5.0) -> bool:
    """Whether lines (3,) of three channels at the mains are phases of one system, in either order.

    They are where one of their symmetrical components is so many times the others: three axes of vibration,
    two phases that are the same cable, or a phase that was not measured are not.
    """
    turn = np.exp(2j * np.pi / 3)
    components = np.abs(lines @ np.array([[1, 1, 1], [1, turn, turn**2], [1, turn**2, turn]]).T)
    forward, backward = sorted(components[1:])[::-1]
    return bool(forward > least * max(backward, components[0]))


def _vector(phases: AnyFloats) -> npt.NDArray[np.complex128]:
    """Park's vector (..., n), alpha and beta as real and imaginary part."""
    a, b, c = (phases[..., row, :].astype(np.float64) for row in range(3))
    found: npt.NDArray[np.complex128] = (2 * a - b - c) / 3 + 1j * ((b - c) / np.sqrt(3))
    return found


def _relative(modulus: Wide) -> Wide:
    mean = modulus.mean(axis=-1, keepdims=True)
    return np.where(mean > _SMALLEST, modulus / np.maximum(mean, _SMALLEST) - 1, 0.0)
