"""Recordings without holes: what is no number is replaced before anything is computed."""

from __future__ import annotations

import numpy as np

from alp_assets.signals.recording import FloatArray


def mended(values: FloatArray) -> FloatArray:
    """Channels (c, n) in which NaN and infinities lie on the line between their neighbours.

    At the ends they take the value of the nearest number; a channel without any number is zeros. What is finite
    already is returned as it is, not copied. How much was mended is for ``measure`` to say.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values
    found = values.copy()
    for row, good in zip(found, finite, strict=True):
        if not good.any():
            row[:] = 0.0
        elif not good.all():
            places = np.flatnonzero(good)
            row[~good] = np.interp(np.flatnonzero(~good), places, row[places])
    return found


def cut(values: FloatArray, points: int) -> FloatArray:
    """Clips (k, c, points) that follow each other in channels (c, n); a remainder is left out."""
    channels, length = values.shape
    count = length // points
    whole = values[:, : count * points].reshape(channels, count, points)
    return np.ascontiguousarray(whole.swapaxes(0, 1))
