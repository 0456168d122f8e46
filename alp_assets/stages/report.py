"""Stage report: everything that was found, on one page for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml

from alp_assets.audio.standardize import CLIP_SECONDS, SAMPLE_RATE, read_clip
from alp_assets.engines.rules import CAUSES
from alp_assets.files import write_bytes
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.report.html import render_report
from alp_assets.report.model import (
    CauseView,
    ClipOpinion,
    ClipView,
    HeardView,
    KpiView,
    OpinionView,
    RecordingRow,
    ReportView,
    SectionView,
)
from alp_assets.stages.clips import clip_path, read_clips
from alp_assets.stages.evidence import read_findings, read_maps
from alp_assets.stages.metadata import read_problems
from alp_assets.stages.models import read_plan, read_threshold
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.quality import SET_ASIDE, read_quality, recording_problems
from alp_assets.stages.rejection import withdraw
from alp_assets.stages.scores import OPINIONS_FILE, read_metrics, read_scores
from alp_assets.stages.serving import serving_model
from alp_assets.stages.summary import Summary
from alp_assets.stages.upload import read_receipt
from alp_assets.version import code_version
from schemas.sections import Section

REPORT_FILE = "report.html"
OVERALL = {
    "auc": "AUC",
    "auc_source": "AUC, source domain",
    "auc_target": "AUC, target domain",
    "pauc": "partial AUC",
    "harmonic_mean": "harmonic mean of the last three",
}


def report(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Write one self-contained HTML page. A rejection of an earlier try is withdrawn."""
    folder.require("report")
    quality, clips = read_quality(folder), read_clips(folder)
    metrics, receipt = read_metrics(folder), read_receipt(folder)
    told = _Told(clips, read_scores(folder), _read_opinions(folder), read_findings(folder))
    views = []
    for entry in metrics["sections"]:
        views.append(_section(folder, entry, told, params))
        progress(len(views), len(metrics["sections"]), "sections drawn")
    accepted = quality[quality["verdict"] != SET_ASIDE]
    page = render_report(
        ReportView(
            customer=folder.customer,
            package=folder.package,
            received_at=str(receipt["received_at"]),
            original_name=str(receipt["original_name"]),
            sha256=str(receipt["sha256"]),
            bytes=int(receipt["bytes"]),
            recordings_received=len(quality),
            recordings_accepted=len(accepted),
            clips=len(clips),
            hours=float(accepted["duration_s"].sum()) / 3600,
            set_aside=tuple(_recording(record) for record in _records(quality, SET_ASIDE)),
            problems=[*read_problems(folder), *recording_problems(accepted)],
            sections=tuple(views),
            metrics_overall={words: metrics["overall"][name] for name, words in OVERALL.items()},
            parameters=yaml.safe_dump(metrics["parameters"], sort_keys=False, allow_unicode=True),
            versions={"ALP": code_version()},
        )
    )
    data = page.encode()
    with folder.publish("report") as part:
        write_bytes(part / REPORT_FILE, data)
        flagged = sum(view.flagged for view in views)
        summary = write_summary(
            part, Summary("report", {"bytes": len(data), "sections": len(views), "flagged": flagged})
        )
    withdraw(folder)
    return summary


def _records(quality: pd.DataFrame, verdict: str) -> list[dict[Any, Any]]:
    return quality[quality["verdict"] == verdict].to_dict("records")


def _recording(record: dict[Any, Any]) -> RecordingRow:
    known = bool(record["container"])
    level = record["rms_dbfs"]
    return RecordingRow(
        recording=record["recording"],
        row=record["row"],
        machine_type=record["machine_type"],
        section_id=record["section_id"],
        verdict=record["verdict"],
        reasons=tuple(record["reasons"].replace(" → ", " ").split("\n")),
        duration_s=record["duration_s"] if known else None,
        sample_rate_hz=record["sample_rate_hz"] if known else None,
        channels=record["channels"] if known else None,
        rms_dbfs=None if pd.isna(level) else level,
    )


@dataclass(frozen=True)
class _Told:
    """What is known of every clip of the package, as tables."""

    clips: pd.DataFrame
    scores: pd.DataFrame
    opinions: pd.DataFrame
    findings: pd.DataFrame


def _read_opinions(folder: PackageFolder) -> pd.DataFrame:
    """What the second opinions say of each clip; a score may be missing."""
    figures = ("score", "severity", "threshold")
    table = pd.read_csv(folder.stage("scores") / OPINIONS_FILE, dtype="str", keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in figures})


