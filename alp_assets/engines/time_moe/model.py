"""The network: a decoder that forecasts the next 1, 8, 32 and 64 points from every point of a series.

After Time-MoE (Shi et al., "Time-MoE: billion-scale time series foundation models with mixture of experts",
ICLR 2025, arXiv 2409.16040): one point is one token, and every layer has sparse experts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from alp_assets.engines.time_moe.config import Shape
from alp_assets.engines.time_moe.experts import Routing, SparseExperts
from alp_assets.engines.time_moe.layers import Attention, PointEmbedding, RMSNorm, empty

ROUTER_SPREAD = 0.01


@dataclass(frozen=True)
class Output:
    """What the network makes of series (n, points).

    ``hidden`` is (n, points, hidden); ``forecasts`` has (n, points, h) for each horizon h: the h points after
    each point; ``routings`` has the router's choice of each layer.
    """

    hidden: Tensor
    forecasts: tuple[Tensor, ...]
    routings: tuple[Routing, ...]


class Decoder(nn.Module):
    """One layer: attention, then experts, each on normalised states and added to them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before_attention = RMSNorm(shape.hidden, shape.epsilon)
        self.attention = Attention(shape.hidden, shape.heads, shape.rope_base)
        self.before_experts = RMSNorm(shape.hidden, shape.epsilon)
        self.experts = SparseExperts(shape)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States (n, points, hidden), and the probabilities and choices of the router."""
        states = states + self.attention(self.before_attention(states))
        found, routing = self.experts(self.before_experts(states).flatten(0, 1))
        return states + found.view_as(states), routing.probabilities, routing.chosen


class Network(nn.Module):
    """Point embedding, decoder layers, and a linear head for each horizon.

    With ``checkpointing`` a layer's inner values are computed again for the gradient and not kept.
    """

    def __init__(self, shape: Shape, checkpointing: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.checkpointing = checkpointing
        self.embedding = PointEmbedding(shape.hidden)
        self.layers = nn.ModuleList(Decoder(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.epsilon)
        self.heads = nn.ParameterList(empty(horizon, shape.hidden) for horizon in shape.horizons)

    def forward(self, series: Tensor) -> Output:
        """Forecasts of series (n, points)."""
        states, routings = self.embedding(series), []
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                states, *routing = checkpoint(layer, states, use_reentrant=False, preserve_rng_state=False)
            else:
                states, *routing = layer(states)
            routings.append(Routing(*routing))
        hidden = self.norm(states)
        forecasts = tuple(functional.linear(hidden, head) for head in self.heads)
        return Output(hidden, forecasts, tuple(routings))

    @property
    def decoders(self) -> list[Decoder]:
        """The layers, in their order."""
        return [layer for layer in self.layers if isinstance(layer, Decoder)]

    @property
    def size(self) -> int:
        """How many parameters there are in all."""
        return sum(value.numel() for value in self.parameters())

    @property
    def active_size(self) -> int:
        """How many parameters a point goes through."""
        shape = self.shape
        idle = (shape.experts - shape.chosen) * 3 * shape.hidden * shape.expert_width
        return self.size - shape.layers * idle


def new_network(shape: Shape, generator: torch.Generator, checkpointing: bool = False) -> Network:
    """An untrained network; its random weights hang on the generator alone.

    Weights deviate by one over the root of their inputs, so that narrow networks learn as wide ones do, and those
    that add to the hidden states by less the more of them there are. The embedding has one input: with small
    weights its states would vanish in the normalisation's epsilon.
    """
    network = Network(shape, checkpointing)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("norm.weight") or ".before_" in name:
                value.fill_(1.0)
            elif name.endswith("bias"):
                value.zero_()
            else:
                deviation = value.shape[-1] ** -0.5
                if name.endswith(("out", "down")):
                    deviation /= (2 * shape.layers) ** 0.5
                value.normal_(0.0, deviation, generator=generator)
    reset_routers(network, generator)
    return network


def reset_routers(network: Network, generator: torch.Generator) -> None:
    """Fresh router weights (standard deviation 0.01): a router of other data would favour some experts."""
    with torch.no_grad():
        for layer in network.decoders:
            layer.experts.router.normal_(0.0, ROUTER_SPREAD, generator=generator)
