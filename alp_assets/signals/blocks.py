"""The window store: the points of many series in one file, read through a memory map.

``points.f32`` holds the series one after the other as they were recorded, little-endian float32;
``index.jsonl`` has a line for each. A line is written after its points, so a conversion that was killed goes on
behind the last whole series. Windows are cut when they are read (``windows``).
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.errors import AlpError
from alp_assets.signals.windows import FloatArray, Integers, Scale, scale_of

POINTS_FILE, INDEX_FILE = "points.f32", "index.jsonl"

_FLOAT = np.dtype("<f4")
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
        found, size = _whole_lines(folder)
        self._known = {_key(item) for item in found}
        self._end = found[-1].offset + found[-1].length if found else 0
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
        return (section, recording, channel) in self._known

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
        self._known.add(_key(series))


class BlockStore:
    """A store to read from; ``series`` may be some of those that it holds. Nothing is loaded but the index."""

    def __init__(self, folder: Path, series: tuple[Series, ...] | None = None) -> None:
        """Open a store.

        Raises:
            StoreDamaged: there is none, or it holds fewer points than its index says.
        """
        self.folder = folder
        self.series = _whole_lines(folder)[0] if series is None else series
        path = folder / POINTS_FILE
        size = path.stat().st_size if path.is_file() else 0
        needed = max((item.offset + item.length for item in self.series), default=0) * _FLOAT.itemsize
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

    @cached_property
    def lengths(self) -> Integers:
        """Points of each series (s,)."""
        return np.array([item.length for item in self.series], np.int64)

    def chosen(self, rows: Iterable[int]) -> BlockStore:
        """The same store with some of its series."""
        return BlockStore(self.folder, tuple(self.series[row] for row in rows))

    def read(self, series: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Points of a series in its own scale, finite (``windows.z_score``); ``IndexError`` beyond its ends."""
        item = self.series[series]
        if start < 0 or length < 0 or start + length > item.length:
            raise IndexError(f"points {start} to {start + length} of a series of {item.length}")
        first = item.offset + start
        found = Scale(item.mean, item.deviation).of(self._points[first : first + length])
        self._mapped += length * _FLOAT.itemsize + _FAULT_BYTES
        if self._mapped > _FORGET_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._mapped = 0
        return found


def _key(series: Series) -> tuple[str, str, str]:
    return series.section, series.recording, series.channel


def _whole_lines(folder: Path) -> tuple[tuple[Series, ...], int]:
    """The series whose lines are whole, and the bytes of those lines."""
    path = folder / INDEX_FILE
    found, size = [], 0
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        if not line.endswith(b"\n"):
            break
        try:
            found.append(Series(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise StoreDamaged(
                f"{path}: line {len(found) + 1} cannot be read. Delete the folder and convert again."
            ) from error
        size += len(line)
    return tuple(found), size


def _at_end(path: Path, size: int) -> BinaryIO:
    """A file cut to its first bytes, open for more."""
    path.touch()
    if path.stat().st_size < size:
        raise StoreDamaged(f"{path}: shorter than {INDEX_FILE} says. Delete the folder and convert again.")
    os.truncate(path, size)
    return path.open("ab")
