"""Control S4: errors of a convolutional forecaster that sees all channels together.

Dilated causal convolutions (van den Oord et al., "WaveNet", arXiv 1609.03499, without its gates) forecast the next
points of every channel from the past of all of them. A stretch's score is its squared error in units of what
normals have, a recording's the mean of its highest stretches. A channel that is easier to forecast than those of
normals is told by what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import Evidence, Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.time_moe.series import ChannelScale, fit_scale, missing, over_time, upper_mean
from alp_assets.errors import EngineUnfit, ModelUnsuited
from alp_assets.signal_params import SignalCnnParams
from alp_assets.signals.windows import ArraySeries, Feed, WindowPlan

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Wide = npt.NDArray[np.float64]
Weights = dict[str, npt.NDArray[np.float32]]

_STRETCH = 256
"""Points whose errors are taken together."""

_AT_A_TIME = 65_536
"""Points that go through the network together, with the past that they hang on."""

_BINS = 256
_LEAST_ERROR = 1e-6
_MOST_GRADIENT = 1.0


@dataclass(frozen=True)
class SignalCnnModel:
    """A trained network and the mean squared ``error`` (active channels,) that it has on normals."""

    scale: ChannelScale
    weights: Weights
    error: Wide
    layers: int
    ahead: int
    upper_share: float

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"layers": self.layers, "ahead": self.ahead, "upper_share": self.upper_share}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of recordings (n, channels, points); not a number where points are not finite.

        Recording by recording, because a convolution of many rounds otherwise than one of a single recording.
        """
        return np.array([self._score(recording) for recording in embeddings], np.float64)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The squared error over time in units of the normals', a map (channels, time) for each recording."""
        found = []
        for recording in embeddings:
            errors = self._errors(recording)
            rows, starts = np.arange(len(errors)), np.zeros(len(errors), np.int64)
            course = over_time(errors, rows, starts, errors.shape[1], _BINS)
            found.append(Evidence(self.scale.silent_but(course, len(recording)).astype(np.float32)))
        return found

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Scale, weights and errors."""
        network = {f"network.{name}": value for name, value in self.weights.items()}
        return {**network, "centre": self.scale.centre, "spread": self.scale.spread, "error": self.error}

    @cached_property
    def _network(self) -> dict[str, Tensor]:
        import torch

        return {name: torch.from_numpy(value.copy()) for name, value in self.weights.items()}

    def _score(self, recording: FloatArray) -> float:
        if not np.isfinite(recording).all():
            return float("nan")
        errors = self._errors(recording)[:, _past(self.layers) :]
        whole = errors.mean(axis=0)
        stretches = np.array_split(whole, max(1, round(len(whole) / _STRETCH)))
        score = upper_mean(np.array([stretch.mean() for stretch in stretches]), self.upper_share)
        return score + max(missing(float(level)) for level in errors.mean(axis=1))

    def _errors(self, recording: FloatArray) -> Wide:
        """Squared errors (active channels, points) in units of the normals'; 0 where nothing is forecast."""
        least = _past(self.layers) + 2 * self.ahead
        if recording.shape[0] != len(self.scale.centre) or recording.shape[1] < least:
            raise ModelUnsuited(
                f"a recording of {recording.shape[0]} channels and {recording.shape[1]} points; this model needs "
                f"{len(self.scale.centre)} channels and at least {least} points."
            )
        found = _forecast_errors(self._network, self.scale.of(recording), self.layers, self.ahead)
        relative: Wide = found / np.maximum(self.error, _LEAST_ERROR)[:, None]
        return relative


