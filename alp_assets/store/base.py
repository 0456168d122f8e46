"""What stages, registry and sensors ask of the place behind a data root."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from alp_assets.home import object_url


@dataclass(frozen=True)
class Arrived:
    """A file in the inbox: its path there, its size in bytes, and when it was written (ns since 1970)."""

    name: str
    bytes: int
    modified_ns: int


class Store(Protocol):
    """Folders and files by their path in the data root, such as ``packages/acme/first/clips``.

    Everybody reads and writes the data root itself; the store sees to it that it holds what is asked for, and that
    others see what was written.
    """

    mirrors: bool
    """Whether the data root is a copy of something that other machines have too."""

    def fetch(self, place: str, *names: str) -> None:
        """Have a folder, or these files of it, in the data root, whole and as it was published last.

        Raises:
            FolderDamaged: a file is not what its manifest says.
        """

    def has(self, place: str) -> bool:
        """Whether there is such a folder."""

    def below(self, place: str) -> list[str]:
        """The names of the folders in a folder, sorted."""

    def publish(self, place: str, part: Path) -> None:
        """Make a finished folder, its manifest written, what others see at a place: all of it or nothing.

        Raises:
            PackageBusy: another process still reads the version before, in the same data root.
        """

    def replacing(self, place: str) -> AbstractContextManager[None]:
        """Keep ``fetch`` off a folder of the data root while it is renamed."""

    def remove(self, place: str) -> None:
        """Make others see no folder there; what is in the data root stays. ``PackageBusy`` as with ``publish``."""

    def lock(self, place: str, busy: str) -> AbstractContextManager[None]:
        """Keep every other process, on whatever machine, off a place; ``PackageBusy(busy)`` when one is there."""

    def using(self) -> AbstractContextManager[None]:
        """What is fetched in this block stays as it was found, and stays, until the block ends."""

    def arrived(self, place: str) -> list[Arrived]:
        """Every file below a folder that no manifest speaks of, such as the inbox."""

    def fetch_file(self, place: str) -> None:
        """Have such a file in the data root, as it is at this moment, or none where there is none."""

    def put_file(self, place: str, *, only_new: bool = False) -> None:
        """Let others see such a file; ``FileExistsError`` when there is one and ``only_new``."""

    def remove_file(self, place: str) -> None:
        """Make others see no such file; what is in the data root stays."""

    def lacks_versions(self) -> str:
        """Why what others see no more is gone for good, and what to do; empty where something keeps it."""


def store_of(data_root: Path) -> Store:
    """The store behind a data root: the bucket that ``ALP_DATA`` names, else the disk."""
    return _store(data_root, object_url(data_root), os.getpid())


@lru_cache(maxsize=64)
def _store(data_root: Path, url: str | None, process: int) -> Store:
    """The store of one process: a forked one must not share its parent's connections."""
    if url is None:
        from alp_assets.store.disk import Disk

        return Disk(data_root)
    from alp_assets.store.mirror import Mirror

    return Mirror(data_root, url)
