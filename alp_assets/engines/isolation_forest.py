"""Engine L1: an isolation forest on cepstral and spectral descriptors, with physical rules beside it.

The forest (Liu, Ting and Zhou, "Isolation Forest", ICDM 2008) is scikit-learn's, kept as arrays and gone
through here, so that a model file is no program. Its scores are scikit-learn's ``-score_samples``: up to 1,
and about 0.5 where nothing stands out. The rules alter no score; they say in words what they found.

A forest knows no distance beyond its outermost normals, and of two normals it can tell nothing: every clip
gets 0.5. It is meant for tens of normals and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.descriptors import LAYOUT
from alp_assets.encoders.base import View
from alp_assets.engines.base import Evidence, Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.rules import DomainRules, check, fit_rules, restore_rules
from alp_assets.params import IsolationForestParams

_FOLDS = 10
_ROWS = 1024
"""Clips that are brought through the trees at a time."""

_LEAF = -1


@dataclass(frozen=True)
class Forest:
    """Trees as arrays over all their nodes (m,), one tree after the other from ``roots`` (t,) on.

    A node sends a clip to ``left`` where its scaled ``feature`` is at most ``threshold``, else to ``right``;
    both are places in the arrays, or -1 in a leaf. ``samples`` is how many normals reached the node.
    ``centre`` and ``scale`` (d,) standardize the features. ``max_samples`` is what a tree was grown on;
    ``offset`` is scikit-learn's, the share of normals given as contamination lying beyond it.
    """

    roots: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    samples: npt.NDArray[np.int64]
    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    max_samples: int
    offset: float

    def score(self, features: npt.NDArray[Any]) -> Scores:
        """Scores (n,) of features (n, d); NaN where a feature is."""
        scores = np.empty(len(features))
        for start in range(0, len(features), _ROWS):
            rows = slice(start, start + _ROWS)
            scaled = ((features[rows].astype(np.float64) - self.centre) / self.scale).astype(np.float32)
            length = np.zeros(len(scaled))
            for paths in self._path_lengths[self._leaves(scaled)].T:
                length += paths
            usual = len(self.roots) * _average_path(np.array([self.max_samples]))[0]
            scores[rows] = np.where(np.isfinite(scaled).all(axis=1), 2.0 ** -(length / usual), np.nan)
        return scores

    def _leaves(self, scaled: FloatArray) -> npt.NDArray[np.int64]:
        """The leaf of each tree (n, t) that features (n, d) end in."""
        clips = np.arange(len(scaled))[:, None]
        node = np.tile(self.roots, (len(scaled), 1))
        while (inner := self.left[node] != _LEAF).any():
            at_most = scaled[clips, np.where(inner, self.feature[node], 0)] <= self.threshold[node]
            node = np.where(inner, np.where(at_most, self.left[node], self.right[node]), node)
        return node

    @cached_property
    def _path_lengths(self) -> Scores:
        """For each node (m,): its depth, and the length that trees on so many normals would add on average."""
        depth = np.zeros(len(self.left))
        level = self.roots
        while level.size:
            inner = level[self.left[level] != _LEAF]
            depth[self.left[inner]] = depth[self.right[inner]] = depth[inner] + 1
            level = np.concatenate([self.left[inner], self.right[inner]])
        return depth + _average_path(self.samples)


@dataclass(frozen=True)
class IsolationForestModel:
    """The forest, and the rules by domain."""

    forest: Forest
    rules: dict[str, DomainRules]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {
            "trees": len(self.forest.roots),
            "max_samples": self.forest.max_samples,
            "offset": self.forest.offset,
            "rules": {domain: rules.settings for domain, rules in self.rules.items()},
        }

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of descriptors (n, 1, d): how early the trees part a clip from the normals, 0 to 1."""
        return self.forest.score(_flat(embeddings)[:, LAYOUT.statistics])

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The rules that each clip breaks, worst first."""
        return [Evidence(findings=check(self.rules, vector)) for vector in _flat(embeddings)]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the forest, and the reference spectra of the rules."""
        return {
            **{name: getattr(self.forest, name) for name in _ARRAYS},
            **{f"rules.{domain}": rules.reference for domain, rules in self.rules.items()},
        }


