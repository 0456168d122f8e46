"""What the report shows, gathered from the folders of the stages before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import yaml

from alp_assets.audio.standardize import CLIP_SECONDS, read_clip
from alp_assets.encoders.base import SERIES, Feature, View
from alp_assets.engines.rules import CAUSES
from alp_assets.engines.selection import BANKS_ALWAYS, wanted_engine
from alp_assets.engines.store import CARD_FILE
from alp_assets.errors import StageMissing
from alp_assets.files import read_json
from alp_assets.params import ModelParams, Params
from alp_assets.progress import Progress, silent
from alp_assets.report.effects import condition_effects
from alp_assets.report.model import (
    NORMAL,
    CauseView,
    ClipOpinion,
    ClipView,
    HeardView,
    KpiView,
    OpinionView,
    Point,
    PromiseView,
    RecordingRow,
    ReportView,
    SectionView,
    Supply,
    TrainingView,
    Why,
    WhyNot,
    WhyUnheard,
)
from alp_assets.report.plane import Plane, plane_of
from alp_assets.report.words import NOTHING, Words, same
from alp_assets.signals.likeness import spectral_shape
from alp_assets.signals.roles import AXES, ROWS
from alp_assets.stages.clips import clip_path, read_clips
from alp_assets.stages.clips_signals import read_signal_clip
from alp_assets.stages.embeddings import read_embeddings
from alp_assets.stages.evidence import read_findings, read_maps
from alp_assets.stages.marked import unmarked
from alp_assets.stages.metadata import read_problems
from alp_assets.stages.models import read_plan, read_threshold
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality import machine_problems, read_quality, recording_problems
from alp_assets.stages.quality_compare import SET_ASIDE
from alp_assets.stages.scores import OPINIONS_FILE, read_metrics, read_scores
from alp_assets.stages.serving import serving_model
from alp_assets.stages.upload import read_receipt
from alp_assets.version import code_version
from schemas.columns import CONDITION_COLUMNS
from schemas.modalities import SOUND
from schemas.sections import Section
from schemas.texts import LANGUAGES

_TIME_AXES: dict[View, int | None] = {"pooled": None, "frames": 1, "patches": 2}
"""Where a clip's embedding has its time, by view."""

_CHANNELS = {"current": ROWS, "flux": ROWS, "vibration": (*AXES, "none")}
"""What the rows of a signal's clip are, by modality."""

_LARGEST_VIEW = 2**20
"""Bytes of a clip's embedding that are read for a map."""


def report_view(folder: PackageFolder, params: Params, progress: Progress = silent) -> ReportView:
    """Everything that a package's report shows, from finished stages."""
    quality, clips = read_quality(folder), read_clips(folder)
    metrics, receipt = read_metrics(folder), read_receipt(folder)
    told = _Told(clips, read_scores(folder), _read_opinions(folder), read_findings(folder))
    views = []
    for entry in metrics["sections"]:
        views.append(_section(folder, entry, told, params))
        progress(len(views), len(metrics["sections"]), "sections gathered")
    accepted, set_aside = (quality[(quality["verdict"] == SET_ASIDE) == aside] for aside in (False, True))
    return ReportView(
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
        set_aside=tuple(_recording(set_aside.iloc[[place]]) for place in range(len(set_aside))),
        problems=[*read_problems(folder), *recording_problems(accepted), *machine_problems(folder)],
        sections=tuple(views),
        parameters=yaml.safe_dump(metrics["parameters"], sort_keys=False, allow_unicode=True),
        versions={"ALP": code_version()},
    )


