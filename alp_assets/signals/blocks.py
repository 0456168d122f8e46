"""The window store: the points of many series in one file, read through a memory map.

``points.f32`` holds the series one after the other as they were recorded, little-endian float32;
``index.jsonl`` has a line for each. A line is written after its points, so a conversion that was killed goes on
behind the last whole series. Windows are cut when they are read (``windows``).

In memory a series takes 32 bytes in an open store, whatever its length, and a little more while it is written.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.errors import AlpError
from alp_assets.signals.windows import FloatArray, Integers, Scale, scale_of

POINTS_FILE, INDEX_FILE = "points.f32", "index.jsonl"

_FLOAT = np.dtype("<f4")
_NUMBERS: npt.DTypeLike = [("offset", "i8"), ("length", "i8"), ("mean", "f8"), ("deviation", "f8")]
_FORGET_BYTES = 16 * 2**20
"""After so many bytes mapped, the map's pages are given back, so that memory does not grow with the file."""

_FAULT_BYTES = 2**16
"""The kernel maps pages around the one that is asked for, if it has them at hand."""


class StoreDamaged(AlpError):
    """A window store whose files do not fit together."""


@dataclass(frozen=True)
class Series:
    """One channel of one recording: where it lies (points), what it is, and its scale."""

    offset: int
    length: int
    section: str
    channel: str
    recording: str
    label: str
    mean: float
    deviation: float


class BlockWriter:
    """Writes a store, or goes on with one. A context: what was added is on disk when it ends.

    A series is known by section, recording and channel; one that is there already is not written again.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._known: set[bytes] = set()
        self._end = size = 0
        for series, end in _whole_lines(folder):
            self._known.add(_key(series.section, series.recording, series.channel))
            self._end, size = series.offset + series.length, end
        self._points = _at_end(folder / POINTS_FILE, self._end * _FLOAT.itemsize)
        self._index = _at_end(folder / INDEX_FILE, size)

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._points, self._index):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()

    def has(self, section: str, recording: str, channel: str) -> bool:
        """Whether a series is in the store, so that its recording needs no reading."""
        return _key(section, recording, channel) in self._known

    def add(self, values: FloatArray, section: str, recording: str, channel: str, label: str = "") -> None:
        """Add the points (n,) of a series; NaN and infinities are kept as they are.

        Raises:
            ValueError: values are not (n,) with n of at least 1.
        """
        if values.ndim != 1 or not len(values):
            raise ValueError(f"a series is (points,), not {values.shape}")
        if self.has(section, recording, channel):
            return
        with np.errstate(over="ignore"):
            points = np.ascontiguousarray(values, _FLOAT)
        scale = scale_of(points)
        self._points.write(points.data)
        self._points.flush()
        series = Series(self._end, len(values), section, channel, recording, label, scale.mean, scale.deviation)
        self._index.write((json.dumps(asdict(series)) + "\n").encode())
        self._index.flush()
        self._end += len(values)
        self._known.add(_key(section, recording, channel))


class BlockStore:
    """A store to read from, or some ``rows`` of its series. Nothing is loaded but the numbers of its index."""

    def __init__(self, folder: Path, rows: Iterable[int] | None = None) -> None:
        """Open a store.

        Raises:
            StoreDamaged: there is none, or it holds fewer points than its index says.
        """
        self.folder = folder
        self._rows = None if rows is None else np.array(list(rows), np.int64)
        table = np.fromiter((_numbers(item) for item, _ in _whole_lines(folder)), _NUMBERS)
        table = table if self._rows is None else table[self._rows]
        self._offsets: Integers = table["offset"].copy()
        self._scales = np.stack([table["mean"], table["deviation"]], axis=1)
        self.lengths: Integers = table["length"].copy()
        """Points of each series (s,)."""
        path = folder / POINTS_FILE
        size = path.stat().st_size if path.is_file() else 0
        needed = int((self._offsets + self.lengths).max(initial=0)) * _FLOAT.itemsize
        if not needed or size < needed:
            raise StoreDamaged(
                f"{path}: {size:,} bytes, and {INDEX_FILE} speaks of {needed:,}. "
                "Delete the folder and convert again."
            )
        self._file = path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._map.madvise(mmap.MADV_RANDOM)
        self._points = np.frombuffer(self._map, _FLOAT, size // _FLOAT.itemsize)
        self._mapped = 0

    @property
    def series(self) -> tuple[Series, ...]:
        """All that the index tells of the series, read anew."""
        found = tuple(item for item, _ in _whole_lines(self.folder))
        return found if self._rows is None else tuple(found[row] for row in self._rows)

    def chosen(self, rows: Iterable[int]) -> BlockStore:
        """The same store with some of its series."""
        wanted = np.array(list(rows), np.int64)
        return BlockStore(self.folder, wanted if self._rows is None else self._rows[wanted])

    def read(self, series: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Points of a series in its own scale, finite (``windows.z_score``); ``IndexError`` beyond its ends."""
        mean, deviation = self._scales[series].tolist()
        return Scale(mean, deviation).of(self.points(series, start, length))

    def points(self, series: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Points of a series as they were recorded, a copy; ``IndexError`` beyond its ends."""
        whole = int(self.lengths[series])
        if start < 0 or length < 0 or start + length > whole:
            raise IndexError(f"points {start} to {start + length} of a series of {whole}")
        first = int(self._offsets[series]) + start
        found = self._points[first : first + length].astype(np.float32)
        self._mapped += length * _FLOAT.itemsize + _FAULT_BYTES
        if self._mapped > _FORGET_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._mapped = 0
        return found


def _key(section: str, recording: str, channel: str) -> bytes:
    """What a series is known by, in 16 bytes, however long the names are."""
    return hashlib.blake2b(json.dumps([section, recording, channel]).encode(), digest_size=16).digest()


def _numbers(series: Series) -> tuple[int, int, float, float]:
    return series.offset, series.length, series.mean, series.deviation


def _whole_lines(folder: Path) -> Iterator[tuple[Series, int]]:
    """The series whose lines are whole, and the bytes of the index up to and with each."""
    path = folder / INDEX_FILE
    if not path.is_file():
        return
    size = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            size += len(line)
            try:
                series = Series(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise StoreDamaged(
                    f"{path}: line {number} cannot be read. Delete the folder and convert again."
                ) from error
            yield series, size


def _at_end(path: Path, size: int) -> BinaryIO:
    """A file cut to its first bytes, open for more."""
    path.touch()
    if path.stat().st_size < size:
        raise StoreDamaged(f"{path}: shorter than {INDEX_FILE} says. Delete the folder and convert again.")
    os.truncate(path, size)
    return path.open("ab")
