"""Counting clipped samples, and the runs in which they lie."""

from __future__ import annotations

import numpy as np

from alp_assets.audio.decode import FloatArray

FULL_SCALE = 32_767 / 32_768 - 1e-6
_LEAST = 2


class ClippingMeter:
    """Takes in the samples of one channel block by block. A run is two clipped samples or more on end."""

    def __init__(self) -> None:
        self.samples = 0
        self.longest = 0
        self._runs = 0
        self._open = 0

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self._runs + (self._open >= _LEAST)

    def add(self, x: FloatArray, peak: float) -> None:
        """Take in the next samples (n,), whose largest magnitude is known."""
        if peak < FULL_SCALE:
            self._close()
            return
        clipped = np.abs(x) >= FULL_SCALE
        edges = np.flatnonzero(np.diff(clipped, prepend=False, append=False))
        starts, ends = edges[::2], edges[1::2]
        lengths = ends - starts
        self.samples += int(lengths.sum())
        if starts[0] == 0:
            lengths[0] += self._open
        else:
            self._close()
        self.longest = max(self.longest, int(lengths.max()))
        self._open = int(lengths[-1]) if ends[-1] == x.size else 0
        closed = lengths[:-1] if self._open else lengths
        self._runs += int(np.count_nonzero(closed >= _LEAST))

    def _close(self) -> None:
        self._runs += self._open >= _LEAST
        self._open = 0
