"""Stage quality: every recording measured, and set aside where it cannot serve."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from alp_assets.audio.decode import AudioInfo, Recording, open_recording
from alp_assets.audio.measure import Measures, measure
from alp_assets.errors import AudioUnreadable
from alp_assets.parallel import ordered_map
from alp_assets.params import Params, QualityParams
from alp_assets.progress import Progress, silent
from alp_assets.stages.audio_source import opened
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Gate, Summary
from alp_assets.stages.upload import ARCHIVE_FILE, read_receipt
from schemas.problems import Problem, Severity

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

QUALITY_FILE = "quality.parquet"
DATA_DOCS = "data_docs"
OK, SET_ASIDE = "ok", "set aside"
CONTAINERS = ("WAV", "FLAC", "OGG", "AIFF", "W64", "RF64", "CAF")
_SHOWN = 20
_NOTHING: dict[Hashable, object] = {
    "container": "",
    "subtype": "",
    "sample_rate_hz": 0,
    "channels": 0,
    "duration_s": 0.0,
    **{item.name: math.nan for item in fields(Measures) if item.name not in ("non_finite", "audio_sha256")},
    "audio_sha256": "",
}


def quality(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Measure every recording of the metadata and give each a verdict with its reasons.

    The gate ``audio_quality`` fails when nothing usable is left: no recording at all, or not one of
    the normals that were sent for training.
    """
    from schemas.tables import QUALITY, table_of

    folder.require("quality")
    table = read_metadata(folder)
    with folder.publish("quality") as part:
        rows = []
        for found in _measured(folder, table, params, part):
            rows.append(found)
            progress(len(rows), len(table), "recordings measured")
        result = _without_duplicates(table_of(rows, QUALITY))
        result.to_parquet(part / QUALITY_FILE, index=False)
        if params.quality.data_docs:
            from schemas.expectations import write_data_docs

            received = datetime.fromisoformat(str(read_receipt(folder)["received_at"]))
            write_data_docs(result, params.quality.model_dump(), part / DATA_DOCS, received)
        return write_summary(part, _summary(result))


def read_quality(folder: PackageFolder) -> pd.DataFrame:
    """The quality table: a row for each recording, in the order of the metadata."""
    return pd.read_parquet(folder.stage("quality") / QUALITY_FILE)


def why_set_aside(path: Path, params: Params) -> list[str]:
    """Why a recording that belongs to no package cannot serve; empty where it can.

    ``AudioUnreadable`` when it cannot even be decoded.
    """
    with path.open("rb") as stream, open_recording(stream) as recording:
        return _judged(recording, path.name, params)[0]


def recording_problems(table: pd.DataFrame) -> list[Problem]:
    """The recordings that were set aside or warned of, as problems for people."""
    problems: list[Problem] = []
    for record in table.to_dict("records"):
        findings: list[tuple[Severity, str]] = [
            *(("error", text) for text in str(record["reasons"]).split("\n")),
            *(("warning", text) for text in str(record["warnings"]).split("\n")),
        ]
        for severity, text in findings:
            problem, _, remedy = text.partition(" → ")
            if problem:
                problems.append(Problem(severity, problem, remedy, record["row"], file=record["recording"]))
    return problems


@dataclass(frozen=True)
class _Job:
    """What one thread needs to measure one recording."""

    file: str
    about: dict[Hashable, object]


def _measured(
    folder: PackageFolder, table: pd.DataFrame, params: Params, scratch: Path
) -> Iterator[dict[Hashable, object]]:
    from alp_assets.intake.archive import open_archive

    about = table.rename(columns={"relative_path": "recording"})
    about = about[["recording", "clip_id", "file", "row", "machine_type", "section_id", "split"]]
    jobs = [_Job(str(record["file"]), record) for record in about.to_dict("records")]
    with open_archive(folder.stage("upload") / ARCHIVE_FILE, params.upload) as archive:
        yield from ordered_map(lambda job: _examine(archive, job, params, scratch), jobs, params.run.threads)


def _examine(archive: PackageArchive, job: _Job, params: Params, scratch: Path) -> dict[Hashable, object]:
    try:
        with opened(archive, job.file, scratch) as recording:
            reasons, warnings, found = _judged(recording, job.file, params)
    except AudioUnreadable as error:
        reasons = [f"{_sentence(str(error))} → Export it again as a 16-bit WAV and send it in a new package."]
        warnings, found = [], dict(_NOTHING)
    verdict: dict[Hashable, object] = {
        "verdict": SET_ASIDE if reasons else OK,
        "reasons": "\n".join(reasons),
        "warnings": "\n".join(warnings),
    }
    return {**job.about, **verdict, **found}


def _judged(
    recording: Recording, file: str, params: Params
) -> tuple[list[str], list[str], dict[Hashable, object]]:
    """Reasons to set a recording aside, warnings, and all that was found of it."""
    reasons, warnings = _judge_form(recording.info, file, params)
    if reasons:
        return reasons, warnings, {**_NOTHING, **_form(recording.info)}
    measures = measure(recording, params.clips.channel, params.quality)
    reasons, more = _judge_sound(measures, params.quality)
    found = _form(recording.info) | dict(asdict(measures))
    del found["non_finite"]
    return reasons, warnings + more, found


def _form(info: AudioInfo) -> dict[Hashable, object]:
    return {
        "container": info.container,
        "subtype": info.subtype,
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "duration_s": info.duration_s,
    }


