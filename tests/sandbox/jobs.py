"""What decoders are made to do in tests: well-behaved work, and every way to misbehave."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import stat
import sys
import threading
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
        for number in range(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
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


def reach_out(stream, request):
    """What a decoder that was taken over could do beyond files: each act by its name, and what came of it."""
    place = Path(request["outside"])
    yield {
        "connect to a socket with a path": _tried(lambda: _connected(socket.AF_UNIX, str(place / "socket"))),
        "connect by TCP": _tried(lambda: _connected(socket.AF_INET, ("127.0.0.1", request["port"]))),
        "send by UDP": _tried(lambda: _sent(("127.0.0.1", request["port"]))),
        "make a pair of sockets": _tried(socket.socketpair),
        "fork": _tried(_forked),
        "start a program": _tried(lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})),
        "become a program": _tried(lambda: os.execve(place / "none", ["none"], {})),
        "signal another": _tried(lambda: os.kill(os.getppid(), 0)),
        "signal a group": _tried(lambda: os.killpg(0, 0)),
        "look into a process": _tried(lambda: _called("ptrace", _PTRACE_PEEK, _NOBODY, 0, 0)),
        "read memory of a process": _tried(lambda: _called("process_vm_readv", _NOBODY, 0, 0, 0, 0, 0)),
        "share memory": _tried(lambda: mmap.mmap(-1, 2 << 30)),
        "share memory of a file": _tried(lambda: mmap.mmap(_opened(place / "there"), 1, access=mmap.ACCESS_READ)),
        "take memory for a stack": _tried(lambda: mmap.mmap(-1, 2 << 30, mmap.MAP_PRIVATE | _MAP_GROWSDOWN)),
        "make a file of memory": _tried(lambda: os.memfd_create("x")),
        "make a pipe": _tried(os.pipe),
        "raise its limit": _tried(lambda: resource.prlimit(0, resource.RLIMIT_DATA, _UNLIMITED)),
        "change a file's mode": _tried(lambda: (place / "there").chmod(0o777)),
        "change a file's owner": _tried(lambda: os.chown(place / "there", 1, 1)),
        "change a file's times": _tried(lambda: os.utime(place / "there", (0, 0))),
        "cut a file off": _tried(lambda: os.truncate(place / "there", 0)),
        "have its descriptor tell another": _tried(lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())),
        "lock a file for good": _tried(lambda: fcntl.ioctl(_opened(place / "there"), _SETFLAGS, bytes(8))),
        "set up a ring of calls": _tried(lambda: _called("syscall", _IO_URING_SETUP, 0, 0)),
        "make a call that is newer than the filter": _tried(lambda: _called("syscall", _NEWER, 0, 0)),
    }


def use_threads(stream, request):
    """The squares of some numbers, each from a thread of its own, and who the process is."""
    found = []
    threads = [threading.Thread(target=lambda number=number: found.append(number**2)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    yield {"squares": sorted(found), "filter": status.get("Seccomp"), "session": os.getsid(0) == os.getpid()}


_PTRACE_PEEK, _MAP_GROWSDOWN, _SETFLAGS, _IO_URING_SETUP, _NEWER = 1, 0x100, 0x40086602, 425, 451
_NOBODY = 0x3FFFFFFF
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _connected(family, place):
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.connect(place)


def _sent(place):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"x", place)


def _forked():
    if not os.fork():
        os._exit(0)


def _opened(path):
    return os.open(path, os.O_RDONLY)


def _called(name, *given):
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, name)
    function.restype = ctypes.c_long
    if function(*map(ctypes.c_long, given)) < 0:
        raise OSError(ctypes.get_errno(), name)


def _tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
