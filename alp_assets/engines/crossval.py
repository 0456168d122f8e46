"""Scores of normals that the model has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alp_assets.engines.base import SOURCE, TARGET, Engine, Normals, Scores, Strings

MAX_FOLDS = 20


def cross_validated_scores(
    engine: Engine, normals: Normals, most: int = MAX_FOLDS, most_clips: int | None = None, seed: int = 0
) -> Scores:
    """Scores (n,) of normals, each by a model fitted on the other folds.

    Clips of one recording share a fold. Leave-one-recording-out up to ``most`` recordings, else that many
    folds; every fold takes its share of each domain, in the order of the normals, so the result is the
    same every time. Where that would leave too little to fit on, single clips are left out.

    Of a domain with more than ``most_clips`` clips, recordings drawn by the seed that have about so many
    between them are held out, and the others are always learnt from: their scores are NaN.
    """
    asked = _asked(normals, most_clips, seed)
    fold_of = _folds(normals.recordings, normals.domains, asked, most)
    if max(np.bincount(fold_of[asked])) > len(normals) - engine.min_normals:
        fold_of = _folds(np.arange(len(normals)).astype(np.str_), normals.domains, asked, most)
    scores = np.full(len(normals), np.nan)
    for fold in np.unique(fold_of[asked]):
        held_out = fold_of == fold
        scores[held_out] = engine.fit(normals.chosen(~held_out)).score(normals.embeddings[held_out])
    return scores


def _asked(normals: Normals, most_clips: int | None, seed: int) -> npt.NDArray[np.bool_]:
    """Which normals (n,) are to be held out at all."""
    asked = np.ones(len(normals), np.bool_)
    for domain in (SOURCE, TARGET):
        rows = np.flatnonzero(normals.domains == domain)
        if most_clips is None or len(rows) <= most_clips:
            continue
        names, sizes = np.unique(normals.recordings[rows], return_counts=True)
        order = np.random.default_rng(seed).permutation(len(names))
        within = np.cumsum(sizes[order]) <= most_clips
        within[0] = True
        asked[rows] = np.isin(normals.recordings[rows], names[order[within]])
    return asked


def _folds(recordings: Strings, domains: Strings, asked: npt.NDArray[np.bool_], most: int) -> npt.NDArray[np.intp]:
    """The fold (n,) of every normal, -1 for those that stay."""
    order = np.argsort(domains != SOURCE, kind="stable")
    names = dict.fromkeys(recordings[order][asked[order]].tolist())
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[name] % most if name in number else -1 for name in recordings.tolist()], dtype=np.intp)
