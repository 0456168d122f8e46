"""What was versioned and is not in the remotes yet."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
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
        return {path.name.partition(".")[0] for path in self._paths() if not of_history(path)}

    def since(self) -> float | None:
        """When what has waited for longest was added, in seconds since 1970; ``None`` where nothing waits."""
        return oldest(self._place)

    def waiting(self) -> dict[Path, list[str]]:
        """All that waits, by the file that says so."""
        return {path: _read(path) for path in self._paths()}

    def done(self, copied: Iterable[Path]) -> None:
        """What waited is in the remotes."""
        for path in copied:
            path.unlink(missing_ok=True)

    def knows(self, mark: str) -> bool:
        """Whether this is the mark of the remote that everything was copied to, or waits for."""
        known = self._place / "remote"
        return known.is_file() and known.read_text(encoding="utf-8") == mark

    def know(self, mark: str) -> None:
        """Everything was copied to the remote of this mark, or waits for it."""
        write_bytes(self._place / "remote", mark.encode())

    def _paths(self) -> list[Path]:
        return list(self._place.glob("[!.]*.json"))


def of_history(path: Path) -> bool:
    """Whether what waits is all versions, and no package's."""
    return path.name.startswith(f"{HISTORY}.")


def _read(path: Path) -> list[str]:
    try:
        found: list[str] = read_json(path)
    except (FileNotFoundError, ValueError):
        return []
    return found
