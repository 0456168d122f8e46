"""What DVC's cache and remote hold that no version needs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from alp_assets.params import Params
from alp_assets.versions.git import Git
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import Repository
from alp_assets.versions.revisions import LOCK
from alp_assets.versions.store import FOLDER_MARK, Store, opened

_DAY_S = 86_400
_HASH = re.compile(r"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\b")


@dataclass(frozen=True)
class Unused:
    """Bytes of every object that no kept version needs, in the cache and in the remote.

    ``commits`` is how many were looked at; ``needed_bytes`` is what the cache keeps.
    """

    cache: dict[str, int]
    remote: dict[str, int]
    commits: int
    needed_bytes: int


def find_unused(repository: Repository, *, keep_days: int | None, remote: bool) -> Unused:
    """Look for what neither the working tree nor any commit needs.

    With ``keep_days`` commits that are older, and not the last before then, and not a branch or tag, need nothing.

    Raises:
        VersionRefused: the remote is asked for and cannot be reached.
    """
    with opened(repository) as store:
        return _look(store, repository, keep_days, remote)


def remove_unused(repository: Repository, params: Params, *, keep_days: int | None, remote: bool) -> Unused:
    """Look again while nobody versions, and remove what is found."""
    with Queue(repository.data_root).lock(params.versioned.wait_s), opened(repository) as store, store.locked():
        found = _look(store, repository, keep_days, remote)
        store.remove(found.cache)
        if found.remote:
            store.remove(found.remote, remote=True)
        return found


def needed(repository: Repository) -> set[str]:
    """The hashes that the working tree or any commit names, without the files in their folders."""
    return _in_commits(repository.git, _commits(repository.git, None)) | _in_working_tree(repository)


def _look(store: Store, repository: Repository, keep_days: int | None, remote: bool) -> Unused:
    commits = _commits(repository.git, keep_days)
    named = _in_commits(repository.git, commits) | _in_working_tree(repository)
    cache = store.sizes()
    there = store.sizes(remote=True) if remote and store.remote else {}
    kept = named | _inside(store, named, cache, there)
    return Unused(
        cache={value: size for value, size in cache.items() if value not in kept},
        remote={value: size for value, size in there.items() if value not in kept},
        commits=len(commits),
        needed_bytes=sum(size for value, size in cache.items() if value in kept),
    )


def _commits(git: Git, keep_days: int | None) -> list[str]:
    """The commits whose versions are kept, on all branches, tags and DVC's experiments."""
    # not --since, which looks no further than the first commit that is older: clocks are put back
    listed = [line.split() for line in git("rev-list", "--all", "HEAD", "--parents", "--timestamp").splitlines()]
    if keep_days is None:
        return [commit for _, commit, *_ in listed]
    limit = time.time() - keep_days * _DAY_S
    recent = [(commit, parents) for at, commit, *parents in listed if int(at) >= limit]
    then = [parent for _, parents in recent for parent in parents]  # what was in force until a recent commit
    tips = git("for-each-ref", "--format=%(objectname)").split()
    return list(dict.fromkeys([*(commit for commit, _ in recent), *then, *tips, git("rev-parse", "HEAD").strip()]))


def _in_commits(git: Git, commits: Iterable[str]) -> set[str]:
    """The hashes that DVC's files have in these commits."""
    listed = git("rev-list", "--objects", "--no-walk", "--stdin", given="\n".join(commits) + "\n")
    pairs = [line.split(" ", 1) for line in listed.splitlines() if " " in line]
    blobs = {blob for blob, path in pairs if path.endswith(".dvc") or path.rpartition("/")[2] == LOCK}
    return (
        set(_HASH.findall(git("cat-file", "--batch", given="\n".join(sorted(blobs)) + "\n"))) if blobs else set()
    )


def _in_working_tree(repository: Repository) -> set[str]:
    paths = [repository.root / LOCK]
    for place in ("packages", "models"):
        paths += repository.data_root.glob(f"{place}/**/*.dvc")
    tracked = repository.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.dvc", LOCK)
    paths += [repository.root / name for name in tracked.split("\0") if name]
    return {value for path in set(paths) if path.is_file() for value in _HASH.findall(path.read_text("utf-8"))}


def _inside(store: Store, needed: Iterable[str], cache: dict[str, int], remote: dict[str, int]) -> set[str]:
    """The files in the folders that are needed; a folder that is nowhere any more cannot need any."""
    folders = [value for value in needed if value.endswith(FOLDER_MARK)]
    missing = [value for value in folders if value not in cache]
    if missing and store.remote and not remote:
        remote = store.sizes(remote=True)
    return store.closure([value for value in folders if value in cache or value in remote])
