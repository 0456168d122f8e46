"""Control S3: harmonics of the mains and what stands beside them, and how far that is from normal.

The mains are the strongest line of a spectrum; frequencies are counted in them, so no sample rate is needed. Each
channel gives the level of the first harmonic, the others relative to it, the strongest level between two
harmonics, and in rings of sidebands around the first, where broken bars, eccentricity and load changes show
(Thomson and Fenger, "Current signature analysis to detect induction motor faults", IEEE Industry Applications
Magazine, 2001). Between channels the phase counts, which a short between turns shifts. A window's score is the
Mahalanobis distance of its features from the normal ones, with the covariance of Ledoit and Wolf (2004).
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
from alp_assets.engines.time_moe.series import ChannelScale, fit_scale, upper_mean
from alp_assets.errors import EngineUnfit, ModelUnsuited
from alp_assets.signal_params import SignalSpectrumParams
from alp_assets.signals.windows import covering_starts

Wide = npt.NDArray[np.float64]

_RINGS = ((0.02, 0.06), (0.06, 0.15), (0.15, 0.3), (0.3, 0.6))
"""Sidebands on either side of the mains, in units of its frequency."""

_BETWEEN = (0.2, 0.8)
"""The part of the way from one harmonic to the next in which neither is."""

_LEAST_PERIODS = 4
"""A window must hold so many periods of the mains."""

_LEAST_LEVEL = 1e-4
"""Amplitudes count from this on, in units of the channel's deviation: below is noise of the converter."""

_TYPICAL = 0.5
"""Half of a feature's variance is its own, half the median one: few normals know little."""

_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class SignalSpectrumModel:
    """What features normals have: ``mean`` and ``spread`` (d,), and the ``precision`` (d, d) of scaled ones."""

    scale: ChannelScale
    mean: Wide
    spread: Wide
    precision: Wide
    harmonics: int
    window: int
    upper_share: float

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"harmonics": self.harmonics, "window": self.window, "upper_share": self.upper_share}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of recordings (n, channels, points); not a number where points are not finite."""
        return np.array([self._score(recording) for recording in embeddings], np.float64)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """How far each channel's features are from normal over time, a map (channels, windows)."""
        found = []
        for recording in embeddings:
            away, channels = np.abs(self._away(recording)), len(self.scale.channels)
            parts = away[:, : _of_channel(self.harmonics) * channels].reshape(len(away), channels, -1)
            levels = parts.mean(axis=2).T
            found.append(Evidence(self.scale.silent_but(levels, len(recording)).astype(np.float32)))
        return found

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Scale, mean, spread and precision."""
        return {
            "centre": self.scale.centre,
            "channel_spread": self.scale.spread,
            "mean": self.mean,
            "spread": self.spread,
            "precision": self.precision,
        }

    def _score(self, recording: FloatArray) -> float:
        if not np.isfinite(recording).all():
            return float("nan")
        away = self._away(recording)
        distances = np.sqrt(np.array([max(float(row @ self.precision @ row), 0.0) for row in away]))
        return upper_mean(distances, self.upper_share)

    def _away(self, recording: FloatArray) -> Wide:
        """Scaled features (w, d) of the windows of a recording, less those of normals."""
        if recording.shape[0] != len(self.scale.centre) or recording.shape[1] < min(self.window, _SHORTEST):
            raise ModelUnsuited(
                f"a recording of {recording.shape[0]} channels and {recording.shape[1]} points; this model needs "
                f"{len(self.scale.centre)} channels and at least {min(self.window, _SHORTEST)} points."
            )
        found = _features(self.scale.of(recording), self.window, self.harmonics)
        away: Wide = (found - self.mean) / self.spread
        return away


_SHORTEST = 64
"""A spectrum of fewer points tells nothing."""


class SignalSpectrum:
    """Harmonics and sidebands of the mains."""

    name = "signal_spectrum"
    letter = "S3"
    view: View = "frames"
    encoder = "series"
    extras: Extras = ""
    min_normals = 2

    def __init__(self, params: SignalSpectrumParams) -> None:
        self.params = params
        self.max_normals = params.max_normals

    def fit(self, normals: Normals) -> SignalSpectrumModel:
        """Learn from recordings (n, channels, points) of normals, finite, of one rate and length.

        Raises:
            TooFewNormals: a single normal, or none.
            EngineUnfit: no channel holds a signal, or windows are too short for their mains.
        """
        refuse_too_few(self, normals)
        return self._fit(normals)

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, each by features of the other recordings.

        Of two normals each is compared to the other one, with the spread of both: a single one has none.
        """
        refuse_too_few(self, normals)
        if len(normals) > self.min_normals:
            return cross_validated_scores(self, normals)
        model = self._fit(normals)
        found = np.stack([model._away(recording).mean(axis=0) for recording in normals.embeddings])
        distance = float(np.sqrt(max((found[0] - found[1]) @ model.precision @ (found[0] - found[1]), 0.0)))
        return np.full(2, distance)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> SignalSpectrumModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        return SignalSpectrumModel(
            ChannelScale(tensors["centre"], tensors["channel_spread"], "section"),
            tensors["mean"],
            tensors["spread"],
            tensors["precision"],
            settings["harmonics"],
            settings["window"],
            settings["upper_share"],
        )

    def _fit(self, normals: Normals) -> SignalSpectrumModel:
        from sklearn.covariance import ledoit_wolf

        points = normals.embeddings.shape[2]
        window = min(self.params.window or points, points)
        scale = fit_scale(normals.embeddings, "section")
        if not len(scale.channels):
            raise EngineUnfit("no channel of the normals holds a signal. Check the sensors and the channel roles.")
        series = [scale.of(recording) for recording in normals.embeddings]
        mains = float(np.median([_mains(part) for item in series for part in _cut(item, window)]))
        if window < _SHORTEST or mains * window < _LEAST_PERIODS:
            raise EngineUnfit(
                f"windows of {window} points hold {mains * window:.1f} periods of the mains; {self.name} needs "
                f"{_LEAST_PERIODS} periods and {_SHORTEST} points. Send longer recordings."
            )
        harmonics = max(1, min(self.params.harmonics, int(0.49 / mains)))
        found = np.concatenate([_features(item, window, harmonics) for item in series])
        own = found.var(axis=0)
        spread = np.maximum(np.sqrt((1 - _TYPICAL) * own + _TYPICAL * np.median(own)), _LEAST_SPREAD)
        mean = found.mean(axis=0)
        covariance, _ = ledoit_wolf((found - mean) / spread, assume_centered=True)
        floor = 1e-3 * max(float(np.trace(covariance)) / len(covariance), _LEAST_SPREAD)
        precision = np.linalg.inv(covariance + floor * np.eye(len(covariance)))
        return SignalSpectrumModel(scale, mean, spread, precision, harmonics, window, self.params.upper_share)


