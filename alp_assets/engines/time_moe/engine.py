"""Engine S1: Time-MoE, trained on the normal recordings of a section alone.

Every channel is a series of its own. A window's score is the hybrid one (``scoring``); a recording's score is the
mean of its highest windows, over all channels. A recording goes through the network alone, since products of many
windows round otherwise than of few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import Evidence, Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.time_moe.config import SHAPES, Shape, Size
from alp_assets.engines.time_moe.schedules import SCHEDULES
from alp_assets.engines.time_moe.scoring import HybridRule, Measured, Profile, fit_profile, measure
from alp_assets.engines.time_moe.series import (
    ChannelScale,
    RecordedSeries,
    fit_scale,
    normal_windows,
    over_time,
    upper_mean,
    windows_of,
)
from alp_assets.errors import EngineUnfit, ModelUnsuited
from alp_assets.signal_params import TimeMoeParams
from alp_assets.signals.windows import WindowPlan

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.heartbeat import Beat
    from alp_assets.engines.time_moe.model import Network
    from alp_assets.engines.time_moe.training import Data, Schedule, Trainer

_LEAST_POINTS = 32
"""A recording of fewer points has nothing to forecast from."""

_BINS = 256
"""Steps in time of an anomaly map, at most."""

_HELD_OUT_FROM = 20
"""From so many recordings on, a tenth of them tells when to stop; of fewer, all are learnt from."""


@dataclass(frozen=True)
class Labelled:
    """Recordings (n, channels, points) of which it is known whether they are ``anomalous`` (n,). No test data."""

    recordings: FloatArray
    anomalous: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TimeMoeModel:
    """A trained network, and what normal windows are like for it.

    ``training`` is what there is to say of the training: steps, loss, use of the experts and which of them
    collapsed, errors of the normals by channel and horizon.
    """

    shape: Shape
    weights: dict[str, npt.NDArray[np.float32]]
    scale: ChannelScale
    profile: Profile
    rule: HybridRule
    window: int
    context: int
    upper_share: float
    training: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {
            "shape": {**asdict(self.shape), "horizons": list(self.shape.horizons)},
            "rule": {**asdict(self.rule), "weights": list(self.rule.weights)},
            "scaling": self.scale.scaling,
            "window": self.window,
            "context": self.context,
            "upper_share": self.upper_share,
            "training": self.training,
        }

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of recordings (n, channels, points); not a number where points are not finite."""
        return np.array([self._score(recording) for recording in embeddings], np.float64)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The forecasting error over time, a map (channels, time) for each recording."""
        found = []
        for recording in embeddings:
            measured, groups, starts = self._measured(recording)
            errors = over_time(measured.course, groups, starts, recording.shape[1], _BINS)
            found.append(Evidence(self.scale.silent_but(errors, len(recording)).astype(np.float32)))
        return found

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The weights of the network, the scale and the profile."""
        network = {f"network.{name}": value for name, value in self.weights.items()}
        profile = {f"profile.{name}": value for name, value in asdict(self.profile).items()}
        return {**network, **profile, "centre": self.scale.centre, "spread": self.scale.spread}

    @cached_property
    def network(self) -> Network:
        """The network with its weights."""
        import torch

        from alp_assets.engines.time_moe.model import Network

        network = Network(self.shape)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in self.weights.items()})
        return network.requires_grad_(False).eval()

    def _score(self, recording: FloatArray) -> float:
        if not np.isfinite(recording).all():
            return float("nan")
        measured, groups, _ = self._measured(recording)
        return upper_mean(self.profile.hybrid(measured, groups, self.rule), self.upper_share)

    def _measured(self, recording: FloatArray) -> tuple[Measured, npt.NDArray[np.intp], npt.NDArray[np.int64]]:
        if recording.shape[0] != len(self.scale.centre) or recording.shape[1] < _LEAST_POINTS:
            raise ModelUnsuited(
                f"a recording of {recording.shape[0]} channels and {recording.shape[1]} points; this model needs "
                f"{len(self.scale.centre)} channels and at least {_LEAST_POINTS} points."
            )
        windows, groups, starts = windows_of(self.scale.of(recording), self.window)
        return measure(self.network, windows, self.context, self.rule.shares), groups, starts


