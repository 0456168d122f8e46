"""The two forms in which a synthetic customer is handed over: ALP's zip, and the folders of DCASE Task 2.

Either has ``metadata.csv``, ALP's contract, and ``measures.tsv``, what is measured of each recording: a table of
its own, because the contract has no columns for it.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alp_assets.errors import ParameterError
from alp_assets.files import replaced_folder
from alp_assets.synth.recordings import Recording
from schemas.columns import COLUMN_NAMES

MEASURES = ("rms_dbfs", "peak_dbfs", "clipping_ratio", "silence_ratio")
"""Columns of ``measures.tsv`` after ``relative_path``, as the quality stage names and measures them."""

FORMS = ("package", "dcase")
"""The names of the forms."""

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_ATTRIBUTES = {
    "speed_level": "speed",
    "load_level": "load",
    "mic_position_id": "mic",
    "noise_id": "noise",
}

Write = Callable[[str, bytes], None]


def write_form(form: str, target: Path, recordings: Iterable[Recording]) -> None:
    """Write the recordings in a form of ``FORMS``; they stand at ``target`` only when all are there.

    A package replaces a file of its name. Folders of DCASE are only made where nothing is yet.

    Raises:
        ParameterError: the form is unknown, or ``target`` is in the way.
    """
    if form not in FORMS:
        raise ParameterError(f"form {form!r} is unknown. Choose from: {', '.join(FORMS)}.")
    if form == "dcase":
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ParameterError(f"{target}: there is something already. Name a folder that does not exist yet.")
        with replaced_folder(target) as folder:
            _write_dcase(recordings, lambda name, data: _write_below(folder, name, data))
        return
    if target.is_dir():
        raise ParameterError(f"{target}: this is a folder. Name the zip to write.")
    with _replaced_file(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        _write_package(recordings, lambda name, data: _add(archive, name, data))


def _write_package(recordings: Iterable[Recording], write: Write) -> None:
    tables = _Tables()
    for recording in recordings:
        path = f"audio/{_place(recording)}/{_name(recording)}.wav"
        write(path, recording.wav)
        tables.add(path, recording)
    tables.write(write)


def _write_dcase(recordings: Iterable[Recording], write: Write) -> None:
    """``<machine>/train``, ``test`` and ``supplemental``, and ``attributes_<section>.csv`` beside them."""
    tables = _Tables()
    attributes: dict[str, list[dict[str, str]]] = {}
    for recording in recordings:
        row = recording.row
        pairs = {short: row[name] for name, short in _ATTRIBUTES.items() if row.get(name)}
        path = f"{row['machine_type']}/{row['split']}/{_dcase_name(recording, pairs)}.wav"
        write(path, recording.wav)
        tables.add(path, recording)
        columns = {"file_name": path}
        for place, (what, which) in enumerate(pairs.items(), 1):
            columns |= {f"d{place}p": what, f"d{place}v": which}
        attributes.setdefault(f"{row['machine_type']}/attributes_{row['section_id']}.csv", []).append(columns)
    for name, rows in attributes.items():
        widest: dict[str, str] = max(rows, key=len)
        write(name, _table(widest, rows, ",").encode())
    tables.write(write)


def _dcase_name(recording: Recording, pairs: dict[str, str]) -> str:
    """As the challenge's development sets call it; tests keep their label, so that they can be judged."""
    row, group = recording.row, recording.task.group
    head = f"section_{row['section_id']}"
    number = f"{recording.task.index:04d}"
    attributes = "_".join(word for pair in pairs.items() for word in pair)
    if group.split == "supplemental":
        return f"{head}_{group.what}_{group.domain}_{number}_{attributes}"
    return f"{head}_{group.domain}_{group.split}_{group.what}_{number}_{attributes}"


def _place(recording: Recording) -> str:
    return f"{recording.row['machine_type']}_{recording.row['section_id']}"


def _name(recording: Recording) -> str:
    group = recording.task.group
    return f"{group.split}_{group.domain}_{group.what}_{recording.task.index:04d}"


class _Tables:
    """The rows of the two tables, in the order of the recordings."""

    def __init__(self) -> None:
        self._rows: list[dict[str, str]] = []
        self._measures: list[dict[str, str]] = []

    def add(self, path: str, recording: Recording) -> None:
        named = {"relative_path": path, "clip_id": f"{_place(recording)}_{_name(recording)}"}
        self._rows.append(named | recording.row)
        self._measures.append({"relative_path": path} | recording.measures)

    def write(self, write: Write) -> None:
        """The first as Excel likes it: UTF-8 with a byte order mark, commas, CRLF."""
        write("metadata.csv", _table(COLUMN_NAMES, self._rows, ",").encode("utf-8-sig"))
        write("measures.tsv", _table(("relative_path", *MEASURES), self._measures, "\t").encode())


def _table(columns: Iterable[str], rows: list[dict[str, str]], delimiter: str) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns), restval="", delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _write_below(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Store an entry with nothing in it that depends on when or where it is made."""
    entry = zipfile.ZipInfo(name, _ZIP_DATE)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    archive.writestr(entry, data)


@contextmanager
def _replaced_file(target: Path) -> Iterator[Path]:
    """Yield a file beside ``target`` that takes its name when the block ends well.

    Leftovers of killed runs are removed first; a run that fails leaves nothing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        leftover.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        part.chmod(0o644)
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
