"""Parts of the decoder: linear maps, normalisation, rotary positions, attention, the gated unit.

They are made without torch's own constructors, which draw from the generator that all threads share.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def empty(*shape: int) -> nn.Parameter:
    """A parameter to be filled."""
    return nn.Parameter(torch.empty(shape))


class RMSNorm(nn.Module):
    """Root mean square normalisation (arXiv 1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = empty(width)
        self.epsilon = epsilon

    def forward(self, states: Tensor) -> Tensor:
        """States (..., width) of mean square 1, weighed."""
        return functional.rms_norm(states, self.weight.shape, self.weight.to(states.dtype), self.epsilon)


def gated(states: Tensor, gate_up: Tensor) -> Tensor:
    """The inner values (..., w) of a gated unit, SwiGLU (arXiv 2002.05202); ``gate_up`` is (2 w, d)."""
    gate, up = functional.linear(states, gate_up).chunk(2, dim=-1)
    return functional.silu(gate) * up


class PointEmbedding(nn.Module):
    """Each point of a series becomes a hidden state, by a gated unit of its value."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gate_up = empty(2 * hidden, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Series (n, points) to states (n, points, hidden)."""
        return gated(series[..., None], self.gate_up)


class Attention(nn.Module):
    """Attention of each point to itself and those before it."""

    def __init__(self, hidden: int, heads: int, rope_base: float) -> None:
        super().__init__()
        self.heads = heads
        self.rope_base = rope_base
        self.qkv = empty(3 * hidden, hidden)
        self.qkv_bias = empty(3 * hidden)
        self.out = empty(hidden, hidden)

    def forward(self, states: Tensor) -> Tensor:
        """States (n, points, hidden) to what the points take from others, of the same shape."""
        n, points, hidden = states.shape
        parts = functional.linear(states, self.qkv, self.qkv_bias).view(n, points, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        turn = _turns(points, hidden // self.heads, self.rope_base, states.device)
        query, key = (_rotated(part, *turn) for part in (query, key))
        found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return functional.linear(found.transpose(1, 2).reshape(n, points, hidden), self.out)


def _turns(points: int, width: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine (points, width) of the rotary embedding (arXiv 2104.09864), halves side by side."""
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    angles = torch.outer(
        torch.arange(points, dtype=torch.float32, device=device), torch.exp(-math.log(base) * steps)
    )
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _rotated(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cosine.to(states.dtype) + torch.cat((-second, first), dim=-1) * sine.to(states.dtype)
