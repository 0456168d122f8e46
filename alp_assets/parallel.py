"""Many small jobs on a few threads or processes, with bounded memory and in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


_CHUNK = 16
"""Items that a process gets at a time."""


def ordered_map(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Results in the order of the items. At most two items a thread are under way or waiting.

    Resampling and FFTs let other threads run, and recordings are decoded in processes of their own, so threads
    serve where processes for all of the work would cost seconds to start.
    """
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="alp") as pool:
        yield from _in_order(pool, work, items, 2 * threads)


def process_map(
    work: Callable[[T], R], items: Iterable[T], processes: int, begin: Callable[[], None] | None = None
) -> Iterator[R]:
    """The same with processes, each of which is made ready by ``begin``; everything is pickled on its way.

    For work of many short steps, which threads would spend waiting for each other. In a process that may not start
    others, such as Celery's, threads do it.
    """
    if processes == 1 or current_process().daemon:
        yield from ordered_map(work, items, processes)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (begin,)) as pool:
        for results in _in_order(pool, partial(_each, work), _chunks(items), 2 * processes):
            yield from results


def end_with_parent() -> None:
    """From now on this process ends at once where the one that started it is killed.

    Nothing else would tell it that nobody waits for its work any more.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), name="alp-parent", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _begin(more: Callable[[], None] | None) -> None:
    end_with_parent()
    if more is not None:
        more()


def _in_order(pool: Executor, work: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _each(work: Callable[[T], R], items: list[T]) -> list[R]:
    return [work(item) for item in items]
