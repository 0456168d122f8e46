"""The usable recordings of a package as comparisons take them: what is known of each, and how it sounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alp_assets.audio.profile import BANDS

if TYPE_CHECKING:
    import pandas as pd

    from alp_assets.audio.decode import FloatArray

Rows = npt.NDArray[np.intp]
PLACE = ("mic_position_id", "sample_rate_hz")
CONDITIONS = ("domain", "speed_level", "load_level", "operating_condition", *PLACE)
"""What must agree for two recordings of a machine to be expected alike."""

_ABOUT = (
    "domain",
    "label",
    "mic_position_id",
    "noise_id",
    "speed_level",
    "load_level",
    "operating_condition",
    "supp_type",
)
_CHUNK = 512


@dataclass(frozen=True)
class Heard:
    """Usable recordings: ``table`` (n rows, numbered from 0) and their ``profiles`` (n, 128).

    ``table`` has the columns of the quality table, those of the metadata that tell conditions apart (empty
    text where nothing was said), and ``at``, the row in the quality table.
    """

    table: pd.DataFrame
    profiles: FloatArray

    @property
    def levels(self) -> FloatArray:
        """Mean power of the bands (n, 64) in dB."""
        return self.profiles[:, :BANDS]

    @property
    def noise_only(self) -> npt.NDArray[np.bool_]:
        """Which (n,) hold the surroundings without the machine."""
        found: npt.NDArray[np.bool_] = (self.table["supp_type"] == "noise").to_numpy()
        return found & (self.table["split"] == "supplemental").to_numpy()

    @property
    def train(self) -> npt.NDArray[np.bool_]:
        """Which (n,) are the normals that define what is usual."""
        found: npt.NDArray[np.bool_] = (self.table["split"] == "train").to_numpy()
        return found & self.normal

    @property
    def normal(self) -> npt.NDArray[np.bool_]:
        """Which (n,) somebody called normal."""
        found: npt.NDArray[np.bool_] = (self.table["label"] == "normal").to_numpy()
        return found

    def sections(self) -> Iterator[tuple[str, Rows]]:
        """The machines as ``fan/1``, with the rows of each."""
        yield from self.groups(("machine_type", "section_id"), np.arange(len(self.table)))

    def groups(self, columns: tuple[str, ...], rows: Rows) -> Iterator[tuple[str, Rows]]:
        """Rows that agree in some columns, by what they agree in."""
        for name, part in self.table.iloc[rows].groupby(list(columns), sort=True):
            yield "/".join(map(str, name if isinstance(name, tuple) else (name,))), part.index.to_numpy(np.intp)

    def files(self) -> list[str]:
        """The recordings (n,) by path."""
        return [str(name) for name in self.table["recording"]]


def heard_of(quality: pd.DataFrame, metadata: pd.DataFrame, profiles: FloatArray) -> Heard:
    """The usable recordings of a quality table; its rows, and those of the profiles, are in the same order."""
    about = metadata.set_index("row")[list(_ABOUT)].fillna("").astype(str)
    table = quality.join(about, on="row").assign(at=np.arange(len(quality)))
    usable = (table["verdict"] == "ok").to_numpy() & np.isfinite(profiles).any(axis=1)
    return Heard(table[usable].reset_index(drop=True), profiles[usable])


def shapes(profiles: FloatArray) -> FloatArray:
    """Profiles (n, 128) without their overall level; bands that are absent in any are 0 in all."""
    levels, changes = profiles[:, :BANDS], profiles[:, BANDS:]
    present = np.isfinite(levels).all(axis=0)
    found = np.zeros_like(profiles)
    if present.any():
        kept = levels[:, present]
        found[:, :BANDS][:, present] = kept - kept.mean(axis=1, keepdims=True)
        found[:, BANDS:][:, present] = changes[:, present]
    return found


def distances_to(points: FloatArray, others: FloatArray, nearest: int, *, same: bool = False) -> FloatArray:
    """Mean squared difference (n,) of points (n, d) to the ``nearest``-th of others (m, d), as a root.

    ``same`` says that the others are the points themselves, and that none counts as its own neighbour.
    """
    found = np.full(len(points), np.inf, np.float32)
    if nearest > len(others) - same:
        return found
    for start, squares in squared_distances(points, others):
        if same:
            own = np.arange(len(squares))
            squares[own, start + own] = np.inf
        found[start : start + len(squares)] = np.partition(squares, nearest - 1, axis=1)[:, nearest - 1]
    return np.sqrt(found)


def squared_distances(points: FloatArray, others: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Mean squared differences (chunk, m) of points to others, a chunk of points at a time from its first row."""
    middle = others.mean(axis=0) if len(others) else np.zeros(points.shape[1], np.float32)
    others = others - middle  # small numbers, so that squares of single precision do
    norms = np.einsum("ij,ij->i", others, others)
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK] - middle
        squares = np.einsum("ij,ij->i", part, part)[:, None] + norms - 2 * part @ others.T
        yield start, np.maximum(squares, 0) / points.shape[1]


def spread(count: int, most: int) -> Rows:
    """At most so many of a number of rows, evenly spread."""
    found: Rows = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
    return found
