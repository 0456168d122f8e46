"""Stage clips: every accepted recording in standard form.

Sound is mono, 16 kHz, 10 s, PCM16; a signal is four rows of ``signals.clip_points`` points at its own rate.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from alp_assets.audio.standardize import CLIP_SAMPLES, CLIP_SECONDS, SAMPLE_RATE, standard_clips, write_clip
from alp_assets.files import read_json, write_json
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.audio_source import opened
from alp_assets.stages.clips_signals import FOLDER as SIGNALS
from alp_assets.stages.clips_signals import is_standard, signal_clips
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.quality import read_quality
from alp_assets.stages.quality_compare import OK
from alp_assets.stages.summary import Gate, Summary
from alp_assets.stages.upload import ARCHIVE_FILE
from schemas.modalities import SOUND, is_signal

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

CLIPS_FILE = "clips.parquet"
SETTINGS_FILE = "settings.json"
SIGNAL_SETTINGS_FILE = "signal_settings.json"
AUDIO = "audio"


def clips(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Cut and write the recordings that passed, and list the clips with all that is known of them.

    Clips of a recording that says where it is anomalous carry the label only where they overlap; the
    others become ``unknown``.
    """
    from schemas.tables import CLIPS, table_of

    folder.require("clips")
    table = _accepted(folder)
    with folder.publish("clips") as part:
        (part / AUDIO).mkdir()
        if table["modality"].map(is_signal).any():
            (part / SIGNALS).mkdir()
            write_json(part / SIGNAL_SETTINGS_FILE, {"clip_points": params.signals.clip_points})
        rows: list[dict[Hashable, Any]] = []
        for done, found in enumerate(_cut(folder, table, params, part), 1):
            rows += found
            progress(done, len(table), "recordings standardized")
        _make_unique(rows)
        manifest = table_of(rows, CLIPS)
        manifest.to_parquet(part / CLIPS_FILE, index=False)
        write_json(part / SETTINGS_FILE, params.clips.model_dump(mode="json"))
        return write_summary(part, _summary(manifest, part, params))


def read_clips(folder: PackageFolder) -> pd.DataFrame:
    """The clip manifest, a row for each clip."""
    table = pd.read_parquet(folder.file("clips", CLIPS_FILE))
    if "modality" not in table:  # of a version that knew sound alone
        table = table.assign(modality=SOUND, sample_rate_hz=float(SAMPLE_RATE))
    return table


def clip_settings(folder: PackageFolder, *, signals: bool = False) -> dict[str, Any]:
    """The parameters that the clips of sound, or of signals, on disk were cut with."""
    name = SIGNAL_SETTINGS_FILE if signals else SETTINGS_FILE
    settings: dict[str, Any] = read_json(folder.file("clips", name))
    return settings


def holds_signals(clips: pd.DataFrame) -> pd.Series:
    """Which rows (n,) of a manifest are clips of signals."""
    return clips["modality"] != SOUND


def fetched_clip(folder: PackageFolder, path: str) -> Path:
    """Where a clip of the manifest lies, once all were fetched: ``folder.stage("clips")``."""
    return folder.path / "clips" / path


def clip_path(folder: PackageFolder, path: str) -> Path:
    """Where a clip of the manifest lies."""
    return folder.file("clips", path)


def _accepted(folder: PackageFolder) -> pd.DataFrame:
    """The metadata of recordings with verdict ok, with the fingerprint of their audio."""
    quality = read_quality(folder)
    quality = quality.loc[quality["verdict"] == OK, ["row", "audio_sha256"]]
    return read_metadata(folder).merge(quality, on="row", how="inner", validate="one_to_one")


def _cut(
    folder: PackageFolder, table: pd.DataFrame, params: Params, part: Path
) -> Iterator[list[dict[Hashable, Any]]]:
    from alp_assets.intake.archive import open_archive

    with open_archive(folder.stage("upload") / ARCHIVE_FILE, params.upload) as archive:
        yield from ordered_map(
            lambda record: _standardize(archive, record, params, part),
            table.to_dict("records"),
            params.run.threads,
        )


def _standardize(
    archive: PackageArchive, record: dict[Hashable, Any], params: Params, part: Path
) -> list[dict[Hashable, Any]]:
    if is_signal(record["modality"]):
        cut = signal_clips(archive, record, params, part)
        return [{**record, **about, **_evaluation({**record, **about})} for about in cut]
    rows = []
    with opened(archive, record["file"], part, params.quality) as recording:
        single = recording.info.duration_s <= CLIP_SECONDS
        for number, clip in enumerate(standard_clips(recording, params.clips.channel, params.clips.min_seconds)):
            path = f"{AUDIO}/{record['row']:06d}-{number:04d}.wav"
            write_clip(part / path, clip)
            about: dict[Hashable, Any] = {
                "clip_id": record["clip_id"] if single else f"{record['clip_id']}@{clip.offset_s:.0f}s",
                "recording": record["relative_path"],
                "path": path,
                "offset_s": clip.offset_s,
                "valid_samples": clip.valid_samples,
                "sample_rate_hz": float(SAMPLE_RATE),
                "modality": SOUND,
                "db_8_10k": clip.db_8_10k,
                "db_above_10k": clip.db_above_10k,
            }
            rows.append({**record, **about, **_evaluation({**record, **about})})
    return rows


