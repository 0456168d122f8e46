"""Alarm thresholds from calibration scores: what one is, and the split-conformal one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

CLIPS_PER_DAY = 8_640
"""Clips of ten seconds in a day of listening without a pause."""


@dataclass(frozen=True)
class Threshold:
    """A clip is above when its score is greater than ``value``.

    Attributes:
        value: the score.
        asked: false-alarm rate for each clip that was asked for, or that the alarms in a day come to.
        promised: share of normal clips expected above ``value``.
        supported: whether the calibration scores bear what was asked, without a fitted tail.
        extrapolated: whether ``value`` lies where no score of its domain does, by a fitted tail.
        policy: name of the policy that set it.
        persistence: (k, n) when only k clips of n in a row that are above raise an alarm, else ``None``.
        alarms_per_day: false alarms expected in a day at ``promised``, with ``persistence``.
        clips_per_day: clips that are listened to in a day.
        note: in plain words what is not as asked, or was assumed; empty when there is nothing to say.
        normals: recordings of each domain: clips cut from one recording are one witness.
        by_domain: the threshold that each domain alone would get; the highest is ``value``.
    """

    value: float
    asked: float
    promised: float
    supported: bool
    extrapolated: bool
    policy: str
    persistence: tuple[int, int] | None
    alarms_per_day: float
    clips_per_day: float
    note: str
    normals: dict[str, int]
    by_domain: dict[str, float]


def threshold_from(values: Mapping[str, Any]) -> Threshold:
    """A threshold as ``asdict`` and JSON left it; other entries are passed over.

    Raises:
        KeyError: an entry is missing.
    """
    known = {field.name: values[field.name] for field in fields(Threshold)}
    rule = known["persistence"]
    return Threshold(**{**known, "persistence": None if rule is None else (int(rule[0]), int(rule[1]))})


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

    Raises:
        ValueError: there is no score.
    """
    counts = recordings_by_domain(scores_by_domain, recordings)
    weak = {name: count for name, count in counts.items() if _rank(count, rate) > count}
    values = {
        name: float(scores_by_domain[name].max())
        if name in weak
        else order_statistic(scores_by_domain[name], rate)
        for name in counts
    }
    promised = max([rate, *(1 / (count + 1) for count in weak.values())])
    note = f"{weakness(weak)}; the threshold is their highest score. {needed(rate)}" if weak else ""
    return Threshold(
        value=max(values.values()),
        asked=rate,
        promised=promised,
        supported=not weak,
        extrapolated=False,
        policy="conformal",
        persistence=None,
        alarms_per_day=CLIPS_PER_DAY * promised,
        clips_per_day=CLIPS_PER_DAY,
        note=note,
        normals=counts,
        by_domain=values,
    )


def recordings_by_domain(
    scores_by_domain: Mapping[str, Scores], recordings: Mapping[str, int] | None
) -> dict[str, int]:
    """Recordings of each domain that has scores; ``ValueError`` where none has."""
    counts = {name: len(scores) for name, scores in scores_by_domain.items() if len(scores)}
    if not counts:
        raise ValueError("no calibration scores")
    return {name: min(count, (recordings or {}).get(name, count)) for name, count in counts.items()}


def order_statistic(scores: Scores, rate: float) -> float:
    """The score of rank ceil((n + 1)(1 - rate)) of scores (n,), and no higher than their highest."""
    return float(np.sort(scores)[min(_rank(len(scores), rate), len(scores)) - 1])


def supports(recordings: int, rate: float) -> bool:
    """Whether so many normals can bear a rate: 1 / (n + 1) is the least that n can."""
    return _rank(recordings, rate) <= recordings


def weakness(weak: Mapping[str, int]) -> str:
    """In words what normals (by domain) that are too few support."""
    amounts = " and ".join(f"{count} {name} normal{'s' * (count != 1)}" for name, count in sorted(weak.items()))
    return f"{amounts} support no rate under {1 / (min(weak.values()) + 1):.1%}"


def needed(rate: float) -> str:
    """In words how many normals a rate needs."""
    return f"A promise of {percent(rate)} needs {math.ceil(1 / rate - 1e-9) - 1:,} normals of each domain."


def percent(rate: float) -> str:
    """A share as a percentage with as many digits as it takes to see it."""
    return f"{rate:.1%}" if rate >= 0.001 else f"{100 * rate:.2g}%"


def clopper_pearson(hits: float, trials: float, confidence: float) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson, 1934). Counts may be fractions, for planning."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high


def _rank(n: int, rate: float) -> int:
    return math.ceil((n + 1) * (1 - rate) - 1e-9)