class TimeMoe:
    """A forecaster with sparse experts.

    ``folder`` keeps checkpoints and ``metrics.jsonl`` of the training, which goes on from there when it was cut
    off; ``on_beat`` is told of every heartbeat, which looks at the ``validation`` that a customer labelled.
    """

    name = "time_moe"
    letter = "S1"
    view: View = "frames"
    encoder = "series"
    extras: Extras = ""
    min_normals = 2

    def __init__(
        self,
        params: TimeMoeParams,
        folder: Path | None = None,
        on_beat: Callable[[Beat], None] | None = None,
        validation: Labelled | None = None,
    ) -> None:
        self.params = params
        self.validation = validation
        self.max_normals = params.max_normals
        self.folder = folder
        self.on_beat = on_beat

    def fit(self, normals: Normals) -> TimeMoeModel:
        """Train on recordings (n, channels, points) of normals, finite, of one rate and length.

        Raises:
            TooFewNormals: a single normal, or none.
            EngineUnfit: recordings too short, no channel with a signal, or a training that did not converge.
            WeightsMissing: ``weights`` names none that can be read.
        """
        refuse_too_few(self, normals)
        points = normals.embeddings.shape[2]
        if points < _LEAST_POINTS:
            raise EngineUnfit(f"recordings of {points} points; {self.name} needs at least {_LEAST_POINTS}.")
        scale = fit_scale(normals.embeddings, self.params.scaling)
        if not len(scale.channels):
            raise EngineUnfit("no channel of the normals holds a signal. Check the sensors and the channel roles.")
        window = min(self.params.window, points)
        schedule = self._schedule()
        trainer = self._trainer(normals, scale, window, schedule)
        trainer.run()
        return self._model(trainer, normals, scale, window)

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, each by a network trained on the other folds.

        There are ``calibration_folds`` trainings, each with ``calibration_share`` of the steps: a full training
        without every recording would take n times as long. Such networks forecast a little worse, so the
        scores are rather too high than too low, and so is the threshold.
        """
        refuse_too_few(self, normals)
        return cross_validated_scores(_OnFolds(self.params), normals, self.params.calibration_folds)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> TimeMoeModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        prefix = "network."
        shape = {**settings["shape"], "horizons": tuple(settings["shape"]["horizons"])}
        rule = {**settings["rule"], "weights": tuple(settings["rule"]["weights"])}
        return TimeMoeModel(
            shape=Shape(**shape),
            weights={name.removeprefix(prefix): item for name, item in tensors.items() if name.startswith(prefix)},
            scale=ChannelScale(tensors["centre"], tensors["spread"], settings["scaling"]),
            profile=Profile(*(tensors[f"profile.{name}"] for name in ("centre", "precision", "error", "reach"))),
            rule=HybridRule(**rule),
            window=settings["window"],
            context=settings["context"],
            upper_share=settings["upper_share"],
            training=settings["training"],
        )

    @property
    def rule(self) -> HybridRule:
        """The hybrid score as the parameters ask for it."""
        params = self.params
        return HybridRule(params.horizon_weights, params.latent_weight, params.distance, params.relative)

    def _schedule(self) -> Schedule:
        params = self.params
        asked = {
            name: value
            for name in ("steps", "batch", "accumulation", "learning_rate")
            if (value := getattr(params, name))
        }
        return replace(SCHEDULES[params.size], **asked, eight_bit=params.eight_bit, precision=params.precision)

    def _trainer(self, normals: Normals, scale: ChannelScale, window: int, schedule: Schedule) -> Trainer:
        from alp_assets.engines.time_moe.training import Trainer

        network = self._network()
        data = self._data(normals, scale, window)
        return Trainer(network, data, schedule, self.folder, self._heartbeat(normals, scale, window))

    def _heartbeat(self, normals: Normals, scale: ChannelScale, window: int) -> Callable[[Trainer], None] | None:
        """What looks at the whole every few hours; nobody would see it without a folder or a listener.

        The threshold is set on the labelled recordings, else on held-out normals, else on those learnt from.
        """
        from alp_assets.engines.time_moe.heartbeat import Heartbeat, Interval, Looked

        if self.folder is None and self.on_beat is None:
            return None
        held_out = _held_out(normals)
        cut, groups, _ = normal_windows(normals.embeddings[~held_out], scale, window)
        known = Looked(cut, groups)
        rest = normals.chosen(held_out) if held_out.any() else normals
        if self.validation is not None:
            cut, groups, rows = normal_windows(self.validation.recordings, scale, window)
            looked = Looked(cut, groups, self.validation.anomalous[rows], rows.astype(np.str_))
        else:
            cut, groups, rows = normal_windows(rest.embeddings, scale, window)
            looked = Looked(cut, groups, recordings=rest.recordings[rows])
        interval = Interval(seconds=3600 * self.params.heartbeat_hours)
        return Heartbeat(interval, known, looked, self.rule, self.params.context, self.folder, self.on_beat)

    def _network(self) -> Network:
        import torch

        from alp_assets.engines.time_moe.model import new_network, reset_routers
        from alp_assets.engines.time_moe.weights import load_published

        generator = torch.Generator().manual_seed(self.params.seed)
        size: Size = self.params.size
        network = new_network(SHAPES[size], generator, checkpointing=size == "base")
        if self.params.weights:
            load_published(network, Path(self.params.weights))
            reset_routers(network, generator)
        return network

    def _data(self, normals: Normals, scale: ChannelScale, window: int) -> Data:
        """Windows of the recordings, without those that are held out."""
        from alp_assets.engines.time_moe.training import Data

        held_out = _held_out(normals)
        source = RecordedSeries(normals.embeddings[~held_out] if held_out.any() else normals.embeddings, scale)
        plan = WindowPlan(source.lengths, window, self.params.stride or max(1, window // 2), self.params.seed)
        if not held_out.any():
            return Data(source, plan)
        return Data(source, plan, normal_windows(normals.embeddings[held_out], scale, window)[0])

    def _model(self, trainer: Trainer, normals: Normals, scale: ChannelScale, window: int) -> TimeMoeModel:
        network = trainer.network.cpu().eval()
        weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise EngineUnfit(
                f"{self.name} did not converge. Set a lower models.time_moe.learning_rate "
                f"(it was {trainer.schedule.learning_rate:g})."
            )
        cut, groups, _ = normal_windows(normals.embeddings, scale, window)
        profile = fit_profile(measure(network, cut, self.params.context, self.rule.shares), groups, self.rule)
        training = {
            "size": self.params.size,
            "steps": trainer.state.step,
            "loss": trainer.state.loss,
            "expert_usage": trainer.usage.shares,
            "collapsed_experts": [list(pair) for pair in trainer.usage.collapsed],
            "channels": scale.channels.tolist(),
            "error_by_channel_and_horizon": profile.error.tolist(),
        }
        return TimeMoeModel(
            trainer.network.shape,
            weights,
            scale,
            profile,
            self.rule,
            window,
            self.params.context,
            self.params.upper_share,
            training,
        )


class _OnFolds(TimeMoe):
    """The engine as calibration uses it: a shorter schedule, and one recording will do."""

    min_normals = 1

    def _schedule(self) -> Schedule:
        whole = super()._schedule()
        return replace(whole, steps=max(1, round(self.params.calibration_share * whole.steps)))


def _held_out(normals: Normals) -> npt.NDArray[np.bool_]:
    """Which normals (n,) only tell when to stop: a tenth of the recordings, where there are many."""
    names = np.unique(normals.recordings)
    if len(names) < _HELD_OUT_FROM:
        return np.zeros(len(normals), np.bool_)
    return np.isin(normals.recordings, names[::10])
