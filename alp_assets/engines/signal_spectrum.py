"""Control S3: harmonics of the mains, what stands beside them, and how evenly three phases turn.

The mains are the strongest line of a spectrum; frequencies are counted in them, so no sample rate is needed. Each
channel gives the level of the first harmonic, the others relative to it, the strongest level between two
harmonics, and in rings of sidebands around the first, where broken bars, eccentricity and load changes show
(Thomson and Fenger, "Current signature analysis to detect induction motor faults", IEEE Industry Applications
Magazine, 2001). Between channels the phase counts, which a short between turns shifts.

Where the first three channels of the normals are phases of one supply, lines of the swing of Park's vector are
added (``signals.park``): of its modulus and its angle, at every twelfth of the mains up to eight times it. On
real stator currents with 10 % of a phase's turns shorted (``bench/signals``) the AUC of recordings is 0.99 with
them and 0.96 without; on made-up motors with weak shorts, broken bars or rotors out of balance it is 0.8 to 1.0,
and 0.5 to 0.8 without. Vibration, single phases, and phases of which one is masked do with harmonics and
sidebands.

A window's score is the Mahalanobis distance of its features from the normal ones, with the covariance of Ledoit
and Wolf (2004) of either group; the groups are taken as independent of each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import Evidence, Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.signal_lines import PHASES, SHORTEST, Layout, features, laid_out
from alp_assets.engines.time_moe.series import ChannelScale, fit_scale, upper_mean
from alp_assets.errors import EngineUnfit, ModelUnsuited
from alp_assets.signal_params import SignalSpectrumParams

Wide = npt.NDArray[np.float64]

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
    layout: Layout
    window: int
    upper_share: float

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {**asdict(self.layout), "window": self.window, "upper_share": self.upper_share}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of recordings (n, channels, points); not a number where points are not finite."""
        return np.array([self._score(recording) for recording in embeddings], np.float64)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """How far each channel's features are from normal over time, a map (channels, windows).

        The swing of the phases together counts for each of them, where it is farther.
        """
        found, layout = [], self.layout
        for recording in embeddings:
            away, channels = np.abs(self._away(recording)), len(self.scale.channels)
            parts = away[:, : layout.of_channel * channels].reshape(len(away), channels, -1)
            levels = parts.mean(axis=2).T
            if layout.lines:
                levels[:PHASES] = np.maximum(levels[:PHASES], away[:, -layout.of_swing :].mean(axis=1))
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
        if recording.shape[0] != len(self.scale.centre) or recording.shape[1] < min(self.window, SHORTEST):
            raise ModelUnsuited(
                f"a recording of {recording.shape[0]} channels and {recording.shape[1]} points; this model needs "
                f"{len(self.scale.centre)} channels and at least {min(self.window, SHORTEST)} points."
            )
        found = features(self.scale.of(recording), self.window, self.layout)
        away: Wide = (found - self.mean) / self.spread
        return away


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
            Layout(settings["harmonics"], settings.get("periods", 0), settings.get("lines", 0)),
            settings["window"],
            settings["upper_share"],
        )

    def _fit(self, normals: Normals) -> SignalSpectrumModel:
        points = normals.embeddings.shape[2]
        window = min(self.params.window or points, points)
        scale = fit_scale(normals.embeddings, "section")
        if not len(scale.channels):
            raise EngineUnfit("no channel of the normals holds a signal. Check the sensors and the channel roles.")
        series = [scale.of(recording) for recording in normals.embeddings]
        three_phases = scale.channels[:PHASES].tolist() == list(range(PHASES))
        layout = laid_out(series, window, self.params.harmonics, three_phases=three_phases)
        found = np.concatenate([features(item, window, layout) for item in series])
        groups = np.split(found, [found.shape[1] - layout.of_swing], axis=1)
        mean, spread, precision = zip(*(_usual(group) for group in groups if group.shape[1]), strict=True)
        return SignalSpectrumModel(
            scale,
            np.concatenate(mean),
            np.concatenate(spread),
            _beside_each_other(precision),
            layout,
            window,
            self.params.upper_share,
        )


def _usual(found: Wide) -> tuple[Wide, Wide, Wide]:
    """Mean (d,), spread (d,) and precision (d, d) of a group of features (n, d)."""
    from sklearn.covariance import ledoit_wolf

    own = found.var(axis=0)
    spread = np.maximum(np.sqrt((1 - _TYPICAL) * own + _TYPICAL * np.median(own)), _LEAST_SPREAD)
    mean = found.mean(axis=0)
    covariance, _ = ledoit_wolf((found - mean) / spread, assume_centered=True)
    floor = 1e-3 * max(float(np.trace(covariance)) / len(covariance), _LEAST_SPREAD)
    return mean, spread, np.linalg.inv(covariance + floor * np.eye(len(covariance)))


def _beside_each_other(blocks: tuple[Wide, ...]) -> Wide:
    """A matrix with square blocks on its diagonal and zeros elsewhere."""
    sizes = [len(block) for block in blocks]
    found, start = np.zeros((sum(sizes), sum(sizes))), 0
    for block, size in zip(blocks, sizes, strict=True):
        found[start : start + size, start : start + size] = block
        start += size
    return found
