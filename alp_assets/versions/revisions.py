"""Which versions of a package there are, by the commits that hold them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from alp_assets.errors import VersionRefused
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.versions.git import Commit
from alp_assets.versions.repository import Repository, default_data_root

LOCK = "dvc.lock"
_NONE_OF_DVCS = (yaml.YAMLError, ValueError, TypeError)
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?P<minute>[T ]\d{2}:\d{2}(?P<second>:\d{2}(?P<part>\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
)


@dataclass(frozen=True)
class Revision:
    """A version of a package: what its folders held at a commit.

    ``outs`` has the hash of each folder by its path inside the package, empty for the package itself. The version
    of the working tree, which may not be committed, has no ``commit``.
    """

    folder: PackageFolder
    commit: Commit | None
    outs: dict[str, str]

    @property
    def name(self) -> str:
        """What people call it."""
        return self.commit.commit[:10] if self.commit else "working tree"


def split_name(text: str) -> tuple[str, str]:
    """``customer/package@REV`` in two; without a revision that is empty."""
    name, _, revision = text.partition("@")
    return name, revision


def package_of(data_root: Path, name: str) -> PackageFolder:
    """The folder of ``customer/package`` or ``customer__package``, which need not be there any more."""
    customer, separator, package = name.rstrip("/").replace("__", "/", 1).partition("/")
    if not separator or "/" in package:
        raise VersionRefused(f"{name!r} names no package; write customer/package, for example acme/pumps-march.")
    return PackageFolder(data_root, customer, package)


def committed(repository: Repository, folder: PackageFolder) -> list[Revision]:
    """The versions of a package that git has, the latest first; one that is like the one before it counts once.

    A commit in which the package's file is none of DVC's holds no version.
    """
    paths = _paths(repository, folder)
    found: list[Revision] = []
    for commit in repository.git.log("--", *paths):
        outs = _readable_outs(repository, folder, commit)
        if found and found[-1].outs == outs:
            found[-1] = replace(found[-1], commit=commit)  # the earlier commit made this version
        else:
            found.append(Revision(folder, commit, outs))
    return [revision for revision in found if revision.outs]


def first_commit(repository: Repository, version: Revision) -> Revision:
    """The same version at the commit that first had it: later commits, and restored versions, hold it too."""
    upto = [version.commit.commit] if version.commit else []
    for commit in reversed(repository.git.log(*upto, "--", *_paths(repository, version.folder))):
        if _readable_outs(repository, version.folder, commit) == version.outs:
            return replace(version, commit=commit)
    return version


def working_tree(repository: Repository, folder: PackageFolder) -> Revision:
    """The version that DVC has of the package as it was last taken, committed or not; ``outs`` may be empty."""
    return Revision(folder, None, outs_at(repository, folder, None))


def recorded_hash(path: Path) -> str:
    """The hash that a ``.dvc`` file holds.

    Raises:
        VersionRefused: it is no file of DVC's.
    """
    return _hash_in(path.read_text(encoding="utf-8", errors="replace"), path, None)


def refuse_spoilt(path: Path) -> None:
    """``VersionRefused`` when a ``.dvc`` file is there and is none of DVC's."""
    if path.is_file():
        recorded_hash(path)


def outs_at(repository: Repository, folder: PackageFolder, commit: str | None) -> dict[str, str]:
    """What DVC's files say of a package at a commit, or in the working tree.

    Raises:
        VersionRefused: one of them is no file of DVC's.
    """
    own, *lock = _paths(repository, folder)
    if (text := _text(repository, own, commit)) is not None:
        return {"": _hash_in(text, repository.root / own, commit)}
    top = repository.inside(folder.path)
    outs: dict[str, str] = {}
    for path in lock:
        if (text := _text(repository, path, commit)) is not None:
            outs |= _stages_in(text, top, repository.root / path, commit)
    return outs


def recorded_model(repository: Repository, place: Path) -> str:
    """The hash of a model version's folder, which never changes; ``VersionRefused`` when git never had it."""
    path = f"{repository.inside(repository.data_root)}/{place.as_posix()}.dvc".removeprefix("./")
    commit = None
    if (text := _text(repository, path, None)) is None:
        commits = repository.git.log("-1", "--diff-filter=AM", "--", path)
        commit = commits[0].commit if commits else None
        text = _text(repository, path, commit) if commit else None
    if text is None:
        raise VersionRefused(f"{place}: this model was never versioned. `alp snapshot` versions what is there.")
    return _hash_in(text, repository.root / path, commit)


def find_revision(repository: Repository, folder: PackageFolder, text: str) -> Revision:
    """The version of a package at a git revision, or on a day; by default the latest that there was.

    Raises:
        VersionRefused: git knows no such revision, or the package was not there then.
    """
    versions = committed(repository, folder)
    if not text:
        present = working_tree(repository, folder)
        if versions and present.outs in ({}, versions[0].outs):
            return versions[0]
        if present.outs:
            return present
        raise VersionRefused(_unknown(repository, folder, versions))
    commit = _commit_of(repository, folder, text)
    outs = outs_at(repository, folder, commit.commit)
    if not outs:
        raise VersionRefused(
            f"{folder.customer}/{folder.package}: was not versioned at {text} ({commit.at[:10]}). "
            + _unknown(repository, folder, versions)
        )
    return Revision(folder, commit, outs)


