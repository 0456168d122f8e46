"""Reading what arrives, which may take longer than Dagster lets a sensor look."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

Result = TypeVar("Result")

MOST = 8
"""Threads that read at the same time."""


class StillReading(Exception):
    """It goes on; ask again at the next look."""


class Reader(Generic[Result]):
    """Work in threads that goes on from look to look, one piece at a time for each customer."""

    def __init__(self) -> None:
        self._going: dict[str, tuple[Hashable, Future[Result]]] = {}
        self._lock = threading.Lock()

    def read(self, customer: str, what: Hashable, work: Callable[[], Result], patience_s: float) -> Result:
        """What ``work`` gives, or what it raises; begun where it is not under way.

        Raises:
            StillReading: it takes longer than ``patience_s``, or other work of this customer, or of many, does.
        """
        with self._lock:
            wanted, future = self._going.get(customer, (None, None))
            if future is None or (wanted != what and future.done()):
                if len(self._under_way()) >= MOST:
                    raise StillReading
                wanted, future = self._going[customer] = what, _started(work)
        if wanted != what or not wait([future], patience_s).done:
            raise StillReading
        with self._lock:
            if self._going.get(customer) == (what, future):
                del self._going[customer]
        return future.result()

    def _under_way(self) -> list[str]:
        return [customer for customer, (_, future) in self._going.items() if not future.done()]


def _started(work: Callable[[], Result]) -> Future[Result]:
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever asks for the result raises it
            future.set_exception(error)

    threading.Thread(target=run, name="inbox", daemon=True).start()
    return future
