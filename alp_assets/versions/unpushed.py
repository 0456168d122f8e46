"""What was versioned and is not in the remote yet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alp_assets.files import read_json, write_json
from alp_assets.versions.store import Store


class Unpushed:
    """The hashes that wait for the remote, by package. Only who holds the lock of the versions may use it."""

    def __init__(self, place: Path) -> None:
        self._place = place / "unpushed"

    def add(self, key: str, hashes: Iterable[str]) -> None:
        """Let a package's folders wait."""
        path = self._place / f"{key}.json"
        write_json(path, sorted({*_read(path), *hashes}))

    def names(self) -> list[str]:
        """The packages that wait."""
        return sorted(path.stem for path in self._waiting())

    def push(self, store: Store) -> None:
        """Push all that waits; what fails goes on waiting. What the cache has lost since cannot be pushed."""
        waiting = {path: _read(path) for path in self._waiting()}
        hashes = {value for values in waiting.values() for value in values}
        if hashes:
            store.push(hashes - store.missing(hashes))
        for path in waiting:
            path.unlink()

    def _waiting(self) -> list[Path]:
        return list(self._place.glob("[!.]*.json"))


def _read(path: Path) -> list[str]:
    try:
        found: list[str] = read_json(path)
    except (FileNotFoundError, ValueError):
        return []
    return found
