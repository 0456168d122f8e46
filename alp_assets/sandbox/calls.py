"""What the kernel no longer does for a decoder's process: a filter of its calls (seccomp), which cannot be lifted.

Decoders read, compute, allocate and start threads. Connections, other processes, memory that no limit counts and
changes to files or to the machine are refused, whichever user the process runs as.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

_FORBIDDEN = {
    "others to connect to": """
        socket 41 198, socketpair 53 199, connect 42 203, accept 43 202, accept4 288 242, bind 49 200,
        listen 50 201, sendmsg 46 211, sendmmsg 307 269""",
    "other processes": """
        fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, ptrace 101 117, process_vm_readv 310 270,
        process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448, pidfd_open 434 434,
        pidfd_getfd 438 438, pidfd_send_signal 424 424, kcmp 312 272, tkill 200 130,
        rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240""",
    "limits and precedence, its own and those of others": """
        setrlimit 160 164, setpriority 141 140, ioprio_set 251 30, sched_setscheduler 144 119,
        sched_setparam 142 118, sched_setattr 314 274, sched_setaffinity 203 122, migrate_pages 256 238,
        move_pages 279 239""",
    "memory that no limit counts": """
        memfd_create 319 279, memfd_secret 447 447, shmget 29 194, shmat 30 196, msgget 68 186,
        semget 64 190, mq_open 240 180, pipe 22 -, pipe2 293 59""",
    "files, where Landlock leaves them open": """
        truncate 76 45, chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -, fchown 93 55, lchown 94 -,
        fchownat 260 54, utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88, setxattr 188 5,
        lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16,
        flock 73 32""",
    "the machine, where the process is root's": """
        mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, unshare 272 97, setns 308 268,
        open_tree 428 428, move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432,
        fspick 433 433, mount_setattr 442 442, init_module 175 105, finit_module 313 273,
        delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, reboot 169 142, swapon 167 224,
        swapoff 168 225, acct 163 89, quotactl 179 60, quotactl_fd 443 443, syslog 103 116,
        sethostname 170 161, setdomainname 171 162, settimeofday 164 170, clock_settime 227 112,
        adjtimex 159 171, clock_adjtime 305 266, iopl 172 -, ioperm 173 -""",
    "ways around a filter, and doors that were often weak": """
        io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, bpf 321 280,
        perf_event_open 298 241, userfaultfd 323 282, add_key 248 217, request_key 249 218, keyctl 250 219,
        open_by_handle_at 304 265, fanotify_init 300 262""",
}
"""What is refused, by what it would reach: names, with their numbers on x86-64 and aarch64."""

_BOUNDED = """
    clone 56 220, mmap 9 222, sendto 44 206, prlimit64 302 261, kill 62 129, tgkill 234 131, fcntl 72 25,
    ioctl 16 29"""
"""What is let through with some arguments alone, see ``_bounds``."""

_ABSENT = "clone3 435 435"
"""Its arguments lie in memory, where no filter sees them. Libraries that do not find it use ``clone``."""

_NEWEST = 450
"""The last call that is known here, of Linux 5.17. Whoever makes a newer one is told that there is none."""

_WORD, _POINTER = 2**32 - 1, 2**64 - 1
_CLONE_THREAD = 0x10000
_MAP_SHARED, _MAP_GROWSDOWN = 0x01, 0x100
_FCNTL = (0, 1, 2, 3, 4, 1030)  # duplicate a descriptor, and its own flags
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, how much waits, flags

_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_LOAD, _AND, _EQUAL, _GREATER, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
_NUMBER_AT, _PROCESSOR_AT, _ARGUMENTS_AT = 0, 4, 16
_STEP = struct.Struct("<HBBI")

_NO_NEW_PRIVILEGES = 38
_SET_FILTER, _IN_ALL_THREADS = 1, 1


@dataclass(frozen=True)
class Processor:
    """A kind of processor: its number in filters, that of its call ``seccomp``, and its column in the tables."""

    number: int
    seccomp: int
    column: int


PROCESSORS: Mapping[str, Processor] = {
    "x86_64": Processor(0xC000003E, 317, 0),
    "aarch64": Processor(0xC00000B7, 277, 1),
}
"""The processors that there are tables for, as ``uname -m`` names them."""


def forbid_calls() -> bool:
    """Give up, in every thread, what a decoder has no need of: such calls fail with ``EPERM`` from here on.

    Whether the kernel holds the process to it: Linux does, on x86-64 and aarch64.
    """
    processor = PROCESSORS.get(os.uname().machine)
    if not sys.platform.startswith("linux") or processor is None or sys.maxsize <= _WORD:
        return False
    try:
        library = ctypes.CDLL(None)
        call = library.syscall
    except (OSError, AttributeError):
        return False
    call.restype = ctypes.c_long
    steps = program(processor, os.getpid())
    held = ctypes.create_string_buffer(steps, len(steps))
    told = struct.pack("@HP", len(steps) // _STEP.size, ctypes.addressof(held))
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return int(call(processor.seccomp, _SET_FILTER, _IN_ALL_THREADS, told)) == 0


def numbers(processor: Processor) -> dict[str, int]:
    """Every call that the filter knows by name, on a kind of processor."""
    return _numbers(",".join([*_FORBIDDEN.values(), _BOUNDED, _ABSENT]), processor)


def program(processor: Processor, pid: int) -> bytes:
    """The filter of the process ``pid``, in the kernel's instructions (classic BPF)."""
    refused, unknown = _step(_RETURN, _REFUSE), _step(_RETURN, _UNKNOWN)
    forbidden = _numbers(",".join(_FORBIDDEN.values()), processor).values()
    bounds = _bounds(pid)
    return b"".join(
        [
            _step(_LOAD, _PROCESSOR_AT),
            _step(_EQUAL, processor.number, yes=1),
            unknown,
            _step(_LOAD, _NUMBER_AT),
            _when(_GREATER, _NEWEST, unknown),
            *(_when(_EQUAL, number, unknown) for number in _numbers(_ABSENT, processor).values()),
            *(_when(_EQUAL, number, refused) for number in forbidden),
            *(
                _when(_EQUAL, number, _within(bounds[name]))
                for name, number in _numbers(_BOUNDED, processor).items()
            ),
            _step(_RETURN, _ALLOW),
        ]
    )


