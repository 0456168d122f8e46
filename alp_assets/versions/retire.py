"""Giving a package up: its files go, its history stays."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import SnapshotFailed, StageDamaged, VersionRefused
from alp_assets.files import sha256_of
from alp_assets.home import object_url
from alp_assets.params import Params
from alp_assets.registry.records import State, Version
from alp_assets.registry.registry import Registry
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt
from alp_assets.store.base import store_of
from alp_assets.versions.copying import commit_copied
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import Repository, repository_of
from alp_assets.versions.restore import refuse_unversioned
from alp_assets.versions.revisions import committed, working_tree
from alp_assets.versions.snapshot import snapshot
from alp_assets.versions.store import opened


@dataclass(frozen=True)
class Retired:
    """What was given up. ``in_force`` are champions that stay, ``archived`` models that went out of use.

    ``revision`` is the commit that says so, empty where ALP does not commit; ``way_back`` says in words how the
    package's files come back.
    """

    revision: str
    archived: list[str]
    in_force: list[str]
    notes: list[str]
    way_back: str


def champions_of(folder: PackageFolder) -> list[Version]:
    """The champions that the package's run fitted."""
    found = Registry(folder.data_root).find(customer=folder.customer, state=State.CHAMPION)
    return [item for item in found if item.package == folder.package]


def retire(folder: PackageFolder, params: Params, who: str, *, force: bool = False) -> Retired:
    """See that history has the package, then take its folder and its zip in the inbox, and archive its models.

    On a disk history is git's and DVC's, in a bucket the bucket's own. A champion stays in force, with ``force``
    alone, and keeps its files. What a killed call left is finished.

    Raises:
        VersionRefused: there is no such package on the disk; or one of its models is in force, or the bucket keeps
            no versions, and ``force`` is not given; or its version would be lost.
        PackageBusy: somebody works on the package.
    """
    in_bucket = store_of(folder.data_root).mirrors
    if not in_bucket:
        refuse_unknown(folder)
    champions = champions_of(folder)
    if champions and not force:
        named = "; ".join(f"{item.name} of {item.section}" for item in champions)
        raise VersionRefused(
            f"{folder.customer}/{folder.package}: its models are in force: {named}. Promote others first, or add "
            "--force: then the package goes and these models stay in force."
        )
    in_force = [item.name for item in champions]
    if in_bucket:
        return _retire_from_bucket(folder, who, in_force, force=force)
    return _retire_from_disk(folder, params, who, in_force)


def refuse_unknown(folder: PackageFolder) -> None:
    """``VersionRefused`` when there is no such package and, as far as git knows, never was one."""
    if folder.exists():
        return
    url = object_url(folder.data_root)
    if url is None:
        repository = repository_of(folder.data_root)
        if working_tree(repository, folder).outs or committed(repository, folder):
            return
    raise VersionRefused(
        f"{folder.customer}/{folder.package}: there is no such package in {url or folder.data_root}."
    )


def _retire_from_disk(folder: PackageFolder, params: Params, who: str, in_force: list[str]) -> Retired:
    name = f"{folder.customer}/{folder.package}"
    way_back = f"`alp restore {name}` brings its files back, for as long as no `alp gc --keep-days` gives them up."
    if _gone_before(folder):
        return Retired("", _archive(folder, who), in_force, _empty_inbox(folder), way_back)
    repository = _kept(folder, params)
    with Queue(folder.data_root).lock(params.versioned.wait_s), folder.lock():
        if folder.path.is_dir():
            with opened(repository) as store:
                refuse_unversioned(store, repository, folder)
        notes = _empty_inbox(folder)
        _remove(folder)
        revision = _forget(repository, folder)
    archived = _archive(folder, who)
    notes += commit_copied(repository, folder, params.versioned) if revision else []
    return Retired(revision, archived, in_force, notes, way_back)