def _section(folder: PackageFolder, entry: dict[str, Any], told: _Told, params: Params) -> SectionView:
    section = Section(folder.customer, entry["machine_type"], entry["section_id"])
    serving = serving_model(folder, section) if entry["state"] == "scored" else None
    plan = read_plan(serving.folder if serving else folder.stage("models") / section.folder)
    rows = told.scores[
        (told.scores["machine_type"] == section.machine_type) & (told.scores["section_id"] == section.section_id)
    ]
    test = rows[rows["split"] == "test"]
    observed = entry.get("observed") or {}
    persistence = entry.get("persistence")
    calibration = read_threshold(serving.folder)["calibration"] if serving else []
    return SectionView(
        machine_type=section.machine_type,
        section_id=section.section_id,
        state=entry["state"],
        reason=entry.get("reason") or plan["reason"],
        engine=entry.get("engine"),
        encoder=plan["encoder"] if serving else None,
        model_version=entry.get("model_version"),
        model_origin=entry.get("model_package"),
        normals_source=plan["source_normals"],
        normals_target=plan["target_normals"],
        threshold=entry.get("threshold"),
        promised_false_alarm_rate=entry.get("promised_false_alarm_rate"),
        promise_supported=entry.get("promise_supported", False),
        promise_note=entry.get("promise_note", ""),
        observed_false_alarms=observed.get("false_alarms"),
        observed_normals=observed.get("normals"),
        observed_interval=(observed["low"], observed["high"]) if observed else None,
        auc_source=entry.get("auc_source"),
        auc_target=entry.get("auc_target"),
        pauc=entry.get("pauc"),
        metrics_note=entry.get("note", ""),
        calibration_scores=np.array([item["score"] for item in calibration]),
        test_scores=test["score"].to_numpy(),
        test_labels=tuple(test["label"]),
        test_decisions=tuple(test["decision"]),
        top=_top(folder, section, test, told, params.report.top_clips),
        interval_confidence=params.decision.confidence,
        policy=entry.get("policy", ""),
        extrapolated=entry.get("extrapolated", False),
        persistence=(persistence[0], persistence[1]) if persistence else None,
        alarms_per_day=entry.get("alarms_per_day"),
        kpi=_kpi(entry.get("kpi")),
        states=entry.get("states", {}),
        critical_severity=params.decision.critical_severity,
        hears=tuple(_heard(item) for item in entry.get("hears", [])),
        caught_share=params.sensitivity.caught,
        opinions=_opinions(entry.get("second_opinions", []), plan["second_opinions"]) if serving else (),
    )


def _kpi(verdict: dict[str, Any] | None) -> KpiView | None:
    return KpiView(verdict["status"], verdict["text"]) if verdict else None


def _heard(item: dict[str, Any]) -> HeardView:
    """JSON has the levels as text and in the order of text."""
    shares = [(float(level), share) for level, share in item["shares"].items()]
    plainest_is_lowest = item["kind"] == "dropout"
    shares.sort(reverse=not plainest_is_lowest)
    return HeardView(
        item["kind"], item["caught_at_db"], tuple(shares), item["clips"], item.get("tried"), item.get("text", "")
    )


def _opinions(scored: list[dict[str, Any]], planned: list[dict[str, str]]) -> tuple[OpinionView, ...]:
    """The second opinions that were to be had: those with scores, and why the others have none."""
    found = {item["engine"]: OpinionView(**item) for item in scored}
    unsuited = "its model does not suit this package or cannot be read"
    return tuple(
        found.get(item["engine"], OpinionView(item["engine"], problem=item["problem"] or unsuited))
        for item in planned
    )


def _top(
    folder: PackageFolder, section: Section, test: pd.DataFrame, told: _Told, count: int
) -> tuple[ClipView, ...]:
    """The test clips with the highest scores, with their sound and the evidence."""
    found = test.nlargest(count, "score").merge(told.clips[["clip_id", "path", "valid_samples"]], on="clip_id")
    maps = read_maps(folder, section) if len(found) else {}
    return tuple(
        ClipView(
            clip_id=row["clip_id"],
            recording=row["recording"],
            score=row["score"],
            threshold=row["threshold"],
            severity=row["severity"],
            decision=row["decision"],
            label=row["label"],
            samples=read_clip(clip_path(folder, row["path"]), row["valid_samples"]),
            sample_rate=SAMPLE_RATE,
            state=row["state"],
            opinions=tuple(_clip_opinion(item) for item in _of(told.opinions, row["clip_id"])),
            causes=tuple(_cause(item) for item in _of(told.findings, row["clip_id"])),
            anomaly_map=maps.get(row["clip_id"]),
            map_seconds=CLIP_SECONDS,
        )
        for row in found.to_dict("records")
    )


def _of(table: pd.DataFrame, clip_id: str) -> list[dict[Any, Any]]:
    return table[table["clip_id"] == clip_id].to_dict("records")


def _clip_opinion(row: dict[Any, Any]) -> ClipOpinion:
    return ClipOpinion(
        row["engine"], row["score"], row["threshold"], row["severity"], row["state"], row["decision"]
    )


def _cause(row: dict[Any, Any]) -> CauseView:
    known = CAUSES.get(row["cause"])
    return CauseView(
        engine=row["engine"],
        cause=known.cause_en if known else row["cause"].replace("_", " "),
        action=known.action_en if known else "",
        measured=row["measured"],
        limit=row["limit"],
        unit=row["unit"],
        grade=row["grade"],
    )
