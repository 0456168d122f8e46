"""Finding the file in the zip that a cell of the table means."""

from __future__ import annotations

import difflib
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from alp_assets.intake.media import MEDIA_FOLDERS
from schemas.problems import Value

_NEAR = 3
_WINDOW = 16
_MOST_SUGGESTED = 1_000
_LONGEST_SUGGESTED = 255  # characters of a file's name, as on any disk: how alike longer ones are takes too long


@dataclass(frozen=True)
class Resolution:
    """What became of one path: ``name`` is the file in the zip, or None if it is not clear.

    ``candidates`` are the files that the path means equally well, ``near`` those that are spelled
    alike where it means none.
    """

    name: str | None
    candidates: tuple[str, ...] = ()
    near: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """The problem that it is; ``""`` where the file was found."""
        if self.name is not None:
            return ""
        if self.candidates:
            return "recording_ambiguous"
        return "recording_near" if self.near else "recording_missing"

    @property
    def values(self) -> dict[str, Value]:
        """What the sentences of the problem name."""
        if self.code == "recording_ambiguous":
            return {"names": self.candidates[:_NEAR], "more": max(0, len(self.candidates) - _NEAR)}
        return {"names": self.near} if self.code == "recording_near" else {}


class PathResolver:
    """Finds files by the paths that people write.

    Backslashes, a leading ``./`` or ``/``, letter case, composed or decomposed letters, a missing
    ``audio/`` or ``signals/``, superfluous leading folders, missing leading folders down to the
    bare file name, and a missing extension make no difference, as long as one file is meant.
    Closer readings go first; a reading that fits several files resolves to none of them. A folder
    is never swapped for another: ``line2/01.wav`` is not ``line1/01.wav``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(set(names))
        self._exact = {_composed(name): name for name in self._names}
        self._missed = 0
        self._whole = _index(self._names, tails=False, suffixes=True)
        self._tails = _index(self._names, tails=True, suffixes=True)

    def resolve(self, path: str) -> Resolution:
        """The file that ``path`` means, or why there is none."""
        if (exact := self._exact.get(_composed(path))) is not None:
            return Resolution(exact)
        cleaned = clean_path(path)
        parts = cleaned.split("/")
        if not cleaned or ".." in parts:
            return Resolution(None, near=self._near(cleaned))
        for whole, tails in ((self._whole, self._tails), (self._whole_stems, self._tail_stems)):
            found = _lookup(whole, [cleaned])
            found = found or _lookup(whole, [f"{folder}/{cleaned}" for folder in MEDIA_FOLDERS])
            for start in range(1, len(parts)):
                found = found or _lookup(whole, ["/".join(parts[start:])])
            found = found or _lookup(tails, [cleaned])
            if len(found) == 1:
                return Resolution(found[0])
            if found:
                return Resolution(None, candidates=tuple(found))
        return Resolution(None, near=self._near(cleaned))

    @cached_property
    def _whole_stems(self) -> dict[str, list[str]]:
        return _index(self._names, tails=False, suffixes=False)

    @cached_property
    def _tail_stems(self) -> dict[str, list[str]]:
        return _index(self._names, tails=True, suffixes=False)

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        bases: dict[str, list[str]] = {}
        for name in self._names:
            if len(base := _base(name)) <= _LONGEST_SUGGESTED:
                bases.setdefault(fold_path(base), []).append(name)
        return bases

    @cached_property
    def _sorted_bases(self) -> tuple[list[str], list[str]]:
        """File names in order, and reversed ones in order: neighbours differ late, or early."""
        return sorted(self._by_base), sorted(base[::-1] for base in self._by_base)

    def _near(self, path: str) -> tuple[str, ...]:
        """Names spelled alike, looked for among neighbours in order, and for the first thousand misses.

        A table whose every path is wrong would otherwise take minutes to say so.
        """
        self._missed += 1
        base = fold_path(_base(path))
        if self._missed > _MOST_SUGGESTED or len(base) > _LONGEST_SUGGESTED:
            return ()
        forward, backward = self._sorted_bases
        pool = {
            *_around(forward, base),
            *(other[::-1] for other in _around(backward, base[::-1])),
        }
        close = difflib.get_close_matches(base, sorted(pool), n=_NEAR)
        return tuple(name for other in close for name in self._by_base[other])[:_NEAR]


def clean_path(path: str) -> str:
    """A path as it is compared and kept: NFC, ``/``, no quotes, no leading ``./``, ``/`` or drive."""
    text = unicodedata.normalize("NFC", path).strip().strip("\"'").strip().replace("\\", "/")
    text = re.sub(r"^[A-Za-z]:(?=/)", "", text)
    return "/".join(part for part in text.split("/") if part not in ("", "."))


def fold_path(path: str) -> str:
    """A path without letter case; composed and decomposed letters are the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def without_suffix(path: str) -> str:
    """A path without its extension; a leading dot does not begin one."""
    return re.sub(r"(?<=[^/])\.[^./]*$", "", path)


def _index(names: Iterable[str], *, tails: bool, suffixes: bool) -> dict[str, list[str]]:
    """Folded paths to names: of each whole path or of all its tails, with or without extensions."""
    index: dict[str, list[str]] = {}
    for name in names:
        parts = fold_path(name if suffixes else without_suffix(name)).split("/")
        for start in range(len(parts) if tails else 1):
            index.setdefault("/".join(parts[start:]), []).append(name)
    return index


def _lookup(index: dict[str, list[str]], paths: list[str]) -> list[str]:
    """The names under these paths; those in the very letter case, if there are such."""
    found = [name for path in paths for name in index.get(fold_path(path), ())]
    if len(found) < 2:
        return found
    exact = [name for name in found if any(_ends_in(name, path) for path in paths)]
    return exact or found


def _ends_in(name: str, path: str) -> bool:
    whole = f"/{_composed(name)}"
    return whole.endswith(f"/{path}") or without_suffix(whole).endswith(f"/{path}")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _around(ordered: list[str], key: str) -> list[str]:
    place = bisect_left(ordered, key)
    return ordered[max(0, place - _WINDOW) : place + _WINDOW]
