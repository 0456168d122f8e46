"""Watching the inbox: which zips have arrived whole, and which cannot be taken as they are."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from alp_assets.errors import NameRefused
from alp_assets.files import sha256_of, write_bytes
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt

SETTLE_S = 2.0
"""A file whose size and time have not changed for this long has stopped growing."""

HASHING_S = 20.0
"""Dagster ends a sensor's evaluation after 60 s."""

INCOMPLETE_S = 600.0
"""A file that is no complete zip is taken for a copy under way this long, then passed on to be refused."""


@dataclass(frozen=True)
class Seen:
    """What is remembered of a file in the inbox. ``sha256`` is set once it has been dealt with."""

    size: int
    modified_ns: int
    sha256: str = ""


@dataclass(frozen=True)
class Arrival:
    """A zip that has arrived whole. ``attempt`` tells a file that was put there anew from the first."""

    folder: PackageFolder
    path: Path
    sha256: str
    attempt: str = ""


@dataclass(frozen=True)
class Scan:
    """What one look at the inbox found, and what to remember for the next."""

    seen: Mapping[str, Seen]
    arrivals: tuple[Arrival, ...] = ()
    complaints: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


def scan_inbox(data_root: Path, seen: Mapping[str, Seen], most: int, now: float | None = None) -> Scan:
    """Look at ``inbox/<customer>/<package>.zip``.

    At most ``most`` arrivals are reported at a time, and no file is begun after ``HASHING_S``; the others
    come at the next look. A zip whose bytes are already a package of the same customer is no arrival,
    whatever it is called, unless it was put there anew under its name because that package never got
    through to its report.
    """
    inbox, now = data_root / "inbox", time.time() if now is None else now
    known: dict[str, Seen] = {}
    arrivals: list[Arrival] = []
    complaints: dict[str, str] = {}
    waiting: list[str] = []
    received: dict[tuple[str, str], str] | None = None
    deadline = time.monotonic() + HASHING_S
    for path in _zips(inbox):
        name = path.relative_to(inbox).as_posix()
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        current = Seen(status.st_size, status.st_mtime_ns)
        before = seen.get(name)
        if before is not None and before == replace(current, sha256=before.sha256) and before.sha256:
            known[name] = before
            continue
        known[name] = current
        try:
            folder = _folder(data_root, inbox, path)
        except NameRefused as error:
            known[name] = replace(current, sha256="refused")
            complaints[name] = str(error)
            continue
        full = len(arrivals) >= most or time.monotonic() > deadline
        if full or not _settled(path, current, before, now):
            waiting.append(name)
            continue
        received = _received(data_root) if received is None else received
        sha256 = sha256_of(path)
        known[name] = replace(current, sha256=sha256)
        same = received.get((folder.customer, sha256))
        if same is not None and same != folder.package:
            complaints[name] = (
                f"The same bytes were received as package {same}; they are not worked through again. "
                "Delete this file, or send another recording."
            )
        elif same is None:
            received[folder.customer, sha256] = folder.package
            arrivals.append(Arrival(folder, path, sha256))
        elif not folder.stage("report").is_dir():
            arrivals.append(Arrival(folder, path, sha256, attempt=str(current.modified_ns)))
    return Scan(known, tuple(arrivals), complaints, tuple(waiting))


def leave_note(upload: Path, complaint: str) -> None:
    """Tell the sender where they look: beside the file."""
    write_bytes(upload.with_name(upload.name + ".problem.txt"), f"{complaint}\n".encode())


def load_cursor(text: str | None) -> dict[str, Seen]:
    """What a sensor's cursor remembers; an unreadable one is forgotten, which only costs time."""
    try:
        return {name: Seen(**values) for name, values in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def save_cursor(seen: Mapping[str, Seen]) -> str:
    """The cursor that ``load_cursor`` reads."""
    return json.dumps({name: asdict(value) for name, value in seen.items()}, ensure_ascii=False)


def _zips(inbox: Path) -> list[Path]:
    """Every file that looks like an upload, oldest first; hidden and partial files are not."""
    found = [
        path
        for path in inbox.glob("**/*")
        if path.suffix.lower() == ".zip" and path.is_file() and not path.name.startswith((".", "~"))
    ]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns if path.exists() else 0, path))


def _folder(data_root: Path, inbox: Path, path: Path) -> PackageFolder:
    parts = path.relative_to(inbox).parts
    if len(parts) != 2:
        raise NameRefused(
            f"{path.relative_to(inbox)}: a package belongs into a folder of its customer; "
            "move it to inbox/<customer>/<package>.zip."
        )
    return PackageFolder(data_root, parts[0], path.name[: -len(".zip")])


def _settled(path: Path, current: Seen, before: Seen | None, now: float) -> bool:
    """Whether a file has stopped growing and is a whole zip, or has been incomplete for too long.

    A modification time in the past is not enough alone, because some tools set it before the bytes;
    the end of a zip is written last.
    """
    age = now - current.modified_ns / 1e9
    unchanged = before is not None and before == current
    if age < SETTLE_S and not (unchanged and age < 0):
        return False
    try:
        complete = zipfile.is_zipfile(path)
    except OSError:
        return False
    return complete or (unchanged and abs(age) > INCOMPLETE_S)


def _received(data_root: Path) -> dict[tuple[str, str], str]:
    """(customer, SHA-256) of every upload that has been kept, and its package."""
    found = {}
    for receipt in data_root.glob("packages/*/*/upload/receipt.json"):
        folder = PackageFolder(data_root, receipt.parts[-4], receipt.parts[-3])
        found[folder.customer, str(read_receipt(folder)["sha256"])] = folder.package
    return found