def _judge_form(info: AudioInfo, file: str, params: Params) -> tuple[list[str], list[str]]:
    """What the header alone tells: reasons to set aside, and warnings."""
    limits, channel = params.quality, params.clips.channel
    shortest_s = max(limits.min_duration_s, params.clips.min_seconds)
    reasons, warnings = [], []
    if info.container not in CONTAINERS:
        reasons.append(
            f"The file is {info.container} inside, whatever its name says. → Lossy formats remove what the "
            "detector listens to: send the original recording as WAV or FLAC."
        )
    if info.frames == 0:
        reasons.append("The recording holds no sound. → Record it again.")
    elif info.truncated:
        reasons.append(
            f"The file ends after {info.duration_s:.1f} s, before the "
            f"{info.declared_frames / info.sample_rate_hz:.1f} s that its header gives. "
            "→ Copy it from the recorder again."
        )
    elif info.duration_s < shortest_s:
        reasons.append(
            f"It is {info.duration_s:.2f} s long, and at least {shortest_s:g} s are needed. → Record 10 s or more."
        )
    elif info.duration_s > limits.max_duration_s:
        reasons.append(f"It is longer than {limits.max_duration_s / 3600:g} h. → Cut it into shorter files.")
    if info.sample_rate_hz < limits.min_sample_rate_hz:
        reasons.append(
            f"Its sample rate is {info.sample_rate_hz} Hz, and at least {limits.min_sample_rate_hz} Hz are "
            "needed. → Record at 16 kHz or more."
        )
    if info.channels > limits.max_channels:
        reasons.append(f"It has {info.channels} channels. → Export the machine's microphone alone.")
    elif isinstance(channel, int) and channel > info.channels:
        reasons.append(
            f"Channel {channel} was asked for, and it has {info.channels}. → Set clips.channel to one that it has."
        )
    if file.lower().endswith((".flac", ".ogg")) != (info.container in ("FLAC", "OGG")):
        warnings.append(f"The name does not fit its content, which is {info.container}. → Rename the file.")
    if info.container == "OGG":
        warnings.append("Ogg Vorbis is a lossy format. → Prefer WAV or FLAC.")
    return reasons, warnings


def _judge_sound(found: Measures, limits: QualityParams) -> tuple[list[str], list[str]]:
    """What the samples tell: reasons to set aside, and warnings."""
    reasons, warnings = [], []
    if found.non_finite:
        reasons.append(f"{found.non_finite} samples are not numbers (NaN or infinite). → Export it again.")
    if found.silence_ratio > limits.max_silence_ratio:
        reasons.append(
            f"It is silent for {found.silence_ratio:.0%} of the time (below {limits.silence_dbfs:g} dBFS). "
            "→ Check the microphone and its gain, and record again."
        )
    elif found.dropout_ratio > limits.max_dropout_ratio:
        reasons.append(
            f"The signal drops out for {found.dropout_ratio:.0%} of the time (runs of exact zeros). "
            "→ Check cable and recorder, and record again."
        )
    if found.clipping_ratio > limits.max_clipping_ratio:
        reasons.append(
            f"{found.clipping_ratio:.1%} of its samples are clipped. → Lower the gain and record again."
        )
    elif found.clipping_ratio > 0:
        warnings.append(f"{found.clipping_ratio:.3%} of its samples are clipped. → Lower the gain.")
    if found.dc_offset > limits.max_dc_offset:
        reasons.append(f"It has a DC offset of {found.dc_offset:.2f} of full scale. → Check the microphone.")
    if not reasons and found.bandwidth_hz < limits.warn_bandwidth_hz:
        warnings.append(
            f"There is nothing above {found.bandwidth_hz:.0f} Hz: it looks like it was recorded at a low rate "
            "or went through a lossy format. → Send the original at 16 kHz or more."
        )
    return reasons, warnings


def _without_duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """Set aside all but the first of recordings that hold the same samples."""
    usable = table[table["verdict"] == OK]
    first = usable.groupby("audio_sha256")["recording"].transform("first")
    for index in usable.index[usable["audio_sha256"].duplicated()]:
        table.loc[index, "verdict"] = SET_ASIDE
        table.loc[index, "reasons"] = (
            f"It holds the same audio as {first[index]}. → Send every recording once; copies make the model "
            "too sure of itself."
        )
    return table


def _summary(table: pd.DataFrame) -> Summary:
    usable = table[table["verdict"] == OK]
    aside = table[table["verdict"] == SET_ASIDE]
    sent_train, kept_train = (int((part["split"] == "train").sum()) for part in (table, usable))
    figures: dict[str, int | float | str] = {
        "recordings": len(table),
        "accepted": len(usable),
        "set_aside": len(aside),
        "hours": round(float(usable["duration_s"].sum()) / 3600, 4),
    }
    if len(usable):
        figures["median_rms_dbfs"] = round(float(usable["rms_dbfs"].median()), 2)
    columns = ["recording", "row", "reasons"]
    gate = _gate(len(table), len(usable), sent_train, kept_train, aside)
    return Summary("quality", figures, (gate,), {"set_aside": aside[columns].head(_SHOWN)})


def _gate(sent: int, usable: int, sent_train: int, kept_train: int, aside: pd.DataFrame) -> Gate:
    figures = {"recordings": sent, "usable": usable, "train_sent": sent_train, "train_usable": kept_train}
    common = aside["reasons"].str.split(" → ").str[0].value_counts()
    mostly = f" Most often: {common.index[0]}" if len(common) else ""
    if not usable:
        return Gate("audio_quality", "failed", f"None of the {sent} recordings can be used.{mostly}", figures)
    if sent_train and not kept_train:
        text = f"None of the {sent_train} normal recordings for training can be used.{mostly}"
        return Gate("audio_quality", "failed", text, figures)
    if usable < sent:
        return Gate("audio_quality", "warned", f"{sent - usable} of {sent} recordings set aside.{mostly}", figures)
    return Gate("audio_quality", "passed", f"All {sent} recordings can be used.", figures)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
