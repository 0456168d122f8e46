"""Mode ``genrep``: the method as published (GenRep, arXiv 2409.05035), with statistics that see no test clip.

Euclidean distance to the nearest neighbours in a source and a target bank. MemMixup fills up the scarce target
bank with mixtures of each of its clips and that clip's nearest source clips. Distances become comparable by a
z-score for each domain, and the smaller one counts. The paper takes mean and deviation from the test set; here
they are those of leave-one-out distances of the normals, the deviation of few clips leaning on a typical one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.banks.domains import drawn, finite_rows, flat, rows_by_domain, usual, witnesses
from alp_assets.engines.banks.search import nearest, nearest_of_others
from alp_assets.engines.base import SOURCE, TARGET, Evidence, Normals, Scores, Strings


@dataclass(frozen=True)
class GenRepBank:
    """The clips of one domain, mixtures included (n, d), and what is usual: mean and scale of distances."""

    memory: FloatArray
    mean: float
    scale: float


@dataclass(frozen=True)
class GenRepModel:
    """Banks by domain; a clip's score is the smallest z-scored mean distance to ``k`` neighbours."""

    banks: Mapping[str, GenRepBank]
    k: int

    @property
    def usual(self) -> float:
        """The score of a clip that is as far away as usual."""
        return 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        banks = {
            name: {"mean": bank.mean, "scale": bank.scale, "clips": len(bank.memory)}
            for name, bank in sorted(self.banks.items())
        }
        return {"mode": "genrep", "k": self.k, "banks": banks}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,): how many deviations farther than usual the nearest normals are, in the closer domain."""
        values = flat(embeddings)
        scores = np.full(len(values), np.nan)
        known = finite_rows(values)
        by_domain = [
            (nearest(values[known], bank.memory, self.k)[0].mean(axis=1) - bank.mean) / bank.scale
            for bank in self.banks.values()
        ]
        scores[known] = np.min(by_domain, axis=0)
        return scores

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """No more than the scores say."""
        return [Evidence()] * len(embeddings)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The memory of each bank."""
        return {f"bank.{name}": bank.memory for name, bank in self.banks.items()}


def fit_genrep(normals: Normals, k: int, share: float, neighbours: int, seed: int) -> GenRepModel:
    """Fill the banks; ``share`` and ``neighbours`` are MemMixup's."""
    values, rows = flat(normals.embeddings), rows_by_domain(normals.domains)
    banks = {}
    for name, chosen in rows.items():
        own, recordings = values[chosen], witnesses(normals.recordings[chosen])
        memory, made_of = own, recordings
        if name == TARGET and SOURCE in rows and neighbours:
            mixed = mem_mixup(own, values[rows[SOURCE]], share, neighbours)
            memory = np.concatenate([own, mixed.reshape(-1, own.shape[1])])
            made_of = np.concatenate([recordings, np.repeat(recordings, mixed.shape[1])])
        banks[name] = GenRepBank(memory, *usual(_unseen(own, recordings, memory, made_of, k, seed)))
    return GenRepModel(banks, k)


def restore_genrep(tensors: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> GenRepModel:
    """The model that ``tensors`` and ``settings`` describe."""
    banks = {
        name: GenRepBank(tensors[f"bank.{name}"], values["mean"], values["scale"])
        for name, values in settings["banks"].items()
    }
    return GenRepModel(banks, settings["k"])


def mem_mixup(target: FloatArray, source: FloatArray, share: float, neighbours: int) -> FloatArray:
    """Mixtures (n, neighbours, d): ``share`` of each target clip (n, d), the rest of a nearest source clip.

    With fewer source clips than ``neighbours``, one mixture for each of them.
    """
    _, rows = nearest(target, source, neighbours)
    return (share * target[:, None] + (1 - share) * source[rows]).astype(np.float32)


def _unseen(
    own: FloatArray, recordings: Strings, memory: FloatArray, made_of: Strings, k: int, seed: int
) -> Scores:
    """Distances of clips of a bank to what was not made of their recording; of very many, those drawn."""
    asked = drawn(len(own), seed)
    return nearest_of_others(own[asked], recordings[asked], memory, made_of, k)
