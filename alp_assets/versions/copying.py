"""Copies of versions elsewhere: the bytes go to DVC's remote, the commits to git's.

Copying has a lock of its own, so that a remote that is away keeps nobody from versioning. Whoever holds it copies
all that waits, of other packages too.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.params import VersionParams
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.patience import patiently
from alp_assets.versions.queue import locked
from alp_assets.versions.repository import Repository
from alp_assets.versions.revisions import recorded_hash
from alp_assets.versions.store import Store, opened
from alp_assets.versions.unpushed import HISTORY, Unpushed, of_history
from alp_assets.versions.unused import needed


@dataclass(frozen=True)
class Copied:
    """Whether DVC's remote holds everything that waited; ``problem`` says what went wrong.

    ``filled`` are the remotes that were new, or emptied, and got all that there is. Without remotes nothing is
    copied, and without a problem. So it is where another process copies at the moment: it takes what was added
    meanwhile.
    """

    stored: bool = False
    problem: str = ""
    filled: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Round:
    """What became of all that waited at one time.

    ``lost`` are the objects that are nowhere; ``again`` the packages of which some are, as they lie there now, and
    ``left`` what goes on waiting for these.
    """

    stored: bool = False
    filled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    left: frozenset[Path] = frozenset()

    def after(self, before: _Round) -> _Round:
        """Both as one."""
        return replace(
            self,
            filled=before.filled | self.filled,
            lost=before.lost | self.lost,
            again=before.again | self.again,
        )


def copy_out(repository: Repository, params: VersionParams, *, wait_s: float = 0.0) -> Copied:
    """Copy all that waits to the remotes, if nobody else is at it for longer than ``wait_s``."""
    unpushed, until = Unpushed(repository.data_root), time.monotonic() + wait_s
    place = repository.data_root / "versions" / "copying"
    done = _Round()
    while True:
        with locked(place, wait_s, lambda: time.monotonic() >= until) as ours:
            if not ours:
                return Copied()
            try:
                done = patiently(lambda: _copy(repository, unpushed), params.tries).after(done)
            except Exception as error:  # each kind of remote raises errors of its own
                return Copied(
                    problem=f"Versioned here, but not copied to the remote: {error}. It is tried again with the "
                    "next package, or by `alp snapshot`."
                )
        if unpushed.waiting().keys() <= done.left:  # else something was added by who found us at it
            return Copied(done.stored and not done.lost, _lost(done), tuple(sorted(done.filled)))


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


def _copy(repository: Repository, unpushed: Unpushed) -> _Round:
    with opened(repository) as store:
        if repository.own and not unpushed.knows(mark := store.mark()):
            if store.remote:
                unpushed.add(HISTORY, needed(repository))
            unpushed.know(mark)  # also that there is none: what comes then gets everything
        waiting = unpushed.waiting()
        hashes = {value for values in waiting.values() for value in values}
        broken = store.push(hashes) if store.remote and hashes else {}
        remote = store.remote
    filled = {f"git {name}" for name in _push_commits(repository)}
    again = _packages(repository.data_root, broken) if broken else {}
    left = {path for path, values in waiting.items() if not again.keys().isdisjoint(values)}
    done = waiting.keys() - left
    unpushed.done(done)
    if remote and any(of_history(path) for path in done):
        filled.add(remote)
    lost = frozenset[str]().union(*broken.values())
    return _Round(bool(remote), frozenset(filled), lost, frozenset(again.values()), frozenset(left))


def _push_commits(repository: Repository) -> list[str]:
    """Push to git's remote, though nothing may have waited: it may be another than before; its name if it is."""
    names = _git_remotes(repository)
    if not names:
        return []
    name = "origin" if "origin" in names else names[0]
    told = repository.git("push", "--porcelain", name, "HEAD")
    return [name] if any(line.startswith("*") for line in told.splitlines()) else []


def _git_remotes(repository: Repository) -> list[str]:
    """The git remotes that ALP pushes to: those of a data root alone."""
    return repository.git("remote").split() if repository.own else []


def _packages(data_root: Path, hashes: Collection[str]) -> dict[str, str]:
    """Which of these hashes are of packages and models as they lie there now, with the package that has them."""
    found = {}
    for path in (*data_root.glob("packages/*/*.dvc"), *data_root.glob("models/*/*/*.dvc")):
        if path.with_suffix("").is_dir() and (value := recorded_hash(path)) in hashes:
            own = path.parent.parent == data_root / "packages"
            folder = (
                PackageFolder(data_root, path.parent.name, path.stem) if own else _source(data_root, path.stem)
            )
            if folder and folder.path.is_dir():
                found[value] = f"{folder.customer}/{folder.package}"
    return found


def _source(data_root: Path, version: str) -> PackageFolder | None:
    """The package that a model version came from, where the registry knows it."""
    from alp_assets.registry.registry import Registry

    try:
        found = Registry(data_root).get(version)
    except AlpError:
        return None
    return PackageFolder(data_root, found.section.customer, found.package)


def _lost(done: _Round) -> str:
    if not done.lost:
        return ""
    if done.again:
        commands = ", ".join(f"`alp snapshot {name}`" for name in sorted(done.again))
        return (
            f"{len(done.lost)} objects are damaged or gone in DVC's cache, and the remote lacks them. {commands} "
            "takes again what lies in the data root."
        )
    return (
        f"{len(done.lost)} objects of earlier versions are in neither DVC's cache nor the remote: `alp gc` gave "
        "them up, or they were lost. `alp history` shows of which versions."
    )
