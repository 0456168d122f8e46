"""Recordings that were sent twice in other clothes: scaled, shifted, encoded anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.profile import BANDS
from alp_assets.audio.sameness import sameness
from alp_assets.params import QualityParams
from alp_assets.stages.quality_heard import Heard, shapes, squared_distances
from schemas.problems import Problem

Pair = tuple[int, int]
_ALONE_DB = 1e3
"""Stands for the usual distance where there is no crowd: such pairs are listened to first."""

_NEIGHBOURS = 3
_OPEN = 64
"""Excerpts that are kept while pairs are listened to: 40 MB."""

_BANDS = 40
"""Bands of the profile below 3 kHz: lossy codecs leave them nearly as they are."""


def near_copies(
    heard: Heard, limits: QualityParams, listen: Callable[[str], FloatArray]
) -> tuple[list[str], dict[int, Problem]]:
    """For each recording (n) the earlier one that it is a copy of, else an empty text; and warnings by row.

    Profiles, which know nothing of level and hardly of time, tell which pairs may be copies; ``listen`` gives
    an excerpt of a recording by path, and the waveforms of a pair decide.
    """
    files = heard.files()
    excerpt = lru_cache(maxsize=_OPEN)(listen)
    found: dict[int, int] = {}
    for first, second in _candidates(heard, limits):
        if sameness(excerpt(files[first]), excerpt(files[second])) >= limits.copy_likeness:
            found.setdefault(second, found.get(first, first))
    copies = ["" if at not in found else files[found[at]] for at in range(len(files))]
    return copies, {at: Problem("warning", "near_copy", {"other": copies[at]}) for at in sorted(found)}


def _candidates(heard: Heard, limits: QualityParams) -> list[Pair]:
    """The pairs most alike, each with the earlier row first, in the order of the table.

    Where many recordings sound alike a pair must stand out from its machine's others.
    """
    nearest, distance = _neighbours(_fingerprints(heard))
    usual = np.full(len(distance), np.inf)
    for _, rows in heard.sections():
        if len(rows) >= limits.copy_crowd:
            usual[rows] = np.median(distance[rows, 0])
    places = heard.table["mic_position_id"].to_numpy(str)
    ranked: dict[Pair, float] = {}
    for at, rank in np.ndindex(*distance.shape):
        other, away = int(nearest[at, rank]), float(distance[at, rank])
        if away > limits.copy_distance_db or away > limits.copy_ratio * usual[at]:
            continue
        if places[at] and places[other] and places[at] != places[other]:
            continue  # two microphones that heard the same
        crowd = float(usual[at]) if np.isfinite(usual[at]) else _ALONE_DB
        ranked[min(at, other), max(at, other)] = away / crowd
    first = sorted(ranked, key=lambda pair: (ranked[pair], pair))[: limits.copies_checked]
    return sorted(first, key=lambda pair: (pair[1], pair[0]))


def _fingerprints(heard: Heard) -> FloatArray:
    found = shapes(heard.profiles)
    levels, changes = found[:, :_BANDS], found[:, BANDS : BANDS + _BANDS]
    return np.hstack([levels - levels.mean(axis=1, keepdims=True), changes])


def _neighbours(points: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest few of all other points for each (n, 3), and how far they are."""
    count = min(_NEIGHBOURS, max(len(points) - 1, 0))
    nearest = np.zeros((len(points), count), np.intp)
    distance = np.zeros((len(points), count))
    for start, squares in squared_distances(points, points):
        here = np.arange(len(squares))
        squares[here, start + here] = np.inf
        for rank in range(count):
            best = squares.argmin(axis=1)
            nearest[start + here, rank] = best
            distance[start + here, rank] = np.sqrt(squares[here, best])
            squares[here, best] = np.inf
    return nearest, distance