def end_of_revision(repository: Repository, text: str) -> datetime:
    """The moment before which lies what belongs to a day, a time or a commit.

    Raises:
        VersionRefused: there is no such moment, and git knows no such revision.
    """
    return _end_of_time(text) or end_of_commit(_commit_named(repository, text))


def end_of_commit(commit: Commit) -> datetime:
    """The end of the second in which a commit was made: git tells no more."""
    return moment(commit.at) + timedelta(seconds=1)


def moment(at: str) -> datetime:
    """A moment in ISO 8601, as clocks here show it where it names no zone."""
    return datetime.fromisoformat(at).astimezone()


def _unknown(repository: Repository, folder: PackageFolder, versions: list[Revision]) -> str:
    if versions:
        listed = ", ".join(f"{item.name} ({item.commit.at[:10]})" for item in versions[:8] if item.commit)
        return f"Its versions: {listed}{', ...' if len(versions) > 8 else ''}."
    return (
        f"{folder.customer}/{folder.package}: the repository {repository.root} has no version of this package. "
        "`alp onboard` and `alp snapshot` make one."
    )


def _commit_of(repository: Repository, folder: PackageFolder, text: str) -> Commit:
    end = _end_of_time(text)
    if end is None:
        return _commit_named(repository, text)
    for commit in repository.git.log("--", *_paths(repository, folder)):
        if moment(commit.at) < end:
            return commit
    raise VersionRefused(f"{folder.customer}/{folder.package}: was not versioned yet on {text}.")


def _commit_named(repository: Repository, text: str) -> Commit:
    git = repository.git
    name = git.asked("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    if name is None:
        raise VersionRefused(
            f"{repository.root}: there is no revision {text!r}. Give one that `alp history` shows, or a day such "
            "as 2026-03-31."
        )
    return git.log("-1", name.strip())[0]


def _end_of_time(text: str) -> datetime | None:
    """The end of the day, minute or second that a text names, here where it names no zone; else nothing."""
    named = _MOMENT.fullmatch(text)
    if named is None:
        return None
    if named["part"]:
        length = timedelta(microseconds=1)
    elif named["second"]:
        length = timedelta(seconds=1)
    else:
        length = timedelta(minutes=1) if named["minute"] else timedelta(days=1)
    try:
        return (datetime.fromisoformat(text) + length).astimezone()
    except (ValueError, OverflowError) as error:
        raise VersionRefused(f"{text}: there is no such day or time.") from error


def _paths(repository: Repository, folder: PackageFolder) -> list[str]:
    own = f"{repository.inside(folder.path.parent)}/{folder.package}.dvc"
    return [own, LOCK] if default_data_root(folder.data_root) else [own]


def _readable_outs(repository: Repository, folder: PackageFolder, commit: Commit) -> dict[str, str]:
    """What a commit has of a package; nothing where that cannot be read."""
    try:
        return outs_at(repository, folder, commit.commit)
    except VersionRefused:
        return {}


def _text(repository: Repository, path: str, commit: str | None) -> str | None:
    if commit is not None:
        return repository.git.asked("show", f"{commit}:{path}")
    place = repository.root / path
    return place.read_text(encoding="utf-8", errors="replace") if place.is_file() else None


def _hash_in(text: str, place: Path, commit: str | None) -> str:
    """The hash that a ``.dvc`` file holds; ``place`` and ``commit`` say which file this is."""
    try:
        found = yaml.safe_load(text)["outs"][0]["md5"]
    except (*_NONE_OF_DVCS, KeyError, IndexError) as error:
        raise _spoilt(place, commit, error) from error
    if not isinstance(found, str) or not _HASH.fullmatch(found):
        raise _spoilt(place, commit)
    return found


def _stages_in(text: str, top: str, place: Path, commit: str | None) -> dict[str, str]:
    """The hashes that a lock file has of the stages of a package, whose folder is ``top``."""
    outs = {}
    try:
        for stage in ((yaml.safe_load(text) or {}).get("stages") or {}).values():
            for out in stage.get("outs", ()):
                parent, _, name = str(out["path"]).rpartition("/")
                if parent == top and name in STAGES:
                    outs[name] = str(out["md5"])
    except (*_NONE_OF_DVCS, KeyError, AttributeError) as error:
        raise _spoilt(place, commit, error) from error
    return outs


def _spoilt(place: Path, commit: str | None, why: Exception | None = None) -> VersionRefused:
    told = " ".join(str(why).split()) if isinstance(why, yaml.YAMLError) else "it names no hash of a folder"
    said = f"is no file of DVC's ({told})"
    if commit is not None:
        return VersionRefused(
            f"{place}, as of {commit[:10]}: {said}, so there is no version. `alp history` shows all versions."
        )
    anew = " Where git has no better one, delete it and run `alp snapshot`." if place.suffix == ".dvc" else ""
    return VersionRefused(
        f"{place}: {said}. `git -C {place.parent} checkout -- {place.name}` brings it back.{anew}"
    )
