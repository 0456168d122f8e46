"""Scores of normals that the model has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alp_assets.engines.base import SOURCE, Engine, Normals, Scores

MAX_FOLDS = 20


def cross_validated_scores(engine: Engine, normals: Normals) -> Scores:
    """Scores (n,) of normals, each by a model fitted on the other folds.

    Clips of one recording share a fold. Leave-one-recording-out up to ``MAX_FOLDS`` recordings, else that
    many folds; every fold takes its share of each domain, in the order of the normals, so the result is the
    same every time. Where that would leave too little to fit on, single clips are left out.
    """
    fold_of = _folds(normals.recordings, normals.domains)
    if max(np.bincount(fold_of)) > len(normals) - engine.min_normals:
        fold_of = _folds(np.arange(len(normals)).astype(np.str_), normals.domains)
    scores = np.empty(len(normals))
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        scores[held_out] = engine.fit(normals.chosen(~held_out)).score(normals.embeddings[held_out])
    return scores


def _folds(recordings: npt.NDArray[np.str_], domains: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """The fold (n,) of every normal."""
    order = np.argsort(domains != SOURCE, kind="stable")
    number = {name: place for place, name in enumerate(dict.fromkeys(recordings[order].tolist()))}
    return np.array([number[name] % MAX_FOLDS for name in recordings.tolist()], dtype=np.intp)
