"""Stage quality: every recording measured, and set aside where it cannot serve."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alp_assets.audio.decode import AudioInfo, FloatArray, Recording, warm
from alp_assets.audio.measure import Measures
from alp_assets.audio.profile import PROFILE_SIZE
from alp_assets.audio.sameness import excerpt
from alp_assets.errors import AudioUnreadable
from alp_assets.files import read_json, write_json
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.report.findings import findings_table
from alp_assets.stages.audio_source import opened
from alp_assets.stages.gate_texts import failure_text, most_often
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.quality_compare import OK, SET_ASIDE, add_problems, compare, same_audio, verdict
from alp_assets.stages.quality_drift import PROFILES_FILE, QUALITY_FILE, drift
from alp_assets.stages.quality_gates import warning_gates
from alp_assets.stages.quality_signals import SIGNALS_FILE, examine, odd_ones, unnamed_signal
from alp_assets.stages.recording_verdict import (
    from_json,
    from_sentences,
    is_fatal,
    judge_form,
    judge_samples,
    unreadable,
)
from alp_assets.stages.summary import Figure, Gate, Summary
from alp_assets.stages.upload import ARCHIVE_FILE, read_receipt
from schemas.modalities import is_signal, modality_of
from schemas.problems import Problem

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

DATA_DOCS = "data_docs"
SECTIONS_FILE = "sections.json"
_SHOWN = 20
_FIELDS = tuple(item.name for item in fields(Measures) if item.name not in ("non_finite", "profile"))
_NOTHING: dict[Hashable, object] = {
    "container": "",
    "subtype": "",
    "sample_rate_hz": 0,
    "channels": 0,
    "duration_s": 0.0,
    **dict.fromkeys(_FIELDS, math.nan),
    "clipping_runs": 0,
    "hum_hz": 0,
    "audio_sha256": "",
}
_ABOUT = ("recording", "clip_id", "file", "row", "machine_type", "section_id", "split", "modality")
_OF_SIGNALS = ("sample_rate_hz", "channels")
_UNCOMPARED: dict[Hashable, object] = {
    "snr_estimate_db": math.nan,
    "level_step_db": math.nan,
    "near_copy_of": "",
    "fits_section": "",
    "section_drift_db": math.nan,
}


def quality(
    folder: PackageFolder, params: Params, progress: Progress = silent, *, history: Path | None = None
) -> Summary:
    """Measure every recording of the metadata and give each a verdict with its reasons.

    ``history`` is the data root in which the customer's earlier packages lie, by default the package's own.
    The gate ``audio_quality`` fails when nothing usable is left: no recording at all, or not one of
    the normals that were sent for training. The other gates only warn.
    """
    from alp_assets.intake.archive import open_archive
    from schemas.tables import MEASURED_SIGNALS, QUALITY, table_of

    folder.require("quality")
    metadata = read_metadata(folder)
    if not metadata["modality"].map(is_signal).all():
        warm(params.quality, min(params.run.threads, len(metadata)))
    archive_file = folder.stage("upload") / ARCHIVE_FILE
    with folder.publish("quality") as part, open_archive(archive_file, params.upload) as archive:
        rows: list[dict[Hashable, object]] = []
        channels: list[dict[Hashable, object]] = []
        profiles = np.full((len(metadata), PROFILE_SIZE), np.nan, np.float32)
        for found in _measured(archive, metadata, params, part):
            profiles[len(rows)] = found.profile
            rows.append(found.cells)
            channels += found.channels
            progress(len(rows), len(metadata), "recordings measured")
        table, signals = table_of(rows, QUALITY), table_of(channels, MEASURED_SIGNALS)
        add_problems(table, odd_ones(table, signals, params.signals.masked))
        same_audio(table)
        entries = dict(zip(table["recording"], table["file"], strict=True))

        def listen(name: str) -> FloatArray:
            with opened(archive, entries[name], part, params.quality) as recording:
                return excerpt(recording, params.clips.channel)

        heard = compare(table, metadata, profiles, params.quality, listen)
        drifts, unlike = drift(folder, history or folder.data_root, heard, params.quality)
        table["section_drift_db"] = (table["machine_type"] + "/" + table["section_id"]).map(drifts).astype(float)
        table = QUALITY.validate(table)
        table.to_parquet(part / QUALITY_FILE, index=False)
        if len(signals):
            signals.to_parquet(part / SIGNALS_FILE, index=False)
        np.save(part / PROFILES_FILE, profiles)
        write_json(part / SECTIONS_FILE, {"drifted": [dict(item.values) for item in unlike]})
        if params.quality.data_docs:
            from schemas.expectations import write_data_docs

            received = datetime.fromisoformat(str(read_receipt(folder)["received_at"]))
            limits = (params.quality.model_dump(), params.signals.model_dump())
            write_data_docs(table, limits[0], part / DATA_DOCS, received, signals, limits[1])
        return write_summary(part, _summary(table, drifts, unlike))


def read_quality(folder: PackageFolder) -> pd.DataFrame:
    """The quality table: a row for each recording, in the order of the metadata."""
    return pd.read_parquet(folder.stage("quality") / QUALITY_FILE)


def quality_problems(folder: PackageFolder) -> list[Problem]:
    """Every problem that the stage has found: those of recordings, then those of machines."""
    return recording_problems(read_quality(folder)) + machine_problems(folder)


def machine_problems(folder: PackageFolder) -> list[Problem]:
    """What is said of whole machines: those that sound otherwise than in the customer's earlier packages."""
    path = folder.stage("quality") / SECTIONS_FILE
    told = read_json(path)["drifted"] if path.is_file() else []
    return [Problem("warning", "drift", values) for values in told]