class SignalCnn:
    """A convolutional forecaster."""

    name = "signal_cnn"
    letter = "S4"
    view: View = "frames"
    encoder = "series"
    extras: Extras = ""
    min_normals = 2

    def __init__(self, params: SignalCnnParams) -> None:
        self.params = params
        self.max_normals = params.max_normals

    def fit(self, normals: Normals) -> SignalCnnModel:
        """Train on recordings (n, channels, points) of normals, finite, of one rate and length.

        Raises:
            TooFewNormals: a single normal, or none.
            EngineUnfit: recordings too short, no channel with a signal, or a training that did not converge.
        """
        refuse_too_few(self, normals)
        points, params = normals.embeddings.shape[2], self.params
        least = 2 * (_past(params.layers) + params.ahead)
        if points < least:
            raise EngineUnfit(
                f"recordings of {points} points; {self.name} with {params.layers} layers needs {least}. "
                "Set fewer models.signal_cnn.layers."
            )
        scale = fit_scale(normals.embeddings, "section")
        if not len(scale.channels):
            raise EngineUnfit("no channel of the normals holds a signal. Check the sensors and the channel roles.")
        series = np.stack([scale.of(recording) for recording in normals.embeddings])
        weights = self._train(series)
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise EngineUnfit(
                f"{self.name} did not converge. Set a lower models.signal_cnn.learning_rate "
                f"(it is {params.learning_rate:g})."
            )
        model = SignalCnnModel(
            scale, weights, np.ones(len(scale.channels)), params.layers, params.ahead, params.upper_share
        )
        past = _past(params.layers)
        errors = [model._errors(recording)[:, past:].mean(axis=1) for recording in normals.embeddings]
        return SignalCnnModel(
            scale, weights, np.mean(errors, axis=0), params.layers, params.ahead, params.upper_share
        )

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, each by a network trained on the other folds."""
        refuse_too_few(self, normals)
        return cross_validated_scores(_OnFolds(self.params), normals, self.params.calibration_folds)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> SignalCnnModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        prefix = "network."
        return SignalCnnModel(
            ChannelScale(tensors["centre"], tensors["spread"], "section"),
            {name.removeprefix(prefix): item for name, item in tensors.items() if name.startswith(prefix)},
            tensors["error"],
            settings["layers"],
            settings["ahead"],
            settings["upper_share"],
        )

    def _train(self, series: npt.NDArray[np.float32]) -> Weights:
        """Weights after ``steps`` of Adam on windows of recordings (n, channels, points)."""
        import torch

        params = self.params
        generator = torch.Generator().manual_seed(params.seed)
        weights = _initial(series.shape[1], params, generator)
        optimizer = torch.optim.Adam(list(weights.values()), lr=params.learning_rate)
        window = min(params.window, series.shape[2])
        lengths = np.full(len(series), series.shape[2], np.int64)
        plan = WindowPlan(lengths, window, max(1, window // 2), params.seed)
        feed = Feed(ArraySeries(series[:, 0]), plan)
        for step in range(params.steps):
            optimizer.param_groups[0]["lr"] = params.learning_rate * (1 - step / params.steps)
            chosen = feed.pick(params.batch)
            batch = torch.from_numpy(np.stack([series[row, :, start : start + window] for row, start in chosen]))
            error = _squares(weights, batch, params.layers, params.ahead)[..., _past(params.layers) :].mean()
            optimizer.zero_grad()
            error.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights.values(), _MOST_GRADIENT)
            optimizer.step()
        return {name: value.detach().numpy().copy() for name, value in weights.items()}


class _OnFolds(SignalCnn):
    """The engine as calibration uses it: a single recording will do."""

    min_normals = 1


def _past(layers: int) -> int:
    """Points before one that its forecast hangs on."""
    return 1 << layers


def _initial(channels: int, params: SignalCnnParams, generator: torch.Generator) -> dict[str, Tensor]:
    import torch

    width = params.channels
    shapes = {f"layer.{place}": (width, width if place else channels, 2) for place in range(params.layers)}
    shapes["head"] = (channels * params.ahead, width, 1)
    weights = {}
    for name, shape in shapes.items():
        # The head begins near 0, the best forecast of one that knows nothing.
        deviation = (0.01 if name == "head" else 2.0) ** 0.5 / (shape[1] * shape[2]) ** 0.5
        weights[name] = (torch.randn(shape, generator=generator) * deviation).requires_grad_()
        weights[f"{name}.bias"] = torch.zeros(shape[0], requires_grad=True)
    return weights


def _squares(weights: dict[str, Tensor], series: Tensor, layers: int, ahead: int) -> Tensor:
    """Squared errors (n, channels, points - ahead) of forecasts, mean over the points ahead.

    The one at place t is of the forecast that was made at t.
    """
    from torch.nn import functional

    states = series
    for place in range(layers):
        back = 2**place
        padded = functional.pad(states, (back, 0))
        found = functional.relu(
            functional.conv1d(padded, weights[f"layer.{place}"], weights[f"layer.{place}.bias"], dilation=back)
        )
        states = states + found if place else found
    made = functional.conv1d(states, weights["head"], weights["head.bias"])
    n, channels, points = series.shape
    forecast = made.view(n, channels, ahead, points)[..., : points - ahead].transpose(2, 3)
    truth = series[..., 1:].unfold(2, ahead, 1)
    return ((forecast - truth) ** 2).mean(dim=3)


def _forecast_errors(weights: dict[str, Tensor], series: npt.NDArray[np.float32], layers: int, ahead: int) -> Wide:
    """Squared errors (channels, points) of the forecasts that were made before each point, part by part."""
    import torch

    channels, points = series.shape
    past = _past(layers)
    found = np.zeros((channels, points))
    with torch.inference_mode():
        for start in range(0, points - ahead, _AT_A_TIME):
            first = max(0, start - past)
            part = torch.from_numpy(series[None, :, first : start + _AT_A_TIME + ahead])
            errors = _squares(weights, part, layers, ahead)[0, :, start - first :].double().numpy()
            found[:, start + 1 : start + 1 + errors.shape[1]] = errors
    return found
