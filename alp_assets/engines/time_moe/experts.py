"""A layer of sparse experts: each point goes through the few that its router chooses, and one shared by all.

Points are sorted by expert, so that an expert is one matrix product over the points that chose it; nothing is
computed for the others, and there is no loop over points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from alp_assets.engines.time_moe.config import Shape
from alp_assets.engines.time_moe.layers import empty, gated


@dataclass(frozen=True)
class Routing:
    """Probabilities (points, experts) of a router, and the experts (points, chosen) that were taken."""

    probabilities: Tensor
    chosen: Tensor

    @property
    def counts(self) -> Tensor:
        """How many points each expert got (experts,), counted without a GPU having to be waited for."""
        taken = self.chosen.flatten()
        none = torch.zeros(self.probabilities.shape[1], dtype=torch.int64, device=taken.device)
        return none.scatter_add_(0, taken, torch.ones_like(taken))


class SparseExperts(nn.Module):
    """Experts (SwiGLU) of which each point takes ``chosen``, and a shared one behind a sigmoid gate.

    A chosen expert counts by its probability among all, as in Time-MoE: the weights of a point do not add up
    to 1.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.chosen = shape.chosen
        self.router = empty(shape.experts, shape.hidden)
        self.gate_up = empty(shape.experts, 2 * shape.expert_width, shape.hidden)
        self.down = empty(shape.experts, shape.hidden, shape.expert_width)
        self.shared_gate_up = empty(2 * shape.shared_width, shape.hidden)
        self.shared_down = empty(shape.hidden, shape.shared_width)
        self.shared_switch = empty(1, shape.hidden)

    def forward(self, points: Tensor) -> tuple[Tensor, Routing]:
        """Points (t, hidden) to what the experts make of them, of the same shape."""
        routing = self.route(points)
        found = self._sparse(points, routing)
        shared = functional.linear(gated(points, self.shared_gate_up), self.shared_down)
        switch = torch.sigmoid(functional.linear(points, self.shared_switch))
        return found + switch * shared, routing

    def route(self, points: Tensor) -> Routing:
        """Which experts points (t, hidden) go to, in float32: in bfloat16 close probabilities would tie."""
        with torch.autocast(points.device.type, enabled=False):
            logits = functional.linear(points.float(), self.router.float())
            probabilities = torch.exp(logits - logits.amax(dim=1, keepdim=True))
            probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)
        return Routing(probabilities, probabilities.detach().topk(self.chosen, dim=1).indices)

    def _sparse(self, points: Tensor, routing: Routing) -> Tensor:
        """The weighed sum (t, hidden) of each point's experts."""
        order = torch.argsort(routing.chosen.flatten(), stable=True)
        weights = routing.probabilities.gather(1, routing.chosen)
        given = points.index_select(0, order // self.chosen)
        made = _on_gpu(self, given, routing.counts) if _groups(given) else _on_cpu(self, given, routing.counts)
        made = made * weights.flatten()[order][:, None].to(made.dtype)
        # Back in the order of the points by a gather: adding up in place would hang on the order of threads.
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        places = back.view(len(points), self.chosen).unbind(dim=1)
        found = made.index_select(0, places[0])
        for place in places[1:]:
            found = found + made.index_select(0, place)
        return found


def _groups(given: Tensor) -> bool:
    """Whether the experts are one grouped product, which GPUs have for bfloat16."""
    return (
        given.is_cuda and torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == torch.bfloat16
    )


def _on_cpu(experts: SparseExperts, given: Tensor, counts: Tensor) -> Tensor:
    """Each expert's product over its points (t * chosen, hidden), one expert after the other."""
    parts = torch.split(given, counts.tolist())
    made = [
        functional.linear(gated(part, gate_up), down)
        for part, gate_up, down in zip(parts, experts.gate_up, experts.down, strict=True)
    ]
    return torch.cat(made)


def _on_gpu(experts: SparseExperts, given: Tensor, counts: Tensor) -> Tensor:
    """All experts in one grouped product, so that the GPU need not wait for the counts to be known here."""
    ends = counts.cumsum(0).to(torch.int32)
    kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else given.dtype
    gate_up, down = (weight.to(kind).transpose(1, 2) for weight in (experts.gate_up, experts.down))
    gate, up = functional.grouped_mm(given.to(kind), gate_up, offs=ends).chunk(2, dim=-1)
    return functional.grouped_mm(functional.silu(gate) * up, down, offs=ends)
