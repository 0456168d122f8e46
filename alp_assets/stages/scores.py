"""Stage scores: every clip against its section's model, with a decision and the figures of merit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from alp_assets.engines.store import CARD_FILE
from alp_assets.errors import ModelCorrupt, ModelUnsuited
from alp_assets.files import read_json, write_csv, write_json
from alp_assets.interop.dcase import write_dcase
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.clips import read_clips
from alp_assets.stages.evidence import Explained, explain, write_evidence
from alp_assets.stages.feedback import package_labels, with_labels
from alp_assets.stages.figures import (
    ANOMALY,
    FIGURES,
    headline,
    opinion_entry,
    package_metrics,
    roc_points,
    section_entry,
)
from alp_assets.stages.marked import marked, unmarked
from alp_assets.stages.models import package_sections, read_plan
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.serving import load_serving, score_clips, serving_model
from alp_assets.stages.summary import Summary
from alp_assets.stages.validation import UNSCORED
from alp_assets.stages.verdicts import false_alarm_promise, kpi_met, scores_complete
from schemas.sections import Section

SCORES_FILE = "scores.csv"
METRICS_FILE = "metrics.json"
HEADLINE_FILE = "headline.json"
ROC_FILE = "roc.csv"
OPINIONS_FILE = "second_opinions.csv"
DCASE = "dcase"
COLUMNS = (
    "clip_id",
    "recording",
    "machine_type",
    "section_id",
    "domain",
    "split",
    "score",
    "severity",
    "state",
    "decision",
    "threshold",
    "label",
)
OPINION_COLUMNS = ("clip_id", "engine", "score", "severity", "state", "decision", "threshold")


@dataclass(frozen=True)
class SectionScores:
    """One section's rows of ``scores.csv``, its entry in ``metrics.json``, and what second opinions say."""

    table: pd.DataFrame
    entry: dict[str, Any]
    opinions: pd.DataFrame | None = None
    explained: Explained | None = None


