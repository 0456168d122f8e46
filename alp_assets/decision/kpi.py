"""Whether what was agreed with the customer is met, is not met, or cannot be shown with these labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from alp_assets.decision.persistence import alarm_rate
from alp_assets.decision.threshold import Scores, Threshold, clopper_pearson
from alp_assets.params import KpiParams

Status = Literal["met", "not met", "cannot be shown"]

MOST_CLIPS = 100_000
"""More labelled clips of one label than this are not asked for."""

_DRAWS = 2_000
_SEED = 42
_CELLS = 4_000_000
"""Cells of a table of draws that are held at a time."""

_MAX_FPR = 0.1
_NAMES = {"auc": "AUC", "pauc": "pAUC", "recall": "Recall", "alarms_per_day": "False alarms a day"}

Interval = tuple[float, float]
Plan = Callable[[int, int], Interval]
"""The interval that so many normal and anomalous clips would give if the figure stayed as it is."""


@dataclass(frozen=True)
class Verdict:
    """How a section stands to what was agreed.

    Attributes:
        measure: what was agreed on.
        target: at least so much; for ``alarms_per_day`` at most.
        status: met where the whole interval reaches the target, not met where none of it does.
        value: what was observed, or ``None`` without labels.
        low: lower end of the interval.
        high: upper end of the interval.
        more_clips: further labelled clips, by label, that would settle it if the observed figure stayed
            (without labels: if it were perfect); ``None`` where it is settled, or where no
            ``MOST_CLIPS`` of a label would do.
        text: the same in words.
    """

    measure: str
    target: float
    status: Status
    value: float | None
    low: float | None
    high: float | None
    more_clips: dict[str, int] | None
    text: str


def verdict(
    kpi: KpiParams,
    confidence: float,
    scores: Scores,
    labels: npt.NDArray[np.str_],
    decisions: npt.NDArray[np.str_],
    threshold: Threshold,
) -> Verdict:
    """Judge unseen test clips by what was agreed.

    ``auc`` and ``pauc`` (up to a false-positive rate of 0.1, standardised so that chance is 0.5) get the
    wider of two intervals: percentiles of a bootstrap stratified by label, and the score interval of
    Newcombe (2006, method 5) on the variance of Hanley and McNeil (1982). The bootstrap alone claims too
    much near 1: of ten normal and ten anomalous clips with a true AUC of 0.95 its lower end lay above
    the truth in every fifth draw. ``recall`` is the share of anomalies above the threshold and
    ``alarms_per_day`` what the share of normals above it comes to with the threshold's persistence and
    clips in a day, both with the interval of Clopper and Pearson. Clips are taken to be independent.

    Args:
        kpi: measure and target.
        confidence: of the interval.
        scores: (n,); a clip without a finite one does not count.
        labels: (n,) normal, anomaly or unknown; unknown ones do not count.
        decisions: (n,) normal or anomaly: whether the clip alone is above the threshold.
        threshold: what the decisions were made with.
    """
    known = np.isfinite(scores)
    normal, anomalous = (labels == "normal") & known, (labels == "anomaly") & known
    flagged = decisions == "anomaly"
    if kpi.measure == "recall":
        return _recall(kpi, confidence, int((anomalous & flagged).sum()), int(anomalous.sum()))
    if kpi.measure == "alarms_per_day":
        return _alarms(kpi, confidence, int((normal & flagged).sum()), int(normal.sum()), threshold)
    return _area(kpi, confidence, scores[normal], scores[anomalous])


def _recall(kpi: KpiParams, confidence: float, hits: int, clips: int) -> Verdict:
    rate = hits / clips if clips else 1.0

    def plan(_: int, anomalies: int) -> Interval:
        return clopper_pearson(rate * anomalies, anomalies, confidence)

    found = _Found(rate, plan(0, clips)) if clips else None
    return _judged(kpi, confidence, found, {"anomaly": clips}, plan)


def _alarms(kpi: KpiParams, confidence: float, false_alarms: int, clips: int, threshold: Threshold) -> Verdict:
    rate = false_alarms / clips if clips else 0.0

    def a_day(share: float) -> float:
        return threshold.clips_per_day * alarm_rate(share, threshold.persistence)

    def plan(normals: int, _: int) -> Interval:
        low, high = clopper_pearson(rate * normals, normals, confidence)
        return a_day(low), a_day(high)

    found = _Found(a_day(rate), plan(clips, 0)) if clips else None
    return _judged(kpi, confidence, found, {"normal": clips}, plan)


def _area(kpi: KpiParams, confidence: float, normal: Scores, anomalous: Scores) -> Verdict:
    share = 1.0 if kpi.measure == "auc" else _MAX_FPR
    counts = {"normal": len(normal), "anomaly": len(anomalous)}
    if not all(counts.values()):
        return _judged(kpi, confidence, None, counts, lambda n, m: _score_interval(1.0, n, m, share, confidence))
    value = float(areas(normal, anomalous, share, np.ones((1, len(normal))), np.ones((1, len(anomalous))))[0])
    by_score = _score_interval(value, counts["normal"], counts["anomaly"], share, confidence)
    drawn = _bootstrap(normal, anomalous, share, confidence)
    interval = min(by_score[0], drawn[0]), max(by_score[1], drawn[1])
    wider = [_ratio(value - ours, value - theirs) for ours, theirs in zip(interval, by_score, strict=True)]

    def plan(normals: int, anomalies: int) -> Interval:
        low, high = _score_interval(value, normals, anomalies, share, confidence)
        return value - wider[0] * (value - low), value - wider[1] * (value - high)

    return _judged(kpi, confidence, _Found(value, interval), counts, plan)


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else 1.0


def areas(
    normal: Scores,
    anomalous: Scores,
    share: float,
    normal_weights: npt.NDArray[np.float64],
    anomaly_weights: npt.NDArray[np.float64],
) -> Scores:
    """Areas (b,) under the ROC curves of b weightings (b, n) and (b, m) of scores (n,) and (m,).

    With ``share`` 1 the AUC; else the partial area up to that false-positive rate, standardised so that
    chance is 0.5 (McClish, 1989).
    """
    _, group = np.unique(-np.concatenate([normal, anomalous]), return_inverse=True)
    groups = int(group.max()) + 1
    false = _cumulated(normal_weights, group[: len(normal)], groups)
    true = _cumulated(anomaly_weights, group[len(normal) :], groups)
    start, end = false[:, :-1], false[:, 1:]
    left, right = np.minimum(start, share), np.minimum(end, share)
    width = np.where(end > start, end - start, 1.0)
    height = true[:, :-1] + (true[:, 1:] - true[:, :-1]) * (right - start) / width
    area: Scores = ((right - left) * (true[:, :-1] + height) / 2).sum(axis=1)
    if share == 1:
        return area
    least = share**2 / 2
    return 0.5 * (1 + (area - least) / (share - least))


def _cumulated(weights: npt.NDArray[np.float64], group: npt.NDArray[np.intp], groups: int) -> Scores:
    """Shares (b, groups + 1) of the weights (b, n) that lie in the groups up to each, from 0 to 1."""
    order = np.argsort(group, kind="stable")
    sums = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, order], axis=1)], axis=1)
    ends = np.searchsorted(group[order], np.arange(groups), side="right")
    shares: Scores = sums[:, np.concatenate([[0], ends])] / sums[:, -1:]
    return shares


def _bootstrap(normal: Scores, anomalous: Scores, share: float, confidence: float) -> Interval:
    rng = np.random.default_rng(_SEED)
    at_a_time = max(1, _CELLS // (len(normal) + len(anomalous)))
    drawn = []
    for start in range(0, _DRAWS, at_a_time):
        draws = min(at_a_time, _DRAWS - start)
        weights = [
            rng.multinomial(n, np.full(n, 1 / n), draws).astype(np.float64) for n in (len(normal), len(anomalous))
        ]
        drawn.append(areas(normal, anomalous, share, weights[0], weights[1]))
    low, high = np.quantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _score_interval(value: float, normals: int, anomalies: int, share: float, confidence: float) -> Interval:
    """Newcombe's interval of an area; a partial one is taken as that over the normals in its range."""
    least = share**2 / 2 if share < 1 else 0.0
    scale = (share - least) / share

    def plain(standardised: float) -> float:
        return (2 * standardised - 1) * scale + least / share if share < 1 else standardised

    def standardised(plain: float) -> float:
        return 0.5 * (1 + (plain - least / share) / scale) if share < 1 else plain

    low, high = _newcombe(min(max(plain(value), 0.0), 1.0), max(1.0, share * normals), anomalies, confidence)
    return standardised(low), standardised(high)


