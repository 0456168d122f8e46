"""Mode ``fused`` on an encoder of several depths: a model for each, scores weighed by how steady it is.

Embeddings are (n, depths, bands, values). The first depth, statistics, is compared after whitening, by domain
(``fused``); the others, learned, as they are (``plain``). The scores of a depth count in scales of its own clips
left out. Their weighted mean is the score: the first depth counts most, and where the section has two domains, a
depth counts the less, the farther the change of domain moved it. No label is looked at: what a new place or a
noise moves far cannot tell a fault from it.

Seen on real motors (seeds from 100 up, noise of recordings that the benches leave out) with log-mel statistics
and the clip embedding of ``alp_conv``: whitening and banks by domain cost the embedding 0.03 in noise; the power 4
is better than 2 on synthetic machines, where short events show in the statistics alone, and as good in noise;
taking the larger of both scores is worse in all conditions. On clean motors in one domain a share of 0.25 for the
embedding cost 0.04 with 3 normals and 0.005 with 10; of 0.1, 0.01 and 0.001.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.banks.domains import drawn, flat, rows_by_domain, witnesses
from alp_assets.engines.banks.fused import FusedModel, fit_fused, left_out_scores, restore_fused
from alp_assets.engines.banks.plain import PlainModel, fit_plain, plain_left_out, restore_plain
from alp_assets.engines.banks.search import Rows, nearest, nearest_of_others
from alp_assets.engines.base import SOURCE, TARGET, Evidence, Normals, Scores

_BY_DOMAINS, _ALONE = 1 / 3, 1 / 9
"""The weight of a further depth, the first one's being 1: before the domains are looked at, and in one domain.

In one domain nothing tells which depth is steady, and with few clean recordings the statistics tell most.
"""

_POWER = 4
_MOST_COMPARED = 300
"""Clips of a domain, drawn by the seed, that the shift is measured with."""


@dataclass(frozen=True)
class DepthsModel:
    """A model for each depth and its share in the score."""

    first: FusedModel
    others: tuple[PlainModel, ...]
    weights: tuple[float, ...]

    @property
    def usual(self) -> float:
        """The score of a clip that is as far away as usual."""
        return 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights of the models, as JSON."""
        return {
            "mode": "fused",
            "weights": list(self.weights),
            "depths": [model.settings for model in self._models],
        }

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,): the weighted mean of the depths'."""
        return _weighed([model.score(embeddings[:, i]) for i, model in enumerate(self._models)], self.weights)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The evidence of the first depth, which has bands."""
        return self.first.explain(embeddings[:, 0])

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Those of the models, by depth."""
        return {
            f"depth{i}.{name}": value
            for i, model in enumerate(self._models)
            for name, value in model.tensors().items()
        }

    @property
    def _models(self) -> tuple[FusedModel | PlainModel, ...]:
        return (self.first, *self.others)


def fit_depths(normals: Normals, k: int, seed: int) -> DepthsModel:
    """A model for each depth of embeddings (n, depths, bands, values), and their weights."""
    parts = _depths(normals)
    others = tuple(fit_plain(part, k, seed) for part in parts[1:])
    return DepthsModel(fit_fused(parts[0], k, seed), others, _weights(parts, seed))


def left_out_by_depths(normals: Normals, k: int, seed: int) -> Scores:
    """Scores (n,) of the normals by banks without their recording, on the scale of the model."""
    parts = _depths(normals)
    scores = [left_out_scores(parts[0], k, seed), *(plain_left_out(part, k, seed) for part in parts[1:])]
    return _weighed(scores, _weights(parts, seed))


def restore_depths(tensors: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> DepthsModel:
    """The model that ``tensors`` and ``settings`` describe."""
    first, *others = settings["depths"]
    plain = tuple(restore_plain(_of_depth(tensors, i), own) for i, own in enumerate(others, 1))
    return DepthsModel(restore_fused(_of_depth(tensors, 0), first), plain, tuple(settings["weights"]))


def _of_depth(tensors: Mapping[str, npt.NDArray[Any]], depth: int) -> dict[str, npt.NDArray[Any]]:
    prefix = f"depth{depth}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _depths(normals: Normals) -> list[Normals]:
    return [
        Normals(normals.embeddings[:, i], normals.domains, normals.recordings, normals.conditions)
        for i in range(normals.embeddings.shape[1])
    ]


def _weighed(scores: list[Scores], weights: tuple[float, ...]) -> Scores:
    total = np.zeros_like(scores[0])
    for weight, found in zip(weights, scores, strict=True):
        total += weight * found
    return total


def _weights(parts: list[Normals], seed: int) -> tuple[float, ...]:
    rows = rows_by_domain(parts[0].domains)
    further = _BY_DOMAINS if len(rows) > 1 else _ALONE
    raw = np.array([1.0, *[further] * (len(parts) - 1)])
    if len(rows) > 1:
        raw *= np.array([_shift(part, rows, seed) for part in parts]) ** -_POWER
    return tuple((raw / raw.sum()).tolist())


def _shift(normals: Normals, rows: Mapping[str, Rows], seed: int) -> float:
    """How far the target clips lie from the source clips, in distances among target clips.

    Nearest neighbours, siblings of a recording aside.
    """
    values = flat(normals.embeddings)
    target, source = (rows[name][drawn(len(rows[name]), seed, _MOST_COMPARED)] for name in (TARGET, SOURCE))
    names = witnesses(normals.recordings[target])
    within = nearest_of_others(values[target], names, values[target], names, 1).mean()
    across = nearest(values[target], values[source], 1)[0].mean()
    return float(max(across, 1e-9) / max(within, 1e-9))
