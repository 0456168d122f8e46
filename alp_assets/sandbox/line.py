"""What passes between a process and its decoder: small messages in JSON, and open files.

Nothing is unpickled: whoever takes a decoder over can send numbers and text, and no code.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
import time
from typing import Any

ARENA_BYTES = 4 << 20
"""Size of the memory that both have in common, by which samples come back."""

_LONGEST = 1 << 20
_LENGTH = struct.Struct("<I")

Message = dict[str, Any]


class Refusal(Exception):
    """What a decoder says of a file that it does not take: plain values, for its caller to put into words."""

    def __init__(self, values: Message) -> None:
        super().__init__(str(values))
        self.values = values


def send(line: socket.socket, message: Message, file: int | None = None) -> None:
    """Send a message, and an open file with it."""
    text = json.dumps(message).encode()
    if file is None:
        line.sendall(_LENGTH.pack(len(text)) + text)
        return
    socket.send_fds(line, [_LENGTH.pack(len(text))], [file])
    line.sendall(text)


def receive(line: socket.socket, until: float | None = None) -> Message:
    """The next message. ``EOFError`` when the other side is gone, ``ValueError`` when it sends nonsense.

    ``until`` is the moment, of ``time.monotonic``, at which it must be there as a whole, else a ``TimeoutError``.
    """
    return _message(line, _exactly(line, _LENGTH.size, until), until)


def receive_file(line: socket.socket) -> tuple[Message, int | None]:
    """The next message and the open file that came with it."""
    start, files, _, _ = socket.recv_fds(line, _LENGTH.size, 1)
    start += _exactly(line, _LENGTH.size - len(start)) if start else _exactly(line, _LENGTH.size)
    return _message(line, start), files[0] if files else None


def shared_file(size: int = 0) -> int:
    """A new open file in memory, or without a name on disk where the system knows no other."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("alp", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as stream:
            file = os.dup(stream.fileno())
    os.ftruncate(file, size)
    return file


def _message(line: socket.socket, start: bytes, until: float | None = None) -> Message:
    (length,) = _LENGTH.unpack(start)
    if length > _LONGEST:
        raise ValueError(f"a message of {length} bytes")
    found = json.loads(_exactly(line, length, until))
    if not isinstance(found, dict):
        raise ValueError("a message that is no object")
    return found


def _exactly(line: socket.socket, size: int, until: float | None = None) -> bytes:
    found = b""
    while len(found) < size:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(left)
        piece = line.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found
