"""Stage report: everything that was found, on one page for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import yaml

from alp_assets.audio.standardize import SAMPLE_RATE, read_clip
from alp_assets.files import write_bytes
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.report.html import render_report
from alp_assets.report.model import ClipView, RecordingRow, ReportView, SectionView
from alp_assets.stages.clips import clip_path, read_clips
from alp_assets.stages.metadata import read_problems
from alp_assets.stages.models import read_plan, read_threshold
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.quality import SET_ASIDE, read_quality, recording_problems
from alp_assets.stages.rejection import withdraw
from alp_assets.stages.scores import read_metrics, read_scores, serving_model
from alp_assets.stages.summary import Summary
from alp_assets.stages.upload import read_receipt
from alp_assets.version import code_version
from schemas.sections import Section

REPORT_FILE = "report.html"


def report(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Write one self-contained HTML page. A rejection of an earlier try is withdrawn."""
    folder.require("report")
    quality, clips = read_quality(folder), read_clips(folder)
    metrics, scores = read_metrics(folder), read_scores(folder)
    receipt = read_receipt(folder)
    views = []
    for entry in metrics["sections"]:
        views.append(_section(folder, entry, clips, scores, params))
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
            metrics_overall={k: v for k, v in metrics["overall"].items() if k != "note"},
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


def _section(
    folder: PackageFolder, entry: dict[str, Any], clips: pd.DataFrame, scores: pd.DataFrame, params: Params
) -> SectionView:
    section = Section(folder.customer, entry["machine_type"], entry["section_id"])
    serving = serving_model(folder, section) if entry["state"] == "scored" else None
    plan = read_plan(serving.folder if serving else folder.stage("models") / section.folder)
    rows = scores[(scores["machine_type"] == section.machine_type) & (scores["section_id"] == section.section_id)]
    test = rows[rows["split"] == "test"]
    observed = entry.get("observed") or {}
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
        top=_top(folder, test, clips, params.report.top_clips),
        interval_confidence=params.decision.confidence,
    )


def _top(folder: PackageFolder, test: pd.DataFrame, clips: pd.DataFrame, count: int) -> tuple[ClipView, ...]:
    """The test clips with the highest scores, with their sound."""
    found = test.nlargest(count, "score").merge(clips[["clip_id", "path", "valid_samples"]], on="clip_id")
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
        )
        for row in found.to_dict("records")
    )
