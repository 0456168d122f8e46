"""Giving a package up: its files go, its history stays."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import SnapshotFailed, VersionRefused
from alp_assets.files import sha256_of
from alp_assets.params import Params
from alp_assets.registry.records import State, Version
from alp_assets.registry.registry import Registry
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import RECEIPT_FILE, read_receipt
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import Repository, repository_of
from alp_assets.versions.restore import refuse_unversioned
from alp_assets.versions.revisions import committed, working_tree
from alp_assets.versions.snapshot import snapshot
from alp_assets.versions.store import opened


@dataclass(frozen=True)
class Retired:
    """What was given up. ``in_force`` are champions that stay, ``archived`` models that went out of use."""

    revision: str
    archived: list[str]
    in_force: list[str]
    notes: list[str]


def champions_of(folder: PackageFolder) -> list[Version]:
    """The champions that the package's run fitted."""
    found = Registry(folder.data_root).find(customer=folder.customer, state=State.CHAMPION)
    return [item for item in found if item.package == folder.package]


def retire(folder: PackageFolder, params: Params, who: str, *, force: bool = False) -> Retired:
    """Version what the package holds, then take its folder and its zip in the inbox away and archive its models.

    A champion stays in force, with ``force`` alone, and keeps its files. What a killed call left is finished.

    Raises:
        VersionRefused: there is no such package, one of its models is in force and ``force`` is not given, or its
            version would be lost.
        PackageBusy: somebody works on the package.
    """
    refuse_unknown(folder)
    champions = champions_of(folder)
    if champions and not force:
        named = "; ".join(f"{item.name} of {item.section}" for item in champions)
        raise VersionRefused(
            f"{folder.customer}/{folder.package}: its models are in force: {named}. Promote others first, or add "
            "--force: then the package goes and these models stay in force."
        )
    if not folder.path.is_dir() and _gone_before(folder):
        return Retired("", _archive(folder, who), [item.name for item in champions], _empty_inbox(folder))
    repository = _kept(folder, params)
    with Queue(folder.data_root).lock(params.versioned.wait_s), folder.lock():
        if folder.path.is_dir():
            with opened(repository) as store:
                refuse_unversioned(store, repository, folder)
        notes = _empty_inbox(folder)
        _remove(folder)
        revision = _forget(repository, folder)
    return Retired(revision, _archive(folder, who), [item.name for item in champions], notes)


def refuse_unknown(folder: PackageFolder) -> None:
    """``VersionRefused`` when there is no such package and never was one."""
    repository = None if folder.path.is_dir() else repository_of(folder.data_root)
    if repository and not working_tree(repository, folder).outs and not committed(repository, folder):
        raise VersionRefused(
            f"{folder.customer}/{folder.package}: there is no such package in {folder.data_root}."
        )


def _gone_before(folder: PackageFolder) -> bool:
    """Whether an earlier call took the package away, and perhaps could not do the rest."""
    repository = repository_of(folder.data_root)
    return not working_tree(repository, folder).outs and bool(committed(repository, folder))


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
    if repository.git.asked("cat-file", "-e", f"HEAD:{path}") is None:
        raise VersionRefused(f"{name}: git has no version of it. `git add {path}` and commit it first.")
    return repository


def _empty_inbox(folder: PackageFolder) -> list[str]:
    """Take the zip away that the package came as, else it would be taken for a new one."""
    receipt = folder.stage("upload") / RECEIPT_FILE
    if not folder.inbox.is_file():
        return []
    if not receipt.is_file() or sha256_of(folder.inbox) != read_receipt(folder)["sha256"]:
        return [f"{folder.inbox} stays: it is not what the package came as."]
    folder.inbox.unlink()
    return []


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
    words = f"{folder.customer}/{folder.package}: retired\n\n`alp restore` brings it back.\n"
    return repository.git.committed([path], words)


def _archive(folder: PackageFolder, who: str) -> list[str]:
    registry = Registry(folder.data_root)
    found = registry.find(customer=folder.customer, state=State.CANDIDATE)
    chosen = [item for item in found if item.package == folder.package]
    for item in chosen:
        registry.archive(item.version, who, f"its package {folder.package} was retired")
    return [item.name for item in chosen]


def _dvc_file(repository: Repository, folder: PackageFolder) -> str:
    return f"{repository.inside(folder.path.parent)}/{folder.package}.dvc"
