"""The figures of merit of a package's scores: by section, over all, and as curves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import pandas as pd

from alp_assets.decision.kpi import Verdict, verdict
from alp_assets.decision.metrics import Metrics, evaluate, harmonic_mean
from alp_assets.decision.severity import State
from alp_assets.decision.threshold import clopper_pearson, threshold_from
from alp_assets.params import Params
from alp_assets.stages.models import read_sensitivity
from alp_assets.stages.serving import Loaded, Serving
from schemas.sections import Section

ANOMALY = "anomaly"
FIGURES = ("auc", "auc_source", "auc_target", "pauc", "harmonic_mean")

_NO_MATTER = {"packages", "synth", "run", "web", "notices", "freshness"}
"""Parameters that no figure depends on."""


def section_entry(
    section: Section, serving: Serving, loaded: Loaded, table: pd.DataFrame, params: Params
) -> dict[str, Any]:
    """What ``metrics.json`` says of a section that was scored."""
    test = table[table["split"] == "test"]
    threshold = loaded.threshold
    return {
        "section": str(section),
        "machine_type": section.machine_type,
        "section_id": section.section_id,
        "state": "scored",
        "engine": loaded.engine,
        "model_version": serving.version,
        "model_package": serving.package,
        "clips": len(table),
        "flagged": int((test["decision"] == ANOMALY).sum()),
        "test_clips": len(test),
        "threshold": threshold["value"],
        "promised_false_alarm_rate": threshold["promised"],
        "promise_supported": threshold["supported"],
        "promise_note": threshold["note"],
        "policy": threshold["policy"],
        "extrapolated": threshold["extrapolated"],
        "persistence": threshold["persistence"],
        "alarms_per_day": threshold["alarms_per_day"],
        "observed": _observed(test, params.decision.confidence),
        "kpi": asdict(_kpi(test, threshold, params)),
        "states": {name: int((test["state"] == name).sum()) for name in get_args(State)},
        "hears": read_sensitivity(serving.folder),
        **asdict(_merit(test)),
        "auc_recordings": _merit(_by_recording(test)).auc if test["recording"].duplicated().any() else None,
    }


def opinion_entry(engine: str, table: pd.DataFrame) -> dict[str, Any]:
    """What a second opinion comes to."""
    test = table[table["split"] == "test"]
    return {
        "engine": engine,
        "flagged": int((test["decision"] == ANOMALY).sum()),
        "threshold": float(table["threshold"].iloc[0]) if len(table) else None,
        "auc": _merit(test).auc,
    }


def package_metrics(entries: list[dict[str, Any]], table: pd.DataFrame, params: Params) -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    scored = [entry for entry in entries if entry["state"] == "scored"]
    overall: dict[str, Any] = {}
    for name in FIGURES:
        values = [entry[name] for entry in scored if entry[name] is not None]
        overall[name] = harmonic_mean(values)
    return {
        "overall": {**overall, "note": _overall_note(scored)},
        "sections": entries,
        "counts": {
            "sections": len(entries),
            "scored": len(scored),
            "clips": len(table),
            "test_clips": int((table["split"] == "test").sum()),
            "flagged": sum(entry["flagged"] for entry in scored),
        },
        "parameters": params.model_dump(mode="json", exclude=_NO_MATTER),
    }


def headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """The few figures that are worth comparing between runs, as `dvc metrics show` prints them."""
    observed = [entry["observed"] for entry in metrics["sections"] if entry.get("observed")]
    normals = sum(item["normals"] for item in observed)
    alarms = sum(item["false_alarms"] for item in observed)
    figures = {name: value for name, value in metrics["overall"].items() if name != "note" and value is not None}
    rate = {"false_alarm_rate": alarms / normals} if normals else {}
    return {**figures, **rate, "flagged": metrics["counts"]["flagged"]}


def roc_points(table: pd.DataFrame) -> pd.DataFrame:
    """Points of each labelled section's ROC curve, for plots."""
    from sklearn.metrics import roc_curve

    parts = [pd.DataFrame({"section": [], "false_positive_rate": [], "true_positive_rate": []})]
    labelled = table[(table["split"] == "test") & table["label"].isin(["normal", "anomaly"])]
    for (machine_type, section_id), rows in labelled.groupby(["machine_type", "section_id"]):
        if rows["label"].nunique() == 2:
            fpr, tpr, _ = roc_curve(rows["label"] == "anomaly", rows["score"])
            name = f"{machine_type}/{section_id}"
            parts.append(pd.DataFrame({"section": name, "false_positive_rate": fpr, "true_positive_rate": tpr}))
    return pd.concat(parts) if len(parts) > 1 else parts[0]


def _merit(test: pd.DataFrame) -> Metrics:
    finite = test[np.isfinite(test["score"])]
    return evaluate(finite["score"].to_numpy(), finite["label"].to_numpy(str), finite["domain"].to_numpy(str))


def _by_recording(test: pd.DataFrame) -> pd.DataFrame:
    """A row for each recording: the mean score of its clips, and an anomaly where any clip is one."""
    order = {"normal": 0, "unknown": 1, "anomaly": 2}
    ranked = test.assign(rank=test["label"].map(order)).sort_values("rank", kind="stable")
    worst = ranked.drop_duplicates("recording", keep="last")
    mean = test.groupby("recording")["score"].mean()
    return worst.assign(score=worst["recording"].map(mean))


def _kpi(test: pd.DataFrame, threshold: dict[str, Any], params: Params) -> Verdict:
    finite = test[np.isfinite(test["score"])]
    return verdict(
        params.kpi,
        params.decision.confidence,
        finite["score"].to_numpy(),
        finite["label"].to_numpy(str),
        finite["decision"].to_numpy(str),
        threshold_from(threshold),
    )


def _observed(test: pd.DataFrame, confidence: float) -> dict[str, Any] | None:
    """False alarms on labelled test normals, which no model or threshold has seen."""
    normals = test[test["label"] == "normal"]
    if not len(normals):
        return None
    alarms = int((normals["decision"] == ANOMALY).sum())
    low, high = clopper_pearson(alarms, len(normals), confidence)
    return {
        "false_alarms": alarms,
        "normals": len(normals),
        "rate": alarms / len(normals),
        "low": low,
        "high": high,
    }


def _overall_note(scored: list[dict[str, Any]]) -> str:
    if not scored:
        return "no section could be scored, so no figure can be given"
    unlabelled = [entry["section"] for entry in scored if entry["auc"] is None]
    if len(unlabelled) == len(scored):
        return "no section has labelled normal and anomalous test clips, so no figure can be given"
    if unlabelled:
        return f"harmonic means over the labelled sections; without labels: {', '.join(unlabelled)}"
    return "harmonic means over the sections"
