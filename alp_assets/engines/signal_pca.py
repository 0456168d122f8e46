"""Control S2: principal components of windows, and what they leave unexplained (Sub-PCA).

A window of all channels side by side is one vector, so that the phases are seen together. Its score is the mean
square of what the components leave, in units of what they leave of normals on average, plus the mean square of
the components in units of their variance (Q and T-square of multivariate process control; Jackson and Mudholkar,
1979). A recording that swings less than normals do is told by what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import Evidence, Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.time_moe.series import ChannelScale, fit_scale, missing, over_time, upper_mean
from alp_assets.errors import EngineUnfit, ModelUnsuited
from alp_assets.signal_params import SignalPcaParams
from alp_assets.signals.windows import covering_starts

Wide = npt.NDArray[np.float64]

_MOST_WINDOWS = 20_000
"""Windows that are learnt from, at most; of more, some of each recording are drawn by the seed."""

_OVERLAP = 4
"""Windows start at every fourth part of a window."""

_BINS = 256
_LEAST_SHARE = 1e-6
"""Variance that is left is never taken as less than this share of the whole, nor a component's."""


@dataclass(frozen=True)
class SignalPcaModel:
    """Mean (d,), ``components`` (k, d) and their ``variances`` (k,) of windows; ``left`` is the variance of a
    value that they leave unexplained.
    """

    scale: ChannelScale
    mean: Wide
    components: Wide
    variances: Wide
    left: float
    window: int
    upper_share: float

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"window": self.window, "upper_share": self.upper_share, "left": self.left}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of recordings (n, channels, points); not a number where points are not finite.

        Recording by recording, because a product of many windows rounds otherwise than of few.
        """
        return np.array([self._score(recording) for recording in embeddings], np.float64)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The square of what is left unexplained over time, a map (channels, time) for each recording."""
        return [Evidence(self._map(recording)) for recording in embeddings]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Scale, mean and components."""
        return {
            "centre": self.scale.centre,
            "spread": self.scale.spread,
            "mean": self.mean,
            "components": self.components,
            "variances": self.variances,
        }

    def _score(self, recording: FloatArray) -> float:
        if not np.isfinite(recording).all():
            return float("nan")
        values, rest, _ = self._parts(recording)
        unexplained = (rest**2).mean(axis=1) / self.left
        explained = (values**2 / self.variances).mean(axis=1)
        return upper_mean(unexplained + explained, self.upper_share) + missing(float(explained.mean()))

    def _map(self, recording: FloatArray) -> FloatArray:
        _, rest, starts = self._parts(recording)
        channels = len(self.scale.channels)
        courses = (rest**2).reshape(len(rest) * channels, self.window)
        rows = np.tile(np.arange(channels), len(rest))
        found = over_time(courses, rows, np.repeat(starts, channels), recording.shape[1], _BINS)
        silent_too: FloatArray = self.scale.silent_but(found, len(recording)).astype(np.float32)
        return silent_too

    def _parts(self, recording: FloatArray) -> tuple[Wide, Wide, npt.NDArray[np.int64]]:
        """Components (w, k) of the windows, what these leave (w, d), and where the windows start (w,)."""
        if recording.shape[0] != len(self.scale.centre) or recording.shape[1] < self.window:
            raise ModelUnsuited(
                f"a recording of {recording.shape[0]} channels and {recording.shape[1]} points; this model needs "
                f"{len(self.scale.centre)} channels and at least {self.window} points."
            )
        vectors, starts = _vectors(self.scale.of(recording), self.window)
        away = vectors - self.mean
        values = away @ self.components.T
        return values, away - values @ self.components, starts


class SignalPca:
    """Principal components of windows."""

    name = "signal_pca"
    letter = "S2"
    view: View = "frames"
    encoder = "series"
    extras: Extras = ""
    min_normals = 2

    def __init__(self, params: SignalPcaParams) -> None:
        self.params = params
        self.max_normals = params.max_normals

    def fit(self, normals: Normals) -> SignalPcaModel:
        """Learn from recordings (n, channels, points) of normals, finite, of one rate and length.

        Raises:
            TooFewNormals: a single normal, or none.
            EngineUnfit: no channel holds a signal.
        """
        refuse_too_few(self, normals)
        scale = fit_scale(normals.embeddings, "section")
        if not len(scale.channels):
            raise EngineUnfit("no channel of the normals holds a signal. Check the sensors and the channel roles.")
        window = min(self.params.window, normals.embeddings.shape[2])
        vectors = self._material(normals.embeddings, scale, window)
        mean = vectors.mean(axis=0)
        _, stretch, directions = np.linalg.svd(vectors - mean, full_matrices=False)
        variances = stretch**2 / len(vectors)
        whole = float(variances.sum())
        if whole <= 0:
            raise EngineUnfit("the windows of the normals are all the same. Check the sensors.")
        kept = int(np.searchsorted(np.cumsum(variances) / whole, self.params.explained)) + 1
        kept = min(kept, len(variances) - 1) or 1
        left = float(variances[kept:].sum()) / max(len(mean) - kept, 1)
        return SignalPcaModel(
            scale,
            mean,
            directions[:kept],
            np.maximum(variances[:kept], _LEAST_SHARE * whole),
            max(left, _LEAST_SHARE * whole / len(mean)),
            window,
            self.params.upper_share,
        )

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, each by components of the other recordings."""
        refuse_too_few(self, normals)
        return cross_validated_scores(_OnFolds(self.params), normals)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> SignalPcaModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        return SignalPcaModel(
            ChannelScale(tensors["centre"], tensors["spread"], "section"),
            tensors["mean"],
            tensors["components"],
            tensors["variances"],
            settings["left"],
            settings["window"],
            settings["upper_share"],
        )

    def _material(self, embeddings: FloatArray, scale: ChannelScale, window: int) -> Wide:
        rng = np.random.default_rng(self.params.seed)
        share = max(_MOST_WINDOWS // len(embeddings), 1)
        found = []
        for recording in embeddings:
            vectors, _ = _vectors(scale.of(recording), window)
            if len(vectors) > share:
                vectors = vectors[np.sort(rng.choice(len(vectors), share, replace=False))]
            found.append(vectors)
        return np.concatenate(found)


class _OnFolds(SignalPca):
    """The engine as calibration uses it: the windows of a single recording will do."""

    min_normals = 1


def _vectors(series: npt.NDArray[np.float32], window: int) -> tuple[Wide, npt.NDArray[np.int64]]:
    """Windows of all series (s, points) together as vectors (w, s * window), and where they start (w,)."""
    starts = covering_starts(series.shape[1], window, max(1, window // _OVERLAP))
    cut = np.stack([series[:, start : start + window].ravel() for start in starts])
    return cut.astype(np.float64), starts
