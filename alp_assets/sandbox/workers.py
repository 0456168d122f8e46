"""Decoders: warm processes that are lent out one file at a time, and replaced when they break."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.errors import AlpError, DecodingStopped
from alp_assets.sandbox.child import IDLE_S
from alp_assets.sandbox.line import ARENA_BYTES, Message, Refusal, receive, send, shared_file
from alp_assets.sandbox.owner import owner
from schemas.problems import Problem, Value

_STARTING_S = 120.0
_GOODBYE_S = 5.0
_DYING_S = 0.5
_FRESH_S = IDLE_S - 30.0
_MB = 2**20
_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[4]); "
    "from alp_assets.sandbox.child import main; main(*map(int, sys.argv[1:4]))"
)
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
_VARIABLES = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "HDF5_PLUGIN_PRELOAD": "::",  # HDF5 loads no plugins, whatever a file asks for
}

_log = logging.getLogger(__name__)

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Limits:
    """What the decoding of one file may take: waiting for its samples, and memory of its process."""

    seconds: float
    memory_mb: int


@dataclass
class Served:
    """A file that a decoder works on: its head, and its contents in pieces, once."""

    head: Message
    _worker: _Worker
    _limits: Limits
    _over: bool = field(default=False, init=False)

    def buffers(self) -> Iterator[Bytes]:
        """The pieces of the contents (n,), each ``ARENA_BYTES`` long at most.

        Raises:
            Refusal: the decoder found on the way that it cannot take the file.
            DecodingStopped: it took too long or too much memory, or broke.
        """
        while not self._over:
            answer = self._worker.answer(self._limits)
            size = answer.get("bytes")
            if not isinstance(size, int) or not 0 <= size <= ARENA_BYTES:
                raise self._worker.lost(f"it sent {size!r} as a size")
            if size == 0:
                self._over = True
                return
            data = self._worker.contents(size)
            self._worker.ask({"more": True})
            yield data

    def broken(self, why: object) -> DecodingStopped:
        """The error of a decoder that sent what no decoder sends. It is ended."""
        return self._worker.lost(f"it sent nonsense: {why!r}")

    def finish(self) -> None:
        """Let the decoder drop what is left, so that it can take the next file."""
        if not self._over:
            self._worker.ask({"stop": True})
            with suppress(Refusal):
                while "stopped" not in self._worker.answer(self._limits):
                    pass


@contextmanager
def served(job: str, source: BinaryIO | memoryview, request: Message, limits: Limits) -> Iterator[Served]:
    """Let a decoder work on a file.

    Args:
        job: ``module:function``, see ``sandbox.child.main``.
        source: an open file on disk, or the bytes of one.
        request: plain values for the job.
        limits: of time and memory.

    Raises:
        Refusal: the decoder does not take the file, and says why in plain values.
        DecodingStopped: it took too long or too much memory, or broke; only this file is concerned.
        AlpError: no decoder could be started.
    """
    worker = _lend(job, limits)
    try:
        worker.begin(source, {"request": request, "seconds": limits.seconds}, limits)
        found = Served(worker.head(limits), worker, limits)
        yield found
        found.finish()
    except (Refusal, GeneratorExit):
        if worker.busy:
            worker.end()
        raise
    except BaseException:
        worker.end()
        raise
    finally:
        _take_back(worker)


def warm(job: str, limits: Limits, count: int) -> None:
    """Start decoders in the background, so that the first files need not wait."""
    use = _Use(owner(), job, limits.memory_mb)
    with _lock:
        missing = count - len(_idle.get(use, []))
    for _ in range(missing):
        _take_back(_Worker(use))


@dataclass(frozen=True)
class _Use:
    """What a process is there for: whose files, its job, and the memory that it may take."""

    owner: str
    job: str
    memory_mb: int


class _Worker:
    """One process. It may be lost at any moment, and is not used again then."""

    def __init__(self, use: _Use) -> None:
        self.use = use
        self.used = time.monotonic()
        self.busy = False
        self._ready = False
        self._left = 0.0
        self._arena, self._input = shared_file(ARENA_BYTES), shared_file()
        self._line, there = socket.socketpair()
        with there:
            numbers = [there.fileno(), self._arena, self._input]
            kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
            self._process = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    _BEGIN,
                    *map(str, numbers),
                    json.dumps(sys.path),
                    "alp-decoder",
                ],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=kept | _VARIABLES,
                start_new_session=True,
            )
        with suppress(OSError):
            send(self._line, {"job": use.job, "memory": use.memory_mb * _MB})

    @property
    def alive(self) -> bool:
        return self._line.fileno() >= 0 and self._process.poll() is None

    def begin(self, source: BinaryIO | memoryview, message: Message, limits: Limits) -> None:
        """Hand a file over."""
        if not self._ready:
            self._wait_until_ready()
        self._left = limits.seconds
        self.busy = True
        try:
            if isinstance(source, memoryview):
                _write(self._input, source)
                send(self._line, message | {"size": source.nbytes})
            else:
                os.lseek(source.fileno(), 0, os.SEEK_SET)
                send(self._line, message, source.fileno())
        except OSError as error:
            raise self.lost(repr(error)) from error

    def head(self, limits: Limits) -> Message:
        head = self.answer(limits).get("head")
        if not isinstance(head, dict):
            raise self.lost("it sent no head")
        return head

    def ask(self, message: Message) -> None:
        try:
            send(self._line, message)
        except OSError as error:
            raise self.lost(repr(error)) from error

    def answer(self, limits: Limits) -> Message:
        """The next answer, waited for as long as the file's time is not over."""
        began = time.monotonic()
        try:
            found = receive(self._line, began + self._left)
        except TimeoutError as error:
            self.end()
            raise _stopped("decoding_too_long", seconds=limits.seconds) from error
        except (EOFError, OSError, ValueError, RecursionError) as error:
            raise self.lost(repr(error)) from error
        self._left -= time.monotonic() - began
        if "failed" in found:
            self.end()
            if found["failed"] == "memory":
                raise _stopped("decoding_memory", most=limits.memory_mb)
            raise _stopped("decoding_broke", detail=str(found.get("detail"))[:500])
        if found.get("bytes") == 0 or "stopped" in found or "refused" in found:
            self.busy = False
        if isinstance(found.get("refused"), dict):
            raise Refusal(found["refused"])
        return found

    def contents(self, size: int) -> Bytes:
        """What the decoder put into the arena. It is copied: the decoder might write there again."""
        data = np.empty(size, np.uint8)
        if os.preadv(self._arena, [data.data], 0) != size:
            raise self.lost("it cut the memory off")
        return data

    def lost(self, why: str) -> DecodingStopped:
        """The error of a process that died over a file, by what it died of."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING_S)
        code = self._process.poll()
        self.end()
        _log.warning("a decoder was lost (%s, exit code %s)", why, code)
        if code == -signal.SIGKILL:  # nobody else kills a decoder than a system without memory
            return _stopped("decoding_memory", most=self.use.memory_mb)
        told = signal.Signals(-code).name if code is not None and code < 0 else why
        return _stopped("decoding_broke", detail=told)

    def end(self) -> None:
        """End the process, whatever it is at, and whatever it has started."""
        if self._line.fileno() >= 0:
            self._line.close()
            os.close(self._arena)
            os.close(self._input)
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE_S)

    def _wait_until_ready(self) -> None:
        self._line.settimeout(_STARTING_S)
        try:
            answer = receive(self._line)
        except (EOFError, OSError, ValueError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_DYING_S)
            code = self._process.poll()
            self.end()
            raise AlpError(
                f"no process could be started to decode recordings in ({error!r}, exit code {code}). Check that "
                "the machine has memory and processes left, and run it again."
            ) from error
        self._ready = answer.get("ready") is True
        for held, without in _UNHELD.items():
            if answer.get(held) is not True:
                _tell(without)


_UNHELD = {
    "confined": "this system has no Landlock: processes that decode recordings are not kept from writing files",
    "filtered": "this system has no seccomp filters for its processor: processes that decode recordings are not "
    "kept from connections, from starting other processes and from sharing memory",
}


@cache
def _tell(what: str) -> None:
    _log.warning(what)


def _write(file: int, data: memoryview) -> None:
    at = 0
    while at < data.nbytes:
        at += os.pwrite(file, data[at:], at)


def _stopped(code: str, **values: Value) -> DecodingStopped:
    return DecodingStopped(Problem("error", code, values))


_lock = threading.Lock()
_idle: dict[_Use, list[_Worker]] = {}


def _lend(job: str, limits: Limits) -> _Worker:
    """A process that waits for work of the same owner, or a new one.

    One that waited long may be about to end by itself.
    """
    use = _Use(owner(), job, limits.memory_mb)
    _end_idle(but_of=use.owner)
    while True:
        with _lock:
            waiting = _idle.get(use)
            worker = waiting.pop() if waiting else None
        if worker is None:
            return _Worker(use)
        if worker.alive and time.monotonic() - worker.used < _FRESH_S:
            return worker
        worker.end()


def _take_back(worker: _Worker) -> None:
    if worker.alive and not worker.busy and worker.use.owner == owner():
        worker.used = time.monotonic()
        with _lock:
            _idle.setdefault(worker.use, []).append(worker)
    else:
        worker.end()


def _end_idle(but_of: str | None) -> None:
    """End the processes that wait for files of others than this owner."""
    with _lock:
        others = [use for use in _idle if use.owner != but_of]
        workers = [worker for use in others for worker in _idle.pop(use)]
    for worker in workers:
        worker.end()


def _end_all() -> None:
    _end_idle(but_of=None)


def _forget() -> None:
    """In a fork: the processes are the parent's."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget)
