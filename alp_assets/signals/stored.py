"""Recordings in a window store, as an array that is read a piece at a time.

All recordings have the same channels and length, and their series lie in the store channel after channel. What
works through an array a recording or a stretch at a time works on them, in memory that does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.signals.blocks import BlockStore, BlockWriter
from alp_assets.signals.windows import FloatArray


def store_recording(
    writer: BlockWriter, recording: FloatArray, section: str, name: str, channels: Iterable[str], label: str = ""
) -> None:
    """Add the channels (channels, points) of a recording, those that are not there."""
    for channel, points in zip(channels, recording, strict=True):
        writer.add(points, section, name, channel, label)


class StoredRecordings:
    """Recordings (n, channels, points) of a store, float32, as they were recorded.

    Takes the index of one recording, of a stretch of one channel (recording, channel, slice), or rows of
    recordings, slice, mask or numbers, which give fewer recordings without reading any.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, store: BlockStore, channels: int, rows: npt.NDArray[np.intp] | None = None) -> None:
        """Series of a store, ``channels`` to a recording; ``ValueError`` where they are not of one length."""
        whole, rest = divmod(len(store.lengths), channels)
        if rest or not whole or (store.lengths != store.lengths[0]).any():
            raise ValueError(
                f"{len(store.lengths)} series are not recordings of {channels} channels and one length"
            )
        self._store = store
        self._rows = np.arange(whole) if rows is None else rows
        self.shape = (len(self._rows), channels, int(store.lengths[0]))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[FloatArray]:
        return (self._recording(row) for row in self._rows.tolist())

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer):
            return self._recording(int(self._rows[key]))
        if isinstance(key, tuple):
            row, channel, stretch = key
            start, stop, _ = stretch.indices(self.shape[2])
            series = int(self._rows[row]) * self.shape[1] + int(channel)
            return self._store.points(series, start, max(stop - start, 0))
        return StoredRecordings(self._store, self.shape[1], self._rows[key])

    def _recording(self, row: int) -> FloatArray:
        channels, points = self.shape[1:]
        return np.stack([self._store.points(row * channels + place, 0, points) for place in range(channels)])
