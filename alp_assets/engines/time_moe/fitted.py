"""A trained Time-MoE: what it is made of, and how it scores recordings.

A recording goes through the network alone, since products of many windows round otherwise than of few.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.base import Evidence, Scores
from alp_assets.engines.time_moe.config import Shape
from alp_assets.engines.time_moe.scoring import HybridRule, Measured, Profile, measure
from alp_assets.engines.time_moe.series import ChannelScale, over_time, upper_mean, windows_of
from alp_assets.errors import ModelUnsuited

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.model import Network

LEAST_POINTS = 32
"""A recording of fewer points has nothing to forecast from."""

_BINS = 256
"""Steps in time of an anomaly map, at most."""


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
        if recording.shape[0] != len(self.scale.centre) or recording.shape[1] < LEAST_POINTS:
            raise ModelUnsuited(
                f"a recording of {recording.shape[0]} channels and {recording.shape[1]} points; this model needs "
                f"{len(self.scale.centre)} channels and at least {LEAST_POINTS} points."
            )
        windows, groups, starts = windows_of(self.scale.of(recording), self.window)
        return measure(self.network, windows, self.context, self.rule.shares), groups, starts
