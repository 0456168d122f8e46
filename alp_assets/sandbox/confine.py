"""What a decoder's process gives up before it sees a file of a stranger."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every processor that Linux has had Landlock on
_VERSION_FLAG = 1
_NO_NEW_PRIVILEGES = 38

_EXECUTE, _WRITE_FILE = 1 << 0, 1 << 1
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_FILE_RIGHTS_SINCE = ((1, _EXECUTE | _WRITE_FILE | _REMOVE_AND_MAKE), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_TCP_SINCE, _TCP = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11


def give_up_writing() -> bool:
    """Never again write, make, remove or run a file, connect by TCP, or signal a process outside.

    Files that are open stay open. Whether the kernel holds the process to it: Linux since 5.13 does, by
    Landlock; connections since 6.7, signals since 6.12. To be called before any thread is started.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return False
    call.restype = ctypes.c_long
    version = int(call(_CREATE_RULESET, None, 0, _VERSION_FLAG)) if hasattr(os, "memfd_create") else -1
    if version < 1:
        return False
    rights = sum(right for since, right in _FILE_RIGHTS_SINCE if version >= since)
    rules = struct.pack("<Q", rights)
    if version >= _TCP_SINCE:
        rules += struct.pack("<Q", _TCP)
    if version >= _SCOPES_SINCE:
        rules += struct.pack("<Q", _SCOPES)
    ruleset = int(call(_CREATE_RULESET, rules, len(rules), 0))
    if ruleset < 0:
        return False
    try:
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return int(call(_RESTRICT_SELF, ruleset, 0)) == 0
    finally:
        os.close(ruleset)


def limit_memory(size: int) -> None:
    """Let the process allocate so many bytes more than it has; then it gets a ``MemoryError``.

    Data is limited and not the address space, of which libraries reserve far more than they use.
    """
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = allocated() + size
    wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))


def leave_no_files() -> None:
    """No core dump, and not a byte written to any file on disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def allocated() -> int:
    """Bytes of data that the process has allocated; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0
