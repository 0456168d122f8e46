"""What a threshold would come to: promised by the calibration scores, observed on labelled clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.decision.threshold import clopper_pearson
from alp_assets.registry.records import ThresholdVersion, Version
from alp_assets.stages.in_force import set_to
from alp_assets.web.labelled import Labelled

_MOST_SHOWN = 2_000
_MARGIN = 0.15

Scores = npt.NDArray[np.float64]


def calibration_scores(fitted: Mapping[str, Any]) -> Scores:
    """The calibration scores (n,) of a threshold, ascending."""
    return np.sort(np.array([item["score"] for item in fitted["calibration"]], np.float64))


def at(value: float, version: Version, fitted: Mapping[str, Any]) -> dict[str, Any]:
    """The threshold as it would be in force at a value."""
    if value == fitted["value"]:
        return dict(fitted)
    return set_to(fitted, ThresholdVersion(version.version, 1, value, "", "", ""))


def preview(
    value: float, version: Version, fitted: Mapping[str, Any], labelled: Labelled, confidence: float
) -> dict[str, Any]:
    """What a value promises, what it would have rung on falsely, and what it would have caught."""
    threshold, scores = at(value, version, fitted), calibration_scores(fitted)
    found: dict[str, Any] = {
        "value": value,
        "rate": threshold["promised"],
        "rate_least": max(1 / (count + 1) for count in fitted["normals"].values()),
        "supported": threshold["supported"],
        "rule": threshold["persistence"],
        "alarms_per_day": threshold["alarms_per_day"],
        "clips_per_day": threshold["clips_per_day"],
        "above": int((scores > value).sum()),
        "count": len(scores),
        "observed": _share(labelled.normal, value, confidence, "normals", "false_alarms"),
        "caught": _share(labelled.anomaly, value, confidence, "anomalies", "caught"),
        "note": threshold["note"] if value == fitted["value"] else "",
    }
    return found


def distribution(version: Version, fitted: Mapping[str, Any], value: float, bins: int) -> dict[str, Any]:
    """The calibration scores of a version, and the ends that a slider over them may have."""
    scores = calibration_scores(fitted)
    low, high = float(scores.min()), float(scores.max())
    ends = min(low, value, fitted["value"]), max(high, value, fitted["value"])
    margin = _MARGIN * (ends[1] - ends[0]) or max(abs(ends[1]), 1.0) * _MARGIN
    span = (ends[0] - margin, ends[1] + margin)
    counts, edges = np.histogram(scores, bins=bins, range=span)
    shown = scores[np.linspace(0, len(scores) - 1, min(len(scores), _MOST_SHOWN)).round().astype(int)]
    return {
        "model_id": version.version,
        "name": version.name,
        "scores": shown.tolist(),
        "count": len(scores),
        "median": float(np.median(scores)),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "threshold": value,
        "fitted_threshold": fitted["value"],
        "range": list(span),
        "rule": fitted["persistence"],
        "clips_per_day": fitted["clips_per_day"],
        "promise_note": fitted["note"],
    }


def _share(
    scores: tuple[float, ...], value: float, confidence: float, of: str, what: str
) -> dict[str, float] | None:
    if not scores:
        return None
    above = sum(score > value for score in scores)
    low, high = clopper_pearson(above, len(scores), confidence)
    return {of: len(scores), what: above, "rate": above / len(scores), "low": low, "high": high}