def scores(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Score every section with the model fitted here, else with its champion.

    Train clips get their calibration score, which comes from a model that had not seen them (but for those
    beyond the thousand of a domain that are calibrated on). A section
    without any model is listed in ``metrics.json`` as one that cannot be scored, with the reason.
    Labels that people gave to clips since stand before those of the table. With the figures the registry
    judges which of the package's models take their sections over.
    """
    from schemas.tables import SCORES

    folder.require("scores")
    clips = with_labels(read_clips(folder), package_labels(folder))
    clips = clips.assign(position=np.arange(len(clips)))
    sections = package_sections(folder)
    found: list[SectionScores] = []

    def work(section: Section) -> SectionScores:
        return _score_section(folder, section, clips, params)

    with folder.publish("scores") as part:
        for result in ordered_map(work, sections, params.run.threads):
            found.append(result)
            progress(len(found), len(sections), "sections scored")
        empty = pd.DataFrame({name: pd.Series(dtype=_dtype(name)) for name in (*COLUMNS, "position")})
        table = pd.concat([empty, *(item.table for item in found if len(item.table))])
        table = table.sort_values("position")[list(COLUMNS)].reset_index(drop=True)
        write_csv(part / SCORES_FILE, marked(table))
        finite = table[np.isfinite(table["score"])]
        SCORES.validate(finite)
        write_csv(part / ROC_FILE, roc_points(finite))
        write_csv(part / OPINIONS_FILE, marked(_all_opinions(found)))
        write_evidence(part, [item.explained for item in found if item.explained])
        write_dcase(part / DCASE, finite)
        metrics = package_metrics([item.entry for item in found], table, params)
        write_json(part / METRICS_FILE, metrics)
        write_json(part / HEADLINE_FILE, headline(metrics))
        summary = write_summary(part, _summary(table, metrics, clips))
    _judge(folder, metrics["sections"], params)
    return summary


def read_scores(folder: PackageFolder) -> pd.DataFrame:
    """The scores of a package, a row for each scored clip."""
    table = pd.read_csv(
        folder.stage("scores") / SCORES_FILE,
        dtype={name: _dtype(name) for name in COLUMNS},
        keep_default_na=False,
    )
    return unmarked(table)


def read_metrics(folder: PackageFolder) -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    metrics: dict[str, Any] = read_json(folder.stage("scores") / METRICS_FILE)
    return metrics


def labelled_figures(entry: dict[str, Any]) -> dict[str, float]:
    """The labelled figures of a section that was scored, as the registry keeps them."""
    found = {name: entry.get(name) for name in FIGURES}
    found["observed_false_alarms"] = (entry.get("observed") or {}).get("rate")
    return {name: float(value) for name, value in found.items() if value is not None}


def _judge(folder: PackageFolder, entries: list[dict[str, Any]], params: Params) -> None:
    """Tell the registry how the package's own models did."""
    from alp_assets.registry.records import ModelMissing
    from alp_assets.registry.registry import Registry

    registry = Registry(folder.data_root)
    for entry in entries:
        if entry.get("model_package") == folder.package:
            with suppress(ModelMissing):  # the folder's model may be of another registry
                registry.judge(entry["model_version"], labelled_figures(entry), params.promotion)


def _score_section(folder: PackageFolder, section: Section, clips: pd.DataFrame, params: Params) -> SectionScores:
    chosen = clips[
        (clips["machine_type"] == section.machine_type)
        & (clips["section_id"] == section.section_id)
        & ~clips["split"].isin(UNSCORED)
    ]
    try:
        serving = serving_model(folder, section)
        if serving is None:
            plan = read_plan(folder.stage("models") / section.folder)
            return _cannot(section, chosen, plan["reason"])
        loaded, opinions = load_serving(folder, serving, chosen)
    except ModelCorrupt as error:
        own_model = (folder.stage("models") / section.folder / CARD_FILE).is_file()
        return _cannot(section, chosen, str(error), damaged=own_model)
    except ModelUnsuited as error:
        return _cannot(section, chosen, str(error))
    own = serving.package == folder.package
    table = score_clips(loaded, chosen, own=own, params=params.decision)
    seconds = {item.engine: score_clips(item, chosen, own=own, params=params.decision) for item in opinions}
    entry = section_entry(section, serving, loaded, table, params)
    entry["second_opinions"] = [opinion_entry(name, item) for name, item in seconds.items()]
    shown = table[_worth_explaining([table, *seconds.values()], params.report.top_clips)]
    rows = [item.assign(engine=name)[list(OPINION_COLUMNS)] for name, item in seconds.items()]
    return SectionScores(
        table=table[[*COLUMNS, "position"]],
        entry=entry,
        opinions=pd.concat(rows) if rows else None,
        explained=explain(section, loaded, opinions, shown),
    )


def _all_opinions(found: list[SectionScores]) -> pd.DataFrame:
    parts = [item.opinions for item in found if item.opinions is not None]
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(OPINION_COLUMNS))


def _cannot(section: Section, chosen: pd.DataFrame, reason: str, *, damaged: bool = False) -> SectionScores:
    entry = {
        "section": str(section),
        "machine_type": section.machine_type,
        "section_id": section.section_id,
        "state": "cannot_score",
        "reason": f"cannot score: {reason}",
        "clips": len(chosen),
        "damaged": damaged,
    }
    return SectionScores(chosen.iloc[:0].reindex(columns=[*COLUMNS, "position"]), entry)


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
    gates = (
        scores_complete(table, metrics, clips),
        false_alarm_promise(metrics["sections"]),
        kpi_met(metrics["sections"]),
    )
    return Summary("scores", figures, gates, {"sections": pd.DataFrame(rows)})


def _dtype(name: str) -> str:
    if name == "position":
        return "int64"
    return "float64" if name in ("score", "severity", "threshold") else "str"


def _worth_explaining(tables: list[pd.DataFrame], top: int) -> np.ndarray[Any, Any]:
    """Test clips that any engine flags, and the highest scores."""
    test = (tables[0]["split"] == "test").to_numpy()
    flagged = np.any([(table["decision"] == ANOMALY).to_numpy() for table in tables], axis=0)
    highest = tables[0]["score"].where(test).rank(ascending=False).le(top).to_numpy()
    return np.asarray(test & (flagged | highest))
