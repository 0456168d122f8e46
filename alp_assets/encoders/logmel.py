"""Log-mel spectrograms and their statistics: no weights, works anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.features import log_mel
from alp_assets.audio.standardize import CLIP_SAMPLES
from alp_assets.encoders.base import Sound, View
from alp_assets.params import LogmelParams

_PATCH = 16
_STRIDE = 8
"""Bands and frames of a patch, and how far apart patches start."""


class LogmelEncoder:
    """Log-mel bands in dB.

    ``pooled`` is (n_mels, 2 + quantiles): mean, standard deviation and quantiles over time. ``frames`` is the
    spectrogram (n_mels, frames) of ten seconds, a shorter clip's repeated from its start. ``patches``
    is (1, bands, time, 256): squares of 16 bands and 16 frames, half overlapping, each less its clip's
    mean level.
    """

    name = "logmel"

    def __init__(self, params: LogmelParams) -> None:
        self.params = params

    @property
    def views(self) -> Mapping[View, tuple[int, ...]]:
        """The shapes of one clip's embeddings."""
        mels = self.params.n_mels
        frames = frames_of_clip(self.params)
        statistics = 2 + len(self.params.quantiles)
        shapes: dict[View, tuple[int, ...]] = {"pooled": (mels, statistics), "frames": (mels, frames)}
        if mels >= _PATCH and frames >= _PATCH:
            grid = (1 + (mels - _PATCH) // _STRIDE, 1 + (frames - _PATCH) // _STRIDE)
            shapes["patches"] = (1, *grid, _PATCH * _PATCH)
        return shapes

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        return self.params.model_dump(mode="json")

    def encode(self, sounds: Sequence[Sound], views: Sequence[View]) -> dict[View, FloatArray]:
        """Each of the views, one spectrogram for all of them."""
        found: dict[View, list[FloatArray]] = {view: [] for view in views}
        for sound in sounds:
            bands = log_mel(sound.samples, self.params)
            for view in views:
                found[view].append(self._view(bands, view))
        return {
            view: np.stack(values) if values else np.zeros((0, *self.views[view]), np.float32)
            for view, values in found.items()
        }

    def _view(self, bands: FloatArray, view: View) -> FloatArray:
        if view == "pooled":
            return statistics(bands, self.params.quantiles)
        whole = repeated(bands, frames_of_clip(self.params))
        return whole if view == "frames" else _patches(whole)


def frames_of_clip(params: LogmelParams) -> int:
    """Frames of a spectrogram of ten seconds."""
    return 1 + (CLIP_SAMPLES - params.n_fft) // params.hop_length


def repeated(bands: FloatArray, frames: int) -> FloatArray:
    """A spectrogram (bands, n) as (bands, frames), a shorter one repeated from its start."""
    whole: FloatArray = np.take(bands, np.arange(frames) % bands.shape[1], axis=1).astype(np.float32)
    return whole


def statistics(bands: FloatArray, quantiles: Sequence[float]) -> FloatArray:
    """Mean, standard deviation and quantiles over time (bands, 2 + quantiles) of a spectrogram (bands, frames)."""
    ranks = [round(share * (bands.shape[1] - 1)) for share in quantiles]
    ranked = np.partition(bands, ranks, axis=1)[:, ranks]
    return np.column_stack([bands.mean(axis=1), bands.std(axis=1), ranked]).astype(np.float32)


def _patches(bands: FloatArray) -> FloatArray:
    level = bands - bands.mean()
    windows = np.lib.stride_tricks.sliding_window_view(level, (_PATCH, _PATCH))[::_STRIDE, ::_STRIDE]
    return np.ascontiguousarray(windows.reshape(1, *windows.shape[:2], _PATCH * _PATCH))
