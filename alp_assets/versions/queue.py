"""What waits to be versioned: a file for each package, and one lock for who takes them all.

Whoever holds the lock takes everything that waits, its own package and those of others, and leaves each of
the others its answer. A process that is killed while it holds the lock leaves the files; the next one takes them.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from alp_assets.errors import SnapshotFailed
from alp_assets.files import read_json, write_json
from alp_assets.params import VersionParams
from alp_assets.stages.package import PackageFolder
from alp_assets.store.base import store_of

_FOLDER = "versions"
_POLL_S = 0.1
_OLD_S = 24 * 3600.0


@dataclass(frozen=True)
class Ticket:
    """A package that waits. ``ticket`` is new every time."""

    ticket: str
    customer: str
    package: str

    @property
    def key(self) -> str:
        """The package's key."""
        return f"{self.customer}__{self.package}"

    def folder(self, data_root: Path) -> PackageFolder:
        """The package's folder."""
        return PackageFolder(data_root, self.customer, self.package)


@dataclass(frozen=True)
class Answer:
    """What became of a ticket: DVC holds the package, or why not. Without ``revision`` nobody committed.

    After a ``final`` one there is no use in trying again before somebody has mended the package.
    """

    taken: bool
    content_hash: str = ""
    models: int = 0
    repository: str = ""
    revision: str = ""
    problem: str = ""
    final: bool = False


class Queue:
    """The waiting packages of a data root."""

    def __init__(self, data_root: Path) -> None:
        self.place = data_root / _FOLDER
        self._waiting, self._answers = self.place / "queue", self.place / "answers"

    def enter(self, folder: PackageFolder) -> Ticket:
        """Let a package wait; one that waits already does so once."""
        ticket = Ticket(uuid.uuid4().hex, folder.customer, folder.package)
        write_json(self._waiting / f"{ticket.key}.json", asdict(ticket))
        return ticket

    def waiting(self) -> list[Ticket]:
        """All that waits, those that came first at the front; packages that are gone do not wait any more."""
        dated = []
        for path in self._waiting.glob("[!.]*.json"):
            try:
                ticket = Ticket(**read_json(path))
                dated.append((path.stat().st_mtime_ns, path.name, ticket))
            except FileNotFoundError:  # taken meanwhile
                continue
            except (ValueError, TypeError):  # nothing that ALP wrote
                path.unlink(missing_ok=True)
                continue
            if not ticket.folder(self.place.parent).path.is_dir():
                dated.pop()
                path.unlink(missing_ok=True)
        return [ticket for _, _, ticket in sorted(dated, key=lambda item: item[:2])]

    def since(self) -> float | None:
        """When the package that has waited for longest came, in seconds since 1970; ``None`` where none waits."""
        return oldest(self._waiting)

    def leave(self, ticket: Ticket, answer: Answer) -> None:
        """Answer a ticket. One that came for the same package meanwhile goes on waiting."""
        write_json(self._answers / f"{ticket.ticket}.json", asdict(answer))
        path = self._waiting / f"{ticket.key}.json"
        if path.is_file() and read_json(path)["ticket"] == ticket.ticket:
            path.unlink(missing_ok=True)

    def answer(self, ticket: Ticket) -> Answer | None:
        """The answer to a ticket, which is given once."""
        path = self._answers / f"{ticket.ticket}.json"
        try:
            answer = Answer(**read_json(path))
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return answer

    def drop_old_answers(self) -> None:
        """Remove the answers of processes that were killed before they read them."""
        for path in self._answers.glob("*.json"):
            with suppress(FileNotFoundError):  # another process has read its answer meanwhile
                if time.time() - path.stat().st_mtime > _OLD_S:
                    path.unlink()

    def lock(
        self, longest_s: float, meanwhile: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[bool]:
        """Be the only one who versions; see ``locked``."""
        return locked(self.place / "lock", longest_s, meanwhile)


def takes_versions(data_root: Path, params: VersionParams) -> bool:
    """Whether ALP takes versions here. Of a bucket it does not: the bucket's own versioning does."""
    return params.enabled and not store_of(data_root).mirrors


def oldest(place: Path) -> float | None:
    """When the oldest JSON file of a folder was written, in seconds since 1970."""
    moments = []
    for path in place.glob("[!.]*.json"):
        with suppress(FileNotFoundError):  # done meanwhile
            moments.append(path.stat().st_mtime)
    return min(moments, default=None)


@contextmanager
def locked(path: Path, longest_s: float, meanwhile: Callable[[], bool]) -> Iterator[bool]:
    """Hold a lock; yields False as soon as ``meanwhile`` says that it is not needed any more.

    Raises:
        SnapshotFailed: others held it for longer than ``longest_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + longest_s
    with path.open("a") as handle:
        while not _locked(handle.fileno()):
            if meanwhile():
                yield False
                return
            if time.monotonic() > end:
                raise SnapshotFailed(
                    f"{path.parent}: others have been versioning for {longest_s:g} s. What waits is taken with "
                    "the next package, or by `alp snapshot`."
                )
            time.sleep(_POLL_S)
        yield True


def _locked(handle: int) -> bool:
    """The lock ends with the process, however that ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
