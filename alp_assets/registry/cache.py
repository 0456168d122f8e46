"""Loaded models kept in memory: by version, within a limit, the least recently used first to go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from alp_assets.registry.records import Version

T = TypeVar("T")


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds and how it did. ``waited`` counts those that waited for another's load."""

    models: int
    bytes: int
    limit_bytes: int
    hits: int
    loads: int
    waited: int
    evicted: int


@dataclass(frozen=True)
class _Held(Generic[T]):
    value: T
    size: int


class ModelCache(Generic[T]):
    """Loaded models by version id, for several threads.

    A version never changes, so what is held of it never grows stale: who asks for the section's champion each
    time is given another as soon as there is another. Of several that want a model which is not held, one loads
    it and the others wait; other models are served meanwhile. What cannot be loaded is not remembered.

    Args:
        load: makes the model of a version; what it raises goes to all who wait.
        size_of: bytes that a loaded model takes.
        limit_bytes: most bytes held; a model that alone is larger is handed out and not kept.
    """

    def __init__(self, load: Callable[[Version], T], size_of: Callable[[T], int], limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise ValueError(f"a cache cannot hold {limit_bytes} bytes")
        self._load, self._size_of, self._limit = load, size_of, limit_bytes
        self._lock = Lock()
        self._held: OrderedDict[str, _Held[T]] = OrderedDict()
        self._loading: dict[str, Future[T]] = {}
        self._bytes = self._hits = self._loads = self._waited = self._evicted = 0

    def get(self, version: Version) -> T:
        """The loaded model of a version."""
        with self._lock:
            held = self._held.get(version.version)
            if held is not None:
                self._held.move_to_end(version.version)
                self._hits += 1
                return held.value
            loading = self._loading.get(version.version)
            if loading is None:
                mine: Future[T] = Future()
                self._loading[version.version] = mine
                self._loads += 1
            else:
                self._waited += 1
        return loading.result() if loading is not None else self._fill(version, mine)

    def warm(self, version: Version) -> None:
        """Load a model before anybody waits for it."""
        self.get(version)

    def forget(self, version: str) -> None:
        """Let go of a version's model."""
        with self._lock:
            held = self._held.pop(version, None)
            self._bytes -= held.size if held else 0

    def stats(self) -> CacheStats:
        """What is held, and how often it served."""
        with self._lock:
            return CacheStats(
                models=len(self._held),
                bytes=self._bytes,
                limit_bytes=self._limit,
                hits=self._hits,
                loads=self._loads,
                waited=self._waited,
                evicted=self._evicted,
            )

    def _fill(self, version: Version, mine: Future[T]) -> T:
        try:
            value = self._load(version)
            size = self._size_of(value)
        except BaseException as error:
            with self._lock:
                del self._loading[version.version]
            mine.set_exception(error)
            raise
        with self._lock:
            self._keep(version.version, _Held(value, size))
            del self._loading[version.version]
        mine.set_result(value)
        return value

    def _keep(self, version: str, held: _Held[T]) -> None:
        if held.size > self._limit:
            return
        while self._held and self._bytes + held.size > self._limit:
            _, gone = self._held.popitem(last=False)
            self._bytes -= gone.size
            self._evicted += 1
        self._held[version] = held
        self._bytes += held.size
