"""What the modes of engine B share: a bank for each domain, and what is usual in it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.banks.search import Rows
from alp_assets.engines.base import SOURCE, TARGET, Scores, Strings

MOST_UNSEEN = 1_000
"""Clips of a bank, drawn by the seed, whose leave-one-out distances are taken; more would not sharpen a mean."""

_TYPICAL_SPREAD = 0.15
_TYPICAL_WEIGHT = 4
"""Leave-one-out distances spread by about 15 % of their mean; that knowledge counts as four clips."""


def rows_by_domain(domains: Strings) -> dict[str, Rows]:
    """The rows of each domain. A domain with a single clip joins the other one, for want of a distance."""
    rows = {name: np.flatnonzero(domains == name) for name in (SOURCE, TARGET)}
    if min(len(found) for found in rows.values()) >= 2:
        return rows
    larger = max(rows, key=lambda name: len(rows[name]))
    return {larger: np.arange(len(domains))}


def flat(embeddings: FloatArray) -> FloatArray:
    """Embeddings (n, ...) as float32 (n, d)."""
    width = math.prod(embeddings.shape[1:])
    return embeddings.reshape(len(embeddings), width).astype(np.float32, copy=False)


def witnesses(recordings: Strings) -> Strings:
    """The recordings (n,), or each clip by itself where all are of one."""
    if len(set(recordings.tolist())) > 1:
        return recordings
    return np.arange(len(recordings)).astype(np.str_)


def drawn(count: int, seed: int, most: int = MOST_UNSEEN) -> Rows:
    """Which of ``count`` to look at: all, or ``most`` of them drawn by the seed, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def usual(distances: Scores) -> tuple[float, float]:
    """Mean and scale of leave-one-out distances; the scale of few clips leans on the typical spread."""
    mean, count = float(distances.mean()), len(distances)
    typical = _TYPICAL_WEIGHT * (_TYPICAL_SPREAD * mean) ** 2
    variance = (count * float(distances.var()) + typical) / (count + _TYPICAL_WEIGHT)
    return mean, max(variance**0.5, 1e-6)


def finite_rows(queries: FloatArray) -> npt.NDArray[np.bool_]:
    """Which queries (n,) can be compared at all; the others score NaN."""
    return np.asarray(np.isfinite(queries).all(axis=1))
