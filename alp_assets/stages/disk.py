"""A disk that takes no more, in words that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alp_assets.errors import AlpError, DiskRefused

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_BYTES = 1 << 20
"""With less room than this whatever fails without a better reason fails for want of room."""


@contextmanager
def disk_told(place: Path, what: str) -> Iterator[None]:
    """Let an error that a disk is to blame for say so: libraries call it "System error" or "disk I/O error".

    Raises:
        DiskRefused: the disk of ``place`` is full or read-only, so that ``what`` could not be finished.
    """
    try:
        yield
    except Exception as error:
        if reason := _reason(error, place):
            raise DiskRefused(
                f"{place}: {reason[0]}, so that {what} could not be finished. Nothing half-finished is kept. "
                f"{reason[1]}, and run it again."
            ) from error
        raise


def _reason(error: Exception, place: Path) -> tuple[str, str] | None:
    """What the disk is, and what to do; none when something else is to blame."""
    chain = _causes(error)
    if isinstance(chain[-1], AlpError | MemoryError) or any(isinstance(item, DiskRefused) for item in chain):
        return None
    numbers = {item.errno for item in chain if isinstance(item, OSError)}
    try:
        disk = os.statvfs(place)
    except OSError:
        return None
    full = disk.f_blocks and disk.f_bavail * disk.f_frsize < _FULL_BYTES
    if numbers & set(_FULL) or full:
        return "the disk is full", "Make room"
    if errno.EROFS in numbers or disk.f_flag & os.ST_RDONLY:
        return "the disk is read-only", "Make it writable"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found
