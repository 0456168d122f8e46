"""Exact nearest neighbours in memories of any size, with bounded room for distances."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.base import Scores, Strings

Rows = npt.NDArray[np.intp]

SMALL = 500_000
"""Values up to which a memory is searched with numpy, where faiss would not be faster."""

_SPARE = 8
"""Candidates beyond k. Their distances are taken again in double precision, so rounding decides nothing."""

_BLOCK = 4_000_000
"""Distances that are held at a time."""


def nearest(queries: FloatArray, memory: FloatArray, k: int) -> tuple[Scores, Rows]:
    """Euclidean distances and rows, (n, k) each and ascending, of the nearest of memory (m, d) to queries (n, d).

    Of equally near ones the first row comes first. With fewer than ``k`` in the memory, all of them. A query
    gets the same result alone as among others.
    """
    k = min(k, len(memory))
    distances, rows = np.empty((len(queries), k)), np.empty((len(queries), k), np.intp)
    candidates = _candidates_by_numpy if memory.size <= SMALL else _candidates_by_faiss
    for i, found in enumerate(candidates(queries, memory, min(k + _SPARE, len(memory)))):
        away = memory[found].astype(np.float64) - queries[i].astype(np.float64)
        squares = np.einsum("cd,cd->c", away, away)
        order = np.lexsort((found, squares))[:k]
        distances[i], rows[i] = np.sqrt(squares[order]), found[order]
    return distances, rows


def nearest_of_others(
    queries: FloatArray, groups: Strings, memory: FloatArray, memory_groups: Strings, k: int
) -> Scores:
    """Mean distance (n,) of queries to their k nearest of the memory that are not of their own group.

    A query needs at least one such; with fewer than ``k``, all of them.
    """
    names, codes = np.unique(np.concatenate([groups, memory_groups]), return_inverse=True)
    del names
    of_queries, of_memory = codes[: len(groups)], codes[len(groups) :]
    wide = np.einsum("md,md->m", memory, memory, dtype=np.float64)
    means = np.empty(len(queries))
    step = max(1, _BLOCK // len(memory))
    for start in range(0, len(queries), step):
        part = queries[start : start + step].astype(np.float64)
        squares = wide - 2 * _products(part, memory) + np.einsum("qd,qd->q", part, part)[:, None]
        squares[of_queries[start : start + step, None] == of_memory[None, :]] = np.inf
        for i, row in enumerate(squares):
            least = np.partition(row, min(k, len(row)) - 1)[:k]
            means[start + i] = np.sqrt(np.maximum(least[np.isfinite(least)], 0.0)).mean()
    return means


def _products(part: Scores, memory: FloatArray) -> Scores:
    """Inner products (q, m), the memory widened block by block."""
    found = np.empty((len(part), len(memory)))
    step = max(1, _BLOCK // memory.shape[1])
    for start in range(0, len(memory), step):
        found[:, start : start + step] = part @ memory[start : start + step].astype(np.float64).T
    return found


def _candidates_by_numpy(queries: FloatArray, memory: FloatArray, count: int) -> Iterator[Rows]:
    wide = memory.astype(np.float64)
    norms = np.einsum("md,md->m", wide, wide)
    for query in queries.astype(np.float64):
        yield np.argpartition(norms - 2 * (wide @ query), count - 1)[:count]


def _candidates_by_faiss(queries: FloatArray, memory: FloatArray, count: int) -> Iterator[Rows]:
    import faiss

    step = max(1, _BLOCK // 1_000)
    for start in range(0, len(queries), step):
        part = np.ascontiguousarray(queries[start : start + step], np.float32)
        with _faiss_threads():
            _, found = faiss.knn(part, np.ascontiguousarray(memory, np.float32), count)
        yield from found


@contextmanager
def _faiss_threads() -> Iterator[None]:
    """One thread where sections already have a thread each, else as many as there are.

    OpenMP keeps that number for each calling thread, so nobody else's changes.
    """
    import faiss

    if threading.current_thread() is threading.main_thread():
        yield
        return
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