def _newcombe(area: float, normals: float, anomalies: float, confidence: float) -> Interval:
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    half = (normals + anomalies) / 2 - 1

    def beyond(true: float) -> float:
        """Positive where so true an area is too far from the observed one."""
        spread = 1 + half * ((1 - true) / (2 - true) + true / (1 + true))
        return abs(area - true) - z * float(np.sqrt(true * (1 - true) * spread / (normals * anomalies)))

    edge = 1e-12
    low = brentq(beyond, 0.0, max(area - edge, edge)) if area > edge else 0.0
    high = brentq(beyond, min(area + edge, 1 - edge), 1.0) if area < 1 - edge else 1.0
    return float(low), float(high)


@dataclass(frozen=True)
class _Found:
    value: float
    interval: Interval


def _judged(
    kpi: KpiParams, confidence: float, found: _Found | None, counts: dict[str, int], plan: Plan
) -> Verdict:
    status = _status(kpi, found.interval) if found else "cannot be shown"
    more = _more_clips(kpi, counts, plan) if status == "cannot be shown" else None
    text = _text(kpi, confidence, status, found, counts, more)
    if found is None:
        return Verdict(kpi.measure, kpi.target, status, None, None, None, more, text)
    return Verdict(kpi.measure, kpi.target, status, found.value, *found.interval, more, text)