class IsolationForest:
    """Isolation forest and rules on the descriptors of clips."""

    name = "isolation_forest"
    letter = "L1"
    view: View = "pooled"
    encoder = "descriptors"
    extras: Extras = ""
    min_normals = 2

    def __init__(self, params: IsolationForestParams) -> None:
        self.params = params
        self.max_normals = params.max_normals

    def fit(self, normals: Normals) -> IsolationForestModel:
        """Grow the trees on the statistics of the normals, and take the rules' limits from the rest."""
        refuse_too_few(self, normals)
        forest = _grow(_flat(normals.embeddings)[:, LAYOUT.statistics], self.params)
        return IsolationForestModel(forest, fit_rules(normals, self.params.bearing_hz, self.params.shaft_hz))

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, by forests grown without their tenth of the recordings.

        Of two normals nothing can be learnt with one left out; both get what any clip gets.
        """
        if len(normals) > self.min_normals:
            return cross_validated_scores(_ForestAlone(self.params), normals, most=_FOLDS)
        return self.fit(normals).score(normals.embeddings)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> IsolationForestModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        forest = Forest(
            **{name: tensors[name] for name in _ARRAYS},
            max_samples=settings["max_samples"],
            offset=settings["offset"],
        )
        rules = {
            domain: restore_rules(tensors[f"rules.{domain}"], values)
            for domain, values in settings["rules"].items()
        }
        return IsolationForestModel(forest, rules)


_ARRAYS = ("roots", "left", "right", "feature", "threshold", "samples", "centre", "scale")


class _ForestAlone(IsolationForest):
    """Calibration needs the scores of many forests, and none of their rules."""

    def fit(self, normals: Normals) -> IsolationForestModel:
        refuse_too_few(self, normals)
        return IsolationForestModel(_grow(_flat(normals.embeddings)[:, LAYOUT.statistics], self.params), {})


def _grow(features: npt.NDArray[Any], params: IsolationForestParams) -> Forest:
    """A forest on features (n, d), grown by scikit-learn."""
    from sklearn.ensemble import IsolationForest as Sklearn
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features.astype(np.float64))
    grown = Sklearn(
        n_estimators=params.trees, contamination=params.contamination, random_state=params.seed, n_jobs=1
    ).fit(scaler.transform(features.astype(np.float64)).astype(np.float32))
    trees = [tree.tree_ for tree in grown.estimators_]
    roots = np.cumsum([0] + [tree.node_count for tree in trees[:-1]])
    chosen = list(zip(grown.estimators_features_, trees, strict=True))
    return Forest(
        roots=roots.astype(np.int64),
        left=_joined([_moved(tree.children_left, root) for tree, root in zip(trees, roots, strict=True)]),
        right=_joined([_moved(tree.children_right, root) for tree, root in zip(trees, roots, strict=True)]),
        feature=_joined([columns[np.maximum(tree.feature, 0)] for columns, tree in chosen]),
        threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
        samples=_joined([tree.n_node_samples for tree in trees]),
        centre=np.asarray(scaler.mean_, np.float64),
        scale=np.asarray(scaler.scale_, np.float64),
        max_samples=int(grown.max_samples_),
        offset=float(grown.offset_),
    )


def _moved(children: npt.NDArray[np.intp], root: int) -> npt.NDArray[np.intp]:
    return np.where(children < 0, _LEAF, children + root)


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    return np.concatenate(parts).astype(np.int64)


def _average_path(samples: npt.NDArray[np.int64]) -> Scores:
    """Average path length of an unsuccessful search among so many clips (equation 1 of the paper)."""
    n = np.maximum(samples, 3).astype(np.float64)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, many))


def _flat(embeddings: FloatArray) -> FloatArray:
    return np.asarray(embeddings).reshape(len(embeddings), LAYOUT.size)
