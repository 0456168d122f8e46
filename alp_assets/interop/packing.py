"""A data set as a customer's package: a zip with every recording and the table about them.

Every recording is read once, straight into the zip, which holds it byte for byte and not compressed.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import AlpError, AudioUnreadable
from alp_assets.interop.channels import one_channel
from alp_assets.interop.dataset import DataSet, Finding
from alp_assets.interop.entries import TABLE_COLUMNS, WHOLE, Entry, Packing, entries_of
from alp_assets.params import UploadParams
from alp_assets.progress import Progress, silent

_CHUNK = 1 << 20
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Packed:
    """What was written: recordings by (machine type, section, split), bytes, and what was found by the way."""

    path: Path
    name: str
    bytes: int
    recorded_at: str
    counts: Mapping[tuple[str, str, str], int]
    findings: tuple[Finding, ...]

    @property
    def recordings(self) -> int:
        """Recordings in the package."""
        return sum(self.counts.values())


def write_package(
    target: Path, data: DataSet, packing: Packing | None = None, progress: Progress = silent
) -> Packed:
    """Write the zip of a data set; it appears at ``target`` only when complete.

    Raises:
        AlpError: there is a file already, a machine has no type in ALP, a channel is not there, it would be too
            much for one package or for the disk, or a recording cannot be read to its end.
    """
    packing = packing or Packing()
    _refuse_to_overwrite(target)
    entries = entries_of(data, packing)
    _check_size(target, entries)
    with _new_file(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for done, entry in enumerate(entries, 1):
            _store(archive, entry)
            progress(done, len(entries), "recordings packed")
        archive.writestr(_zip_entry("metadata.csv"), _table([entry.row for entry in entries]))
    rows = [entry.row for entry in entries]
    return Packed(
        path=target,
        name=data.name,
        bytes=target.stat().st_size,
        recorded_at=packing.recorded_at or data.published,
        counts=dict(Counter((row["machine_type"], row["section_id"], row["split"]) for row in rows)),
        findings=data.findings,
    )


def _store(archive: zipfile.ZipFile, entry: Entry) -> None:
    source = entry.recording.source
    item = _zip_entry(entry.path)
    try:
        item.file_size = _size(source)
        with archive.open(item, "w") as writer:
            for block in one_channel(source, entry.channel) if entry.channel else _blocks(source):
                writer.write(block)
    except OSError as error:
        raise AlpError(f"{source}: could not be packed ({error.strerror or error}).") from error
    except AudioUnreadable as error:
        raise AlpError(f"{source}: {error}. Take it out of the folder, or pack it {WHOLE}.") from error


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            yield block


def _zip_entry(name: str) -> zipfile.ZipInfo:
    """An entry with nothing in it that depends on when or where it is made."""
    entry = zipfile.ZipInfo(name, _ZIP_DATE)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    return entry


def _table(rows: Sequence[Mapping[str, str]]) -> bytes:
    """The table as Excel likes it: UTF-8 with a byte order mark, commas, CRLF."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, TABLE_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8-sig")


def _refuse_to_overwrite(target: Path) -> None:
    if target.exists():
        raise AlpError(f"{target}: there is such a file already. Remove it, or choose another name with --out.")


def _check_size(target: Path, entries: Sequence[Entry]) -> None:
    limits = UploadParams()
    size = sum(_size(entry.recording.source) for entry in entries if entry.channel < 2)
    if len(entries) >= limits.max_entries or size > limits.max_total_bytes:
        raise AlpError(
            f"{len(entries):,} recordings of {size / 1e9:,.0f} GB are too much for one package. Choose some with "
            "--machines or --sections."
        )
    place = next(folder for folder in target.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if size + _SPARE_BYTES > free:
        raise AlpError(f"{target}: needs {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free there.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise AlpError(f"{path}: could not be packed ({error.strerror}).") from error


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yield a file beside ``target`` that takes its name when the block ends well and the name is free."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            leftover.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise AlpError(f"{target}: cannot be written ({error.strerror}).") from error
    os.close(handle)
    part = Path(name)
    try:
        part.chmod(0o644)
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        _refuse_to_overwrite(target)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
