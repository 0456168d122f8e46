"""Mode ``fused``: whitened nearest neighbours, the difference to them read broadly and narrowly at once.

A clip is compared with its nearest normal after whitening (``whitening``). The difference is kept by
frequency band; the root mean square over bands to the power 1 sees what is a little odd everywhere, that to the
power 3 what is very odd in few bands. Both are put on one scale by what is usual among clips left out, and
the odder one counts. Of the domains, the closer one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.banks.domains import drawn, finite_rows, flat, rows_by_domain, usual, witnesses
from alp_assets.engines.banks.search import Rows, nearest
from alp_assets.engines.banks.whitening import Whitening, learn_whitening
from alp_assets.engines.base import Evidence, Normals, Scores

POWERS = (1.0, 3.0)
"""Powers of the means over bands."""

_FOLDS = 10
_MANY = 100
_FOLDS_OF_MANY = 4
"""Parts in which clips are left out to learn what is usual; of more than ``_MANY``, fewer and larger ones."""


@dataclass(frozen=True)
class FusedBank:
    """The whitened normals of one domain (n, d), and its divisor: the root of their usual distances (powers,)."""

    memory: FloatArray
    divisor: tuple[float, ...]


@dataclass(frozen=True)
class FusedModel:
    """Banks by domain, and mean and scale of what is usual in them, for each power.

    Distances are divided by the square root of their mean in the bank. The whole mean would let a bank of
    few clips, far from everything, take anomalies for normal; without it the normals of that bank would ring.
    """

    whitening: Whitening
    banks: Mapping[str, FusedBank]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    bands: int
    k: int

    @property
    def usual(self) -> float:
        """The score of a clip that is as far away as usual, in one power."""
        return 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {
            "mode": "fused",
            "k": self.k,
            "bands": self.bands,
            "outside": self.whitening.outside,
            "powers": list(POWERS),
            "means": list(self.means),
            "scales": list(self.scales),
            "banks": {
                name: {"divisor": list(bank.divisor), "clips": len(bank.memory)}
                for name, bank in sorted(self.banks.items())
            },
        }

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,): how many scales farther than usual the nearest normals are, in the closer domain."""
        values = flat(embeddings)
        scores = np.full(len(values), np.nan)
        known = finite_rows(values)
        whitened = self.whitening.of_queries(values[known])
        by_domain = [self._odd(_pooled(whitened, bank.memory, self.bands, self.k), bank) for bank in self._sorted]
        scores[known] = np.min(by_domain, axis=0)
        return scores

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """How far each band lies from the nearest normal of the closer domain, (bands, 1), in whitened units."""
        if self.bands < 2:
            return [Evidence()] * len(embeddings)
        return [self._explained(row[None]) for row in flat(embeddings)]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The memory of each bank and the whitening."""
        return {
            **self.whitening.tensors(),
            **{f"bank.{name}": bank.memory for name, bank in self.banks.items()},
        }

    @property
    def _sorted(self) -> list[FusedBank]:
        return [self.banks[name] for name in sorted(self.banks)]

    def _odd(self, distances: Scores, bank: FusedBank) -> Scores:
        """Scores (n,) in one bank of distances (n, powers)."""
        odd: Scores = ((distances / np.array(bank.divisor) - self.means) / np.array(self.scales)).max(axis=1)
        return odd

    def _explained(self, row: FloatArray) -> Evidence:
        if not finite_rows(row).all():
            return Evidence()
        whitened = self.whitening.of_queries(row)
        found = []
        for bank in self._sorted:
            odd = self._odd(_pooled(whitened, bank.memory, self.bands, self.k), bank)[0]
            _, rows = nearest(whitened, bank.memory, 1)
            found.append((odd, _by_band(whitened[0], bank.memory[rows[0]], self.bands)[0]))
        by_band = min(found, key=lambda item: float(item[0]))[1]
        return Evidence(by_band[:, None].astype(np.float32))


def fit_fused(normals: Normals, k: int, seed: int) -> FusedModel:
    """Fill the banks and learn what is usual from clips left out of whitening and banks alike."""
    return _learn(normals, k, seed)[0]


def left_out_scores(normals: Normals, k: int, seed: int) -> Scores:
    """Scores (n,) of the normals by banks and whitening without their recording, on the scale of the model.

    For a handful of normals: models of two, three and four of them have scales that cannot be compared.
    """
    model, unseen = _learn(normals, k, seed)
    scores = np.full(len(normals), np.nan)
    for name, chosen in rows_by_domain(normals.domains).items():
        order = np.concatenate(list(_parts(witnesses(normals.recordings[chosen]), seed)))
        scores[chosen[order]] = model._odd(unseen[name], model.banks[name])
    return scores


def _learn(normals: Normals, k: int, seed: int) -> tuple[FusedModel, dict[str, Scores]]:
    """The model, and the distances (n, powers) of each domain's clips left out, in the order of their parts."""
    values, rows = flat(normals.embeddings), rows_by_domain(normals.domains)
    bands = normals.embeddings.shape[1] if normals.embeddings.ndim > 1 else 1
    whitening = learn_whitening(values, np.arange(len(values)), seed)
    memories = {name: whitening.of_memory(values[chosen]) for name, chosen in rows.items()}
    unseen = {name: _unseen(values, rows, name, normals.recordings, bands, k, seed, whitening) for name in rows}
    divisors = {name: np.sqrt(np.maximum(found.mean(axis=0), 1e-6)) for name, found in unseen.items()}
    together = np.concatenate([unseen[name] / divisors[name] for name in sorted(rows)])
    means, scales = zip(*(usual(column) for column in together.T), strict=True)
    banks = {name: FusedBank(memories[name], tuple(divisors[name].tolist())) for name in rows}
    return FusedModel(whitening, banks, tuple(means), tuple(scales), bands, k), unseen