def _recording(table: pd.DataFrame) -> RecordingRow:
    """The recording of a table with one row."""
    record = table.iloc[0].to_dict()
    known = bool(record["container"])
    level = record["rms_dbfs"]
    reasons = [problem for problem in recording_problems(table) if problem.severity == "error"]
    return RecordingRow(
        recording=record["recording"],
        row=record["row"],
        machine_type=record["machine_type"],
        section_id=record["section_id"],
        verdict=record["verdict"],
        reasons=tuple(Words(*(" ".join(problem.told(name)) for name in LANGUAGES)) for problem in reasons),
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
    table = unmarked(pd.read_csv(folder.stage("scores") / OPINIONS_FILE, dtype="str", keep_default_na=False))
    return table.assign(**{name: pd.to_numeric(table[name]) for name in figures})


def _section(folder: PackageFolder, entry: dict[str, Any], told: _Told, params: Params) -> SectionView:
    section = Section(folder.customer, entry["machine_type"], entry["section_id"])
    serving = serving_model(folder, section) if entry["state"] == "scored" else None
    plan = read_plan(serving.folder if serving else folder.stage("models") / section.folder)
    card = read_json(serving.folder / CARD_FILE) if serving else {}
    threshold = read_threshold(serving.folder) if serving else {}
    clips, scores = (_of_section(table, section) for table in (told.clips, told.scores))
    test = scores[scores["split"] == "test"]
    plane = _plane(folder, clips, card)
    observed = entry.get("observed") or {}
    persistence = entry.get("persistence")
    hears = entry.get("hears", [])
    value = entry.get("threshold")
    normals = scores[(scores["label"] == NORMAL) & np.isfinite(scores["score"].astype(float))].merge(
        clips[["clip_id", *CONDITION_COLUMNS]], on="clip_id"
    )
    conditions = {name: _texts(normals[name]) for name in (*CONDITION_COLUMNS, "domain")}
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
        threshold=value,
        promise=_promise(threshold) if serving else None,
        observed_false_alarms=observed.get("false_alarms"),
        observed_normals=observed.get("normals"),
        observed_interval=(observed["low"], observed["high"]) if observed else None,
        auc=entry.get("auc"),
        auc_source=entry.get("auc_source"),
        auc_target=entry.get("auc_target"),
        pauc=entry.get("pauc"),
        calibration_scores=np.array([item["score"] for item in threshold.get("calibration", [])]),
        test_scores=test["score"].to_numpy(),
        test_labels=tuple(test["label"]),
        test_decisions=tuple(test["decision"]),
        top=_top(folder, section, test, told, params.report.top_clips),
        why=_why(plan, card, section.customer, serving.package) if serving else "other",
        why_not=_why_not(entry, plan, params.models.min_normals),
        left_out=tuple(str(item).partition(":")[0] for item in plan.get("left_out", ())),
        few_target=params.models.selection.few_target,
        min_normals=params.models.min_normals,
        interval_confidence=params.decision.confidence,
        persistence=(persistence[0], persistence[1]) if persistence else None,
        alarms_per_day=entry.get("alarms_per_day"),
        kpi=_kpi(entry.get("kpi")),
        states=entry.get("states", {}),
        critical_severity=params.decision.critical_severity,
        hears=tuple(_heard(item) for item in hears),
        why_unheard=_why_unheard(hears[0]) if hears else "not_measured",
        caught_share=params.sensitivity.caught,
        opinions=_opinions(entry.get("second_opinions", []), plan["second_opinions"]) if serving else (),
        points=_points(clips, scores, plane),
        spread=plane.shares if plane else None,
        effects=() if value is None else condition_effects(normals["score"].to_numpy(float), conditions, value),
        supply=_supply(clips),
        auc_recordings=entry.get("auc_recordings"),
        signal=_signal(clips),
        training=_training(card),
    )


def _training(card: dict[str, Any]) -> TrainingView | None:
    """What a model's card says of the training of its experts."""
    settings = card.get("settings", {})
    told = settings.get("training", {})
    if "expert_usage" not in told:
        return None
    roles, shares = _CHANNELS[card["signal"]["modality"]], np.array(told["expert_usage"])
    errors = zip((roles[row] for row in told["channels"]), told["error_by_channel_and_horizon"], strict=True)
    return TrainingView(
        size=told["size"],
        steps=told["steps"],
        experts=shares.size,
        least_used=float(shares.min()),
        most_used=float(shares.max()),
        idle=len(told["collapsed_experts"]),
        horizons=tuple(settings["shape"]["horizons"]),
        errors=tuple((role, tuple(found)) for role, found in errors),
    )


def _signal(clips: pd.DataFrame) -> str:
    """What was measured of a machine, empty for sound."""
    held = str(clips["modality"].iloc[0]) if len(clips) else SOUND
    return "" if held == SOUND else held


