"""Listening for two microphones in one stereo recording, while its samples go by."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from alp_assets.audio.decode import FloatArray, Recording

_LEAST_CORRELATION = 0.5
_MOST_DIFFERENCE_DB = 6.0


class Overheard(Recording):
    """A recording whose channels are compared as its blocks are read; the blocks themselves stay as they are."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.info = recording.info
        self._count = 0
        self._sums = np.zeros(2)
        self._products = np.zeros((2, 2))

    def blocks(self, frames: int = 0) -> Iterator[FloatArray]:
        """As of the recording."""
        for block in self._recording.blocks(frames):
            if self.info.channels == 2:
                self._add(block)
            yield block

    def two_microphones(self, silence_dbfs: float) -> bool:
        """Whether the two channels, both with sound, differ in level by 6 dB or correlate by less than 0.5.

        The channels of one stereo microphone, or copies of one, are closer than that on a machine nearby.
        """
        if not self._count:
            return False
        means = self._sums / self._count
        covariance = self._products / self._count - np.outer(means, means)
        power = np.diag(covariance)
        if not np.isfinite(covariance).all() or (power <= 10 ** (silence_dbfs / 10)).any():
            return False
        difference = abs(10 * math.log10(power[0] / power[1]))
        return bool(
            difference >= _MOST_DIFFERENCE_DB or covariance[0, 1] < _LEAST_CORRELATION * math.sqrt(power.prod())
        )

    def _add(self, block: FloatArray) -> None:
        self._count += len(block)
        channels = np.ascontiguousarray(block.T, np.float64)
        self._sums += channels.sum(axis=1)
        self._products += channels @ channels.T