@dataclass(frozen=True)
class _Bound:
    """These bits of this argument must have one of these values."""

    argument: int
    bits: int
    values: tuple[int, ...] = (0,)


def _bounds(pid: int) -> dict[str, _Bound]:
    itself = _Bound(0, _WORD, (pid,))
    return {
        "clone": _Bound(0, _CLONE_THREAD, (_CLONE_THREAD,)),
        "mmap": _Bound(3, _MAP_SHARED | _MAP_GROWSDOWN),  # either is memory that RLIMIT_DATA does not count
        "sendto": _Bound(4, _POINTER),  # without an address: along the line alone
        "prlimit64": _Bound(2, _POINTER),  # asked for, and not set
        "kill": itself,
        "tgkill": itself,
        "fcntl": _Bound(1, _WORD, _FCNTL),
        "ioctl": _Bound(1, _WORD, _IOCTL),
    }


def _within(bound: _Bound) -> bytes:
    """Steps that let a call through, or refuse it. A filter sees arguments by half, the lower half first."""
    steps = b""
    for half in (0, 1):
        if bits := bound.bits >> 32 * half & _WORD:
            values = [value >> 32 * half & _WORD for value in bound.values]
            steps += _step(_LOAD, _ARGUMENTS_AT + 8 * bound.argument + 4 * half) + _step(_AND, bits)
            steps += b"".join(_step(_EQUAL, value, yes=len(values) - at) for at, value in enumerate(values))
            steps += _step(_RETURN, _REFUSE)
    return steps + _step(_RETURN, _ALLOW)


def _when(test: int, constant: int, steps: bytes) -> bytes:
    """Steps that are done where the test holds, and else passed over."""
    return _step(test, constant, no=len(steps) // _STEP.size) + steps


def _step(operation: int, constant: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; a test passes over so many of the next ones."""
    return _STEP.pack(operation, yes, no, constant)


def _numbers(table: str, processor: Processor) -> dict[str, int]:
    rows = (row.split() for row in table.split(","))
    return {name: int(found[processor.column]) for name, *found in rows if found[processor.column] != "-"}