def _status(kpi: KpiParams, interval: Interval) -> Status:
    low, high = interval
    if kpi.measure == "alarms_per_day":
        return "met" if high <= kpi.target else "not met" if low > kpi.target else "cannot be shown"
    return "met" if low >= kpi.target else "not met" if high < kpi.target else "cannot be shown"


def _more_clips(kpi: KpiParams, counts: dict[str, int], plan: Plan) -> dict[str, int] | None:
    """The fewest further clips that settle it, the scarcer label being filled up first."""

    def settled(clips: int) -> bool:
        normals, anomalies = (max(counts.get(label, 0), clips) for label in ("normal", "anomaly"))
        return _status(kpi, plan(normals, anomalies)) != "cannot be shown"

    low, high = min(counts.values()), MOST_CLIPS
    if not settled(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return {label: high - count for label, count in counts.items() if count < high}


def _text(
    kpi: KpiParams,
    confidence: float,
    status: Status,
    found: _Found | None,
    counts: dict[str, int],
    more: dict[str, int] | None,
) -> str:
    name, bound = _NAMES[kpi.measure], "at most" if kpi.measure == "alarms_per_day" else "at least"
    agreed = f"{bound} {kpi.target:.4g} was agreed"
    have = " and ".join(f"{count:,} {_adjective(label)}" for label, count in counts.items())
    if found is None:
        missing = " or ".join(_adjective(label) for label, count in counts.items() if not count)
        start = f"{name}: {agreed}. It cannot be shown: no test clip is labelled {missing}."
        least = _wish(more)
        wish = f" At least {least} would be needed to show that it is met, if none of them went wrong."
        return start + wish if least else start
    low, high = found.interval
    start = (
        f"{name}: {_figure(found.value)} ({confidence:.0%} interval {_figure(low)} to {_figure(high)}, from "
        f"{have} test clip{'s' * (sum(counts.values()) != 1)}); {agreed}"
    )
    if status != "cannot be shown":
        return f"{start}: {status}."
    wish, tends = _wish(more), _status(kpi, (found.value, found.value))
    remedy = (
        f"About {wish} would show that it is {tends} if the figure stayed as it is."
        if wish
        else f"It is so near the target that {MOST_CLIPS:,} labelled clips would not settle it."
    )
    return f"{start}. These labels can neither show nor refute it. {remedy}"


def _adjective(label: str) -> str:
    return "anomalous" if label == "anomaly" else label


def _wish(more: dict[str, int] | None) -> str:
    if not more:
        return ""
    parts = [f"{count:,} more {_adjective(label)}" for label, count in more.items()]
    return f"{' and '.join(parts)} test clip{'s' * (sum(more.values()) != 1)} with a label"


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:,.0f}"
