"""Watching the inbox: which zips have arrived whole, and which cannot be taken as they are."""

from __future__ import annotations

import json
import logging
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from alp_assets import home
from alp_assets.errors import AlpError, NameRefused, StageDamaged
from alp_assets.files import sha256_of, write_bytes
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import RECEIPT_FILE, read_receipt
from alp_assets.store.base import Arrived, Store, store_of
from sensors.reading import Reader, StillReading

_log = logging.getLogger(__name__)
_reader: Reader[str] = Reader()

INBOX = "inbox"

SETTLE_S = 2.0
"""A file whose size and time have not changed for this long has stopped growing."""

LOOKING_S = 20.0
"""Dagster ends a sensor's evaluation after 60 s."""

PATIENCE_S = 2.0
"""A file that takes longer to read is read on while others have their turn."""

INCOMPLETE_S = 600.0
"""A file that is no complete zip is taken for a copy under way this long, then passed on to be refused."""

UNREADABLE_LOOKS = 12
"""A file that cannot be read is told of after so many looks, a minute or so: the server may be away so long."""


@dataclass(frozen=True)
class Seen:
    """What is remembered of a file in the inbox.

    ``sha256`` is set once it has been dealt with, and stays as ``before`` when another file takes its name;
    ``unread`` counts the looks at which it could not be read.
    """

    size: int
    modified_ns: int
    sha256: str = ""
    before: str = ""
    unread: int = 0


@dataclass(frozen=True)
class Arrival:
    """A zip that has arrived whole. ``attempt`` tells a file that was put there anew from the first."""

    folder: PackageFolder
    path: Path
    sha256: str
    attempt: str = ""


@dataclass(frozen=True)
class Scan:
    """What one look at the inbox found, and what to remember for the next.

    ``complaints`` say by file what is to be done; ``waiting`` are still arriving, or wait for their turn;
    ``unreadable`` are tried again.
    """

    seen: Mapping[str, Seen]
    arrivals: tuple[Arrival, ...] = ()
    complaints: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Received:
    """A customer's packages by the SHA-256 of their upload; by file, what is to be said of those that hide it."""

    packages: dict[str, str]
    damaged: dict[str, str]


def scan_inbox(data_root: Path, seen: Mapping[str, Seen], most: int, now: float | None = None) -> Scan:
    """Look at ``inbox/<customer>/<package>.zip``.

    At most ``most`` arrivals are reported at a time, and no file is begun after ``LOOKING_S``; the others come at
    the next look, and so does a file that takes longer than ``PATIENCE_S`` to read. Customers take turns: one who
    drops a thousand files holds up nobody, nor does a file that cannot be read. A zip whose bytes are already a
    package of the same customer is no arrival, whatever it is called, unless it was put there anew under its name
    because that package never got through to its report.

    Raises:
        StoreFailed: the bucket behind the data root cannot be asked what lies there.
    """
    inbox, now = data_root / INBOX, time.time() if now is None else now
    store = store_of(data_root)
    known, changed = _compared(inbox, store.arrived(INBOX), seen)
    arrivals: list[Arrival] = []
    complaints: dict[str, str] = {}
    waiting: list[str] = []
    unreadable: list[str] = []
    received: dict[str, _Received] = {}
    deadline = time.monotonic() + LOOKING_S
    for path, current in _in_turn(changed):
        name = path.relative_to(inbox).as_posix()
        known[name] = current
        try:
            folder = _folder(data_root, inbox, path)
        except NameRefused as error:
            known[name] = replace(current, sha256="refused")
            complaints[name] = str(error)
            continue
        if len(arrivals) >= most or time.monotonic() > deadline:
            waiting.append(name)
            continue
        try:
            read = partial(_read, store, path, name, current, seen.get(name), now)
            sha256 = _reader.read(folder.customer, (path, current), read, PATIENCE_S)
            if not sha256:
                waiting.append(name)
                continue
            if folder.customer not in received:
                received[folder.customer] = _received(data_root, folder.customer)
                complaints |= received[folder.customer].damaged
            found = _judged(folder, path, sha256, current, received[folder.customer])
        except StillReading:
            waiting.append(name)
            continue
        except (OSError, AlpError) as error:  # nobody else waits for it
            known[name] = replace(current, unread=current.unread + 1)
            unreadable.append(name)
            _log.log(logging.DEBUG if current.unread else logging.WARNING, "%s cannot be read: %s", name, error)
            if known[name].unread == UNREADABLE_LOOKS:
                complaints[name] = (
                    f"It could not be taken: {str(error).rstrip('.')}. It is tried again by itself; let ALP read "
                    "it, or send it again."
                )
            continue
        known[name] = Seen(current.size, current.modified_ns, sha256)
        if isinstance(found, Arrival):
            arrivals.append(found)
            complaints.pop(name, None)  # here is what mends its package
        elif found:
            complaints[name] = found
    return Scan(known, tuple(arrivals), complaints, tuple(waiting), tuple(unreadable))


