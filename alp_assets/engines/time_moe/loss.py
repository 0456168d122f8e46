"""What training makes small: errors over all horizons, and an uneven use of the experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from alp_assets.engines.time_moe.experts import Routing
    from alp_assets.engines.time_moe.model import Output


def horizon_pairs(forecasts: Sequence[Tensor], series: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Forecast and truth (n, points - h, h) of each horizon h; a horizon that no series reaches is left out."""
    pairs = []
    for forecast in forecasts:
        horizon = forecast.shape[2]
        if horizon < series.shape[1]:
            truth = series[:, 1:].unfold(1, horizon, 1)
            pairs.append((forecast[:, : truth.shape[1]], truth))
    return pairs


def huber_loss(output: Output, series: Tensor, delta: float) -> Tensor:
    """The mean over horizons of the mean Huber loss of forecasts of series (n, points)."""
    from torch.nn import functional

    pairs = horizon_pairs(output.forecasts, series)
    return sum(
        (functional.huber_loss(forecast.float(), truth, delta=delta) for forecast, truth in pairs),
        start=series.new_zeros(()),
    ) / len(pairs)


def balance_loss(routings: Sequence[Routing]) -> Tensor:
    """How uneven the experts are used, 1 where all alike, mean over layers (Switch Transformer, eqs. 4 to 6)."""
    import torch

    found = []
    for routing in routings:
        share = routing.counts / routing.chosen.numel()
        found.append(routing.probabilities.shape[1] * (share * routing.probabilities.mean(dim=0)).sum())
    return torch.stack(found).mean()
