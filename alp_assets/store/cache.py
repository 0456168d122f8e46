"""The part of a bucket that a machine keeps: what was not used for longest goes when it grows too large."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import quote, unquote

from alp_assets.errors import AlpError

DEFAULT_GB = 50.0
_GRACE_S = 60.0
"""What was used this lately somebody may be reading, also where no block says so."""

_STALE_S = 7 * 24 * 3600.0
"""A folder that was being written for longer than this is of a killed process."""


def limit_bytes() -> int:
    """``$ALP_CACHE_GB`` (10⁹ bytes), by default 50."""
    given = os.environ.get("ALP_CACHE_GB", "")
    try:
        value = float(given or DEFAULT_GB)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise AlpError(f"ALP_CACHE_GB: {given!r} is no size. Write a number of gigabytes, such as 50.")
    return int(value * 1e9)


@dataclass(frozen=True)
class _Kept:
    place: str
    bytes: int
    used: float


class Cache:
    """The folders and files of a data root that can be fetched again, by their path in it.

    Each has a note beside the data (``.kept/``) with its size, last touched when it was used. Processes that use
    it hold a shared lock on the note.
    """

    def __init__(self, root: Path, limit: int, grace_s: float = _GRACE_S) -> None:
        self._root, self._notes, self._limit, self._grace_s = root, root / ".kept", limit, grace_s
        self._pins: ExitStack | None = None
        self._pinned: dict[str, int] = {}
        self._lock = Lock()

    @contextmanager
    def alone(self, place: str, *, wait: bool = True) -> Iterator[None]:
        """Keep others on this machine from fetching or dropping the same at the same time.

        Without ``wait`` it is a ``BlockingIOError`` when one is at it.
        """
        busy = self._notes / f"{_flat(place)}.busy"
        with _locked(busy, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB):
            try:
                yield
            finally:
                busy.unlink(missing_ok=True)

    @contextmanager
    def unused(self, place: str) -> Iterator[None]:
        """Keep others from using it; a ``BlockingIOError`` when a block, here or elsewhere, still does."""
        with _locked(self._notes / _flat(place), fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    def used_elsewhere(self, place: str) -> bool:
        """Whether a block of another process uses it; to be asked ``alone``, as ``unused`` is.

        The lock of this process's own block is tried as one that nobody shares, and held on to.
        """
        with self._lock, ExitStack() as opened:
            handle = self._pinned.get(place)
            if handle is None:
                handle = opened.enter_context(_locked(self._notes / _flat(place), fcntl.LOCK_SH))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                fcntl.flock(handle, fcntl.LOCK_SH)
            return False

    def below(self, place: str) -> list[str]:
        """What of a folder has a note here: the folder itself, and what lies in it."""
        return [item.place for item in self._kept() if f"{item.place}/".startswith(f"{place}/")]

    def used(self, place: str, size: int) -> None:
        """Note that something of this size is here and in use."""
        note = self._notes / _flat(place)
        handle = _locked(note, fcntl.LOCK_SH)
        with self._lock, ExitStack() as held:
            stream = held.enter_context(handle)
            os.ftruncate(stream, 0)
            os.pwrite(stream, str(size).encode(), 0)
            if self._pins is not None and place not in self._pinned:
                self._pinned[place] = stream
                self._pins.push(held.pop_all())

    def pin(self) -> None:
        """Keep all that is used from here on."""
        with self._lock:
            self._pins = ExitStack()

    def unpin(self) -> None:
        """Let go of what ``pin`` kept."""
        with self._lock:
            pins, self._pins = self._pins, None
            self._pinned.clear()
        if pins is not None:
            pins.close()

    def make_room(self) -> list[str]:
        """Drop what was not used for longest until the rest is within the limit; what is in use stays.

        Returns what went.
        """
        kept = sorted(self._kept(), key=lambda item: item.used)
        total = sum(item.bytes for item in kept)
        gone: list[str] = []
        if total > self._limit:
            self._drop_leftovers()
        for item in kept:
            if total <= self._limit:
                break
            age_s = abs(time.time() - item.used)  # of a use in the future too: the clock was put back
            if age_s > self._grace_s and self._drop(item.place):
                total -= item.bytes
                gone.append(item.place)
        return gone

    def _kept(self) -> Iterator[_Kept]:
        for note in self._notes.glob("*"):
            if note.suffix != ".busy":
                with suppress(OSError, ValueError):
                    yield _Kept(unquote(note.name), int(note.read_text() or 0), note.stat().st_mtime)

    def _drop(self, place: str) -> bool:
        note = self._notes / _flat(place)
        try:
            with self.alone(place, wait=False), self.unused(place):
                target = self._root / place
                if target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)
                note.unlink()
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """An empty folder on the same disk, for what is under way."""
        place = self._root / ".fetching"
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, suffix=".part") as work:
            yield Path(work)

    def _drop_leftovers(self) -> None:
        for part in [*self._root.glob("*/*/*/.*.part"), *self._root.glob(".fetching/*.part")]:
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_S:
                    shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    """Hold a lock on a file, made where it is not there; ``BlockingIOError`` as ``how`` has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, how)
            if _is_at(handle, path):  # else another one deleted it meanwhile
                yield handle
                return
        finally:
            os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _flat(place: str) -> str:
    return quote(place, safe="").replace(".", "%2E")
