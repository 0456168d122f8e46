"""How far windows are from normal: the errors of their forecasts, and how far their hidden states lie.

The hybrid score of a window is the weighted mean of its squared errors over the horizons, plus a tenth of the
distance of its mean hidden state from the normal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.engines.time_moe.config import HORIZONS
from alp_assets.engines.time_moe.loss import horizon_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from alp_assets.engines.time_moe.model import Network

Wide = npt.NDArray[np.float64]
Distance = Literal["mahalanobis", "euclidean", "cosine"]

_AT_A_TIME = 16_384
"""Points that go through the network together."""

_LEAST = 1e-6
"""Errors and distances of normals are never taken as less: a noiseless series would make all others infinite."""


@dataclass(frozen=True)
class HybridRule:
    """What the hybrid score is made of.

    Attributes:
        weights: of the horizons, in their order; they need not add up to 1.
        latent: how much the distance counts.
        distance: how far hidden states are from the normal ones.
        relative: whether errors and distances are taken in units of what normals have on average, which makes
            channels comparable; otherwise as they are.
    """

    weights: tuple[float, ...] = (1.0,) * len(HORIZONS)
    latent: float = 0.1
    distance: Distance = "mahalanobis"
    relative: bool = True

    @property
    def shares(self) -> Wide:
        """The weights (horizons,), which add up to 1."""
        return np.array(self.weights) / sum(self.weights)


@dataclass(frozen=True)
class Measured:
    """What a network finds in windows: mean squared ``errors`` (w, horizons), mean hidden ``states`` (w, d).

    ``course`` (w, points) is the weighted squared error of the forecasts that were made before each point; the
    points that were skipped have none, which is 0.
    """

    errors: Wide
    states: Wide
    course: Wide

    def __getitem__(self, rows: Any) -> Measured:
        """Some of the windows."""
        return Measured(self.errors[rows], self.states[rows], self.course[rows])


def measure(network: Network, windows: npt.NDArray[np.float32], skip: int, shares: Wide) -> Measured:
    """Run windows (w, points) through a network; the first ``skip`` points are only context.

    ``shares`` (horizons,) weigh the course of the error. A horizon beyond the window counts as one that is
    forecast without error.
    """
    import torch

    step = max(1, _AT_A_TIME // windows.shape[1])
    device, shape = next(network.parameters()).device, network.shape
    # Room for all at first: parts kept one by one would lie in the holes that larger ones left, which then no
    # longer fit there, and the process would grow by all that it ever worked on.
    errors, states = (np.zeros((len(windows), width)) for width in (len(shape.horizons), shape.hidden))
    found = Measured(errors, states, np.zeros(windows.shape))
    with torch.inference_mode():
        for start in range(0, len(windows), step):
            rows = slice(start, start + step)
            series = torch.from_numpy(windows[rows]).to(device)
            found.errors[rows], found.states[rows], found.course[rows] = _measured(network, series, skip, shares)
    return found


def _measured(network: Network, series: Tensor, skip: int, shares: Wide) -> tuple[Wide, Wide, Wide]:
    import torch

    output = network(series)
    skip = min(skip, series.shape[1] // 2)
    errors = torch.zeros(len(series), len(output.forecasts), dtype=torch.float64)
    course = torch.zeros(series.shape, dtype=torch.float64)
    for place, (forecast, truth) in enumerate(horizon_pairs(output.forecasts, series)):
        square = ((forecast.float() - truth) ** 2).mean(dim=2).cpu()
        errors[:, place] = square[:, min(skip, square.shape[1] - 1) :].double().mean(dim=1)
        course[:, 1 : 1 + square.shape[1]] += float(shares[place]) * square.double()
    course[:, :skip] = 0
    states = output.hidden[:, skip:].double().mean(dim=1).cpu()
    return errors.numpy(), states.numpy(), course.numpy()


@dataclass(frozen=True)
class Profile:
    """What normal windows are like, group by group; groups are channels.

    Attributes:
        centre: mean hidden state (groups, d).
        precision: inverse of the covariance (d, d) of hidden states within the groups.
        error: mean squared error (groups, horizons).
        reach: mean distance (groups,) from the centre.
    """

    centre: Wide
    precision: Wide
    error: Wide
    reach: Wide = field(default_factory=lambda: np.zeros(0))

    def hybrid(self, found: Measured, groups: npt.NDArray[np.intp], rule: HybridRule) -> Wide:
        """Hybrid scores (w,) of windows of groups (w,)."""
        errors, distance = found.errors, self.distance(found.states, groups, rule.distance)
        if rule.relative:
            errors = errors / np.maximum(self.error[groups], _LEAST)
            distance = distance / np.maximum(self.reach[groups], _LEAST)
        # A sum over rows, not a matrix product, which rounds by the number of rows.
        scores: Wide = (errors * rule.shares).sum(axis=1) + rule.latent * distance
        return scores

    def distance(self, states: Wide, groups: npt.NDArray[np.intp], kind: Distance) -> Wide:
        """Distances (w,) of hidden states (w, d) from the centres of their groups."""
        centre = self.centre[groups]
        if kind == "cosine":
            lengths = np.linalg.norm(states, axis=1) * np.linalg.norm(centre, axis=1)
            turned: Wide = 1.0 - (states * centre).sum(axis=1) / np.maximum(lengths, _LEAST)
            return turned
        away = states - centre
        # Row by row, because a product of many rows rounds otherwise than of one.
        squares = [one @ one if kind == "euclidean" else one @ self.precision @ one for one in away]
        return np.sqrt(np.maximum(np.array(squares, np.float64), 0.0)).astype(np.float64)


def fit_profile(found: Measured, groups: npt.NDArray[np.intp], rule: HybridRule) -> Profile:
    """The profile of normal windows; covariance with the shrinkage of Ledoit and Wolf (2004).

    Groups are 0 to g - 1, each with at least one window.
    """
    from sklearn.covariance import ledoit_wolf

    names: Sequence[int] = range(int(groups.max()) + 1)
    centre = np.stack([found.states[groups == name].mean(axis=0) for name in names])
    error = np.stack([found.errors[groups == name].mean(axis=0) for name in names])
    away = found.states - centre[groups]
    covariance = ledoit_wolf(away, assume_centered=True)[0]
    floor = max(float(np.trace(covariance)) / len(covariance), _LEAST**2) * _LEAST
    precision = np.linalg.inv(covariance + floor * np.eye(len(covariance)))
    bare = Profile(centre, precision, error)
    distance = bare.distance(found.states, groups, rule.distance)
    reach = np.array([distance[groups == name].mean() for name in names])
    return Profile(centre, precision, error, reach)
