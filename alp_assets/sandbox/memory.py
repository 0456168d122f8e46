"""How much memory a run may take: a package that eats more fails alone, with words, before the machine suffers."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alp_assets.errors import MemoryExceeded
from alp_assets.sandbox.confine import allocated

_MB = 2**20
_TORCH_SAYS = ("can't allocate memory", "not enough memory", "can't start new thread", "bad_alloc")

_lock = threading.Lock()


@contextmanager
def memory_limit(most_mb: int, what: str) -> Iterator[None]:
    """Let this process hold so many MiB while ``what`` is worked on; 0 means no limit.

    The kernel refuses what goes beyond, so nothing is overlooked between two looks. It counts what is allocated
    from here on, touched or not, on top of what is resident now. Linux alone holds processes to it. Inside
    another limit, or beside one in another thread, this does nothing.

    Raises:
        MemoryExceeded: the work took more.
    """
    if not most_mb or not _lock.acquire(blocking=False):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        _reserve()
        held = _resident()
        if held >= most_mb * _MB:
            raise MemoryExceeded(what, most_mb, f"the process holds {held // _MB:,} MB before it begins")
        wanted = allocated() + most_mb * _MB - held
        if hard == resource.RLIM_INFINITY or wanted < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
        yield
    except MemoryError as error:
        _restore(soft, hard)
        raise MemoryExceeded(what, most_mb) from error
    except RuntimeError as error:
        _restore(soft, hard)
        if any(words in str(error) for words in _TORCH_SAYS):
            raise MemoryExceeded(what, most_mb) from error
        raise
    finally:
        _restore(soft, hard)
        _lock.release()


def _restore(soft: int, hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _reserve() -> None:
    """Let Arrow's allocator reserve its GiB first, of which little is ever touched."""
    with suppress(ImportError):
        import pyarrow as pa

        pa.array([1.0])


def _resident() -> int:
    """Bytes of the process in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0
