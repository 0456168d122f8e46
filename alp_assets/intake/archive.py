"""The safe reader of a customer's zip.

Everything that can be known from the zip's directory is checked when it is opened, before one
byte is unpacked; reading afterwards never goes beyond what was declared and checked.
"""

from __future__ import annotations

import io
import threading
import weakref
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import MappingProxyType, TracebackType
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from alp_assets.errors import ArchiveRefused, AudioUnreadable
from alp_assets.intake.media import MEDIA_FOLDERS, is_media
from alp_assets.intake.zip_directory import UNREADABLE, finding, read_directory
from alp_assets.intake.zip_members import (
    Entry,
    Member,
    distinct,
    entry_problems,
    inner,
    is_ignored,
    named,
    overlap_problems,
    size_problems,
)
from alp_assets.params import UploadParams
from schemas.problems import Problem

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TABLE_SUFFIXES = (".csv", ".xlsx", ".tsv", ".txt", ".xls")

_TABLE_STEM = "metadata"
_CHUNK = 1 << 20
_MOST_PROBLEMS = 1_000


class PackageArchive:
    """The files of one package. Made by :func:`open_archive`; a context manager.

    Names are paths inside the package: repaired, composed (NFC), with ``/``, without the folder
    that people zip together with its contents. Any number of threads may read at once. A name
    that is not in ``files`` is a ``KeyError``; reading after ``close`` is a ``ValueError``.
    """

    def __init__(self, path: Path, members: Sequence[Member], warnings: Sequence[Problem]) -> None:
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
        return sorted(name for name in self.files if name not in tables and is_media(name))

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
    infos = read_directory(path, params)
    members = named(infos)
    problems = [
        *size_problems(path, members, params),
        *overlap_problems(path, infos),
        *(problem for member in members for problem in entry_problems(member, params)),
    ]
    files, twins = distinct(inner([member for member in members if not is_ignored(member)]))
    problems += [problem for problem in twins if problem.severity == "refusal"]
    if not files and not problems:
        problems.append(finding(path.name, "zip_without_files"))
    if problems:
        raise ArchiveRefused(_capped(path, problems))
    return PackageArchive(path, files, [problem for problem in twins if problem.severity == "warning"])


def _capped(path: Path, problems: list[Problem]) -> list[Problem]:
    """The problems, or the first thousand and how many more there are."""
    if len(problems) <= _MOST_PROBLEMS:
        return problems
    rest = len(problems) - _MOST_PROBLEMS
    return [*problems[:_MOST_PROBLEMS], finding(path.name, "more_findings", count=rest)]


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
    except UNREADABLE as error:
        raise _damaged(name, error) from error
    except OSError as error:
        # bz2 reports damage as an OSError without a number; one with a number is this machine's disk
        if error.errno is not None:
            raise
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> AudioUnreadable:
    return AudioUnreadable(f"{name}: damaged inside the zip ({error})")
