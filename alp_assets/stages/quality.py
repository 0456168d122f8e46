"""Stage quality: every recording measured, and set aside where it cannot serve."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from alp_assets.audio.decode import AudioInfo, Recording, open_recording
from alp_assets.audio.measure import Measures, measure
from alp_assets.errors import AudioUnreadable
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.report.findings import findings_table
from alp_assets.stages.audio_source import opened
from alp_assets.stages.gate_texts import failure_text, most_often
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.recording_verdict import (
    as_json,
    from_json,
    from_sentences,
    is_fatal,
    judge_bandwidth,
    judge_form,
    judge_sound,
    sentences,
    two_microphones,
    unreadable,
)
from alp_assets.stages.stereo import Overheard
from alp_assets.stages.summary import Figure, Gate, Summary
from alp_assets.stages.upload import ARCHIVE_FILE, read_receipt
from schemas.problems import Problem

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

QUALITY_FILE = "quality.parquet"
DATA_DOCS = "data_docs"
OK, SET_ASIDE = "ok", "set aside"
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
        result = _compared(table_of(rows, QUALITY))
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
    """Why a recording that belongs to no package cannot serve, in English; empty where it can.

    ``AudioUnreadable`` when it cannot even be decoded.
    """
    with path.open("rb") as stream, open_recording(stream) as recording:
        return sentences(_judged(recording, path.name, params)[0], "error")


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
            problems, found = _judged(recording, job.file, params)
    except AudioUnreadable as error:
        problems, found = [unreadable(error)], dict(_NOTHING)
    return {**job.about, **_verdict(problems), **found}


def _verdict(problems: Sequence[Problem]) -> dict[Hashable, str]:
    return {
        "verdict": SET_ASIDE if is_fatal(problems) else OK,
        "reasons": "\n".join(sentences(problems, "error")),
        "warnings": "\n".join(sentences(problems, "warning")),
        "problems": as_json(problems),
    }


def _judged(recording: Recording, file: str, params: Params) -> tuple[list[Problem], dict[Hashable, object]]:
    """What ails a recording, and all that was found of it."""
    limits, channel = params.quality, params.clips.channel
    problems = list(judge_form(recording.info, file, params))
    if is_fatal(problems):
        return problems, {**_NOTHING, **_form(recording.info)}
    overheard = Overheard(recording)
    measures = measure(overheard, channel, limits)
    problems += judge_sound(measures, limits)
    if not is_fatal(problems):
        problems += judge_bandwidth(measures, limits)
        if overheard.two_microphones(limits.silence_dbfs):
            problems.append(two_microphones(channel))
    found = _form(recording.info) | dict(asdict(measures))
    del found["non_finite"]
    return problems, found


def _form(info: AudioInfo) -> dict[Hashable, object]:
    return {
        "container": info.container,
        "subtype": info.subtype,
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "duration_s": info.duration_s,
    }


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    """Set aside all but the first of recordings that hold the same samples; warn of other sample rates."""
    more: dict[int, Problem] = {}
    usable = table[table["verdict"] == OK]
    first = usable.groupby("audio_sha256")["recording"].transform("first")
    for index in usable.index[usable["audio_sha256"].duplicated()]:
        more[index] = Problem("error", "same_audio", {"other": str(first[index])})
    for _, rows in usable.drop(index=list(more)).groupby(["machine_type", "section_id"]):
        usual = int(rows["sample_rate_hz"].mode().iloc[0])
        for index, rate in rows.loc[rows["sample_rate_hz"] != usual, "sample_rate_hz"].items():
            more[int(str(index))] = Problem("warning", "rate_differs", {"rate": int(rate), "usual": usual})
    for index, problem in more.items():
        known = from_json(str(table.loc[index, "problems"]), 0, "")
        for name, cell in _verdict([*known, problem]).items():
            table.loc[index, str(name)] = cell
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
    problems = recording_problems(table)
    gate = _gate(figures | {"train_sent": sent_train, "train_usable": kept_train}, problems)
    set_aside = aside[["recording", "row", "reasons"]].head(_SHOWN)
    return Summary("quality", figures, (gate,), {"set_aside": set_aside, "problems": findings_table(problems)})


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
