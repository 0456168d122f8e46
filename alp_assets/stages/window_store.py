"""Clips of signals as a window store, from the embeddings of the packages that they come from."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.errors import EngineUnfit
from alp_assets.signals.blocks import BlockStore, BlockWriter
from alp_assets.signals.roles import ROWS
from alp_assets.signals.stored import StoredRecordings, store_recording
from schemas.sections import Section

_FORGET_BYTES = 64 * 2**20
"""After so many bytes read, a memory map gives its pages back, so that memory does not grow with the file."""

Source = tuple[str, str, FloatArray, int]
"""A clip: its name, its label, the embeddings (n, channels, points) that it lies in, and its row there."""


def stored(place: Path, section: Section, clips: Iterable[Source]) -> FloatArray:
    """The clips of a section as recordings of a store, in their order; those that are there are not read again.

    What is returned reads like an array and holds none of it (``StoredRecordings``).

    Raises:
        EngineUnfit: values of a clip are not finite.
    """
    read = 0
    with BlockWriter(place) as writer:
        for name, label, values, row in clips:
            if writer.has(str(section), name, ROWS[-1]):
                continue
            clip = values[row]
            if not np.isfinite(clip).all():
                raise EngineUnfit(
                    f"the embeddings of {name} are not finite. Run the stages from clips on again; leave the "
                    "recording out if it stays so."
                )
            store_recording(writer, clip, str(section), name, ROWS, label)
            read += clip.nbytes
            if read > _FORGET_BYTES:
                _give_back(values)
                read = 0
    return cast(FloatArray, StoredRecordings(BlockStore(place), len(ROWS)))


def _give_back(values: FloatArray) -> None:
    mapped = getattr(values, "_mmap", None)
    if isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_DONTNEED)
