"""The life of a worker process. It imports nothing heavy before it is told what to do."""

from __future__ import annotations

import importlib
import os
import resource
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from alp_assets.watch.logs import set_up

_PATIENCE = 10


def main(line_number: int) -> None:
    """Answer requests until the line, an open file of that number, is closed.

    The first message is the dotted name of a function, what its process knows from the start, how much memory
    it may use, and whether it gives way to others. Where there is a ``prepare(state)`` beside the function it
    is called first. The function takes an argument and this process's state and answers in bytes, which the
    server does not unpickle: what comes out of a decoder that was taken over cannot run there.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which closes the line
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_up()
    line = Connection(line_number)
    job, start, memory_bytes, patient = line.recv()
    if patient:
        os.nice(_PATIENCE)
    module, _, name = job.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    state: dict[str, Any] = {"start": start}
    getattr(importlib.import_module(module), "prepare", _nothing)(state)
    # data and not address space: libraries reserve far more of that than they use
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    line.send_bytes(b"ready")
    while True:
        try:
            argument = line.recv()
        except (EOFError, OSError):
            return
        with suppress(BrokenPipeError):
            line.send_bytes(function(argument, state))


def _nothing(state: dict[str, Any]) -> None:
    """The preparation of work that needs none."""
