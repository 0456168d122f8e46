"""Alarm thresholds from calibration scores, and how often they may really ring."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """A clip rings when its score is above ``value``.

    ``normals`` counts the recordings of each domain: clips cut from one recording are one witness.
    ``promised`` is the false-alarm rate that the calibration scores support; where they are too few
    for the rate that was asked for, ``supported`` is false and ``note`` says so.
    """

    value: float
    asked: float
    promised: float
    supported: bool
    note: str
    normals: dict[str, int]


def conformal_threshold(
    scores_by_domain: Mapping[str, Scores], rate: float, recordings: Mapping[str, int] | None = None
) -> Threshold:
    """The threshold that at most a share ``rate`` of new normals of every domain exceeds.

    Split-conformal order statistic (Vovk et al., 2005): of n exchangeable scores the one of rank
    ceil((n + 1)(1 - rate)) is exceeded by a new normal with probability at most ``rate``. Where that
    rank is above n, the highest score is taken, whose rate is 1 / (n + 1). Domains are taken one by one
    and the highest threshold stands, so that a large domain cannot hide a small one.

    ``recordings`` says how many recordings the scores of a domain come from, by default as many as there
    are scores; n is that number.
    """
    counts = {name: len(scores) for name, scores in scores_by_domain.items()} | dict(recordings or {})
    parts = {
        name: _order_statistic(scores, counts[name], rate)
        for name, scores in scores_by_domain.items()
        if len(scores)
    }
    if not parts:
        raise ValueError("no calibration scores")
    value = max(part[0] for part in parts.values())
    promised = max(part[1] for part in parts.values())
    normals = {name: counts[name] for name in parts}
    weak = {name: count for name, count in normals.items() if parts[name][1] > rate}
    note = ""
    if weak:
        amounts = " and ".join(f"{count} {name} normals" for name, count in weak.items())
        note = (
            f"{amounts} support no rate under {promised:.1%}; the threshold is their highest score. "
            f"A promise of {rate:.1%} needs {math.ceil(1 / rate) - 1} normals of each domain."
        )
    return Threshold(value, rate, promised, not weak, note, normals)


def _order_statistic(scores: Scores, recordings: int, rate: float) -> tuple[float, float]:
    if _rank(recordings, rate) > recordings:
        return float(scores.max()), 1 / (recordings + 1)
    return float(np.sort(scores)[_rank(len(scores), rate) - 1]), rate


def _rank(n: int, rate: float) -> int:
    return math.ceil((n + 1) * (1 - rate) - 1e-9)


def clopper_pearson(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high
