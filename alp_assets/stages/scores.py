"""Stage scores: every clip against its section's model, with a decision and the figures of merit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alp_assets.decision.metrics import evaluate, harmonic_mean
from alp_assets.decision.severity import severity
from alp_assets.decision.threshold import clopper_pearson
from alp_assets.engines.store import load_model
from alp_assets.errors import ModelCorrupt
from alp_assets.files import read_json, write_csv, write_json
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.clips import read_clips
from alp_assets.stages.embeddings import Embedded, read_embeddings
from alp_assets.stages.models import package_sections, read_plan, read_threshold
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Gate, Summary
from schemas.sections import Section

SCORES_FILE = "scores.csv"
METRICS_FILE = "metrics.json"
HEADLINE_FILE = "headline.json"
ROC_FILE = "roc.csv"
COLUMNS = (
    "clip_id",
    "recording",
    "machine_type",
    "section_id",
    "domain",
    "split",
    "score",
    "severity",
    "decision",
    "threshold",
    "label",
)
FIGURES = ("auc", "auc_source", "auc_target", "pauc", "harmonic_mean")


@dataclass(frozen=True)
class SectionScores:
    """One section's rows of ``scores.csv`` and its entry in ``metrics.json``."""

    table: pd.DataFrame
    entry: dict[str, Any]


@dataclass(frozen=True)
class Serving:
    """The model folder that a section is scored with, and the package it was fitted on."""

    folder: Path
    version: str
    package: str