def _read(store: Store, path: Path, name: str, current: Seen, before: Seen | None, now: float) -> str:
    """The SHA-256 of a file in the inbox, empty where it has not arrived whole."""
    store.fetch_file(f"{INBOX}/{name}")
    return sha256_of(path) if _settled(path, current, before, now) else ""


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
        last = seen.get(item.name, Seen(-1, 0))
        if last.sha256 and (last.size, last.modified_ns) == (item.bytes, item.modified_ns):
            known[item.name] = last
        else:
            current = Seen(item.bytes, item.modified_ns, before=last.sha256 or last.before, unread=last.unread)
            changed.append((inbox / item.name, current))
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
    name = path.relative_to(inbox)
    if len(name.parts) != 2:
        raise NameRefused(
            f"{name}: a package belongs into a folder of its customer; move it to inbox/<customer>/<package>.zip."
        )
    folder = PackageFolder(data_root, name.parts[0], path.name[: -len(".zip")])
    if path.name != folder.inbox.name:
        raise NameRefused(f"{name}: the ending is to be in small letters; rename the file to {folder.inbox.name}.")
    return folder


def _settled(path: Path, current: Seen, before: Seen | None, now: float) -> bool:
    """Whether a file has stopped growing and is a whole zip, or has been incomplete for too long.

    A modification time in the past is not enough alone, because some tools set it before the bytes;
    the end of a zip is written last.
    """
    age = now - current.modified_ns / 1e9
    unchanged = before is not None and before == current
    if age < SETTLE_S and not (unchanged and age < 0):
        return False
    return zipfile.is_zipfile(path) or (unchanged and abs(age) > INCOMPLETE_S)


def _judged(folder: PackageFolder, path: Path, sha256: str, current: Seen, received: _Received) -> Arrival | str:
    """An arrival, or a complaint about it, which is empty where the package has come through already."""
    same = received.packages.get(sha256)
    if same is not None and same != folder.package:
        return (
            f"The same bytes were received as package {same}; they are not worked through again. "
            "Delete this file, or send another recording."
        )
    if same is not None and folder.has("report"):
        return ""
    received.packages[sha256] = folder.package
    tried = current.before == sha256  # and nothing was kept of it
    anew = same is not None or tried or _name(folder) in received.damaged
    return Arrival(folder, path, sha256, attempt=str(current.modified_ns) if anew else "")


def _received(data_root: Path, customer: str) -> _Received:
    """The uploads of a customer that have been kept."""
    found = _Received({}, {})
    for folder in PackageFolder.of_customer(data_root, customer):
        if not folder.has("upload"):
            continue
        try:
            found.packages[str(read_receipt(folder)["sha256"])] = folder.package
        except (OSError, ValueError, KeyError, TypeError, StageDamaged) as error:
            found.damaged[_name(folder)] = (
                f"{folder.path / 'upload' / RECEIPT_FILE} cannot be read ({error}). Until it can, nobody notices "
                f"when what package {folder.package} holds is sent under another name. Send its zip again as "
                f"{folder.inbox.name}: that mends it."
            )
    return found


def _name(folder: PackageFolder) -> str:
    """Where the zip of a package lies in the inbox."""
    return f"{folder.customer}/{folder.inbox.name}"
