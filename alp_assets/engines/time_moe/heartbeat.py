"""The heartbeat of a long training: every few hours, how well the network as it is would tell normal from not.

It takes the profile of normal anew, scores the validation windows, looks for a threshold, and leaves a line in
``metrics.jsonl`` and a checkpoint with the figure in its name. Test data never come here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alp_assets.decision.labelled import Found, best_threshold
from alp_assets.decision.policy import set_threshold
from alp_assets.engines.time_moe.checkpoint import save_tensors
from alp_assets.engines.time_moe.scoring import HybridRule, Measured, Profile, fit_profile, measure
from alp_assets.files import write_json
from alp_assets.params import DecisionParams

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.training import Trainer, Windows

ENOUGH_F1 = 0.950
"""Below this F1 on labelled validation windows the loss becomes a little more robust."""

DELTA_FACTOR = 0.98


@dataclass(frozen=True)
class Interval:
    """How often it beats: every so many steps, or where that is 0 every so many seconds of training."""

    seconds: float = 3 * 3600.0
    steps: int = 0

    def due(self, trainer: Trainer) -> bool:
        """Whether it is time."""
        state = trainer.state
        if self.steps:
            return state.step - state.beat_step >= self.steps
        return state.seconds - state.beat_seconds >= self.seconds


@dataclass(frozen=True)
class Looked:
    """Windows (w, points) of groups (w,), and which of them are ``anomalous`` (w,), where that is known.

    ``recordings`` (w,) are whose windows they are: those of one recording are one witness.
    """

    windows: Windows
    groups: npt.NDArray[np.intp]
    anomalous: npt.NDArray[np.bool_] | None = None
    recordings: npt.NDArray[np.str_] | None = None

    @property
    def labelled(self) -> bool:
        """Whether there are normal and anomalous windows."""
        known = self.anomalous
        return known is not None and bool(known.any()) and not bool(known.all())


@dataclass(frozen=True)
class Beat:
    """What one heartbeat found.

    ``basis`` is ``labels`` or the policy of ``decision``; without labels ``found`` is missing.
    ``huber_delta`` is the one that training goes on with. ``collapsed`` are layer and number of idle experts.
    """

    step: int
    seconds: float
    loss: float
    normal_score: float
    threshold: float
    basis: str
    note: str
    found: Found | None
    huber_delta: float
    expert_usage: list[list[float]]
    collapsed: list[tuple[int, int]]
    checkpoint: str = ""


@dataclass(frozen=True)
class Heartbeat:
    """Called after each step of a trainer; looks at the whole when ``interval`` has passed.

    Attributes:
        interval: how often.
        normals: windows that the profile is made of.
        validation: windows that the threshold is set on: labelled ones, else normals.
        rule: the hybrid score.
        context: first points of a window, whose forecasts do not count.
        folder: where checkpoints go, if anywhere.
        on_beat: is told of each.
        decision: the policy where nothing is labelled.
    """

    interval: Interval
    normals: Looked
    validation: Looked
    rule: HybridRule = field(default_factory=HybridRule)
    context: int = 64
    folder: Path | None = None
    on_beat: Callable[[Beat], None] | None = None
    decision: DecisionParams = field(default_factory=DecisionParams)

    def __call__(self, trainer: Trainer) -> None:
        """Beat, if it is time."""
        if self.interval.due(trainer):
            self.beat(trainer)

    def beat(self, trainer: Trainer) -> Beat:
        """Look at the whole, whatever the time."""
        state = trainer.state
        state.beat_step, state.beat_seconds = state.step, state.seconds
        profile = fit_profile(self._measured(trainer, self.normals), self.normals.groups, self.rule)
        scores = profile.hybrid(self._measured(trainer, self.validation), self.validation.groups, self.rule)
        found, threshold, basis, note = self._threshold(scores)
        if found is not None and found.f1 < ENOUGH_F1:
            state.huber_delta *= DELTA_FACTOR
        known = self.validation.anomalous
        normal = scores if known is None else scores[~known]
        beat = Beat(
            step=state.step,
            seconds=state.seconds,
            loss=state.loss,
            normal_score=float(normal.mean()) if len(normal) else 0.0,
            threshold=threshold,
            basis=basis,
            note=note,
            found=found,
            huber_delta=state.huber_delta,
            expert_usage=trainer.usage.shares,
            collapsed=trainer.usage.collapsed,
            checkpoint=_checkpoint_name(state.step, state.loss, found) if self.folder else "",
        )
        if self.folder is not None:
            _keep(self.folder, trainer, profile, beat)
        # A line's step and seconds are the trainer's.
        trainer.log(
            "beat", {name: value for name, value in asdict(beat).items() if name not in ("step", "seconds")}
        )
        if self.on_beat is not None:
            self.on_beat(beat)
        return beat

    def _measured(self, trainer: Trainer, looked: Looked) -> Measured:
        return measure(trainer.network, looked.windows, self.context, self.rule.shares)

    def _threshold(self, scores: npt.NDArray[np.float64]) -> tuple[Found | None, float, str, str]:
        known = self.validation.anomalous
        if known is not None and self.validation.labelled:
            found = best_threshold(scores, known)
            return found, found.threshold, "labels", ""
        normal = scores if known is None else scores[~known]
        if not len(normal):
            raise ValueError("the validation windows are all anomalous, and no threshold can be set on those")
        recordings = None
        if self.validation.recordings is not None:
            recordings = {"target": len(set(self.validation.recordings.tolist()))}
        policy = set_threshold({"target": normal}, self.decision, recordings)
        return None, policy.value, policy.policy, policy.note


def _checkpoint_name(step: int, loss: float, found: Found | None) -> str:
    figure = f"f1-{found.f1:.4f}" if found is not None else f"loss-{loss:.4f}"
    return f"beat-{step:07d}-{figure}.safetensors"


def _keep(folder: Path, trainer: Trainer, profile: Profile, beat: Beat) -> None:
    """The network and its profile, the beat beside them, and the state that training goes on from."""
    import torch

    tensors = {f"network.{name}": value for name, value in trainer.network.state_dict().items()}
    tensors |= {f"profile.{name}": torch.from_numpy(np.asarray(value)) for name, value in asdict(profile).items()}
    path = folder / beat.checkpoint
    save_tensors(path, tensors)
    write_json(path.with_suffix(".json"), asdict(beat))
    if trainer.folder is not None:
        trainer.save()
