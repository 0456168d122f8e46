"""DVC's cache and remote: what versions hold, kept, read, fetched and pushed.

DVC's own commands read every ``.dvc`` file of a repository to be sure that no two overlap. Packages and model
versions each have a folder of their own, so that is left out: the thousandth package costs what the first did.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.errors import VersionRefused
from alp_assets.versions.quiet import quiet, silenced
from alp_assets.versions.repository import Repository

if TYPE_CHECKING:
    from dvc.repo import Repo

_NAMED = 5
_MARK = "alp-versions"

FOLDER_MARK = ".dir"
"""The end of a folder's hash."""


class Store:
    """The objects of a repository, by their hash; those of a folder end in ``.dir``."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    @property
    def remote(self) -> str:
        """The name of the default remote, or empty."""
        return str(self._repo.config.get("core", {}).get("remote") or "")

    def mark(self) -> str:
        """What tells the remote from every other, and from itself before it was emptied; empty without a remote.

        A remote that has none yet gets one.

        Raises:
            VersionRefused: the remote is a folder that is not there.
        """
        if not self.remote:
            return ""
        remote = self._there()
        path = remote.fs.join(remote.path, _MARK)
        with suppress(FileNotFoundError):
            if found := remote.fs.cat_file(path).decode("utf-8", "replace").strip():
                return str(found)
        made = uuid.uuid4().hex
        remote.fs.upload_fobj(BytesIO(made.encode()), path)
        return made

    def keep(self, path: Path) -> str:
        """Take a folder into the cache and write its ``.dvc`` file; its hash."""
        with self.locked():
            stage = self._repo.stage.create(
                single_stage=True,
                validate=False,
                fname=f"{path}.dvc",
                wdir=str(path.parent),
                outs=[path.name],
                force=True,
            )
            stage.add_outs()
            stage.dump()
        return str(stage.outs[0].hash_info.value)

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other use of DVC in this repository waiting."""
        from dvc.repo import lock_repo

        locked: AbstractContextManager[None] = lock_repo(self._repo)
        return locked

    def commit_stages(self, names: Iterable[str]) -> None:
        """Take the outputs of stages of ``dvc.yaml`` as they are."""
        for name in names:
            self._repo.commit(target=name, force=True)

    def hash_of(self, path: Path) -> str:
        """The hash of a folder as it lies there; nothing is kept."""
        from dvc.fs import localfs
        from dvc_data.hashfile.build import build

        cache = self._repo.cache.local
        _, _, found = build(cache, str(path), localfs, "md5", dry_run=True, ignore=self._repo.dvcignore)
        return str(found.hash_info.value)

    def files(self, outs: Mapping[str, str]) -> dict[str, str]:
        """Hash of every file by its path, of folders by theirs (empty for the top); fetched where not at hand."""
        self._sound({value: place or "the list of its files" for place, value in outs.items()})
        found = {}
        for place, value in outs.items():
            for name, file in self._listed(value):
                found[f"{place}/{name}" if place else name] = file
        return dict(sorted(found.items()))

    def read(self, value: str) -> bytes:
        """The bytes of a file, fetched where not at hand."""
        self._sound({value: "a file"})
        return Path(self._path(value)).read_bytes()

    def link(self, value: str, path: Path) -> None:
        """Put a file of the cache at a path, linked where that can be; it is not to be changed there."""
        self._sound({value: path.name})
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._path(value), path)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(self._path(value), path)

    def checkout(self, value: str, place: Path) -> None:
        """Fill an empty folder with what a folder's hash stands for; linked to the cache where that can be.

        Raises:
            VersionRefused: a file cannot be had as it was kept; it is named.
        """
        from dvc.fs import localfs
        from dvc_data.hashfile import load
        from dvc_data.hashfile.checkout import checkout

        self._sound({value: "the list of its files"})
        self._sound({file: name for name, file in self._listed(value)})
        cache = self._repo.cache.local
        checkout(str(place), localfs, load(cache, _info(value)), cache, force=True, quiet=True)

    def closure(self, values: Iterable[str]) -> set[str]:
        """These hashes, and those of the files in their folders."""
        chosen = set(values)
        folders = [value for value in chosen if value.endswith(FOLDER_MARK)]
        self.fetch(folders)
        return chosen.union(*({file for _, file in self._listed(value)} for value in folders))

    def missing(self, values: Iterable[str]) -> set[str]:
        """What the cache does not hold."""
        return {value for value in values if not Path(self._path(value)).is_file()}

    def fetch(self, values: Iterable[str]) -> None:
        """Get from the remote what the cache does not hold; ``VersionRefused`` when it cannot be had."""
        wanted = self.missing(values)
        if not wanted:
            return
        if not self.remote:
            raise VersionRefused(
                f"{len(wanted)} files of this version are not in DVC's cache any more, and the repository has no "
                "remote that may hold them."
            )
        try:
            with silenced():
                self._repo.cloud.pull([_info(value) for value in wanted])
        except Exception as error:  # every kind of remote raises errors of its own
            raise VersionRefused(f"The remote {self.remote} cannot be reached: {error!r}.") from error
        if gone := self.missing(wanted):
            raise VersionRefused(
                f"{len(gone)} objects of this version are in neither DVC's cache nor its remote. "
                "`alp gc --keep-days` may have removed them."
            )

    def _sound(self, objects: Mapping[str, str]) -> None:
        """Have objects here as they were kept, with what each is called; one that was changed is fetched again."""
        self.fetch(objects)
        damaged = self._damaged(objects)
        if damaged and self.remote:
            for value in damaged:
                Path(self._path(value)).unlink()
            self.fetch(damaged)
            damaged = self._damaged(damaged)
        if damaged:
            named = ", ".join(sorted(objects[value] for value in damaged)[:_NAMED])
            where = (
                f"DVC's cache and the remote {self.remote}"
                if self.remote
                else "DVC's cache, and there is no remote"
            )
            raise VersionRefused(
                f"{len(damaged)} objects of this version are damaged in {where}: {named}. Put them back from a "
                "backup, or run the package's stages again."
            )

    def _damaged(self, values: Iterable[str]) -> set[str]:
        """What the cache holds with other bytes than its hash says; links share them with the data root."""
        return {value for value in values if _md5(Path(self._path(value))) != value.removesuffix(FOLDER_MARK)}

    def push(self, values: Iterable[str]) -> dict[str, set[str]]:
        """Copy to the remote what it does not hold, folders with all that is in them.

        What is damaged here is removed, so that taking it again puts it back. A folder of which an object is
        nowhere is left out, for the remote would be taken to have all of it.

        Returns:
            The objects that neither side holds, by which of these hashes needs them.

        Raises:
            VersionRefused: the remote is a folder that is not there, or does not hold everything afterwards.
        """
        self._there()
        chosen = set(values)
        self._drop_damaged(chosen)
        here = self.closure(chosen - self.missing(chosen))
        self._drop_damaged(here - chosen)
        gone = self.missing(here | chosen)
        lost = self._not_copied(gone)
        parts = {value: {value, *self._inside(value)} & lost for value in chosen} if lost else {}
        broken = {value: nowhere for value, nowhere in parts.items() if nowhere}
        result = self._repo.cloud.push([_info(value) for value in here - gone - broken.keys()])
        left = result.failed or self._not_copied(chosen - broken.keys())
        if left:
            raise VersionRefused(f"{len(left)} files could not be copied to the remote {self.remote}.")
        return broken

    def sizes(self, *, remote: bool = False) -> dict[str, int]:
        """Bytes of every object in the cache, or in the remote."""
        odb = self._odb(remote)
        if remote and odb.fs.protocol == "local" and not Path(odb.path).is_dir():
            raise VersionRefused(
                f"The remote {self.remote} cannot be read: it is no folder (is its disk mounted?)."
            )
        try:
            listed = list(_listing(odb))
        except Exception as error:  # every kind of remote raises errors of its own
            where = f"remote {self.remote}" if remote else "cache"
            raise VersionRefused(f"The {where} cannot be read: {error!r}.") from error
        found = {}
        for path, size in listed:
            *_, prefix, rest = path.split("/")
            if len(prefix) == 2 and _is_hash(value := prefix + rest):
                found[value] = size
        return found

    def remove(self, values: Iterable[str], *, remote: bool = False) -> None:
        """Remove objects from the cache, or from the remote; folders first, so that none is left without files."""
        odb = self._odb(remote)
        chosen = sorted(values)
        for folders in (True, False):
            paths = [odb.oid_to_path(value) for value in chosen if value.endswith(FOLDER_MARK) == folders]
            if paths:
                odb.fs.remove(paths)

    def _drop_damaged(self, values: set[str]) -> None:
        for value in self._damaged(values - self.missing(values)):
            Path(self._path(value)).unlink(missing_ok=True)

    def _not_copied(self, values: set[str]) -> set[str]:
        """What the remote does not hold."""
        return values.difference(self._odb(remote=True).oids_exist(values)) if values else set()

    def _there(self) -> Any:
        """The remote. DVC would make a folder that is not there, below where its disk is to be mounted."""
        remote = self._repo.cloud.get_remote()
        if remote.fs.protocol == "local" and not Path(remote.path).is_dir():
            raise VersionRefused(
                f"the remote {self.remote} is the folder {remote.path}, which is not there. Mount its disk, or "
                "make the folder where it is gone for good"
            )
        return remote

    def _odb(self, remote: bool) -> Any:
        return self._repo.cloud.get_remote_odb() if remote else self._repo.cache.local

    def _path(self, value: str) -> str:
        return str(self._repo.cache.local.oid_to_path(value))

    def _inside(self, value: str) -> set[str]:
        """The files of a folder, none where its list is not at hand."""
        return set() if self.missing([value]) else {file for _, file in self._listed(value)}

    def _listed(self, value: str) -> list[tuple[str, str]]:
        """Path and hash of each file of a folder whose list is at hand."""
        if not value.endswith(FOLDER_MARK):
            return []
        entries = json.loads(Path(self._path(value)).read_bytes())
        return [(str(entry["relpath"]), str(entry["md5"])) for entry in entries]


@contextmanager
def opened(repository: Repository) -> Iterator[Store]:
    """The store of a repository, while DVC is kept quiet."""
    with quiet():
        from dvc.repo import Repo

        # .gitignore of a data root's own repository covers all; DVC would read the whole index to be sure of it
        config = {"core": {"no_scm": True}} if repository.own else None
        with Repo(str(repository.root), config=config) as repo:
            yield Store(repo)


def _listing(odb: Any) -> Iterator[tuple[str, int]]:
    """Path and bytes of every file below the objects of a cache or remote."""
    if odb.fs.protocol == "local":
        for folder, _, names in os.walk(odb.path):
            for name in names:
                path = f"{folder}/{name}"
                yield path, os.stat(path).st_size  # noqa: PTH116 - hundreds of thousands of them
    elif odb.fs.exists(odb.path):
        for path, entry in odb.fs.fs.find(odb.path, detail=True).items():
            yield path, int(entry.get("size") or 0)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _info(value: str) -> Any:
    from dvc_data.hashfile.hash_info import HashInfo

    return HashInfo("md5", value)


def _is_hash(text: str) -> bool:
    plain = text.removesuffix(FOLDER_MARK)
    return len(plain) == 32 and set(plain) <= set("0123456789abcdef")
