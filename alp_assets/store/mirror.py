"""A data root in a bucket: this machine's part of it, fetched when asked for and proven by manifests.

A folder ``packages/acme/first/clips`` is published as ``.../clips/manifest.json`` and, below the version of that
manifest, its files: ``.../clips/<version>/audio/x.wav``. The manifest is written last and replaced in one go, so
that readers see the old folder or the new one. The files of versions before are deleted after that.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock

from alp_assets.errors import PackageBusy, StoreFailed
from alp_assets.files import write_bytes
from alp_assets.store.base import Arrived
from alp_assets.store.bucket import Bucket, Listed
from alp_assets.store.cache import Cache, limit_bytes
from alp_assets.store.disk import locked_beside
from alp_assets.store.lease import SECONDS, Lease
from alp_assets.store.manifest import (
    MANIFEST_FILE,
    FolderDamaged,
    Manifest,
    damaged_files,
    find_damage,
    read_manifest,
    write_manifest,
)

_FRESH_S = 2.0
"""So long it is not asked again which version a folder has, where no block holds it still."""

_TRIES = 5


@dataclass
class _Seen:
    """A folder as it was found: its manifest, which of its files are here, and until when that holds.

    ``in_place`` says that what is here is of this version.
    """

    manifest: Manifest | None
    until: float
    here: set[str] = field(default_factory=set)
    whole: bool = False
    in_place: bool = False

    def holds(self, names: Sequence[str]) -> bool:
        """Whether these files are here, or all where none are named."""
        return self.manifest is not None and (self.whole or (bool(names) and self.wanted(names) <= self.here))

    def wanted(self, names: Sequence[str]) -> set[str]:
        """Those files that the folder has; all of them where none are named."""
        known = self.manifest.files if self.manifest else {}
        return {name for name in names if name in known} if names else set(known)


class Mirror:
    """The store of a bucket. The data root holds what was fetched or made here, within a limit."""

    mirrors = True

    def __init__(self, data_root: Path, url: str) -> None:
        self._root, self._bucket = data_root, Bucket(url)
        self._cache = Cache(data_root, limit_bytes())
        self._lease_s = SECONDS
        self._lock = Lock()
        self._blocks = 0
        self._seen: dict[str, _Seen] = {}
        self._leases: dict[str, Lease] = {}

    def fetch(self, place: str, *names: str) -> None:
        """Have a folder, or some of its files, here; a folder that is not in the bucket is not here either.

        Raises:
            FolderDamaged: an object is gone or is not what the manifest says.
        """
        seen = self._asked(place)
        if seen.holds(names) or (seen.manifest is None and not (self._root / place).exists()):
            return
        with self._cache.alone(place):
            for _ in range(_TRIES):
                seen = self._placed(place)
                if seen.manifest is None:
                    return
                try:
                    self._complete(place, seen.manifest, seen.wanted(names))
                except (FileNotFoundError, FolderDamaged) as error:
                    if self._asked(place, anew=True).manifest == seen.manifest:
                        raise _damaged(self._bucket.url, place, error) from error
                    continue  # another version took its place meanwhile
                seen.in_place = True
                seen.here |= seen.wanted(names)
                seen.whole |= not names
                break
            else:
                raise StoreFailed(f"{self._bucket.url}/{place}: is replaced again and again. Try again later.")
        self._make_room()

    def has(self, place: str) -> bool:
        """Whether a folder is published now, whole or not; never from memory: who finds none may write."""
        return self._bucket.read(f"{place}/{MANIFEST_FILE}") is not None

    def below(self, place: str) -> list[str]:
        """The names of the folders in a folder."""
        return self._bucket.folders(place)

    def publish(self, place: str, part: Path) -> None:
        """Upload a finished folder, then say that it is the place's, then clean up after the one before."""
        manifest = read_manifest(part) or write_manifest(part, self._root / place)
        top = f"{place}/{manifest.version}"
        self._bucket.upload({f"{top}/{name}": part / name for name in manifest.files})
        with self._cache.alone(place):
            if not _is_of(self._root / place, manifest):
                self._refuse_readers(place)
            for held, lease in list(self._leases.items()):
                if place.startswith(f"{held}/"):
                    lease.check()
            self._bucket.write(f"{place}/{MANIFEST_FILE}", manifest.encoded)
            self._cache.used(place, manifest.bytes)
            with self._lock:
                self._seen.pop(place, None)
        keep = (f"{top}/", f"{place}/{MANIFEST_FILE}")
        self._bucket.delete([key for key in self._bucket.listed(place) if not key.startswith(keep)])
        self._make_room()

    def replacing(self, place: str) -> AbstractContextManager[None]:
        """Wait until nobody on this machine fetches the folder, and keep them waiting."""
        return self._cache.alone(place)

    def remove(self, place: str) -> None:
        """Delete a folder from the bucket, manifests first."""
        for used in self._cache.below(place):
            with self._cache.alone(used):
                self._refuse_readers(used)
        keys = sorted(self._bucket.listed(place), key=lambda key: not key.endswith(f"/{MANIFEST_FILE}"))
        if keys:
            self._bucket.delete(keys)
        with self._lock:
            self._seen = {
                name: seen for name, seen in self._seen.items() if not f"{name}/".startswith(f"{place}/")
            }

    @contextmanager
    def lock(self, place: str, busy: str) -> Iterator[None]:
        """A lock on this machine, and a lease for the others."""
        if ignored := self._bucket.conditions_ignored:
            raise StoreFailed(
                f"{self._bucket.url}: the server does not keep {' and '.join(ignored)} on PUT, so that two "
                "machines could work on one package. Use another server, or a newer version of this one."
            )
        key = f"locks/{place.removeprefix('packages/').replace('/', '__')}.json"
        with locked_beside(self._root / place, busy), Lease(self._bucket, key, busy, self._lease_s) as lease:
            self._leases[place] = lease
            try:
                yield
            finally:
                del self._leases[place]

    @contextmanager
    def using(self) -> Iterator[None]:
        """Look at each folder once, and keep what was fetched, until the block ends."""
        with self._lock:
            self._blocks += 1
            if self._blocks == 1:
                self._seen.clear()
                self._cache.pin()
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if self._blocks == 0:
                    self._seen.clear()
                    self._cache.unpin()

    def arrived(self, place: str) -> list[Arrived]:
        """Every object below a folder."""
        found = ((key.removeprefix(f"{place}/"), item) for key, item in self._bucket.listed(place).items())
        return [Arrived(name, item.bytes, item.modified_ns) for name, item in found if _is_plain(name)]

    def fetch_file(self, place: str) -> None:
        """Have a single object here, with the time that it was written in the bucket."""
        path = self._root / place
        with self._cache.alone(place):
            about = self._bucket.about(place)
            if about is not None and not _is_copy(path, about):
                about = self._fetched_file(place, about)
            if about is None:
                path.unlink(missing_ok=True)
                return
            self._cache.used(place, about.bytes)
        self._make_room()

    def put_file(self, place: str, *, only_new: bool = False) -> None:
        """Copy a single file of the data root to the bucket."""
        if not only_new:
            self._bucket.upload({place: self._root / place})
        elif not self._bucket.upload_new(place, self._root / place):
            raise FileExistsError(place)

    def remove_file(self, place: str) -> None:
        """Delete a single object from the bucket."""
        self._bucket.delete([place])

    def lacks_versions(self) -> str:
        """Why what is deleted from the bucket is gone for good; empty where it keeps versions. One request."""
        return self._bucket.lacks_versions()

    def _make_room(self) -> None:
        gone = self._cache.make_room()
        with self._lock:
            for place in gone:
                self._seen.pop(place, None)

    def _asked(self, place: str, *, anew: bool = False) -> _Seen:
        """What a folder is in the bucket; remembered for a moment, or for the block that runs."""
        with self._lock:
            seen = self._seen.get(place)
            if seen is not None and not anew and (self._blocks or time.monotonic() < seen.until):
                return seen
        where = f"{place}/{MANIFEST_FILE}"
        held = self._bucket.read(where)
        manifest = None if held is None else Manifest.parse(held.data, f"{self._bucket.url}/{where}")
        found = _Seen(manifest, time.monotonic() + _FRESH_S)
        with self._lock:
            if not self._blocks:
                self._seen = {name: seen for name, seen in self._seen.items() if time.monotonic() < seen.until}
            self._seen[place] = found
        return found

    def _placed(self, place: str) -> _Seen:
        """A folder of which nothing is here that is of another version; to be asked ``alone``.

        Before anything goes the bucket is asked anew: what is here another process may just have published.
        """
        seen = self._asked(place)
        if not self._is_here(place, seen):
            seen = self._asked(place, anew=True)
        if not self._is_here(place, seen):
            self._clear(place)
            if seen.manifest is not None:
                write_bytes(self._root / place / MANIFEST_FILE, seen.manifest.encoded)
        return seen

    def _is_here(self, place: str, seen: _Seen) -> bool:
        """Whether what is here is of this version; a block that has found it so need not look again."""
        if seen.in_place and self._blocks:
            return True
        return seen.manifest is not None and _is_of(self._root / place, seen.manifest)

    def _clear(self, place: str) -> None:
        """Delete what is here of a folder; ``PackageBusy`` when somebody reads it."""
        if not (self._root / place).exists():
            return
        try:
            with self._cache.unused(place):
                shutil.rmtree(self._root / place, ignore_errors=True)
        except BlockingIOError as error:
            raise PackageBusy(
                f"{place}: a run on this machine works with what {self._bucket.url} had there before. Try again "
                "when it has ended."
            ) from error

    def _refuse_readers(self, place: str) -> None:
        """``PackageBusy`` when another process of this machine reads what is here; to be asked ``alone``."""
        if self._cache.used_elsewhere(place):
            raise PackageBusy(
                f"{place}: another run on this machine works with the version that is there now, which therefore "
                "stays. Try again when it has ended."
            )

    def _complete(self, place: str, manifest: Manifest, names: set[str]) -> None:
        """Have files of the version that is here whole: those that are not are fetched again."""
        folder = self._root / place
        whole = names == set(manifest.files)
        damaged = find_damage(folder, manifest) if whole else damaged_files(folder, manifest, names)
        for name in damaged.keys() - manifest.files.keys():
            (folder / name).unlink(missing_ok=True)
        if lacking := sorted(damaged.keys() & manifest.files.keys()):
            self._download(place, manifest, lacking)
        here = sum(entry.bytes for name, entry in manifest.files.items() if (folder / name).is_file())
        self._cache.used(place, here)

    def _download(self, place: str, manifest: Manifest, names: Sequence[str]) -> None:
        folder = self._root / place
        with self._cache.workplace() as work:
            files = {name: work / str(number) for number, name in enumerate(names)}
            self._bucket.download(
                {f"{place}/{manifest.version}/{name}": (files[name], manifest.files[name].bytes) for name in names}
            )
            self._put_in(folder, files)
        wrong = damaged_files(folder, manifest, names)
        for name in wrong:
            (folder / name).unlink(missing_ok=True)
        if wrong:
            raise FolderDamaged("; ".join(f"{name} {what}" for name, what in sorted(wrong.items())))

    def _fetched_file(self, place: str, about: Listed) -> Listed | None:
        """Download a single object, again when it was replaced meanwhile; None when it was deleted."""
        path = self._root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            with self._cache.workplace() as work:
                with suppress(FileNotFoundError):
                    self._bucket.download({place: (work / "0", about.bytes)})
                after = self._bucket.about(place)
                if after is None:
                    return None
                if after == about and (work / "0").is_file():
                    os.utime(work / "0", ns=(about.modified_ns, about.modified_ns))
                    os.replace(work / "0", path)
                    return about
            about = after
        raise StoreFailed(
            f"{self._bucket.url}/{place}: is replaced again and again while it is read. Try again later."
        )

    def _put_in(self, folder: Path, files: Mapping[str, Path]) -> None:
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, folder / name)


def _is_plain(name: str) -> bool:
    """Whether an object's name is that of a file below; others, such as ``//x`` and ``../x``, are nobody's."""
    path = PurePosixPath(name)
    return path.as_posix() == name and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _is_of(folder: Path, manifest: Manifest) -> bool:
    try:
        return (folder / MANIFEST_FILE).read_bytes() == manifest.encoded
    except OSError:
        return False


def _is_copy(path: Path, about: Listed) -> bool:
    return path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (about.bytes, about.modified_ns)


def _damaged(url: str, place: str, error: Exception) -> FolderDamaged:
    said = str(error) if isinstance(error, FolderDamaged) else f"an object of it is gone ({error})"
    return FolderDamaged(f"{url}/{place}: {said}")
