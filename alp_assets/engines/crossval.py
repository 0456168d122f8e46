"""Scores of normals that the model has not seen."""

from __future__ import annotations

import numpy as np

from alp_assets.engines.base import SOURCE, TARGET, Engine, Normals, Scores

MAX_FOLDS = 20


def cross_validated_scores(engine: Engine, normals: Normals) -> Scores:
    """Scores (n,) of normals, each by a model fitted on the other folds.

    Leave-one-out up to ``MAX_FOLDS`` normals, else that many folds. Every fold takes its share of each
    domain, in the order of the normals, so the result is the same every time.
    """
    folds = min(len(normals), MAX_FOLDS)
    fold_of = np.empty(len(normals), dtype=np.intp)
    order = np.concatenate([np.flatnonzero(normals.domains == name) for name in (SOURCE, TARGET)])
    fold_of[order] = np.arange(len(normals)) % folds
    scores = np.empty(len(normals))
    for fold in range(folds):
        held_out = fold_of == fold
        model = engine.fit(Normals(normals.embeddings[~held_out], normals.domains[~held_out]))
        scores[held_out] = model.score(normals.embeddings[held_out])
    return scores
