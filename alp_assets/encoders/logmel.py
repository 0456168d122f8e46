"""Log-mel statistics: no weights, works anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.features import log_mel
from alp_assets.params import LogmelParams


class LogmelEncoder:
    """Mean, standard deviation and an upper quantile over time of every log-mel band, in dB.

    An embedding is (3, n_mels): statistics by bands, bands kept apart.
    """

    name = "logmel"

    def __init__(self, params: LogmelParams) -> None:
        self.params = params

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one embedding."""
        return (3, self.params.n_mels)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        return self.params.model_dump()

    def encode(self, clips: list[FloatArray]) -> FloatArray:
        """Embeddings (len(clips), 3, n_mels)."""
        return np.stack([self._embed(clip) for clip in clips])

    def _embed(self, clip: FloatArray) -> FloatArray:
        bands = log_mel(clip, self.params)
        rank = round(self.params.upper_quantile * (bands.shape[1] - 1))
        upper = np.partition(bands, rank, axis=1)[:, rank]
        return np.stack([bands.mean(axis=1), bands.std(axis=1), upper]).astype(np.float32)
