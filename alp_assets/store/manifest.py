"""The proof of a folder: every file in it with its size and SHA-256, written when all others are there."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock

from alp_assets.errors import AlpError
from alp_assets.files import sha256_of, write_bytes

MANIFEST_FILE = "manifest.json"

_NOBODYS = (".DS_Store", "Thumbs.db")
_HASHERS = 8
_REMEMBERED_FOLDERS = 256

_Stamp = tuple[int, int, int, int]
_proven: OrderedDict[Path, dict[str, _Stamp]] = OrderedDict()
_proven_lock = Lock()


class FolderDamaged(AlpError):
    """A folder that does not hold what its manifest says. The text names the file and what is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """One file: its size in bytes and its SHA-256."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not (isinstance(self.bytes, int) and isinstance(self.sha256, str)):
            raise TypeError("an entry has a size and a SHA-256")


@dataclass(frozen=True)
class Manifest:
    """All files of a folder by their path in it, but for the manifest itself."""

    files: Mapping[str, Entry]

    @classmethod
    def parse(cls, data: bytes, where: object) -> Manifest:
        """Read what ``encoded`` wrote; ``FolderDamaged`` when it is something else."""
        try:
            found = {_inside(name): Entry(**entry) for name, entry in json.loads(data)["files"].items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FolderDamaged(f"{where}: is no manifest ({error!r})") from error
        return cls(found)

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of ``manifest.json``, the same for the same files."""
        told = {"files": {name: asdict(entry) for name, entry in self.files.items()}}
        return (json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()

    @cached_property
    def version(self) -> str:
        """16 hexadecimal digits that stand for this content."""
        return hashlib.sha256(self.encoded).hexdigest()[:16]

    @cached_property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.bytes for entry in self.files.values())


def write_manifest(folder: Path, home: Path) -> Manifest:
    """Hash every file of a finished folder and write its manifest.

    ``home`` is where the folder is about to be renamed to: this process need not hash it again there.
    """
    stamps = dict(_files(folder))
    hashes = _hashes(folder, stamps)
    manifest = Manifest({name: Entry(stamps[name][1], hashes[name]) for name in sorted(stamps)})
    write_bytes(folder / MANIFEST_FILE, manifest.encoded)
    _remember(home, stamps, anew=True)
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None where there is none; ``FolderDamaged`` when it cannot be read."""
    path = folder / MANIFEST_FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FolderDamaged(f"{path}: cannot be read ({error.strerror})") from error
    return Manifest.parse(data, path)


def find_damage(folder: Path, manifest: Manifest) -> dict[str, str]:
    """What is wrong with a folder, in words by file; nothing when it holds exactly what its manifest says.

    Sizes are compared each time. A file is hashed once in a process, and again when its size, its times or its
    inode are others than they were.
    """
    stamps = dict(_files(folder))
    found = {name: "does not belong there" for name in stamps if name not in manifest.files}
    found |= {name: "is missing" for name in manifest.files if name not in stamps}
    found |= damaged_files(folder, manifest, manifest.files.keys() & stamps.keys())
    return dict(sorted(found.items()))


def damaged_files(folder: Path, manifest: Manifest, names: Iterable[str]) -> dict[str, str]:
    """The same of some files alone, whatever else the folder holds."""
    found: dict[str, str] = {}
    stamps: dict[str, _Stamp] = {}
    for name in names:
        try:
            stamps[name] = _stamp((folder / name).stat())
        except OSError:
            found[name] = "is missing"
            continue
        wanted = manifest.files[name].bytes
        if stamps[name][1] != wanted:
            found[name] = f"has {stamps.pop(name)[1]:,} bytes instead of {wanted:,}"
    with _proven_lock:
        known = dict(_proven.get(folder, {}))
    doubtful = {name: stamp for name, stamp in stamps.items() if known.get(name) != stamp}
    hashes = _hashes(folder, doubtful)
    wrong = {name for name in doubtful if hashes[name] != manifest.files[name].sha256}
    _remember(folder, {name: stamp for name, stamp in doubtful.items() if name not in wrong})
    return found | dict.fromkeys(wrong, "has other bytes than were written")


def _inside(name: str) -> str:
    """A name that leads to nowhere but into the folder; who writes a bucket must not write anywhere else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.as_posix() != name or "\0" in name or name == ".":
        raise ValueError(f"{name!r} leads out of the folder")
    return name


def _files(folder: Path) -> Iterator[tuple[str, _Stamp]]:
    """Every file below a folder but for the manifest and what file managers and NFS leave."""
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.name in _NOBODYS or entry.name.startswith(".nfs"):
                    continue
                name = f"{below}{entry.name}"
                if entry.is_dir():
                    pending.append(f"{name}/")
                elif name != MANIFEST_FILE:
                    yield name, _stamp(entry.stat())


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hashes(folder: Path, stamps: Mapping[str, _Stamp]) -> dict[str, str]:
    """SHA-256 by name; empty for a file that cannot be read."""

    def of(name: str) -> str:
        try:
            return sha256_of(folder / name)
        except OSError:
            return ""

    if len(stamps) < 2:
        return {name: of(name) for name in stamps}
    with ThreadPoolExecutor(min(_HASHERS, os.cpu_count() or 1), thread_name_prefix="alp-hash") as pool:
        return dict(zip(stamps, pool.map(of, stamps), strict=True))


def _remember(folder: Path, stamps: Mapping[str, _Stamp], *, anew: bool = False) -> None:
    with _proven_lock:
        known = {} if anew else _proven.get(folder, {})
        _proven[folder] = {**known, **stamps}
        _proven.move_to_end(folder)
        while len(_proven) > _REMEMBERED_FOLDERS:
            _proven.popitem(last=False)
