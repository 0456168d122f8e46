"""Engine S1: Time-MoE, trained on the normal recordings of a section alone.

Every channel is a series of its own. A window's score is the hybrid one (``scoring``); a recording's score is the
mean of its highest windows, over all channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.time_moe.config import SHAPES, Shape, Size
from alp_assets.engines.time_moe.fitted import LEAST_POINTS, TimeMoeModel
from alp_assets.engines.time_moe.schedules import SCHEDULES
from alp_assets.engines.time_moe.scoring import HybridRule, Profile, fit_profile, measure
from alp_assets.engines.time_moe.series import ChannelScale, RecordedSeries, fit_scale, normal_windows
from alp_assets.errors import EngineUnfit
from alp_assets.params import DecisionParams
from alp_assets.signal_params import TimeMoeParams
from alp_assets.signals.windows import WindowPlan

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.heartbeat import Beat, Looked
    from alp_assets.engines.time_moe.model import Network
    from alp_assets.engines.time_moe.training import Data, Schedule, Trainer

_HELD_OUT_FROM = 20
"""From so many recordings on, a tenth of them tells when to stop; of fewer, all are learnt from."""


@dataclass(frozen=True)
class Labelled:
    """Recordings (n, channels, points) of which it is known whether they are ``anomalous`` (n,). No test data."""

    recordings: FloatArray
    anomalous: npt.NDArray[np.bool_]


class TimeMoe:
    """A forecaster with sparse experts.

    ``folder`` keeps checkpoints and ``metrics.jsonl`` of the training, which goes on from there when it was cut
    off, and those of calibration in folders of their own; ``on_beat`` is told of every heartbeat, which looks at
    the ``validation`` that a customer labelled, else sets its threshold on normals as ``decision`` says.

    Normals may be recordings in a store (``signals.stored``): nothing here holds all of them.
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
        decision: DecisionParams | None = None,
    ) -> None:
        self.params = params
        self.validation = validation
        self.decision = decision or DecisionParams()
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
        if points < LEAST_POINTS:
            raise EngineUnfit(f"recordings of {points} points; {self.name} needs at least {LEAST_POINTS}.")
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
        scores are rather too high than too low, and so is the threshold. Of a domain with more than
        ``calibration_clips`` clips only about so many are scored; the others' scores are NaN.
        """
        refuse_too_few(self, normals)
        folds, most = self.params.calibration_folds, self.params.calibration_clips
        return cross_validated_scores(_OnFolds(self.params, self.folder), normals, folds, most)

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
        return Trainer(network, data, schedule, self._place(), self._heartbeat(normals, scale, window))

    def _place(self) -> Path | None:
        """Where a training keeps its state; asked for once for each."""
        return self.folder

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
            looked = _looked_at(self.validation, scale, window)
        else:
            cut, groups, rows = normal_windows(rest.embeddings, scale, window)
            looked = Looked(cut, groups, recordings=rest.recordings[rows])
        return Heartbeat(
            interval=Interval(3600 * self.params.heartbeat_hours, self._steps_between_beats(window)),
            normals=known,
            validation=looked,
            rule=self.rule,
            context=self.params.context,
            folder=self.folder,
            on_beat=self.on_beat,
            decision=self.decision,
        )

    def _steps_between_beats(self, window: int) -> int:
        """Steps that were asked for, or that make up the points; 0 leaves it to the hours."""
        if self.params.heartbeat_steps:
            return self.params.heartbeat_steps
        schedule = self._schedule()
        return -(-self.params.heartbeat_points // (schedule.batch * schedule.accumulation * window))

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
    """The engine as calibration uses it: a shorter schedule, no heartbeat, and one recording will do.

    Folds are trained in the same order every time, so their number says where each goes on.
    """

    min_normals = 1

    def __init__(self, params: TimeMoeParams, folder: Path | None) -> None:
        super().__init__(params, folder)
        self._folds = itertools.count(1)

    def _place(self) -> Path | None:
        return self.folder / f"fold-{next(self._folds)}" if self.folder else None

    def _heartbeat(self, normals: Normals, scale: ChannelScale, window: int) -> None:
        return None

    def _schedule(self) -> Schedule:
        whole = super()._schedule()
        return replace(whole, steps=max(1, round(self.params.calibration_share * whole.steps)))


def _looked_at(labelled: Labelled, scale: ChannelScale, window: int) -> Looked:
    """Windows of normal and of anomalous recordings, each kind evenly spread where there are too many."""
    from alp_assets.engines.time_moe.heartbeat import Looked

    parts = []
    for kind in (False, True):
        of_kind = np.flatnonzero(labelled.anomalous == kind)
        if len(of_kind):
            cut, groups, rows = normal_windows(labelled.recordings[of_kind], scale, window)
            parts.append((cut, groups, of_kind[rows]))
    cut, groups, rows = (np.concatenate(found) for found in zip(*parts, strict=True))
    return Looked(cut, groups, labelled.anomalous[rows], rows.astype(np.str_))


def _held_out(normals: Normals) -> npt.NDArray[np.bool_]:
    """Which normals (n,) only tell when to stop: a tenth of the recordings, where there are many."""
    names = np.unique(normals.recordings)
    if len(names) < _HELD_OUT_FROM:
        return np.zeros(len(normals), np.bool_)
    return np.isin(normals.recordings, names[::10])
