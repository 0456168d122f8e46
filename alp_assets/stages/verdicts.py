"""The gates of the stage scores."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd

from alp_assets.decision.kpi import Status
from alp_assets.stages.summary import Gate
from alp_assets.stages.validation import UNSCORED


def scores_complete(table: pd.DataFrame, metrics: dict[str, Any], clips: pd.DataFrame) -> Gate:
    """Whether every clip that should have a score has a finite one.

    A damaged model of the package itself fails it; a machine that has no model yet is only told of.
    """
    not_finite = int((~np.isfinite(table["score"])).sum())
    left = {entry["section"]: entry for entry in metrics["sections"] if entry["state"] == "cannot_score"}
    expected = int((~clips["split"].isin(UNSCORED)).sum()) - sum(entry["clips"] for entry in left.values())
    figures = {
        "clips": len(table),
        "not_finite": not_finite,
        "missing": expected - len(table),
        "unscored": len(left),
    }
    if not_finite or expected != len(table):
        text = f"{not_finite} scores are not finite and {expected - len(table)} are missing."
        return Gate("scores_complete", "failed", text, figures)
    damaged = [entry["reason"] for entry in left.values() if entry["damaged"]]
    if damaged:
        return Gate("scores_complete", "failed", "; ".join(damaged), figures)
    if left:
        text = "; ".join(f"{name}: {entry['reason']}" for name, entry in left.items())
        return Gate("scores_complete", "warned", text, figures)
    return Gate("scores_complete", "passed", f"All {len(table)} clips have a finite score.", figures)


def false_alarm_promise(entries: list[dict[str, Any]]) -> Gate:
    """Whether unseen normals are above their thresholds no more often than promised, by machine and over all."""
    scored = [entry for entry in entries if entry["state"] == "scored"]
    broken = [
        entry
        for entry in scored
        if entry["observed"] and entry["observed"]["low"] > entry["promised_false_alarm_rate"]
    ]
    weak = [entry["section"] for entry in scored if not entry["promise_supported"]]
    checked = sum(entry["observed"] is not None for entry in scored)
    alarms = sum(entry["observed"]["false_alarms"] for entry in scored if entry["observed"])
    normals = sum(entry["observed"]["normals"] for entry in scored if entry["observed"])
    promised = max((entry["promised_false_alarm_rate"] for entry in scored if entry["observed"]), default=0.0)
    figures: dict[str, int | float | str] = {
        "sections": len(scored),
        "checked": checked,
        "false_alarms": alarms,
        "normals": normals,
        "broken": len(broken),
        "unsupported": len(weak),
    }
    if broken:
        text = "; ".join(
            f"{entry['section']}: {entry['observed']['rate']:.0%} of unseen normals were above the "
            f"threshold, {entry['promised_false_alarm_rate']:.0%} was promised"
            for entry in broken
        )
        return Gate("false_alarm_promise", "warned", text, figures)
    if normals and _too_many(alarms, normals, promised):
        text = (
            f"Over all machines {alarms} of {normals} unseen normals were above their thresholds, where at most "
            f"{promised:.0%} was promised."
        )
        return Gate("false_alarm_promise", "warned", text, figures)
    if weak:
        text = f"Too few normals to support the rate that was asked for: {', '.join(weak)}."
        return Gate("false_alarm_promise", "warned", text, figures)
    if not checked:
        return Gate(
            "false_alarm_promise", "passed", "No labelled unseen normals to check the promise on.", figures
        )
    text = f"{alarms} of {normals} unseen normals were above the threshold, which does not contradict the promise."
    return Gate("false_alarm_promise", "passed", text, figures)


def _too_many(alarms: int, normals: int, promised: float) -> bool:
    """Whether so many would be seen in less than one of forty cases if the promise held."""
    from scipy.stats import binom

    return float(binom.sf(alarms - 1, normals, promised)) < 1 / 40


def kpi_met(entries: list[dict[str, Any]]) -> Gate:
    """Whether every section reaches what was agreed, as far as the labels can show."""
    verdicts = {entry["section"]: entry["kpi"] for entry in entries if entry["state"] == "scored"}
    counts = {name: sum(item["status"] == name for item in verdicts.values()) for name in get_args(Status)}
    figures: dict[str, int | float | str] = {name.replace(" ", "_"): count for name, count in counts.items()}
    text = "; ".join(f"{name}: {item['text']}" for name, item in verdicts.items()) or "No section could be scored."
    met = bool(verdicts) and counts["met"] == len(verdicts)
    return Gate("kpi", "passed" if met else "warned", text, figures)
