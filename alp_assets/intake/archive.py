"""The safe reader of a customer's zip.

Everything that can be known from the zip's directory is checked when it is opened, before one
byte is unpacked; reading afterwards never goes beyond what was declared and checked.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import threading
import unicodedata
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from types import MappingProxyType, TracebackType
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from alp_assets.errors import ArchiveRefused, AudioUnreadable
from alp_assets.intake.encoding import choose_encoding
from alp_assets.params import UploadParams
from schemas.problems import Problem, Severity, Value

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MEDIA_FOLDERS = ("audio", "signals")
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff"})
SIGNAL_SUFFIXES = frozenset({".csv", ".npy", ".parquet", ".mat"})
TABLE_SUFFIXES = (".csv", ".xlsx", ".tsv", ".txt", ".xls")

_TABLE_STEM = "metadata"
_CHUNK = 1 << 20
_MOST_PROBLEMS = 1_000
_UTF8_FLAG = 0x800
_ENCRYPTED_FLAGS = 0x1 | 0x40
_UNICODE_PATH = 0x7075
_LOCAL_HEADER = 30
_DIRECTORY_BYTES, _DIRECTORY_ENTRY_BYTES = 1 << 20, 1 << 10
"""A directory may be so long, and so much longer for each entry: room for names, and for a few comments."""

_DOS_FOLDER = 0x10
_JUNK_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_PACKED_SUFFIXES = frozenset({".zip", ".7z", ".rar", ".gz", ".tar", ".alz", ".egg"})
_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "seven_zip",
    b"Rar!": "rar",
    b"\x1f\x8b": "gzip",
    b"ALZ\x01": "alz",
    b"EGGA": "egg",
}
_UNREADABLE = (
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


@dataclass(frozen=True)
class Entry:
    """One file of the package: its path, its size unpacked, its CRC-32 and its name as the zip has it."""

    name: str
    size: int
    crc: int
    zip_name: str


@dataclass(frozen=True)
class _Member:
    """An entry of the zip's directory under its repaired name."""

    name: str
    info: zipfile.ZipInfo

    @property
    def entry(self) -> Entry:
        return Entry(self.name, self.info.file_size, self.info.CRC, self.info.orig_filename)


class PackageArchive:
    """The files of one package. Made by :func:`open_archive`; a context manager.

    Names are paths inside the package: repaired, composed (NFC), with ``/``, without the folder
    that people zip together with its contents. Any number of threads may read at once. A name
    that is not in ``files`` is a ``KeyError``; reading after ``close`` is a ``ValueError``.
    """

    def __init__(self, path: Path, members: Sequence[_Member], warnings: Sequence[Problem]) -> None:
        self.path = path
        self.warnings = tuple(warnings)
        self.files: Mapping[str, Entry] = MappingProxyType({member.name: member.entry for member in members})
        self._infos = {member.name: member.info for member in members}
        self._local = threading.local()
        self._handles: weakref.WeakSet[zipfile.ZipFile] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> PackageArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the zip, in every thread."""
        with self._lock:
            self._closed = True
            for handle in list(self._handles):
                handle.close()

    def tables(self) -> list[str]:
        """Names of tables: the one that is to be read first, then those that stand beside it unread.

        The first is a file called ``metadata`` at the top; where there is none, the only table at the top under
        whatever name. Empty if there is neither, or several of the latter. Unread are others of that name
        wherever they lie, and further workbooks: a customer with several kinds of machine has a form for each.
        """
        top = [PurePosixPath(name) for name in self.files if "/" not in name]
        tables = [path for path in top if path.suffix.lower() in TABLE_SUFFIXES]
        named = [path for path in tables if path.stem.lower() == _TABLE_STEM]
        if named:
            order = sorted(
                named,
                key=lambda p: (p.name != "metadata.csv", TABLE_SUFFIXES.index(p.suffix.lower()), p.name),
            )
            found = [path.name for path in order]
            return [*found, *self._tables_beside(found)]
        for suffixes in ((".csv", ".xlsx"), TABLE_SUFFIXES):
            found = [path.name for path in tables if path.suffix.lower() in suffixes]
            if found:
                return [*found, *self._tables_beside(found)] if len(found) == 1 else []
        return []

    def _tables_beside(self, found: Sequence[str]) -> list[str]:
        paths = [PurePosixPath(name) for name in self.files if name not in found]
        return sorted(
            path.as_posix()
            for path in paths
            if path.parts[0].lower() not in MEDIA_FOLDERS
            and (
                path.suffix.lower() == ".xlsx"
                or (path.suffix.lower() in TABLE_SUFFIXES and path.stem.lower() == _TABLE_STEM)
            )
        )

    def media(self) -> list[str]:
        """Names of the recordings, sorted: what lies under audio/ or signals/, or has such an extension."""
        tables = set(self.tables())
        return sorted(name for name in self.files if name not in tables and _is_media(name))

    def open(self, name: str) -> BinaryIO:
        """Open one file for streaming. It can seek. Damage found on the way is an ``AudioUnreadable``."""
        entry = self.files[name]
        handle = self._handle()
        with _damage_of(name):
            stream = handle.open(self._infos[name])
        return cast(BinaryIO, io.BufferedReader(_CheckedStream(stream, entry), _CHUNK))

    def read(self, name: str) -> bytes:
        """The whole of one file, never more than its declared size. Damage is an ``AudioUnreadable``."""
        return b"".join(self._chunks(name))

    def extract(self, name: str, target: Path) -> None:
        """Write one file to ``target``. Damage is an ``AudioUnreadable``, and leaves no file behind."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as copy:
                for chunk in self._chunks(name):
                    copy.write(chunk)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    def _handle(self) -> zipfile.ZipFile:
        """This thread's own handle: one shared handle counts its users without a lock."""
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.path}: the archive is closed")
        handle: zipfile.ZipFile | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = zipfile.ZipFile(self.path)
            self._local.handle = handle
            with self._lock:
                self._handles.add(handle)
        return handle


