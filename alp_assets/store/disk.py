"""A data root on a disk, of this machine or shared by several: what is written there all see at once."""

from __future__ import annotations

import fcntl
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from alp_assets.errors import PackageBusy
from alp_assets.store.base import Arrived


class Disk:
    """The store of a POSIX file system. Nothing needs fetching, and a rename publishes."""

    mirrors = False

    def __init__(self, data_root: Path) -> None:
        self._root = data_root

    def fetch(self, place: str, *names: str) -> None:
        """It is there."""

    def has(self, place: str) -> bool:
        """Whether there is such a folder."""
        return (self._root / place).is_dir()

    def below(self, place: str) -> list[str]:
        """The folders in a folder; hidden ones are not."""
        folder = self._root / place
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in found if path.is_dir() and not path.name.startswith("."))

    def publish(self, place: str, part: Path) -> None:
        """The rename that follows does it."""

    def replacing(self, place: str) -> nullcontext[None]:
        """Nobody fetches."""
        return nullcontext()

    def remove(self, place: str) -> None:
        """Who asked removes it."""

    @contextmanager
    def lock(self, place: str, busy: str) -> Iterator[None]:
        """A lock that ends with the process, however that ends."""
        with locked_beside(self._root / place, busy):
            yield

    def using(self) -> nullcontext[None]:
        """Nothing is taken away here."""
        return nullcontext()

    def arrived(self, place: str) -> list[Arrived]:
        """Every regular file below a folder: links may lead to what is another customer's, and are left out."""
        found = []
        for path in (self._root / place).glob("**/*"):
            try:
                status = path.lstat()
            except OSError:  # gone, or not ours to see
                continue
            if stat.S_ISREG(status.st_mode):
                name = path.relative_to(self._root / place).as_posix()
                found.append(Arrived(name, status.st_size, status.st_mtime_ns))
        return found

    def fetch_file(self, place: str) -> None:
        """It is there."""

    def put_file(self, place: str, *, only_new: bool = False) -> None:
        """It is seen."""

    def remove_file(self, place: str) -> None:
        """Who asked removes it."""

    def lacks_versions(self) -> str:
        """Git and DVC keep versions of a disk."""
        return ""


@contextmanager
def locked_beside(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock for a path among the processes that share its disk; ``PackageBusy(busy)`` when it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PackageBusy(busy) from error
        yield
