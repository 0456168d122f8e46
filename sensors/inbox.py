"""Watching the inbox: which zips have arrived whole, and which cannot be taken as they are."""

from __future__ import annotations

import json
import logging
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from alp_assets import home
from alp_assets.errors import NameRefused, StageDamaged
from alp_assets.files import sha256_of, write_bytes
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt
from alp_assets.store.base import Arrived, store_of

_log = logging.getLogger(__name__)

INBOX = "inbox"

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
    come at the next look. Customers take turns: one who drops a thousand files holds up nobody. A zip whose
    bytes are already a package of the same customer is no arrival, whatever it is called, unless it was put
    there anew under its name because that package never got through to its report.
    """
    inbox, now = data_root / INBOX, time.time() if now is None else now
    store = store_of(data_root)
    known, changed = _compared(inbox, store.arrived(INBOX), seen)
    arrivals: list[Arrival] = []
    complaints: dict[str, str] = {}
    waiting: list[str] = []
    received: dict[str, dict[str, str]] = {}
    deadline = time.monotonic() + HASHING_S
    for path, current in _in_turn(changed):
        name = path.relative_to(inbox).as_posix()
        known[name] = current
        try:
            try:
                folder = _folder(data_root, inbox, path)
            except NameRefused as error:
                known[name] = replace(current, sha256="refused")
                complaints[name] = str(error)
                continue
            full = len(arrivals) >= most or time.monotonic() > deadline
            if not full:
                store.fetch_file(f"{INBOX}/{name}")
            if full or not _settled(path, current, seen.get(name), now):
                waiting.append(name)
                continue
            if folder.customer not in received:
                received[folder.customer] = _received(data_root, folder.customer)
            packages = received[folder.customer]
            sha256 = sha256_of(path)
            known[name] = replace(current, sha256=sha256)
            same = packages.get(sha256)
            if same is not None and same != folder.package:
                complaints[name] = (
                    f"The same bytes were received as package {same}; they are not worked through again. "
                    "Delete this file, or send another recording."
                )
            elif same is None:
                packages[sha256] = folder.package
                before = seen.get(name)
                again = (
                    before is not None and before.sha256 == sha256
                )  # it was taken once, and nothing was kept of it
                arrivals.append(Arrival(folder, path, sha256, attempt=str(current.modified_ns) if again else ""))
            elif not folder.has("report"):
                arrivals.append(Arrival(folder, path, sha256, attempt=str(current.modified_ns)))
        except (OSError, ValueError, KeyError, TypeError, StageDamaged) as error:
            known[name] = current  # looked at again: nobody else waits for it
            waiting.append(name)
            _log.warning("%s cannot be taken yet: %s", name, error)
    return Scan(known, tuple(arrivals), complaints, tuple(waiting))


def leave_note(upload: Path, complaint: str) -> None:
    """Tell the sender where they look: beside the file."""
    note, root = upload.with_name(upload.name + ".problem.txt"), home.data_root()
    write_bytes(note, f"{complaint}\n".encode())
    if note.is_relative_to(root):
        store_of(root).put_file(note.relative_to(root).as_posix())


def load_cursor(text: str | None) -> dict[str, Seen]:
    """What a sensor's cursor remembers; an unreadable one is forgotten, which only costs time."""
    try:
        return {name: Seen(**values) for name, values in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def save_cursor(seen: Mapping[str, Seen]) -> str:
    """The cursor that ``load_cursor`` reads."""
    return json.dumps({name: asdict(value) for name, value in seen.items()}, ensure_ascii=False)


def _compared(
    inbox: Path, arrived: Iterable[Arrived], seen: Mapping[str, Seen]
) -> tuple[dict[str, Seen], list[tuple[Path, Seen]]]:
    """Uploads that have been dealt with and are as they were, and the others, oldest first."""
    known: dict[str, Seen] = {}
    changed = []
    for item in arrived:
        if not _is_upload(item.name):
            continue
        before = seen.get(item.name)
        same = before is not None and (before.size, before.modified_ns) == (item.bytes, item.modified_ns)
        if before is not None and before.sha256 and same:
            known[item.name] = before
        else:
            changed.append((inbox / item.name, Seen(item.bytes, item.modified_ns)))
    return known, sorted(changed, key=lambda found: (found[1].modified_ns, found[0]))


def _is_upload(name: str) -> bool:
    """Whether a file looks like an upload; hidden and partial files do not."""
    last = name.rpartition("/")[2]
    return last.lower().endswith(".zip") and not last.startswith((".", "~"))


def _in_turn(changed: list[tuple[Path, Seen]]) -> list[tuple[Path, Seen]]:
    """The first file of every folder, then the second of every folder, and so on."""
    place: Counter[Path] = Counter()
    turns = []
    for path, current in changed:
        turns.append((place[path.parent], path, current))
        place[path.parent] += 1
    return [(path, current) for _, path, current in sorted(turns, key=lambda turn: turn[0])]


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


def _received(data_root: Path, customer: str) -> dict[str, str]:
    """SHA-256 of every upload of a customer that has been kept, and its package."""
    found = {}
    for folder in PackageFolder.of_customer(data_root, customer):
        if folder.has("upload"):
            found[str(read_receipt(folder)["sha256"])] = folder.package
    return found