def _of_section(table: pd.DataFrame, section: Section) -> pd.DataFrame:
    return table[(table["machine_type"] == section.machine_type) & (table["section_id"] == section.section_id)]


def _texts(column: pd.Series) -> list[str]:
    """The cells as text, empty where there is nothing."""
    return [str(cell) for cell in column.fillna("")]


def _promise(threshold: dict[str, Any]) -> PromiseView:
    return PromiseView(
        promised=threshold["promised"],
        asked=threshold["asked"],
        supported=threshold["supported"],
        extrapolated=threshold["extrapolated"],
        policy=threshold["policy"],
        witnesses=threshold["normals"],
    )


def _why(plan: dict[str, Any], card: dict[str, Any], customer: str, package: str) -> Why:
    """Why the engine was chosen, found out anew from the parameters that the model was fitted with."""
    try:
        params = ModelParams.model_validate(card["parameters"]["models"])
    except (KeyError, ValueError):  # a model of an earlier version
        return "other"
    wanted, _ = wanted_engine(params, customer, package)
    if wanted not in ("auto", "auto+c"):
        return "pinned" if {customer, f"{customer}/{package}"} & set(params.pins) else "asked"
    if card.get("signal"):
        return "signals_much" if plan["engine"] == "time_moe" else "signals"
    if plan["engine"] == "meta_prototype":
        return "conditions"
    if plan["engine"] == "patch_memory":
        return "few"
    if plan["source_normals"] >= params.selection.much_source:
        return "enough_source"
    if plan["target_normals"] >= params.selection.few_target:
        return "enough_target"
    return "few_without_weights" if plan["encoder"] in BANKS_ALWAYS else "other"


def _why_not(entry: dict[str, Any], plan: dict[str, Any], least: int) -> WhyNot:
    if entry.get("damaged"):
        return "damaged"
    if plan.get("engine") or entry.get("reason") != f"cannot score: {plan['reason']}":
        return "other"
    normals = plan["source_normals"] + plan["target_normals"]
    if not normals:
        return "no_normals"
    return "too_few_normals" if normals < least else "other"


def _kpi(verdict: dict[str, Any] | None) -> KpiView | None:
    return KpiView(**{name: item for name, item in verdict.items() if name != "text"}) if verdict else None


def _heard(item: dict[str, Any]) -> HeardView:
    """JSON has the levels as text and in the order of text."""
    shares = [(float(level), share) for level, share in item["shares"].items()]
    plainest_is_lowest = item["kind"] == "dropout"
    shares.sort(reverse=not plainest_is_lowest)
    return HeardView(item["kind"], item["caught_at_db"], tuple(shares), item["clips"], item.get("tried"))


def _why_unheard(item: dict[str, Any]) -> WhyUnheard:
    text = item.get("text", "")
    if item.get("tried"):
        return "none_quiet"
    if "too few normals" in text:
        return "none_left"
    return "none_scored" if "could be scored" in text else "other"


def _opinions(scored: list[dict[str, Any]], planned: list[dict[str, str]]) -> tuple[OpinionView, ...]:
    """The second opinions that were to be had: those with scores, and why the others have none."""
    found = {item["engine"]: OpinionView(**item) for item in scored}
    unsuited = "its model does not suit this package or cannot be read"
    return tuple(
        found.get(item["engine"], OpinionView(item["engine"], problem=item["problem"] or unsuited))
        for item in planned
    )


def _plane(folder: PackageFolder, clips: pd.DataFrame, card: dict[str, Any]) -> Plane | None:
    """The section's clips on a plane, by embeddings of whole clips: of its encoder, or else of any that has some.

    Where an encoder left only views over time, these are averaged, unless they are too large to be read for this.
    """
    rows = clips.index.to_numpy()
    if _signal(clips):
        return _plane_of_signals(folder, rows)
    own = [card["encoder"]["name"]] if card.get("encoder") else []
    others = sorted(read_json(path)["name"] for path in folder.stage("embeddings").glob("*/encoder.json"))
    for name in dict.fromkeys(name for name in [*own, *others] if name != SERIES):
        for view, time_axis in _TIME_AXES.items():
            try:
                values = read_embeddings(folder, Feature(name, view)).values
            except StageMissing:
                continue
            if time_axis is None:
                return plane_of(np.asarray(values[rows]))
            if len(rows) and values[:1].nbytes <= _LARGEST_VIEW:
                return plane_of(np.stack([values[row].mean(axis=time_axis, dtype=np.float64) for row in rows]))
    return None


