"""What decoders are made to do in tests: well-behaved work, and every way to misbehave."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from pathlib import Path

from alp_assets.sandbox.line import ARENA_BYTES, Refusal


def echo(stream, request):
    """The file's own bytes, in pieces."""
    yield {"pid": os.getpid(), "request": request}
    while data := stream.read(request.get("piece", ARENA_BYTES)):
        yield data


def refuse(stream, request):
    if request.get("late"):
        yield {}
        yield b"some"
    raise Refusal({"why": "not today", "pid": os.getpid()})


def misbehave(stream, request):
    """As the file says: hang, spin, crash, eat, fail, vanish, babble."""
    yield {"pid": os.getpid()}
    yield from _misbehave(stream.read().decode())


def _misbehave(how):
    if how == "hang":
        time.sleep(600)
    elif how == "spin":
        while True:
            pass
    elif how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "eat":
        yield bytearray(1 << 34)
    elif how == "fail":
        raise LookupError("of all things")
    elif how == "vanish":
        os._exit(0)
    elif how == "swell":
        yield bytes(ARENA_BYTES + 1)
    elif how.startswith("babble"):
        for number in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, bytes.fromhex(how.removeprefix("babble")))
            except OSError:
                continue
        time.sleep(600)
    yield b"as if nothing were"


def look_around(stream, request):
    """What a decoder that was taken over could reach."""
    outside = Path(request["outside"])
    yield {
        "variables": sorted(os.environ),
        "write": _tried(lambda: (outside / "made").write_text("x")),
        "overwrite": _tried(lambda: (outside / "there").write_text("x")),
        "remove": _tried((outside / "there").unlink),
        "folder": _tried((outside / "folder").mkdir),
        "rename": _tried(lambda: (outside / "there").rename(outside / "elsewhere")),
        "run": _tried(lambda: os.posix_spawn("/bin/true", ["true"], {})),
        "connect": _tried(lambda: socket.create_connection(("127.0.0.1", request["port"]), 1)),
        "signal": _tried(lambda: os.kill(os.getppid(), 0)),
        "read": _tried((outside / "there").read_text),
    }


def _tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
