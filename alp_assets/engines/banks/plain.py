"""Plain nearest neighbours in one bank of all normals, on the scale of what is usual among them.

For learned embeddings, whose distances mean something as they are. Both domains share the bank: a learned
embedding hardly moves from one to the other, so the clips of each bear witness for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.banks.domains import drawn, finite_rows, flat, usual, witnesses
from alp_assets.engines.banks.search import nearest, nearest_of_others
from alp_assets.engines.base import Normals, Scores


@dataclass(frozen=True)
class PlainModel:
    """The normals (n, d), and mean and scale of the distances among them."""

    memory: FloatArray
    mean: float
    scale: float
    k: int

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the memory, as JSON."""
        return {"mode": "plain", "k": self.k, "mean": self.mean, "scale": self.scale}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,): how many scales farther than usual the nearest normals are."""
        values = flat(embeddings)
        scores = np.full(len(values), np.nan)
        known = finite_rows(values)
        distances, _ = nearest(values[known], self.memory, self.k)
        scores[known] = (distances.mean(axis=1) - self.mean) / self.scale
        return scores

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The memory."""
        return {"memory": self.memory}


def fit_plain(normals: Normals, k: int, seed: int) -> PlainModel:
    """Fill the bank and learn what is usual from each clip's distance to the other recordings."""
    values = flat(normals.embeddings)
    mean, scale = usual(_to_others(normals, k, drawn(len(normals), seed)))
    return PlainModel(values, mean, scale, k)


def plain_left_out(normals: Normals, k: int, seed: int) -> Scores:
    """Scores (n,) of the normals by a bank without their recording, on the scale of the model."""
    model = fit_plain(normals, k, seed)
    return (_to_others(normals, k, np.arange(len(normals))) - model.mean) / model.scale


def restore_plain(tensors: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> PlainModel:
    """The model that ``tensors`` and ``settings`` describe."""
    return PlainModel(tensors["memory"], settings["mean"], settings["scale"], settings["k"])


def _to_others(normals: Normals, k: int, rows: npt.NDArray[np.intp]) -> Scores:
    values, names = flat(normals.embeddings), witnesses(normals.recordings)
    return nearest_of_others(values[rows], names[rows], values, names, k)
