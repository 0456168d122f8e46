"""The sizes of the network.

``published`` is the layout of Time-MoE-50M (arXiv 2409.16040) as it is on the Hugging Face hub: 50 M parameters
are active for a point, and 113 M there are in all. ``base`` has its depth, width, heads, shared expert and
number of experts, and experts a quarter as wide, which makes 50 M in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Size = Literal["tiny", "small", "base", "published"]

HORIZONS = (1, 8, 32, 64)
"""How many points ahead each head forecasts."""


@dataclass(frozen=True)
class Shape:
    """What a network is made of.

    Attributes:
        hidden: values of a point's hidden state.
        layers: decoder layers.
        heads: attention heads; ``hidden`` divided by it is even.
        expert_width: inner values of each of the ``experts``.
        shared_width: inner values of the expert that all points go through.
        experts: how many there are in a layer.
        chosen: how many of them a point goes through.
        horizons: points ahead of each forecasting head.
        epsilon: of the root mean square normalisation.
        rope_base: of the rotary position embedding.
    """

    hidden: int
    layers: int
    heads: int
    expert_width: int
    shared_width: int
    experts: int = 8
    chosen: int = 2
    horizons: tuple[int, ...] = HORIZONS
    epsilon: float = 1e-5
    rope_base: float = 10_000.0

    @property
    def active_width(self) -> int:
        """Inner values that a point goes through in a layer, of chosen experts and the shared one."""
        return self.chosen * self.expert_width + self.shared_width


SHAPES: dict[Size, Shape] = {
    "tiny": Shape(hidden=32, layers=2, heads=2, expert_width=16, shared_width=32),
    "small": Shape(hidden=64, layers=2, heads=2, expert_width=64, shared_width=128),
    "base": Shape(hidden=384, layers=12, heads=12, expert_width=192, shared_width=1536),
    "published": Shape(hidden=384, layers=12, heads=12, expert_width=768, shared_width=1536),
}