def recording_problems(table: pd.DataFrame) -> list[Problem]:
    """The recordings that were set aside or warned of, as problems for people."""
    problems: list[Problem] = []
    for record in table.to_dict("records"):
        row, file = int(record["row"]), str(record["recording"])
        if "problems" in record:
            problems += from_json(str(record["problems"]), row, file)
        else:
            problems += from_sentences("error", str(record["reasons"]), row, file)
            problems += from_sentences("warning", str(record["warnings"]), row, file)
    return problems


@dataclass(frozen=True)
class _Job:
    """What one thread needs to measure one recording."""

    file: str
    about: dict[Hashable, object]


@dataclass(frozen=True)
class _Measured:
    """A row of the quality table, the profile (128,) of a sound, and a signal's rows of its measures."""

    cells: dict[Hashable, object]
    profile: FloatArray
    channels: Sequence[dict[Hashable, object]] = ()


def _measured(archive: PackageArchive, table: pd.DataFrame, params: Params, scratch: Path) -> Iterator[_Measured]:
    about = table.rename(columns={"relative_path": "recording"})
    about = about[[*_ABOUT, *_OF_SIGNALS]]
    jobs = [_Job(str(record["file"]), record) for record in about.to_dict("records")]
    yield from ordered_map(lambda job: _examine(archive, job, params, scratch), jobs, params.run.threads)


def _examine(archive: PackageArchive, job: _Job, params: Params, scratch: Path) -> _Measured:
    unnamed = unnamed_signal(job.about)
    if is_signal(job.about["modality"]):
        signal = examine(archive, job.about, params, scratch)
        problems, found = signal.problems, _Measured(_NOTHING | signal.cells, _no_profile(), signal.channels)
    elif unnamed:
        problems, found = [unnamed], _Measured(_NOTHING, _no_profile())
    else:
        problems, found = _examine_sound(archive, job, params, scratch)
    told: dict[Hashable, object] = dict(verdict(problems).items())
    about = job.about | {"modality": modality_of(job.about["modality"])}
    return _Measured({**about, **told, **_UNCOMPARED, **found.cells}, found.profile, found.channels)


def _examine_sound(
    archive: PackageArchive, job: _Job, params: Params, scratch: Path
) -> tuple[list[Problem], _Measured]:
    try:
        with opened(archive, job.file, scratch, params.quality) as recording:
            return _judged(recording, job.file, params)
    except AudioUnreadable as error:
        return [unreadable(error)], _Measured(_NOTHING, _no_profile())


def _judged(recording: Recording, file: str, params: Params) -> tuple[list[Problem], _Measured]:
    """What ails a recording, and all that was found of it."""
    problems = list(judge_form(recording.info, file, params))
    if is_fatal(problems):
        return problems, _Measured(_NOTHING | _form(recording.info), _no_profile())
    heard, measures = judge_samples(recording, params)
    problems += heard
    found = {name: getattr(measures, name) for name in _FIELDS}
    return problems, _Measured(_form(recording.info) | found, measures.profile)


def _no_profile() -> FloatArray:
    return np.full(PROFILE_SIZE, np.nan, np.float32)


def _form(info: AudioInfo) -> dict[Hashable, object]:
    return {
        "container": info.container,
        "subtype": info.subtype,
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "duration_s": info.duration_s,
    }


def _summary(table: pd.DataFrame, drifts: Mapping[str, float], unlike: Sequence[Problem]) -> Summary:
    usable = table[table["verdict"] == OK]
    aside = table[table["verdict"] == SET_ASIDE]
    sent_train, kept_train = (int((part["split"] == "train").sum()) for part in (table, usable))
    figures: dict[str, int | float | str] = {
        "recordings": len(table),
        "accepted": len(usable),
        "set_aside": len(aside),
        "hours": round(float(usable["duration_s"].sum()) / 3600, 4),
    }
    if usable["rms_dbfs"].notna().any():
        figures["median_rms_dbfs"] = round(float(usable["rms_dbfs"].median()), 2)
    problems = [*recording_problems(table), *unlike]
    gate = _gate(figures | {"train_sent": sent_train, "train_usable": kept_train}, problems)
    set_aside = aside[["recording", "row", "reasons"]].head(_SHOWN)
    gates = (gate, *warning_gates(table, problems, drifts))
    return Summary("quality", figures, gates, {"set_aside": set_aside, "problems": findings_table(problems)})


def _gate(found: Mapping[str, Figure], problems: Sequence[Problem]) -> Gate:
    sent, usable, sent_train, kept_train = (
        int(found[name]) for name in ("recordings", "accepted", "train_sent", "train_usable")
    )
    figures = {"recordings": sent, "usable": usable, "train_sent": sent_train, "train_usable": kept_train}
    if not usable or (sent_train and not kept_train):
        return Gate("audio_quality", "failed", failure_text("audio_quality", figures, problems, "en"), figures)
    if usable < sent:
        mostly = f" Most often: {most_often(problems, 'en')}"
        return Gate("audio_quality", "warned", f"{sent - usable} of {sent} recordings set aside.{mostly}", figures)
    return Gate("audio_quality", "passed", f"All {sent} recordings can be used.", figures)
