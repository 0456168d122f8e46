"""A few processes that work on requests, so that a bad file harms none but its own request."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from alp_assets.web.problems import busy

_STARTING_S = 120.0
_LARGEST_ANSWER = 256 * 2**20
_GOODBYE_S = 5.0
_BEGIN = "import sys; from alp_assets.web.workers.work import main; main(int(sys.argv[1]))"
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""A worker has one core: other requests have the others."""

_log = logging.getLogger(__name__)


class WorkerLost(Exception):
    """A worker died over a request."""


class WorkerTimeout(Exception):
    """A worker took too long over a request and was ended."""


@dataclass(frozen=True)
class Terms:
    """What the workers of a pool may use, and how many requests may wait for them.

    Attributes:
        name: of the pool, for logs.
        workers: how many processes.
        waiting: requests that may wait.
        seconds: longest work on one request.
        memory_bytes: of data that a process may allocate.
        once: whether every request gets a new process.
        patient: whether the processes give way to others where there are too few cores.
    """

    name: str
    workers: int
    waiting: int
    seconds: float
    memory_bytes: int
    once: bool = False
    patient: bool = False


class Pool:
    """Persistent worker processes. A stuck or dead one is replaced; nobody else notices.

    ``job`` is the dotted name of a function ``(argument, state) -> bytes`` that the processes call; ``state`` is
    a dictionary that a process keeps.
    """

    def __init__(self, terms: Terms, job: str, start: Any = None) -> None:
        self.terms = terms
        self._job, self._start = job, start
        self._threads = ThreadPoolExecutor(terms.workers, thread_name_prefix=f"{terms.name}-worker")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._inside = 0
        self._took = 1.0
        self._workers = [_Worker(terms, job, start) for _ in range(terms.workers)]
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def inside(self) -> int:
        """Requests that are worked on or wait."""
        return self._inside

    @property
    def process_ids(self) -> list[int]:
        """The processes at work or waiting for some."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    async def run(self, argument: Any) -> bytes:
        """What a worker answers.

        Raises:
            Problem: too many requests wait already.
            WorkerLost: the worker died.
            WorkerTimeout: it took too long.
        """
        return await asyncio.wrap_future(self.submit(argument))

    def submit(self, argument: Any) -> Future[bytes]:
        """The same as a future, for those that cannot wait."""
        with self._lock:
            if self._inside >= self.terms.workers + self.terms.waiting:
                seconds = max(1, math.ceil(self._inside * self._took / self.terms.workers))
                raise busy(
                    f"{self._inside} requests wait for the {self.terms.name} workers already. Ask again in "
                    f"{seconds} s.",
                    seconds,
                )
            self._inside += 1
        future = self._threads.submit(self._work, argument)
        future.add_done_callback(self._left)
        return future

    def warm(self) -> None:
        """Start the processes before anybody waits for them."""
        for worker in self._workers:
            self._threads.submit(worker.start)

    def close(self) -> None:
        """End the processes. What they are at is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.end()

    def _left(self, _: Future[bytes]) -> None:
        with self._lock:
            self._inside -= 1

    def _work(self, argument: Any) -> bytes:
        worker = self._idle.get()
        began = time.monotonic()
        try:
            return worker.call(argument)
        finally:
            self._took += 0.1 * (time.monotonic() - began - self._took)
            if self.terms.once:
                worker.end()
            self._idle.put(worker)


class _Worker:
    """One process at a time, started when it is needed."""

    def __init__(self, terms: Terms, job: str, start: Any) -> None:
        self._terms, self._job, self._start = terms, job, start
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> Connection:
        with self._lock:
            if self._line is not None and self.pid is not None:
                return self._line
            self._stop()
            self._line = self._begin()
            try:
                self._line.send((self._job, self._start, self._terms.memory_bytes, self._terms.patient))
                ready = self._line.poll(_STARTING_S) and self._line.recv_bytes(_LARGEST_ANSWER)
            except (EOFError, OSError) as error:
                self._stop()
                raise WorkerLost(f"a {self._terms.name} worker could not start") from error
            if ready != b"ready":
                self._stop()
                raise WorkerLost(f"a {self._terms.name} worker did not start")
            return self._line

    def _begin(self) -> Connection:
        """A new process and the line to it. Unlike a fork it has none of the server's threads, locks and files."""
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
                [sys.executable, "-c", _BEGIN, str(there.fileno()), f"alp-{self._terms.name}-worker"],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD},
            )
        return Connection(here.detach())

    def call(self, argument: Any) -> bytes:
        line = self.start()
        try:
            line.send(argument)
            if not line.poll(self._terms.seconds):
                _log.warning("a %s worker was ended after %g s", self._terms.name, self._terms.seconds)
                self.end()
                raise WorkerTimeout(f"not done after {self._terms.seconds:g} s")
            return line.recv_bytes(_LARGEST_ANSWER)
        except (EOFError, OSError, BrokenPipeError) as error:
            code = self._process.poll() if self._process else None
            _log.warning("a %s worker was lost (%r, exit code %s)", self._terms.name, error, code)
            self.end()
            raise WorkerLost("the worker ended") from error

    def end(self) -> None:
        process = self._process
        if process is not None:
            process.kill()  # whoever waits for it to start stops waiting, and gives the lock back
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GOODBYE_S)
        self._process = self._line = None
