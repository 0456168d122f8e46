"""What was versioned and is not in the remotes yet."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from alp_assets.files import read_json, write_bytes, write_json
from alp_assets.versions.queue import oldest

HISTORY = "history"
"""Stands for all versions, which a new remote has none of."""


class Unpushed:
    """The hashes that wait for the remotes, by package; a commit alone waits without any. Any process may add."""

    def __init__(self, data_root: Path) -> None:
        self._place = data_root / "versions" / "unpushed"

    def add(self, key: str, hashes: Iterable[str] = ()) -> None:
        """Let a package's folders wait, or its commit."""
        write_json(self._place / f"{key}.{uuid.uuid4().hex}.json", sorted({*hashes}))

    def names(self) -> set[str]:
        """The packages that wait."""
        return {path.name.partition(".")[0] for path in self._paths()}

    def since(self) -> float | None:
        """When what has waited for longest was added, in seconds since 1970; ``None`` where nothing waits."""
        return oldest(self._place)

    def waiting(self) -> dict[Path, list[str]]:
        """All that waits, by the file that says so."""
        return {path: _read(path) for path in self._paths()}

    def done(self, copied: Mapping[Path, object]) -> None:
        """What waited is in the remotes."""
        for path in copied:
            path.unlink(missing_ok=True)

    def knows(self, address: str) -> bool:
        """Whether this is the remote that everything was copied to, or waits for."""
        mark = self._place / "remote"
        return mark.is_file() and mark.read_text(encoding="utf-8") == _fingerprint(address)

    def know(self, address: str) -> None:
        """Everything was copied to this remote, or waits for it."""
        write_bytes(self._place / "remote", _fingerprint(address).encode())

    def _paths(self) -> list[Path]:
        return list(self._place.glob("[!.]*.json"))


def _fingerprint(address: str) -> str:
    """An address may hold a password."""
    return hashlib.sha256(address.encode()).hexdigest()


def _read(path: Path) -> list[str]:
    try:
        found: list[str] = read_json(path)
    except (FileNotFoundError, ValueError):
        return []
    return found
