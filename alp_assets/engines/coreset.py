"""Coresets: a few points that leave none of the others far from all of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray

_SAME = 1e-6
"""Squared distance, relative to the largest squared norm, below which points count as one: float32's rounding."""


def k_center(points: FloatArray, count: int, dimensions: int, seed: int) -> npt.NDArray[np.intp]:
    """Rows (at most ``count``,), in ascending order, of points (n, d) that cover the others.

    Greedy k-center (Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
    Approach", 2018): from the point nearest to the mean, always the point that is farthest from those
    chosen. Euclidean distances are taken in a random projection to ``dimensions``, as PatchCore does (Roth et
    al., 2022), so a step costs n times ``dimensions``. It ends early where all points are covered.
    """
    if len(points) <= count:
        return np.arange(len(points))
    low = points.astype(np.float32, copy=False)
    if low.shape[1] > dimensions:
        low = low @ sparse_projection(low.shape[1], dimensions, seed)
    squares = np.einsum("nd,nd->n", low, low)
    away = low - low.mean(axis=0)
    chosen = [int(np.einsum("nd,nd->n", away, away).argmin())]
    nearest = np.full(len(low), np.inf, np.float32)
    same = _SAME * float(squares.max())
    while len(chosen) < count:
        last = chosen[-1]
        np.minimum(nearest, squares + squares[last] - 2 * (low @ low[last]), out=nearest)
        farthest = int(nearest.argmax())
        if nearest[farthest] <= same:
            break
        chosen.append(farthest)
    return np.sort(np.array(chosen))


@lru_cache(maxsize=4)
def sparse_projection(width: int, dimensions: int, seed: int) -> FloatArray:
    """A random matrix (width, dimensions) that keeps distances in the mean.

    One entry in sqrt(width) is not zero (Li, Hastie and Church, "Very Sparse Random Projections", 2006).
    """
    rng = np.random.default_rng(seed)
    share = width**-0.5
    kept = rng.random((width, dimensions)) < share
    signs = rng.choice(np.array([-1.0, 1.0]), (width, dimensions))
    projection: FloatArray = (kept * signs * (share * dimensions) ** -0.5).astype(np.float32)
    projection.flags.writeable = False
    return projection