def open_archive(path: Path, params: UploadParams) -> PackageArchive:
    """Check a customer's zip without unpacking it, and open it.

    Raises:
        ArchiveRefused: it is no zip, damaged, empty, encrypted or dangerous (entries that escape
            the folder, links, overlapping data, a bomb by the limits of ``params``). All findings
            are listed at once.
        FileNotFoundError: there is no such file.
    """
    infos = _directory(path, params)
    members = _named(infos)
    problems = [
        *_size_problems(path, members, params),
        *_overlap_problems(path, infos),
        *(problem for member in members for problem in _entry_problems(member, params)),
    ]
    files, twins = _distinct(_inner([member for member in members if not _is_ignored(member)]))
    problems += [problem for problem in twins if problem.severity == "refusal"]
    if not files and not problems:
        problems.append(_finding(path.name, "zip_without_files"))
    if problems:
        raise ArchiveRefused(_capped(path, problems))
    return PackageArchive(path, files, [problem for problem in twins if problem.severity == "warning"])


class _CheckedStream(io.RawIOBase):
    """A member that reports damage as ``AudioUnreadable``, and ending early as damage."""

    def __init__(self, stream: IO[bytes], entry: Entry) -> None:
        super().__init__()
        self._stream = stream
        self._entry = entry

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        with _damage_of(self._entry.name):
            data = self._stream.read(len(view))
            if not data and len(view) and self._stream.tell() < self._entry.size:
                raise EOFError(f"it ends after {self._stream.tell()} of {self._entry.size} bytes")
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _damage_of(self._entry.name):
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


@contextmanager
def _damage_of(name: str) -> Iterator[None]:
    """Turn whatever zipfile and its decompressors raise into an ``AudioUnreadable`` that names the file."""
    try:
        yield
    except _UNREADABLE as error:
        raise _damaged(name, error) from error
    except OSError as error:
        # bz2 reports damage as an OSError without a number; one with a number is this machine's disk
        if error.errno is not None:
            raise
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> AudioUnreadable:
    return AudioUnreadable(f"{name}: damaged inside the zip ({error})")


def _directory(path: Path, params: UploadParams) -> list[zipfile.ZipInfo]:
    """The zip's own list of its entries, refused before it is built if it is too long."""
    with path.open("rb") as stream:
        head = stream.read(8)
        directories = _directories(stream)
        count = max((_count_headers(stream, place, params.max_entries) for place, _ in directories), default=0)
    size = max((size for _, size in directories), default=0)
    if count > params.max_entries:
        raise ArchiveRefused([_finding(path.name, "zip_too_many", most=params.max_entries)])
    if size > _DIRECTORY_BYTES + count * _DIRECTORY_ENTRY_BYTES:
        raise ArchiveRefused([_finding(path.name, "zip_directory", bytes=size, count=count)])
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except _UNREADABLE as error:
        raise ArchiveRefused([_no_zip(path, head, error)]) from error


def _no_zip(path: Path, head: bytes, error: BaseException) -> Problem:
    for magic, what in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return _finding(path.name, "zip_other", what=what)
    if isinstance(error, UnicodeError):
        return _finding(path.name, "zip_names")
    if head.startswith(b"PK\x03\x04"):
        return _finding(path.name, "zip_cut_off", detail=str(error))
    return _finding(path.name, "zip_none", detail=str(error)) if head else _finding(path.name, "zip_empty")


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


def _named(infos: Sequence[zipfile.ZipInfo]) -> list[_Member]:
    """Every entry under its true name: unflagged names are guessed together, for more to guess from."""
    unflagged = [info.orig_filename.encode("cp437") for info in infos if not info.flag_bits & _UTF8_FLAG]
    encoding = choose_encoding(b"\n".join(unflagged))
    return [_Member(unicodedata.normalize("NFC", _true_name(info, encoding)), info) for info in infos]