def _cut(series: npt.NDArray[np.float32], window: int) -> list[Wide]:
    """Windows (s, window) of series (s, points), side by side."""
    window = min(window, series.shape[1])
    starts = covering_starts(series.shape[1], window, window)
    return [series[:, start : start + window].astype(np.float64) for start in starts]


def _of_channel(harmonics: int) -> int:
    """Features of one channel."""
    return 1 + 2 * harmonics + 2 * len(_RINGS)


def _features(series: npt.NDArray[np.float32], window: int, harmonics: int) -> Wide:
    """Features (w, d) of the windows of series (s, points): of each channel, then the phases between them."""
    return np.stack([_of_window(part, harmonics) for part in _cut(series, window)])


def _of_window(part: Wide, harmonics: int) -> Wide:
    mains = _mains(part)
    taper = np.hanning(part.shape[1] + 2)[1:-1]
    turns = np.exp(-2j * np.pi * mains * np.outer(np.arange(1, harmonics + 1), np.arange(part.shape[1])))
    lines = ((part - part.mean(axis=1, keepdims=True)) * taper) @ turns.T * (2 / taper.sum())
    levels = np.log(np.abs(lines) + _LEAST_LEVEL)
    offset = np.log(part.std(axis=1) + _LEAST_LEVEL)
    channels = [
        np.concatenate(
            [
                [offset[row], levels[row, 0]],
                levels[row, 1:] - levels[row, 0],
                _beside(part[row], mains, taper, harmonics),
            ]
        )
        for row in range(len(part))
    ]
    first = lines[:, 0]
    between = first[1:] * first[:-1].conj()
    between = between / np.maximum(np.abs(between), _LEAST_LEVEL**2)
    return np.concatenate([*channels, between.real, between.imag])


def _beside(channel: Wide, mains: float, taper: Wide, harmonics: int) -> Wide:
    """Strongest levels in the rings below and above the mains, and between harmonics, relative to the mains."""
    spectrum = np.abs(np.fft.rfft((channel - channel.mean()) * taper)) * (2 / taper.sum())
    frequency = np.fft.rfftfreq(len(channel)) / mains
    centre = np.log(spectrum[np.argmin(np.abs(frequency - 1.0))] + _LEAST_LEVEL)
    bands = [(1 - high, 1 - low) for low, high in _RINGS] + [(1 + low, 1 + high) for low, high in _RINGS]
    bands += [(number + _BETWEEN[0], number + _BETWEEN[1]) for number in range(1, harmonics + 1)]
    found = []
    for low, high in bands:
        inside = (frequency >= low) & (frequency < high)
        level = spectrum[inside].max() if inside.any() else 0.0
        found.append(np.log(level + _LEAST_LEVEL) - centre)
    return np.array(found)


def _mains(part: Wide | npt.NDArray[np.float32]) -> float:
    """The strongest line of all series (s, points) together, in cycles per point, between bins by a parabola."""
    taper = np.hanning(part.shape[1] + 2)[1:-1]
    centred = part - part.mean(axis=1, keepdims=True)
    spectrum = np.sqrt((np.abs(np.fft.rfft(centred * taper, axis=1)) ** 2).sum(axis=0))
    spectrum[0] = 0.0
    peak = int(np.argmax(spectrum))
    if not 0 < peak < len(spectrum) - 1:
        return max(peak, 1) / int(part.shape[1])
    low, top, high = np.log(spectrum[peak - 1 : peak + 2] + 1e-12)
    bend = low - 2 * top + high
    shift = 0.5 * (low - high) / bend if bend < 0 else 0.0
    return (peak + min(max(float(shift), -0.5), 0.5)) / int(part.shape[1])