def _plane_of_signals(folder: PackageFolder, rows: Any) -> Plane | None:
    """Clips of signals on a plane by their spectra."""
    try:
        values = read_embeddings(folder, Feature(SERIES, "frames")).values
    except StageMissing:
        return None
    return plane_of(np.stack([spectral_shape(values[row]) for row in rows]))


def _points(clips: pd.DataFrame, scores: pd.DataFrame, plane: Plane | None) -> tuple[Point, ...]:
    by_clip = dict(zip(scores["clip_id"], scores["score"].astype(float), strict=True))
    return tuple(
        Point(
            clip_id=row["clip_id"],
            split=row["split"],
            domain=row["domain"],
            label=_mark(row),
            recorded_at=_time(row),
            score=by_clip[row["clip_id"]] if np.isfinite(by_clip.get(row["clip_id"], np.nan)) else None,
            place=(float(plane.places[number, 0]), float(plane.places[number, 1])) if plane else None,
        )
        for number, row in enumerate(clips.to_dict("records"))
    )


def _mark(row: dict[Any, Any]) -> str:
    if row["split"] != "supplemental":
        return str(row["label"])
    return "machine" if row["supp_type"] == "machine" else "noise"


def _time(row: dict[Any, Any]) -> datetime | None:
    """When a clip began."""
    start = row["recorded_at"]
    if pd.isna(start):
        return None
    return pd.Timestamp(start).to_pydatetime() + timedelta(seconds=float(row["offset_s"]))


def _supply(clips: pd.DataFrame) -> Supply:
    normals = clips[(clips["split"] == "train") & (clips["label"] == NORMAL)]
    return Supply(
        noise_only=int((clips["supp_type"] == "noise").sum()),
        days=int(normals["recorded_at"].dropna().dt.date.nunique()),
        values={name: int(normals[name].nunique()) for name in CONDITION_COLUMNS} if len(normals) else {},
    )


def _top(
    folder: PackageFolder, section: Section, test: pd.DataFrame, told: _Told, count: int
) -> tuple[ClipView, ...]:
    """The test clips with the highest scores, with their sound and the evidence."""
    columns = ["clip_id", "path", "valid_samples", "recorded_at", "offset_s", "modality", "sample_rate_hz"]
    about = told.clips[columns]
    found = test.nlargest(count, "score").merge(about, on="clip_id")
    maps = read_maps(folder, section) if len(found) else {}
    return tuple(
        ClipView(
            clip_id=row["clip_id"],
            recording=row["recording"],
            path=row["path"],
            score=row["score"],
            threshold=row["threshold"],
            severity=row["severity"],
            decision=row["decision"],
            label=row["label"],
            samples=_samples(folder, row),
            sample_rate=row["sample_rate_hz"],
            state=row["state"],
            opinions=tuple(_clip_opinion(item) for item in _of(told.opinions, row["clip_id"])),
            causes=tuple(_cause(item) for item in _of(told.findings, row["clip_id"])),
            recorded_at=_time(row),
            anomaly_map=maps.get(row["clip_id"]),
            map_seconds=CLIP_SECONDS,
            channels=_CHANNELS.get(row["modality"], ()),
        )
        for row in found.to_dict("records")
    )


def _samples(folder: PackageFolder, row: dict[Any, Any]) -> Any:
    path = clip_path(folder, row["path"])
    return read_signal_clip(path) if row["modality"] in _CHANNELS else read_clip(path, row["valid_samples"])


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
        cause=Words(known.cause_en, known.cause_ko) if known else same(row["cause"].replace("_", " ")),
        action=Words(known.action_en, known.action_ko) if known else NOTHING,
        measured=row["measured"],
        limit=row["limit"],
        unit=row["unit"],
        grade=row["grade"],
    )