def scores(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Score every section with the model fitted here, else with its champion.

    Train clips get their calibration score, which comes from a model that had not seen them. A section
    without any model is listed in ``metrics.json`` as one that cannot be scored, with the reason.
    """
    from schemas.tables import SCORES

    folder.require("scores")
    clips = read_clips(folder)
    clips = clips.assign(position=np.arange(len(clips)))
    embedded = read_embeddings(folder, params.embeddings.encoder)
    sections = package_sections(folder)
    found: list[SectionScores] = []

    def work(section: Section) -> SectionScores:
        return _score_section(folder, section, clips, embedded, params)

    with folder.publish("scores") as part:
        for result in ordered_map(work, sections, params.run.threads):
            found.append(result)
            progress(len(found), len(sections), "sections scored")
        empty = pd.DataFrame({name: pd.Series(dtype=_dtype(name)) for name in (*COLUMNS, "position")})
        table = pd.concat([empty, *(item.table for item in found if len(item.table))])
        table = table.sort_values("position")[list(COLUMNS)].reset_index(drop=True)
        write_csv(part / SCORES_FILE, table)
        finite = table[np.isfinite(table["score"])]
        SCORES.validate(finite)
        write_csv(part / ROC_FILE, _roc(table))
        metrics = _metrics([item.entry for item in found], table, params)
        write_json(part / METRICS_FILE, metrics)
        write_json(part / HEADLINE_FILE, _headline(metrics))
        return write_summary(part, _summary(table, metrics, clips))


def read_scores(folder: PackageFolder) -> pd.DataFrame:
    """The scores of a package, a row for each scored clip."""
    return pd.read_csv(
        folder.stage("scores") / SCORES_FILE,
        dtype={name: _dtype(name) for name in COLUMNS},
        keep_default_na=False,
    )


def read_metrics(folder: PackageFolder) -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    metrics: dict[str, Any] = read_json(folder.stage("scores") / METRICS_FILE)
    return metrics


def serving_model(folder: PackageFolder, section: Section) -> Serving | None:
    """The model of this package for a section, else the section's champion, else nothing."""
    from alp_assets.registry.registry import Registry, content_hash, verify

    own = folder.stage("models") / section.folder
    if (own / "model.json").is_file():
        return Serving(own, content_hash(own), folder.package)
    champion = Registry(folder.data_root).champion(section)
    if champion is None:
        return None
    verify(champion)
    return Serving(champion.folder, champion.version, champion.package)


def _score_section(
    folder: PackageFolder, section: Section, clips: pd.DataFrame, embedded: Embedded, params: Params
) -> SectionScores:
    chosen = clips[
        (clips["machine_type"] == section.machine_type)
        & (clips["section_id"] == section.section_id)
        & (clips["split"] != "supplemental")
    ]
    try:
        serving = serving_model(folder, section)
        if serving is None:
            plan = read_plan(folder.stage("models") / section.folder)
            return _cannot(section, chosen, plan["reason"])
        stored = load_model(serving.folder)
    except ModelCorrupt as error:
        return _cannot(section, chosen, str(error))
    if stored.card["encoder"] != embedded.encoder:
        return _cannot(
            section,
            chosen,
            f"its model (package {serving.package}) was fitted on clips or embeddings of other settings than "
            "this package has; run both with the same",
        )
    threshold = read_threshold(serving.folder)
    values = stored.model.score(embedded.values[chosen["position"].to_numpy()])
    if serving.package == folder.package:
        values = _with_calibration(values, chosen, threshold["calibration"])
    calibration = np.array([item["score"] for item in threshold["calibration"]])
    table = chosen.assign(
        score=values,
        severity=np.round(np.nan_to_num(severity(values, calibration, threshold["value"])), 2),
        decision=np.where(values > threshold["value"], "anomaly", "normal"),
        threshold=threshold["value"],
    )[[*COLUMNS, "position"]]
    return SectionScores(table, _entry(section, serving, stored.card["engine"], threshold, table, params))


def _with_calibration(
    values: np.ndarray[Any, Any], chosen: pd.DataFrame, calibration: list[dict[str, Any]]
) -> np.ndarray[Any, Any]:
    unseen = {item["clip_id"]: item["score"] for item in calibration if item["own"]}
    train = (chosen["split"] == "train").to_numpy()
    names = chosen["clip_id"].to_numpy()
    return np.array(
        [unseen.get(name, value) if fit else value for name, value, fit in zip(names, values, train, strict=True)]
    )


def _cannot(section: Section, chosen: pd.DataFrame, reason: str) -> SectionScores:
    entry = {
        "section": str(section),
        "machine_type": section.machine_type,
        "section_id": section.section_id,
        "state": "cannot_score",
        "reason": f"cannot score: {reason}",
        "clips": len(chosen),
    }
    return SectionScores(chosen.iloc[:0].reindex(columns=[*COLUMNS, "position"]), entry)


def _entry(
    section: Section,
    serving: Serving,
    engine: str,
    threshold: Mapping[str, Any],
    table: pd.DataFrame,
    params: Params,
) -> dict[str, Any]:
    test = table[table["split"] == "test"]
    finite = test[np.isfinite(test["score"])]
    found = evaluate(finite["score"].to_numpy(), finite["label"].to_numpy(str), finite["domain"].to_numpy(str))
    return {
        "section": str(section),
        "machine_type": section.machine_type,
        "section_id": section.section_id,
        "state": "scored",
        "engine": engine,
        "model_version": serving.version,
        "model_package": serving.package,
        "clips": len(table),
        "flagged": int((test["decision"] == "anomaly").sum()),
        "test_clips": len(test),
        "threshold": threshold["value"],
        "promised_false_alarm_rate": threshold["promised"],
        "promise_supported": threshold["supported"],
        "promise_note": threshold["note"],
        "observed": _observed(test, params.decision.confidence),
        **asdict(found),
    }


def _observed(test: pd.DataFrame, confidence: float) -> dict[str, Any] | None:
    """False alarms on labelled test normals, which no model or threshold has seen."""
    normals = test[test["label"] == "normal"]
    if not len(normals):
        return None
    alarms = int((normals["decision"] == "anomaly").sum())
    low, high = clopper_pearson(alarms, len(normals), confidence)
    return {
        "false_alarms": alarms,
        "normals": len(normals),
        "rate": alarms / len(normals),
        "low": low,
        "high": high,
    }


def _metrics(entries: list[dict[str, Any]], table: pd.DataFrame, params: Params) -> dict[str, Any]:
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
        "parameters": params.model_dump(mode="json", exclude={"packages", "synth", "run"}),
    }


