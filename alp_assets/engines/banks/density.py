"""Mode ``density``: local density normalisation with one neighbour (arXiv 2606.19269).

The distance to the nearest normal is divided by how far that normal lies from its own nearest one, so what is
far in a dense part of the bank weighs more than in a sparse one. The smaller ratio over the domains counts.
It needs no other normalisation, and banks of many clips: with few the own distances are mostly chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.banks.domains import finite_rows, flat, rows_by_domain, witnesses
from alp_assets.engines.banks.search import nearest, nearest_of_others
from alp_assets.engines.base import Evidence, Normals, Scores

_LEAST = 1e-3
"""Own distances are never taken below this share of the bank's mean: copies lie infinitely dense."""


@dataclass(frozen=True)
class DensityBank:
    """The clips of one domain (n, d), and how far each lies from the nearest of another recording (n,)."""

    memory: FloatArray
    own: Scores


@dataclass(frozen=True)
class DensityModel:
    """Banks by domain; a clip's score is the smallest mean ratio of its distances to those of ``k`` neighbours."""

    banks: Mapping[str, DensityBank]
    k: int

    @property
    def usual(self) -> float:
        """The score as far from the nearest normal as that is from others."""
        return 1.0

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        clips = {name: len(bank.memory) for name, bank in sorted(self.banks.items())}
        return {"mode": "density", "k": self.k, "banks": clips}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,), at least 0: 1 is as far from a normal as that lies from others."""
        values = flat(embeddings)
        scores = np.full(len(values), np.nan)
        known = finite_rows(values)
        ratios = []
        for bank in self.banks.values():
            distances, rows = nearest(values[known], bank.memory, self.k)
            ratios.append((distances / bank.own[rows]).mean(axis=1))
        scores[known] = np.min(ratios, axis=0)
        return scores

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """No more than the scores say."""
        return [Evidence()] * len(embeddings)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The memory of each bank and its own distances."""
        return {
            **{f"bank.{name}": bank.memory for name, bank in self.banks.items()},
            **{f"own.{name}": bank.own for name, bank in self.banks.items()},
        }


def fit_density(normals: Normals, k: int) -> DensityModel:
    """Fill the banks. The own distances of n clips take n^2 comparisons, some minutes for 100,000 clips."""
    values, rows = flat(normals.embeddings), rows_by_domain(normals.domains)
    banks = {}
    for name, chosen in rows.items():
        memory, recordings = values[chosen], witnesses(normals.recordings[chosen])
        own = nearest_of_others(memory, recordings, memory, recordings, 1)
        banks[name] = DensityBank(memory, np.maximum(own, max(_LEAST * float(own.mean()), 1e-6)))
    return DensityModel(banks, k)


def restore_density(tensors: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> DensityModel:
    """The model that ``tensors`` and ``settings`` describe."""
    banks = {name: DensityBank(tensors[f"bank.{name}"], tensors[f"own.{name}"]) for name in settings["banks"]}
    return DensityModel(banks, settings["k"])
