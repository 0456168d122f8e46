"""The threshold that a model decides with: the fitted one, or the one that somebody set in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from alp_assets.decision.persistence import alarm_rate
from alp_assets.decision.threshold import percent, threshold_from
from alp_assets.registry.records import ModelMissing, ThresholdVersion
from alp_assets.registry.registry import Registry


def threshold_in_force(registry: Registry, version: str, fitted: Mapping[str, Any]) -> dict[str, Any]:
    """The threshold of a version, as ``threshold.json`` has it, with what holds for the value in force.

    ``fitted`` is what that file holds; it stands where nobody set another value or the version is not registered.
    """
    try:
        found = registry.thresholds(version)
    except ModelMissing:
        return dict(fitted)
    if not found or found[-1].number == 0:
        return dict(fitted)
    return set_to(fitted, found[-1])


def set_to(fitted: Mapping[str, Any], chosen: ThresholdVersion) -> dict[str, Any]:
    """A fitted threshold moved to a value; what it promises is what the calibration scores bear at that value."""
    before = threshold_from(fitted)
    promised = max(
        _exceeded(fitted["calibration"], before.normals, chosen.value).values(), default=before.promised
    )
    share = alarm_rate(promised, before.persistence)
    alarms = before.clips_per_day * share
    kept = share <= before.asked * (1 + 1e-6)
    said = f": {chosen.note.rstrip('.')}" if chosen.note else ""
    more = "" if kept else ", more than was asked for"
    who = chosen.who or "somebody"
    note = (
        f"Set by {who} to {chosen.value:.4g} in place of the fitted {before.value:.4g}{said}. By the "
        f"calibration scores {percent(promised)} of normal clips may be above it. Expected: about {alarms:.2g} "
        f"false alarms a day{more}."
    )
    return {
        **fitted,
        "value": chosen.value,
        "promised": promised,
        "alarms_per_day": alarms,
        "supported": kept,
        "extrapolated": False,
        "note": note,
    }


def _exceeded(calibration: list[dict[str, Any]], recordings: Mapping[str, int], value: float) -> dict[str, float]:
    """The share of new normals of each domain that may be above a value, no less than its recordings can bear.

    Of n exchangeable scores of which k are above, a new one is with probability at most (k + 1) / (n + 1).
    """
    found = {}
    for domain, count in recordings.items():
        scores = np.array([item["score"] for item in calibration if item["domain"] == domain])
        if len(scores):
            found[domain] = float((np.mean(scores > value) * count + 1) / (count + 1))
    return found
