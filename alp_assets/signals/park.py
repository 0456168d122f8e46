"""The three phases as one series: the modulus of Park's vector.

A balanced motor draws a vector that turns evenly, and its modulus stands still. What makes the phases differ shows
as a ripple at twice the supply frequency, and every sideband as one at its distance from it: a series that depends
neither on the angle at which a recording begins nor on the load (the extended Park's vector approach; Cardoso,
Cruz, Fonseca, IEEE Trans. Energy Conversion 14(3), 1999).
"""

from __future__ import annotations

import numpy as np

from alp_assets.signals.recording import FloatArray

_SMALLEST = 1e-12


def park_modulus(phases: FloatArray) -> FloatArray:
    """The modulus (..., n) of Park's vector of three phases (..., 3, n), relative to its mean and less 1.

    0 throughout means balanced and steady; 0.1 is a ripple of 10 %. It is not scaled by its own deviation: how
    large the ripple is tells the fault. Phases that are all zeros give zeros. Holes are to be filled before
    (``clean.mended``), and all three phases are needed.
    """
    a, b, c = (phases[..., row, :].astype(np.float64) for row in range(3))
    modulus = np.hypot((2 * a - b - c) / 3, (b - c) / np.sqrt(3))
    mean = modulus.mean(axis=-1, keepdims=True)
    found = np.where(mean > _SMALLEST, modulus / np.maximum(mean, _SMALLEST) - 1, 0.0)
    return found.astype(np.float32)
