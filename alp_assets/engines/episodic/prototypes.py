"""Prototypes of normal, and how far a clip is from them in units of the normals' own spread.

The metric is a Mahalanobis distance; its covariance is that within the domains, shrunk towards a sphere
(oracle approximating shrinkage, Chen et al. 2010, IEEE Trans. Signal Processing 58(10), equation 23).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.engines.base import SOURCE, TARGET, Normals, Strings

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
ScoreKind = Literal["distance", "nll"]

_TYPICAL_SPREAD = 0.15
_TYPICAL_WEIGHT = 4
"""Leave-one-out distances spread by about 15 % of their mean; that knowledge counts as four clips."""

_LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class DomainPrototypes:
    """The whitened prototypes of a domain (p, d).

    ``mean`` and ``scale`` are those of the distances of the domain's ``clips`` normals to prototypes made
    without them, ``spread`` is the root mean square of these per dimension.
    """

    prototypes: Values
    mean: float
    scale: float
    spread: float
    clips: int


@dataclass(frozen=True)
class PrototypeMetric:
    """Prototypes by domain, and what whitens an embedding (d, d)."""

    domains: dict[str, DomainPrototypes]
    whitening: Values

    def score(self, embedding: Values, kind: ScoreKind) -> float:
        """The score of one clip's embedding (d,), not a number where that is not finite.

        ``distance``: the distance to the nearest prototype, as a z-score for each domain; the smaller counts.
        ``nll``: the negative log likelihood of a mixture of equal Gaussians at all the prototypes, each domain
        with half of the weight and with its own spread, up to a constant.
        """
        if not np.isfinite(embedding).all():
            return float("nan")
        place = embedding @ self.whitening
        if kind == "nll":
            return -float(np.logaddexp.reduce([_log_density(place, domain) for domain in self.domains.values()]))
        return min(
            (_nearest(place, domain.prototypes) - domain.mean) / domain.scale for domain in self.domains.values()
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        return {
            name: {"mean": found.mean, "scale": found.scale, "spread": found.spread, "clips": found.clips}
            for name, found in sorted(self.domains.items())
        }

    def tensors(self) -> dict[str, Values]:
        """The arrays by name."""
        prototypes = {f"prototypes.{name}": found.prototypes for name, found in self.domains.items()}
        return {"whitening": self.whitening, **prototypes}


def fit_prototypes(embeddings: Values, normals: Normals, columns: Sequence[str], least: int) -> PrototypeMetric:
    """A prototype of each domain, and one of each value of the columns that ``least`` of its clips share.

    Args:
        embeddings: of the normals (n, d).
        normals: their domains, conditions and recordings. A domain with a single clip joins the other one.
        columns: conditions whose values get a prototype.
        least: clips of a domain that make a value's prototype.
    """
    rows = _rows_by_domain(normals.domains)
    whitening = _whitening(
        np.concatenate([embeddings[own] - embeddings[own].mean(axis=0) for own in rows.values()])
    )
    white = np.stack([embedding @ whitening for embedding in embeddings])
    said = [normals.conditions[name] for name in columns if name in normals.conditions]
    domains = {}
    for name, own in rows.items():
        groups = [own, *(group for values in said for group in _groups(own, values, least))]
        prototypes = np.stack([white[group].mean(axis=0) for group in groups])
        unseen = _unseen(white, own, groups, normals.recordings)
        mean, scale = _statistics(unseen)
        spread = max(float(np.sqrt(np.mean(unseen**2) / white.shape[1])), _LEAST_SCALE)
        domains[name] = DomainPrototypes(prototypes, mean, scale, spread, len(own))
    return PrototypeMetric(domains, whitening)


def restore_prototypes(tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> PrototypeMetric:
    """The metric as its tensors and settings describe it."""
    domains = {
        name: DomainPrototypes(tensors[f"prototypes.{name}"], **values) for name, values in settings.items()
    }
    return PrototypeMetric(domains, tensors["whitening"])


def _rows_by_domain(domains: Strings) -> dict[str, Rows]:
    rows = {name: np.flatnonzero(domains == name) for name in (SOURCE, TARGET)}
    if min(len(found) for found in rows.values()) >= 2:
        return rows
    larger = max(rows, key=lambda name: len(rows[name]))
    return {larger: np.arange(len(domains))}


def _groups(own: Rows, values: Strings, least: int) -> list[Rows]:
    found = (own[values[own] == value] for value in np.unique(values[own]) if value)
    return [group for group in found if least <= len(group) < len(own)]


def _whitening(residuals: Values) -> Values:
    """What makes residuals (n, d) a sphere of deviation 1, (d, d); their covariance is shrunk first."""
    count, width = residuals.shape
    covariance = residuals.T @ residuals / count
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    if trace / width < _LEAST_SCALE**2:
        return np.eye(width)
    excess = (count + 1 - 2 / width) * (square - trace**2 / width)
    share = min(1.0, ((1 - 2 / width) * square + trace**2) / excess) if excess > 0 else 1.0
    values, directions = np.linalg.eigh((1 - share) * covariance + share * trace / width * np.eye(width))
    return np.asarray(directions / np.sqrt(np.maximum(values, 1e-9 * values[-1])))


def _unseen(white: Values, own: Rows, groups: list[Rows], recordings: Strings) -> Values:
    """Distance of each of a domain's clips to the nearest prototype, made without clips of its recording."""
    if len(set(recordings[own].tolist())) < 2:
        recordings = np.arange(len(white)).astype(np.str_)
    nearest = np.empty(len(own))
    for i, row in enumerate(own):
        others = (group[recordings[group] != recordings[row]] for group in groups)
        prototypes = np.stack([white[group].mean(axis=0) for group in others if len(group)])
        nearest[i] = _nearest(white[row], prototypes)
    return nearest


def _statistics(distances: Values) -> tuple[float, float]:
    """Mean and scale of leave-one-out distances; the scale of few clips leans on the typical spread."""
    mean, count = float(distances.mean()), len(distances)
    typical = _TYPICAL_WEIGHT * (_TYPICAL_SPREAD * mean) ** 2
    variance = (count * float(distances.var()) + typical) / (count + _TYPICAL_WEIGHT)
    return mean, max(variance**0.5, _LEAST_SCALE)


def _nearest(place: Values, prototypes: Values) -> float:
    return float(np.sqrt(((prototypes - place) ** 2).sum(axis=1).min()))


def _log_density(place: Values, domain: DomainPrototypes) -> float:
    squares = ((domain.prototypes - place) ** 2).sum(axis=1) / domain.spread**2
    return float(np.logaddexp.reduce(-squares / 2) - np.log(len(squares)) - len(place) * np.log(domain.spread))
