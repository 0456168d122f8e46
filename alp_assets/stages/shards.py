"""Encoding shard by shard: by several processes where there are many clips, in memory that does not grow.

A shard is done when its rows are on disk and a mark says so. A run that was killed goes on with the shards that
were not done; since no clip's embedding depends on another clip, the arrays are the same as if nothing had been.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import Encoder, View, dtype_of
from alp_assets.encoders.series import SeriesEncoder
from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.parallel import end_with_parent, ordered_map
from alp_assets.params import RunParams

AnyEncoder = Encoder | SeriesEncoder
Load = Callable[[], Any]
"""Reads what an encoder takes of one clip."""

_BATCH = 16
_HELD_BYTES = 2**30
"""Embeddings that may wait in memory for their turn on disk."""


@dataclass(frozen=True)
class Arrays:
    """The arrays of some views, ``<prefix><view>.npy`` (length, ...) in a folder, which are filled in shards.

    Args:
        place: the folder.
        done: the folder of the marks of finished shards.
        encoder: what fills them.
        again: makes the same encoder in another process; picklable, as are the loaders of clips.
        views: what to keep.
        length: rows of each array; rows that get no clip stay zero.
        prefix: before the names of the files and of the marks.
    """

    place: Path
    done: Path
    encoder: AnyEncoder
    again: Callable[[], AnyEncoder]
    views: Sequence[View]
    length: int
    prefix: str = ""

    def fill(self, items: Mapping[int, Load], run: RunParams, count: Callable[[int], None]) -> None:
        """Encode clips into their rows. ``count`` is told of clips as they are done.

        Raises:
            AlpError: what an encoder or a clip said; or a process was killed, for want of memory perhaps.
        """
        for view in self.views:
            self._create(view)
        waiting = []
        for shard in self._shards(items, run.shard_clips):
            if shard.done.exists():
                count(len(shard.items))
            else:
                waiting.append(shard)
        processes = min(run.processes, len(waiting))
        if processes > 1 and not multiprocessing.current_process().daemon:
            self._in_processes(waiting, processes, max(1, run.threads // processes), count)
        else:
            for shard in waiting:
                shard.fill(self.encoder, run.threads, count)

    def _path(self, view: View) -> Path:
        return self.place / f"{self.prefix}{view}.npy"

    def _create(self, view: View) -> None:
        if not (path := self._path(view)).exists():
            shape = (self.length, *self.encoder.views[view])
            blank = path.with_suffix(".part")
            np.lib.format.open_memmap(
                blank, mode="w+", dtype=dtype_of(view, self.encoder.name), shape=shape
            ).flush()
            os.replace(blank, path)

    def _shards(self, items: Mapping[int, Load], clips: int) -> Iterator[_Shard]:
        rest = iter(items.items())
        paths = {view: self._path(view) for view in self.views}
        number = 0
        while shard := tuple(islice(rest, clips)):
            yield _Shard(paths, shard, self.done / f"{self.place.name}.{self.prefix}{number}")
            number += 1

    def _in_processes(
        self, shards: Sequence[_Shard], processes: int, threads: int, count: Callable[[int], None]
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, spawn, _begin, (self.again, threads)) as pool:
            working = {pool.submit(_fill, shard): len(shard.items) for shard in shards}
            try:
                for future in as_completed(working):
                    future.result()
                    count(working[future])
            except BrokenProcessPool as error:
                raise AlpError(
                    f"{self.place.name}: a process that embeds clips was killed, perhaps for want of memory. The "
                    "shards that were done are kept: run the stage embeddings again, with smaller run.processes "
                    "where memory is short."
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Shard:
    """Some clips, each of which has its row, and the mark that they are done."""

    paths: Mapping[View, Path]
    items: tuple[tuple[int, Load], ...]
    done: Path

    def fill(self, encoder: AnyEncoder, threads: int, count: Callable[[int], None]) -> None:
        for path in self.paths.values():
            _reserve(path, [row for row, _ in self.items])
        arrays = {view: np.lib.format.open_memmap(path, mode="r+") for view, path in self.paths.items()}
        each = sum(int(np.prod(array.shape[1:])) * array.dtype.itemsize for array in arrays.values())
        threads = max(1, min(threads, _HELD_BYTES // (2 * _BATCH * each)))
        batches = [self.items[start : start + _BATCH] for start in range(0, len(self.items), _BATCH)]

        def encode(batch: Sequence[tuple[int, Load]]) -> dict[View, FloatArray]:
            return encoder.encode([load() for _, load in batch], list(self.paths))

        for batch, found in zip(batches, ordered_map(encode, batches, threads), strict=True):
            rows = [row for row, _ in batch]
            for view, array in arrays.items():
                array[rows] = found[view]
            count(len(batch))
        for array in arrays.values():
            array.flush()
        write_bytes(self.done, b"")


def _reserve(path: Path, rows: Sequence[int]) -> None:
    """Have the disk set the rows' space aside.

    A page of a mapped file that finds no room on the disk would kill the process; this is an ``OSError``.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    array = np.load(path, mmap_mode="r")
    start, each = array.offset, array[:1].nbytes
    with path.open("r+b") as stream:
        for run in np.split(np.asarray(rows), np.flatnonzero(np.diff(rows) != 1) + 1):
            os.posix_fallocate(stream.fileno(), start + int(run[0]) * each, len(run) * each)


_encoder: AnyEncoder
_threads: int
"""In a process that fills shards: what it fills them with."""


def _begin(again: Callable[[], AnyEncoder], threads: int) -> None:
    global _encoder, _threads
    end_with_parent()  # it would write on while the next run does its shards anew
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _encoder, _threads = again(), threads
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _fill(shard: _Shard) -> None:
    shard.fill(_encoder, _threads, lambda _: None)
