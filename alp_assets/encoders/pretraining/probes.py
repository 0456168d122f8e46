"""What a training is watched with: a nearest neighbour among machines that it is not trained on.

A machine is known by a few renderings; others of it are to be told from its altered sibling, at several
signal-to-noise ratios. Synthesized too, so a probe says how the training goes, and not how good the features
are on recordings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alp_assets.encoders.pretraining.spectrograms import rendered
from alp_assets.encoders.pretraining.views import mixed_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from alp_assets.encoders.conv_network import ConvNetwork

_MACHINES = 32
_KNOWN = 4
_TESTED = 4
_SEED = 9
_RATIOS_DB = (None, 0.0)


@dataclass(frozen=True)
class Probe:
    """Spectrograms (machines, 2, renderings, bands, frames) for each signal-to-noise ratio."""

    pools: dict[str, Tensor]

    def of(self, network: ConvNetwork) -> dict[str, float]:
        """Mean AUC over the machines, of log-mel means and of the network's clip embeddings, by ratio."""
        import torch

        network.eval()
        found = {}
        with torch.inference_mode():
            for name, pool in self.pools.items():
                flat = pool.flatten(0, 2)
                means = flat.mean(dim=2)
                embedded = torch.cat([network.embed(network.grid(part)) for part in torch.split(flat, 64)])
                found[f"log-mel, {name}"] = _auc(means, pool.shape)
                found[f"learned, {name}"] = _auc(embedded, pool.shape)
        return found


def make_probe(seed: int, device: torch.device) -> Probe:
    """The probe of a seed: clean, and with another machine as loud as the one listened to."""
    import torch

    clean = rendered(_MACHINES, _KNOWN + _TESTED, (seed, _SEED), device)
    pool = torch.from_numpy(clean.astype(np.float32)).to(device)
    pools = {}
    for ratio in _RATIOS_DB:
        if ratio is None:
            pools["clean"] = pool
            continue
        flat = pool.flatten(0, 2)
        column = torch.full((len(flat), 1, 1), ratio, device=device)
        pools[f"{ratio:g} dB"] = mixed_at(flat, flat.roll(len(flat) // 2 + 5, 0), column).reshape(pool.shape)
    return Probe(pools)


def _auc(values: Tensor, shape: tuple[int, ...]) -> float:
    from sklearn.metrics import roc_auc_score

    table: npt.NDArray[np.float32] = values.cpu().numpy().reshape(*shape[:3], -1)
    known, others = table[:, 0, :_KNOWN], np.concatenate([table[:, 0, _KNOWN:], table[:, 1]], axis=1)
    away = np.linalg.norm(others[:, :, None] - known[:, None], axis=3).min(axis=2)
    labels = np.arange(others.shape[1]) >= _TESTED
    return float(np.mean([roc_auc_score(labels, row) for row in away]))