def _true_name(info: zipfile.ZipInfo, encoding: str | None) -> str:
    flagged = bool(info.flag_bits & _UTF8_FLAG)
    raw = info.orig_filename.encode("utf-8" if flagged else "cp437")
    name = _unicode_path(info.extra, raw)
    if name is None and not flagged:
        encoding = encoding or choose_encoding(raw)
        name = raw.decode(encoding) if encoding else None
    return (name or info.orig_filename).replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's Unicode Path extra field, if it was made for this very name."""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if tag == _UNICODE_PATH and len(body) > 5 and body[0] == 1:
            if struct.unpack_from("<I", body, 1)[0] != zlib.crc32(raw):
                return None
            try:
                return body[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _entry_problems(member: _Member, params: UploadParams) -> Iterator[Problem]:
    info, name = member.info, member.name.replace("\0", "\\0")
    escape = _escape(member.name) or _escape(info.orig_filename.replace("\\", "/"))
    if escape:
        yield _finding(name, escape)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield _finding(name, "entry_special", what="link" if kind == stat.S_IFLNK else "special")
    if info.flag_bits & _ENCRYPTED_FLAGS:
        yield _finding(name, "entry_encrypted")
    if info.file_size > params.max_entry_bytes:
        yield _finding(name, "entry_too_large", bytes=info.file_size, most=params.max_entry_bytes)
    if info.file_size >= params.ratio_from_bytes and info.file_size > params.max_ratio * info.compress_size:
        yield _finding(name, "entry_ratio", ratio=params.max_ratio)


def _escape(name: str) -> str | None:
    """The code of what is dangerous about a path, or None."""
    if "\0" in name:
        return "entry_nul"
    if name.startswith("/"):
        return "entry_absolute"
    if re.match(r"[A-Za-z]:", name):
        return "entry_drive"
    return "entry_climbs" if ".." in name.split("/") else None


def _size_problems(path: Path, members: Sequence[_Member], params: UploadParams) -> Iterator[Problem]:
    if len(members) > params.max_entries:
        yield _finding(path.name, "zip_too_many", most=params.max_entries)
    total = sum(member.info.file_size for member in members)
    if total > params.max_total_bytes:
        yield _finding(path.name, "zip_too_large", bytes=total, most=params.max_total_bytes)
    packed = sum(member.info.compress_size for member in members)
    if total >= params.ratio_from_bytes and total > params.max_ratio * packed:
        yield _finding(path.name, "zip_ratio", ratio=params.max_ratio)


def _overlap_problems(path: Path, infos: Sequence[zipfile.ZipInfo]) -> Iterator[Problem]:
    """Entries that share packed bytes, which lets a small zip unpack to any size, or lie outside the file."""
    end = path.stat().st_size
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER + info.compress_size > end:
            yield _finding(path.name, "zip_overlap", name=info.filename)
            return
        end = info.header_offset


def _is_ignored(member: _Member) -> bool:
    """Folders, and what operating systems and Excel leave lying about."""
    parts = [part.lower() for part in member.name.split("/")]
    mode = member.info.external_attr >> 16
    folder = member.name.endswith("/") or stat.S_ISDIR(mode)
    if folder or (member.info.external_attr & _DOS_FOLDER and not member.info.file_size) or "__macosx" in parts:
        return True
    return parts[-1] in _JUNK_NAMES or parts[-1].startswith(("._", "~$"))


def _inner(members: list[_Member]) -> list[_Member]:
    """The members as seen from inside the folder that was zipped together with its contents."""
    paths = [tuple(part for part in member.name.split("/") if part not in ("", ".")) for member in members]
    while paths and all(len(path) > 1 and path[0] == paths[0][0] for path in paths):
        if paths[0][0].lower() in MEDIA_FOLDERS:
            break
        paths = [path[1:] for path in paths]
    return [_Member("/".join(path), member.info) for path, member in zip(paths, members, strict=True) if path]


def _distinct(members: Sequence[_Member]) -> tuple[list[_Member], list[Problem]]:
    """One member for each name. A second one is ignored if it holds the same, else it is a refusal."""
    first: dict[str, _Member] = {}
    problems = []
    for member in members:
        other = first.setdefault(member.name, member)
        if other is member:
            continue
        if (other.entry.crc, other.entry.size) == (member.entry.crc, member.entry.size):
            problems.append(_finding(member.name, "file_twice", "warning"))
        else:
            problems.append(_finding(member.name, "file_clash"))
    return list(first.values()), problems


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in _PACKED_SUFFIXES:
        return False
    in_folder = len(path.parts) > 1 and path.parts[0].lower() in MEDIA_FOLDERS
    return in_folder or suffix in AUDIO_SUFFIXES | SIGNAL_SUFFIXES


def _finding(file: str, code: str, severity: Severity = "refusal", **values: Value) -> Problem:
    return Problem(severity, code, values, file=file)


def _capped(path: Path, problems: list[Problem]) -> list[Problem]:
    """The problems, or the first thousand and how many more there are."""
    if len(problems) <= _MOST_PROBLEMS:
        return problems
    rest = len(problems) - _MOST_PROBLEMS
    return [*problems[:_MOST_PROBLEMS], _finding(path.name, "more_findings", count=rest)]
