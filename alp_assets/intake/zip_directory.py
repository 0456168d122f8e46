"""The directory of a customer's zip, read with bounds: the list of what the zip says it holds."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

from alp_assets.errors import ArchiveRefused
from alp_assets.params import UploadParams
from schemas.problems import Problem, Severity, Value

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What zipfile and its decompressors raise of a damaged zip."""

_DIRECTORY_BYTES, _DIRECTORY_ENTRY_BYTES = 1 << 20, 1 << 10
"""A directory may be so long, and so much longer for each entry: room for names, and for a few comments."""

_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "seven_zip",
    b"Rar!": "rar",
    b"\x1f\x8b": "gzip",
    b"ALZ\x01": "alz",
    b"EGGA": "egg",
}


def read_directory(path: Path, params: UploadParams) -> list[zipfile.ZipInfo]:
    """The zip's own list of its entries, refused before it is built if it is too long.

    Raises:
        ArchiveRefused: it is no zip, cut off, or its directory is too long.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
        directories = _directories(stream)
        count = max((_count_headers(stream, place, params.max_entries) for place, _ in directories), default=0)
    size = max((size for _, size in directories), default=0)
    if count > params.max_entries:
        raise ArchiveRefused([finding(path.name, "zip_too_many", most=params.max_entries)])
    if size > _DIRECTORY_BYTES + count * _DIRECTORY_ENTRY_BYTES:
        raise ArchiveRefused([finding(path.name, "zip_directory", bytes=size, count=count)])
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except UNREADABLE as error:
        raise ArchiveRefused([_no_zip(path, head, error)]) from error


def _no_zip(path: Path, head: bytes, error: BaseException) -> Problem:
    for magic, what in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return finding(path.name, "zip_other", what=what)
    if isinstance(error, UnicodeError):
        return finding(path.name, "zip_names")
    if head.startswith(b"PK\x03\x04"):
        return finding(path.name, "zip_cut_off", detail=str(error))
    return finding(path.name, "zip_none", detail=str(error)) if head else finding(path.name, "zip_empty")


def _directories(stream: BinaryIO) -> list[tuple[int, int]]:
    """Where the zip's directory begins and how many bytes it has, by each record that zipfile may go by.

    zipfile reads all of it at once, whatever it holds, and builds an object of half a kilobyte, beside names and
    comments, for each header of 46 bytes.
    """
    size = stream.seek(0, io.SEEK_END)
    tail_start = max(0, size - (1 << 16) - 22)
    stream.seek(tail_start)
    tail = stream.read()
    end = len(tail) - 22 if tail[-22:-18] == b"PK\x05\x06" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        return []
    (length,) = struct.unpack_from("<I", tail, end + 12)
    found = [(tail_start + end - length, length), *_zip64_directories(stream, tail_start + end)]
    return [(place, length) for place, length in found if place >= 0]


def _zip64_directories(stream: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The same by a zip64 end record, just before its locator or where that points."""
    if end < 20:
        return
    stream.seek(end - 20)
    locator = stream.read(20)
    if locator[:4] != b"PK\x06\x07":
        return
    for place in {end - 76, struct.unpack_from("<Q", locator, 8)[0]}:
        if 0 <= place < end:
            stream.seek(place)
            record = stream.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                (length,) = struct.unpack_from("<Q", record, 40)
                yield place - length, length


def _count_headers(stream: BinaryIO, place: int, limit: int) -> int:
    """How many headers a directory has, counted without keeping any, at most ``limit`` + 1."""
    stream.seek(place)
    count = 0
    while count <= limit:
        header = stream.read(46)
        if len(header) < 46 or header[:4] != b"PK\x01\x02":
            break
        stream.seek(sum(struct.unpack_from("<HHH", header, 28)), io.SEEK_CUR)
        count += 1
    return count


def finding(file: str, code: str, severity: Severity = "refusal", **values: Value) -> Problem:
    """A problem of the zip, or of a file in it."""
    return Problem(severity, code, values, file=file)