def _retire_from_bucket(folder: PackageFolder, who: str, in_force: list[str], *, force: bool) -> Retired:
    """The objects go last: as long as there are any, another call finishes what was left."""
    lacking = store_of(folder.data_root).lacks_versions()
    if lacking and not force:
        raise VersionRefused(
            f"{lacking} Without versions {folder.customer}/{folder.package} would be gone for good; add --force "
            "if that is meant."
        )
    with folder.lock():
        notes = _empty_inbox(folder)
        archived = _archive(folder, who)
        folder.remove()
    if lacking:
        way_back = "As far as the bucket says it keeps no versions: the package's files are gone for good."
    else:
        way_back = (
            "The bucket keeps versions of its objects: the older ones bring its files back, for as long as the "
            "bucket's rules keep them (docs/storage.md)."
        )
    return Retired("", archived, in_force, notes, way_back)


def _gone_before(folder: PackageFolder) -> bool:
    """Whether an earlier call took the package away and out of git, and perhaps could not do the rest."""
    if folder.path.is_dir():
        return False
    repository = repository_of(folder.data_root)
    if working_tree(repository, folder).outs:
        return False
    return not (repository.own and _in_head(repository, folder))


def _kept(folder: PackageFolder, params: Params) -> Repository:
    """See that history holds the package as it is."""
    name = f"{folder.customer}/{folder.package}"
    if folder.path.is_dir():
        try:
            snapshot(folder, params)
        except SnapshotFailed as error:
            raise VersionRefused(f"{error} It is not retired: its results would be lost.") from error
    repository = repository_of(folder.data_root)
    outs = working_tree(repository, folder).outs
    if outs and "" not in outs:
        raise VersionRefused(
            f"{name}: dvc.yaml works through this package. Take it out of `packages` in params.yaml first."
        )
    path = _dvc_file(repository, folder)
    if not repository.own and repository.git.asked("diff", "--quiet", "HEAD", "--", path) is None:
        raise VersionRefused(f"{name}: its version is not committed yet. `git add {path}` and commit it first.")
    if not _in_head(repository, folder):
        raise VersionRefused(f"{name}: git has no version of it. `git add {path}` and commit it first.")
    return repository


def _empty_inbox(folder: PackageFolder) -> list[str]:
    """Take the zip away that the package came as, else it would be taken for a new one."""
    if not folder.fetch_inbox().is_file():
        return []
    root, place = folder.data_root, folder.inbox.relative_to(folder.data_root).as_posix()
    if sha256_of(folder.inbox) != _received(folder):
        return [f"{object_url(root) or root}/{place} stays: it is not what the package came as."]
    store_of(root).remove_file(place)
    folder.inbox.unlink(missing_ok=True)
    return []


def _received(folder: PackageFolder) -> str:
    """The SHA-256 that the package came with; empty where no receipt tells it."""
    try:
        return str(read_receipt(folder)["sha256"])
    except (FileNotFoundError, StageDamaged):
        return ""


def _remove(folder: PackageFolder) -> None:
    """Take the folder away at once, then delete it: a kill leaves no half of a package."""
    for leftover in folder.path.parent.glob(f".{folder.package}.retired-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.path.is_dir():
        away = Path(tempfile.mkdtemp(dir=folder.path.parent, prefix=f".{folder.package}.retired-"))
        os.rename(folder.path, away / folder.package)
        shutil.rmtree(away)
    folder.forget_unfinished()


def _forget(repository: Repository, folder: PackageFolder) -> str:
    path = _dvc_file(repository, folder)
    (repository.root / path).unlink(missing_ok=True)
    if not repository.own:
        return ""
    repository.git.asked("restore", "--staged", "--", path)  # a killed call took it from where the commit looks
    words = f"{folder.customer}/{folder.package}: retired\n\n`alp restore` brings it back.\n"
    return repository.git.committed([path], words)


def _archive(folder: PackageFolder, who: str) -> list[str]:
    registry = Registry(folder.data_root)
    found = registry.find(customer=folder.customer, state=State.CANDIDATE)
    chosen = [item for item in found if item.package == folder.package]
    for item in chosen:
        registry.archive(item.version, who, f"its package {folder.package} was retired")
    return [item.name for item in chosen]


def _in_head(repository: Repository, folder: PackageFolder) -> bool:
    """Whether the latest commit has the package."""
    return repository.git.asked("cat-file", "-e", f"HEAD:{_dvc_file(repository, folder)}") is not None


def _dvc_file(repository: Repository, folder: PackageFolder) -> str:
    return f"{repository.inside(folder.path.parent)}/{folder.package}.dvc"
