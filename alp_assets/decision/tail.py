"""Scores beyond those that were seen: a generalised-Pareto tail that a handful of scores can bear."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

_MOST_SHAPE = 0.2
_PRIOR_WEIGHT = 10
"""That tails of normal scores fall exponentially (shape 0) counts as much as ten exceedances."""

_FEW = 10
_SHARE = 0.1


def tail_value(scores: Scores, rate: float, recordings: int | None = None) -> float | None:
    """The score that a share ``rate`` of new normals is expected to exceed, by a fitted tail.

    Peaks over threshold (Pickands, 1975) on the upper half of few scores (n,), on ten, or on the upper
    tenth of many; shape and scale by probability-weighted moments (Hosking and Wallis, 1987). The shape
    is drawn towards 0 and held between 0 and 0.2. It is then raised by 1 / m, m being the exceedances: for
    an exponential tail this is the predictive distribution, which makes up for the scale being known
    from m values only, so that the rate holds on average at any n.

    ``recordings`` is how many recordings the scores come from, by default as many; clips of one
    recording count as one exceedance.

    ``None`` where scores are too few or too much alike for a tail.
    """
    n = len(scores)
    witnesses = min(recordings or n, n)
    if witnesses < 2:
        return None
    ordered = np.sort(scores)
    count = min(n - 1, math.ceil(n / 2), max(_FEW, math.ceil(_SHARE * n)))
    base = float(ordered[n - count - 1])
    excess = ordered[n - count :] - base
    mean = float(excess.mean())
    if not mean > 0:
        return None
    exceedances = max(count * witnesses / n, 1.0)
    shape = _shape(excess, exceedances)
    predictive = shape + 1 / exceedances
    above_base = (exceedances + 1) / (witnesses + 1)
    if rate >= above_base:
        return base
    scale = mean * (1 - shape)
    return base + scale * math.expm1(predictive * math.log(above_base / rate)) / predictive


def _shape(excess: Scores, weight: float) -> float:
    """Shape of ascending exceedances (m,), drawn towards 0 and clipped."""
    m = len(excess)
    if m < 3:
        return 0.0
    mean = float(excess.mean())
    weighted = float(((m - np.arange(1, m + 1)) / (m - 1) * excess).mean())
    spread = mean - 2 * weighted
    raw = 2 - mean / spread if spread > 0 else 0.0
    return float(np.clip(weight * raw / (weight + _PRIOR_WEIGHT), 0.0, _MOST_SHAPE))