def _evaluation(record: dict[Hashable, Any]) -> dict[Hashable, Any]:
    """Label and anomalous regions of one clip, in its own time."""
    text, offset_s = record["anomaly_regions"], record["offset_s"]
    if record["label"] != "anomaly" or not isinstance(text, str) or not text or not json.loads(text):
        return {}
    end_s = offset_s + record["valid_samples"] / record["sample_rate_hz"]
    inside = [
        [round(max(start, offset_s) - offset_s, 6), round(min(end, end_s) - offset_s, 6)]
        for start, end in json.loads(text)
        if start < end_s and end > offset_s
    ]
    return {"anomaly_regions": json.dumps(inside), "label": "anomaly" if inside else "unknown"}


def _make_unique(rows: list[dict[Hashable, Any]]) -> None:
    """Give a number to a clip whose name another recording's cut has made already."""
    names = {row["clip_id"] for row in rows}
    taken: set[str] = set()
    for row in rows:
        name = row["clip_id"]
        if name in taken:
            row["clip_id"] = next(free for number in count(2) if (free := f"{name}#{number}") not in names)
            names.add(row["clip_id"])
        taken.add(row["clip_id"])


def _summary(manifest: pd.DataFrame, part: Path, params: Params) -> Summary:
    seconds = float((manifest["valid_samples"] / manifest["sample_rate_hz"]).sum())
    sounds = manifest[~holds_signals(manifest)]
    figures: dict[str, int | float | str] = {
        "clips": len(manifest),
        "hours": round(seconds / 3600, 4),
        "padded": int((sounds["valid_samples"] < CLIP_SAMPLES).sum()),
        "signals": len(manifest) - len(sounds),
        "bytes": sum(path.stat().st_size for path in part.glob("*/*")),
    }
    counts = _counts(manifest)
    gates = (_standard_form(manifest, part, params), _enough_normals(counts, params.models.min_normals))
    return Summary("clips", figures, gates, {"sections": counts})


def _counts(manifest: pd.DataFrame) -> pd.DataFrame:
    sections = manifest.groupby(["machine_type", "section_id"], sort=True)
    rows = [
        {
            "machine_type": machine_type,
            "section_id": section_id,
            "source_normals": int(((part["split"] == "train") & (part["domain"] == "source")).sum()),
            "target_normals": int(((part["split"] == "train") & (part["domain"] == "target")).sum()),
            "test": int((part["split"] == "test").sum()),
            "supplemental": int((part["split"] == "supplemental").sum()),
        }
        for (machine_type, section_id), part in sections
    ]
    columns = ["machine_type", "section_id", "source_normals", "target_normals", "test", "supplemental"]
    return pd.DataFrame(rows, columns=columns)


def _standard_form(manifest: pd.DataFrame, part: Path, params: Params) -> Gate:
    """Read every header back: what is on disk is what counts."""
    import soundfile as sf

    wrong = []
    points = params.signals.clip_points
    signals = int(holds_signals(manifest).sum())
    for path, modality in zip(manifest["path"], manifest["modality"], strict=True):
        if modality != SOUND:
            wrong += [] if is_standard(part / path, points) else [path]
            continue
        info = sf.info(part / path)
        form = (info.samplerate, info.channels, info.frames, info.subtype)
        if form != (SAMPLE_RATE, 1, CLIP_SAMPLES, "PCM_16"):
            wrong.append(path)
    figures = {"clips": len(manifest), "not_standard": len(wrong)}
    if not len(manifest):
        return Gate("standard_form", "failed", "No clip could be made.", figures)
    if wrong:
        return Gate("standard_form", "failed", f"Not in standard form: {', '.join(wrong[:5])}", figures)
    sounds = len(manifest) - signals
    forms = [f"All {sounds} clips are mono, 16 kHz, 10 s, PCM16."] if sounds else []
    forms += [f"All {signals} clips of signals are 4 rows of {points:,} points."] if signals else []
    return Gate("standard_form", "passed", " ".join(forms), figures)


def _enough_normals(counts: pd.DataFrame, least: int) -> Gate:
    normals = counts["source_normals"] + counts["target_normals"]
    few = counts[normals < least]
    figures = {
        "sections": len(counts),
        "too_few": len(few),
        "fewest": int(np.min(normals)) if len(counts) else 0,
    }
    if len(few):
        names = ", ".join(f"{row.machine_type}/{row.section_id}" for row in few.itertuples())
        text = (
            f"Fewer than {least} normal clips in {names}. They can only be scored with a model of an earlier "
            "package; send 3 to 10 normal recordings of each."
        )
        return Gate("enough_normals", "warned", text, figures)
    return Gate("enough_normals", "passed", f"Every section has {least} normal clips or more.", figures)
