"""Detectors of others, made to look like engines: PyOD's, and two of scikit-learn's, on plain features.

A clip is the mean and the deviation over time of its log-mel bands, in dB. Every detector has the settings that
its library ships, except that it never asks for more neighbours than there are. PyOD's ECOD ranks a clip among
the others that it is scored with, so it alone sees all test clips at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.base import Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores

Scorer = Callable[[FloatArray], Scores]
"""Features (n, d) to scores (n,), higher where more anomalous."""


@dataclass(frozen=True)
class PeerModel:
    """A fitted detector."""

    scorer: Scorer

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of statistics of log-mel bands (n, 3, bands)."""
        return np.asarray(self.scorer(_features(embeddings)), np.float64)


@dataclass(frozen=True)
class Peer:
    """A detector that learns from features (n, d) of normals, whatever their domains."""

    name: str
    learn: Callable[[FloatArray], Scorer]
    min_normals: int = 2

    def fit(self, normals: Normals) -> PeerModel:
        """Learn from statistics of log-mel bands (n, 3, bands)."""
        refuse_too_few(self, normals)  # type: ignore[arg-type]
        return PeerModel(self.learn(_features(normals.embeddings)))

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of every normal by what is learnt from the others, as ALP's engines do it."""
        return cross_validated_scores(self, normals)  # type: ignore[arg-type]


def pyod_peers() -> list[Peer]:
    """ECOD, KNN, LOF and IForest."""
    return [
        Peer("PyOD ECOD", _ecod),
        Peer("PyOD KNN", _knn),
        Peer("PyOD LOF", _lof),
        Peer("PyOD IForest", _iforest),
    ]


def sklearn_peers() -> list[Peer]:
    """The nearest neighbour, and the Mahalanobis distance with a shrunk covariance (Ledoit and Wolf, 2004)."""
    return [Peer("nearest neighbour", _nearest), Peer("Ledoit-Wolf Mahalanobis", _mahalanobis)]


def _features(embeddings: FloatArray) -> FloatArray:
    return np.asarray(embeddings[:, :, :2].reshape(len(embeddings), -1), np.float64)


def _ecod(known: FloatArray) -> Scorer:
    from pyod.models.ecod import ECOD

    return _fitted(ECOD(), known)


def _knn(known: FloatArray) -> Scorer:
    from pyod.models.knn import KNN

    return _fitted(KNN(n_neighbors=min(5, len(known) - 1)), known)


def _lof(known: FloatArray) -> Scorer:
    from pyod.models.lof import LOF

    return _fitted(LOF(n_neighbors=min(20, len(known) - 1)), known)


def _iforest(known: FloatArray) -> Scorer:
    from pyod.models.iforest import IForest

    return _fitted(IForest(random_state=0), known)


def _fitted(detector: Any, known: FloatArray) -> Scorer:
    detector.fit(known)
    found: Scorer = detector.decision_function
    return found


def _nearest(known: FloatArray) -> Scorer:
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=1).fit(known)
    return lambda features: index.kneighbors(features)[0][:, 0]


def _mahalanobis(known: FloatArray) -> Scorer:
    from sklearn.covariance import LedoitWolf

    covariance = LedoitWolf().fit(known)
    return lambda features: np.sqrt(covariance.mahalanobis(features))