def restore_fused(tensors: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> FusedModel:
    """The model that ``tensors`` and ``settings`` describe."""
    whitening = Whitening(
        tensors["centre"], tensors["spread"], tensors["directions"], tensors["gains"], settings["outside"]
    )
    banks = {
        name: FusedBank(tensors[f"bank.{name}"], tuple(values["divisor"]))
        for name, values in settings["banks"].items()
    }
    means, scales = tuple(settings["means"]), tuple(settings["scales"])
    return FusedModel(whitening, banks, means, scales, settings["bands"], settings["k"])


def _unseen(
    values: FloatArray,
    rows: Mapping[str, Rows],
    name: str,
    recordings: npt.NDArray[np.str_],
    bands: int,
    k: int,
    seed: int,
    whitening: Whitening,
) -> Scores:
    """Distances (n, powers) of clips of a bank to its other recordings, whitened by what was left.

    Where a single clip is left, it is the scaled distance: a new clip differs in directions of its own.
    """
    chosen = rows[name]
    names = witnesses(recordings[chosen])
    found = []
    for part in _parts(names, seed):
        held = np.isin(names, names[part])
        left = {
            other: np.setdiff1d(found_rows, chosen[held], assume_unique=True) if other == name else found_rows
            for other, found_rows in rows.items()
        }
        seen = np.concatenate(list(left.values()))
        map_ = learn_whitening(values, seen, seed) if len(seen) > 1 else whitening.without_directions
        queries = map_.of_memory(values[chosen[part]])
        found.append(_pooled(queries, map_.of_memory(values[left[name]]), bands, k))
    return np.concatenate(found)


def _parts(names: npt.NDArray[np.str_], seed: int) -> Iterator[Rows]:
    """Rows to leave out together: whole recordings, in turn; of very many clips, those drawn by the seed."""
    looked_at = drawn(len(names), seed)
    number = {name: place for place, name in enumerate(dict.fromkeys(names[looked_at].tolist()))}
    folds = min(len(number), _FOLDS if len(looked_at) <= _MANY else _FOLDS_OF_MANY)
    fold_of = np.array([number[name] % folds for name in names[looked_at].tolist()])
    for fold in range(folds):
        yield looked_at[fold_of == fold]


def _pooled(queries: FloatArray, memory: FloatArray, bands: int, k: int) -> Scores:
    """Distances (n, powers) of queries (n, d) to their nearest, the mean over k of them."""
    _, rows = nearest(queries, memory, k)
    found = np.empty((len(queries), len(POWERS)))
    share = np.full(rows.shape[1], 1 / max(rows.shape[1], 1))
    for i, query in enumerate(queries):
        by_band = _by_band(query, memory[rows[i]], bands)
        found[i] = [((by_band**power).sum(axis=1) / bands) ** (1 / power) @ share for power in POWERS]
    return found


def _by_band(query: FloatArray, others: FloatArray, bands: int) -> Scores:
    """Root mean square difference (n, bands) of a clip (d,) to others (n, d), in each band."""
    away = others.astype(np.float64) - query.astype(np.float64)
    split = away.reshape(len(others), bands, -1)
    root: Scores = np.sqrt(np.einsum("nbv,nbv->nb", split, split) / split.shape[2])
    return root
