"""Thresholds on recordings of which it is known whether they are normal. They are never test recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from alp_assets.decision.threshold import Scores, Threshold, percent

LABELS = "labels"
"""The name of the policy."""

_BETA = 0.5
"""F0.5: a false alarm costs more than a miss."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """A threshold and how well it parts labelled scores; a score is above when it is greater."""

    threshold: float
    precision: float
    recall: float
    f_half: float
    f1: float


def best_threshold(scores: Scores, anomalous: Flags, beta: float = _BETA) -> Found:
    """The threshold with the highest F-beta on labelled scores (n,), between two of them; of equals the highest.

    Raises:
        ValueError: there is no normal or no anomalous score.
    """
    if anomalous.all() or not anomalous.any():
        raise ValueError("a threshold on labels needs normal and anomalous scores")
    levels = np.unique(scores)
    cuts = np.concatenate([[levels[0] - 1.0], (levels[:-1] + levels[1:]) / 2])
    ranked = np.sort(scores[anomalous]), np.sort(scores[~anomalous])
    hits, alarms = (len(row) - np.searchsorted(row, cuts, side="right") for row in ranked)
    precision = hits / np.maximum(hits + alarms, 1)
    recall = hits / anomalous.sum()
    f_beta = _f(precision, recall, beta)
    best = int(np.flatnonzero(f_beta == f_beta.max())[-1])
    return Found(
        float(cuts[best]),
        float(precision[best]),
        float(recall[best]),
        float(f_beta[best]),
        float(_f(precision, recall, 1.0)[best]),
    )


def on_labels(fitted: Threshold, calibration: Mapping[str, Scores], scores: Scores, anomalous: Flags) -> Threshold:
    """The threshold that parts labelled scores (n,) best, in place of one that was ``fitted`` to normals.

    What it promises is what the ``calibration`` scores of normals, by domain, bear at it: of n exchangeable
    scores of which k are above, a new one is with probability at most (k + 1) / (n + 1). So they support it,
    though it may be more than was asked for. Every clip above the threshold is an alarm: that is what was counted.

    Raises:
        ValueError: there is no normal or no anomalous score.
    """
    found = best_threshold(scores, anomalous)
    promised = max(
        float((np.mean(calibration[name] > found.threshold) * count + 1) / (count + 1))
        for name, count in fitted.normals.items()
        if len(calibration[name])
    )
    alarms = promised * fitted.clips_per_day
    more = "" if promised <= fitted.asked * (1 + 1e-6) else ", more than was asked for"
    note = (
        f"Set where F0.5 is highest on the recordings for validation ({int((~anomalous).sum())} normal and "
        f"{int(anomalous.sum())} anomalous clips): precision {found.precision:.3f}, recall {found.recall:.3f}. By "
        f"the normals alone it would be {fitted.value:.4g}. By the calibration scores {percent(promised)} of "
        f"normal clips may be above it. Expected: about {alarms:.2g} false alarms a day{more}."
    )
    return replace(
        fitted,
        value=found.threshold,
        promised=promised,
        supported=True,
        extrapolated=False,
        policy=LABELS,
        persistence=None,
        alarms_per_day=alarms,
        note=note,
        by_domain=dict.fromkeys(fitted.by_domain, found.threshold),
    )


def _f(
    precision: npt.NDArray[np.float64], recall: npt.NDArray[np.float64], beta: float
) -> npt.NDArray[np.float64]:
    below = beta**2 * precision + recall
    return np.where(below > 0, (1 + beta**2) * precision * recall / np.where(below > 0, below, 1), 0.0)