def _headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """The few figures that are worth comparing between runs, as `dvc metrics show` prints them."""
    observed = [entry["observed"] for entry in metrics["sections"] if entry.get("observed")]
    normals = sum(item["normals"] for item in observed)
    alarms = sum(item["false_alarms"] for item in observed)
    figures = {name: value for name, value in metrics["overall"].items() if name != "note" and value is not None}
    rate = {"false_alarm_rate": alarms / normals} if normals else {}
    return {**figures, **rate, "flagged": metrics["counts"]["flagged"]}


def _overall_note(scored: list[dict[str, Any]]) -> str:
    if not scored:
        return "no section could be scored, so no figure can be given"
    unlabelled = [entry["section"] for entry in scored if entry["auc"] is None]
    if len(unlabelled) == len(scored):
        return "no section has labelled normal and anomalous test clips, so no figure can be given"
    if unlabelled:
        return f"harmonic means over the labelled sections; without labels: {', '.join(unlabelled)}"
    return "harmonic means over the sections"


def _roc(table: pd.DataFrame) -> pd.DataFrame:
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


def _summary(table: pd.DataFrame, metrics: dict[str, Any], clips: pd.DataFrame) -> Summary:
    overall, counts = metrics["overall"], metrics["counts"]
    figures: dict[str, int | float | str] = {
        **counts,
        **{name: round(overall[name], 4) for name in FIGURES if overall[name] is not None},
        "note": overall["note"],
    }
    rows = [
        {
            "section": f"{entry['machine_type']}/{entry['section_id']}",
            "state": entry["state"],
            **{name: entry.get(name) for name in ("engine", "model_package", "clips", "flagged", "threshold")},
            "promised": entry.get("promised_false_alarm_rate"),
            "observed": (entry.get("observed") or {}).get("rate"),
            "auc": entry.get("auc"),
            "note": entry.get("reason") or entry.get("promise_note") or entry.get("note"),
        }
        for entry in metrics["sections"]
    ]
    gates = (_complete(table, metrics, clips), _promise(metrics["sections"]))
    return Summary("scores", figures, gates, {"sections": pd.DataFrame(rows)})


def _complete(table: pd.DataFrame, metrics: dict[str, Any], clips: pd.DataFrame) -> Gate:
    not_finite = int((~np.isfinite(table["score"])).sum())
    left = {entry["section"]: entry for entry in metrics["sections"] if entry["state"] == "cannot_score"}
    expected = int((clips["split"] != "supplemental").sum()) - sum(entry["clips"] for entry in left.values())
    figures = {
        "clips": len(table),
        "not_finite": not_finite,
        "missing": expected - len(table),
        "unscored": len(left),
    }
    if not_finite or expected != len(table):
        text = f"{not_finite} scores are not finite and {expected - len(table)} are missing."
        return Gate("scores_complete", "failed", text, figures)
    if left:
        text = "; ".join(f"{name}: {entry['reason']}" for name, entry in left.items())
        return Gate("scores_complete", "warned", text, figures)
    return Gate("scores_complete", "passed", f"All {len(table)} clips have a finite score.", figures)


def _promise(entries: list[dict[str, Any]]) -> Gate:
    """Whether the false alarms on unseen normals fit what was promised."""
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
            f"{entry['section']}: {entry['observed']['rate']:.0%} of unseen normals rang, "
            f"{entry['promised_false_alarm_rate']:.0%} was promised"
            for entry in broken
        )
        return Gate("false_alarm_promise", "warned", text, figures)
    if weak:
        text = f"Too few normals to support the rate that was asked for: {', '.join(weak)}."
        return Gate("false_alarm_promise", "warned", text, figures)
    if not checked:
        return Gate(
            "false_alarm_promise", "passed", "No labelled unseen normals to check the promise on.", figures
        )
    return Gate(
        "false_alarm_promise", "passed", f"{alarms} of {normals} unseen normals rang, as promised.", figures
    )


def _dtype(name: str) -> str:
    if name == "position":
        return "int64"
    return "float64" if name in ("score", "severity", "threshold") else "str"
