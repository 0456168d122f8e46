"""How the experts are used while training, and which of them are idle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.experts import Routing

LEAST_SHARE = 0.01
"""An expert that gets less of the points than this is idle."""

Counts = npt.NDArray[np.int64]


@dataclass
class ExpertUsage:
    """Points that each expert (layers, experts) got, and for how many steps in a row it has been idle.

    An expert has collapsed when it was idle in each of the last ``window`` steps.
    """

    window: int
    counts: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    idle_steps: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def add(self, counts: Counts) -> None:
        """Count a step (layers, experts)."""
        if not self.counts.size:
            self.counts, self.idle_steps = np.zeros_like(counts), np.zeros_like(counts)
        self.counts = self.counts + counts
        idle = counts < LEAST_SHARE * counts.sum(axis=1, keepdims=True)
        self.idle_steps = np.where(idle, self.idle_steps + 1, 0)

    @property
    def shares(self) -> list[list[float]]:
        """The share of the points that each expert of each layer got."""
        total = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        found: list[list[float]] = (self.counts / total).round(6).tolist()
        return found

    @property
    def collapsed(self) -> list[tuple[int, int]]:
        """Layer and number of the experts that have collapsed, counted from 0."""
        return [(int(layer), int(expert)) for layer, expert in np.argwhere(self.idle_steps >= self.window)]

    @property
    def state(self) -> dict[str, Any]:
        """All that must be kept to go on counting."""
        return {"counts": self.counts.tolist(), "idle_steps": self.idle_steps.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.counts = np.array(state["counts"], np.int64)
        self.idle_steps = np.array(state["idle_steps"], np.int64)


def counted(routings: Sequence[Routing]) -> Counts:
    """The points of each expert (layers, experts)."""
    import torch

    found: Counts = torch.stack([routing.counts for routing in routings]).cpu().numpy()
    return found
