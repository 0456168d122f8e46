"""Descriptors as an encoder: no weights, a thousand numbers for a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.descriptors import (
    FRAME,
    HOP,
    LAYOUT,
    MELS,
    MFCC,
    RESONANCE_HZ,
    ROLLOFF_SHARE,
    descriptors,
)
from alp_assets.audio.envelope import BAND_HZ
from alp_assets.encoders.base import Sound, View


class DescriptorEncoder:
    """Cepstral and spectral statistics and physical quantities.

    ``pooled`` is (1, ``LAYOUT.size``), laid out as ``LAYOUT`` says. It is the only view. All values are
    finite: a recording without a band above 10 kHz has -120 dBFS there and 0 in the flag beside it.
    """

    name = "descriptors"

    @property
    def views(self) -> Mapping[View, tuple[int, ...]]:
        """The shape of one clip's embedding."""
        return {"pooled": (1, LAYOUT.size)}

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        return {
            "size": LAYOUT.size,
            "mfcc": MFCC,
            "n_mels": MELS,
            "n_fft": FRAME,
            "hop_length": HOP,
            "rolloff_share": ROLLOFF_SHARE,
            "resonance_hz": list(RESONANCE_HZ),
            "envelope_band_hz": list(BAND_HZ),
        }

    def encode(self, sounds: Sequence[Sound], views: Sequence[View]) -> dict[View, FloatArray]:
        """Each of the views as (len(sounds), 1, size); the sounds may be of any length up to 10 s."""
        values = np.zeros((len(sounds), *self.views["pooled"]), np.float32)
        for row, sound in enumerate(sounds):
            values[row, 0] = descriptors(sound.samples, sound.db_8_10k, sound.db_above_10k)
        return {view: values.reshape(-1, *self.views[view]) for view in views}
