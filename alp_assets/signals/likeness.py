"""What makes two recordings of signals alike, whatever the angle of the supply at which they begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_BANDS = 24
_FLOOR = 1e-6


def spectral_shape(clip: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Levels in dB (c, bands) of channels (c, n), at most 24 bands as wide as they are high.

    A silent channel is at the floor everywhere.
    """
    wide = clip.astype(np.float64)
    centred = (wide - wide.mean(axis=1, keepdims=True)) * np.hanning(clip.shape[1])
    power = np.abs(np.fft.rfft(centred, axis=1)) ** 2
    edges = np.unique(np.geomspace(1, power.shape[1], _BANDS + 1).astype(int))
    bands = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    found: npt.NDArray[np.float64] = 10 * np.log10(bands + _FLOOR)
    return found
