"""What ALP does with bytes of strangers, from the bytes to the verdict, as one call for each kind of reader.

Whatever the bytes are, a call ends, with an ``AlpError`` at most.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np

from alp_assets.errors import AlpError, TableRefused
from alp_assets.params import Params, with_overrides

TARGETS = ("archive", "table", "audio", "signals")

_NOW = datetime(2025, 3, 5)
_PARAMS = with_overrides(
    Params(),
    {"quality.min_duration_s": 0.01, "clips.min_seconds": 0.01, "signals.clip_points": 256},
)


def reader(target: str) -> Callable[[bytes, Path], None]:
    """The call of a target. It takes the bytes and an empty folder, the only place where it may write."""
    return {"archive": _archive, "table": _table, "audio": _audio, "signals": _signals}[target]


def harmless(error: BaseException) -> bool:
    """Whether an error is one that a stage turns into a problem for the customer."""
    return isinstance(error, AlpError)


def _archive(data: bytes, scratch: Path) -> None:
    from alp_assets.intake.archive import open_archive
    from alp_assets.intake.normalize import normalize
    from alp_assets.intake.table import read_table
    from alp_assets.stages.metadata import _with_files

    path = scratch / "package.zip"
    path.write_bytes(data)
    with open_archive(path, _PARAMS.upload) as archive:
        if _seldom(data) and archive.tables():
            name = archive.tables()[0]
            with suppress(AlpError):
                _with_files(normalize(read_table(archive.read(name), name), now=_NOW), archive.media())
        for number, name in enumerate([*archive.tables(), *archive.media()]):
            try:
                if number % 2:
                    archive.extract(name, scratch / "extracted")
                else:
                    archive.read(name)
            except AlpError:
                continue


def _table(data: bytes, scratch: Path) -> None:
    from alp_assets.files import write_csv
    from alp_assets.intake.cells import read_cell
    from alp_assets.intake.normalize import normalize
    from alp_assets.intake.table import read_table
    from schemas.columns import COLUMNS
    from schemas.problems import problems_frame

    try:
        raw = read_table(data, "metadata.csv")
        problems = raw.problems
    except TableRefused as error:
        problems = error.problems
    else:
        for column in COLUMNS:
            for cell in raw.frame.get(column.name, ()):
                read_cell(column, cell)
        if _seldom(data):
            table = normalize(raw, now=_NOW)
            problems = table.problems
            table.frame.to_parquet(scratch / "metadata.parquet")
    for problem in problems:
        problem.told("en"), problem.told("ko")
    if _seldom(data):
        write_csv(scratch / "problems.csv", problems_frame(problems), for_excel=True)


def _seldom(data: bytes) -> bool:
    """One time in eight, the same for the same bytes: what follows is slow and sees checked values alone."""
    return len(data) % 8 == 0


def _audio(data: bytes, scratch: Path) -> None:
    from alp_assets.audio.decode import open_recording
    from alp_assets.audio.standardize import standard_clips, write_clip
    from alp_assets.stages.quality import _judged
    from alp_assets.stages.recording_verdict import as_json, is_fatal

    with open_recording(io.BytesIO(data)) as recording:
        problems, _ = _judged(recording, "audio/a.wav", _PARAMS)
        as_json(problems)
    if is_fatal(problems):
        return
    with open_recording(io.BytesIO(data)) as recording:
        for clip in standard_clips(recording, 1, _PARAMS.clips.min_seconds):
            write_clip(scratch / "clip.wav", clip)


def _signals(data: bytes, scratch: Path) -> None:
    from alp_assets.signals.clean import cut, mended
    from alp_assets.signals.read import read_signal
    from alp_assets.signals.roles import standard_rows
    from alp_assets.stages.quality_signals import examined
    from alp_assets.stages.recording_verdict import as_json, is_fatal

    name = f"signals/a.{('csv', 'mat', 'npy', 'dat')[len(data) % 4]}"
    rate = (None, 2_000.0, 1e-300, 1e12)[len(data) // 4 % 4]
    modality = ("current", "vibration", "flux")[len(data) % 3]
    if len(data) % 2:
        path = scratch / "recording"
        path.write_bytes(data)
        with path.open("rb") as stream:
            recording = read_signal(stream, name, modality=modality, sample_rate_hz=rate)
    else:
        recording = read_signal(io.BytesIO(data), name, modality=modality, sample_rate_hz=rate)
    row = {"recording": name, "row": 2, "split": "train", "modality": modality}
    found = examined(recording, row, _PARAMS)
    as_json(found.problems)
    if not is_fatal(found.problems):
        for number, clip in enumerate(cut(mended(standard_rows(recording)[0]), _PARAMS.signals.clip_points)):
            np.save(scratch / f"{number}.npy", clip, allow_pickle=False)
