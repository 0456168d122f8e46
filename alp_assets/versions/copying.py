"""Copies of versions elsewhere: the bytes go to DVC's remote, the commits to git's.

Copying has a lock of its own, so that a remote that is away keeps nobody from versioning. Whoever holds it copies
all that waits, of other packages too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from alp_assets.params import VersionParams
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.patience import patiently
from alp_assets.versions.queue import locked
from alp_assets.versions.repository import Repository
from alp_assets.versions.store import Store, opened
from alp_assets.versions.unpushed import HISTORY, Unpushed
from alp_assets.versions.unused import needed


@dataclass(frozen=True)
class Copied:
    """Whether DVC's remote holds everything that waited; ``problem`` says what went wrong.

    Without remotes nothing is copied, and without a problem. So it is where another process copies at the moment:
    it takes what was added meanwhile.
    """

    stored: bool = False
    problem: str = ""


def copy_out(repository: Repository, params: VersionParams, *, wait_s: float = 0.0) -> Copied:
    """Copy all that waits to the remotes, if nobody else is at it for longer than ``wait_s``."""
    unpushed, until = Unpushed(repository.data_root), time.monotonic() + wait_s
    place = repository.data_root / "versions" / "copying"
    stored, lost = False, 0
    while True:
        with locked(place, wait_s, lambda: time.monotonic() >= until) as ours:
            if not ours:
                return Copied()
            try:
                stored, missing = patiently(lambda: _copy(repository, unpushed), params.tries)
            except Exception as error:  # each kind of remote raises errors of its own
                return Copied(
                    problem=f"Versioned here, but not copied to the remote: {error}. It is tried again with the "
                    "next package, or by `alp snapshot`."
                )
        lost += missing
        if not unpushed.names():  # else something was added by who found us at it
            return Copied(stored and not lost, _lost(lost))


def to_be_copied(store: Store, repository: Repository) -> bool:
    """Whether there is a remote, DVC's or git's."""
    return bool(store.remote or _git_remotes(repository))


def commit_copied(repository: Repository, folder: PackageFolder, params: VersionParams) -> list[str]:
    """Copy a package's new commit to where commits go; what went wrong, in words."""
    if not (params.push and _git_remotes(repository)):
        return []
    Unpushed(repository.data_root).add(folder.key)
    problem = copy_out(repository, params).problem
    return [problem] if problem else []


def _copy(repository: Repository, unpushed: Unpushed) -> tuple[bool, int]:
    """Whether there is a DVC remote, and how many objects that it should get are nowhere."""
    with opened(repository) as store:
        if repository.own and not unpushed.knows(store.address):
            if store.remote:
                unpushed.add(HISTORY, needed(repository))
            unpushed.know(store.address)  # also that there is none: what comes then gets everything
        waiting = unpushed.waiting()
        hashes = {value for values in waiting.values() for value in values}
        lost = store.push(hashes) if store.remote and hashes else set()
        stored = bool(store.remote)
    if waiting and (names := _git_remotes(repository)):
        repository.git("push", "--quiet", "origin" if "origin" in names else names[0], "HEAD")
    unpushed.done(waiting)
    return stored, len(lost)


def _git_remotes(repository: Repository) -> list[str]:
    """The git remotes that ALP pushes to: those of a data root alone."""
    return repository.git("remote").split() if repository.own else []


def _lost(count: int) -> str:
    if not count:
        return ""
    return (
        f"{count} objects of earlier versions are in neither DVC's cache nor the remote: `alp gc` gave them up, "
        "or they were lost. `alp history` shows of which versions."
    )
