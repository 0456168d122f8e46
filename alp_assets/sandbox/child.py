"""The life of a decoder's process. It imports nothing heavy before it is told what to do."""

from __future__ import annotations

import importlib
import io
import math
import mmap
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import Any, BinaryIO

from alp_assets.sandbox.calls import forbid_calls
from alp_assets.sandbox.confine import give_up_writing, leave_no_files, limit_memory
from alp_assets.sandbox.line import ARENA_BYTES, Message, Refusal, receive, receive_file, send

IDLE_S = 90.0
"""A process without work ends by itself after so long."""

GRACE_S = 5
"""So much longer than its caller waits does a process work before it ends itself: its caller may be dead."""

Job = Callable[[BinaryIO, Message], Generator[Any, None, None]]


def main(line_number: int, arena_number: int, input_number: int) -> None:
    """Answer requests until the line is closed.

    The first message names the job, a generator function ``(stream, request)`` that first yields a head (plain
    values) and then buffers of at most ``ARENA_BYTES``, and the memory that it may use. Where its module has
    a ``prepare()`` that is called before the limits hold.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who closes the line
    sys.dont_write_bytecode = True
    confined = give_up_writing()
    with socket.socket(fileno=line_number) as line, mmap.mmap(arena_number, ARENA_BYTES) as arena:
        start = receive(line)
        name, _, function = str(start["job"]).partition(":")
        module = importlib.import_module(name)
        getattr(module, "prepare", _nothing)()
        leave_no_files()
        limit_memory(int(start["memory"]))
        filtered = forbid_calls()
        send(line, {"ready": True, "confined": confined, "filtered": filtered})
        with suppress(EOFError, OSError):
            while select.select([line], [], [], IDLE_S)[0]:
                message, file = receive_file(line)
                if "request" not in message:
                    send(line, {"stopped": True})
                    continue
                signal.alarm(_alarm(message))
                with _stream(message, file, input_number) as stream:
                    _answer(getattr(module, function), message, stream, line, arena)
                signal.alarm(0)


def _stream(message: Message, file: int | None, input_number: int) -> BinaryIO:
    """The file that came with a message, or the bytes that the caller wrote to the input."""
    if file is not None:
        return os.fdopen(file, "rb")
    return io.BytesIO(os.pread(input_number, int(message["size"]), 0))


def _alarm(message: Message) -> int:
    return math.ceil(float(message["seconds"])) + GRACE_S


def _answer(job: Job, message: Message, stream: BinaryIO, line: socket.socket, arena: mmap.mmap) -> None:
    """Send the head and the buffers of a file, or what became of it. ``more`` is awaited after each buffer."""
    try:
        with closing(job(stream, message["request"])) as found:
            send(line, {"head": next(found)})
            for buffer in found:
                data = memoryview(buffer).cast("B")
                arena[: data.nbytes] = data
                signal.alarm(0)
                send(line, {"bytes": data.nbytes})
                del data
                if "more" not in receive(line):
                    send(line, {"stopped": True})
                    return
                signal.alarm(_alarm(message))
        send(line, {"bytes": 0})
    except Refusal as refusal:
        send(line, {"refused": refusal.values})
    except MemoryError:
        send(line, {"failed": "memory"})
    except (EOFError, BrokenPipeError, ConnectionError):
        raise
    except Exception as error:
        send(line, {"failed": "error", "detail": f"{type(error).__name__}: {error}"[:500]})


def _nothing() -> None:
    """The preparation of a job that needs none."""
