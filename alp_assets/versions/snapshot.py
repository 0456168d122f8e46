"""Versions: finished packages and the new model versions under DVC, one ``.dvc`` file each.

One step takes all packages that wait, whoever asked, and commits each with a message of its own where the data
root is a repository of its own. In a project's checkout only the ``.dvc`` files are written: commits there are for
people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import AlpError, SnapshotFailed, StageDamaged
from alp_assets.params import PROJECT, Params
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.versions.copying import Copied, copy_out, to_be_copied
from alp_assets.versions.messages import message_of
from alp_assets.versions.patience import patiently
from alp_assets.versions.queue import Answer, Queue, Ticket
from alp_assets.versions.repository import PARAMS, Repository, default_data_root, repository_to_write
from alp_assets.versions.revisions import recorded_hash, refuse_spoilt, working_tree
from alp_assets.versions.store import Store, opened
from alp_assets.versions.unpushed import Unpushed


@dataclass(frozen=True)
class Snapshot:
    """What was versioned: the content hash of the package, its model versions, and whether they were pushed.

    ``revision`` is the commit, empty in a project's repository; ``problem`` says why something was not pushed.
    """

    content_hash: str
    models: int
    pushed: bool
    repository: Path
    revision: str = ""
    problem: str = ""


def snapshot(folder: PackageFolder, params: Params) -> Snapshot:
    """Version a package folder and the model versions that came from it, and all others that wait, and copy them.

    A package that ``dvc.yaml`` works through is committed as its outputs, so that ``dvc status`` stays
    clean; every other package gets a ``.dvc`` file of its own. A data root that lies in no DVC
    repository becomes one. What fails is tried again for a while; a package that could be versioned but not
    copied to the remotes is copied with the next one.

    Raises:
        SnapshotFailed: the package could not be versioned; the text says why.
    """
    _refuse_missing(folder)
    queue = Queue(folder.data_root)
    try:
        answer = _answer(queue, queue.enter(folder), folder.data_root, params)
    except SnapshotFailed:
        raise
    except Exception as error:  # a full disk, git, DVC: none may undo the detection
        raise _failed(folder, error) from error
    if not answer.taken:
        raise SnapshotFailed(answer.problem)
    copied = Copied()
    if params.versioned.push:
        copied = copy_out(Repository(Path(answer.repository), folder.data_root.resolve()), params.versioned)
    return Snapshot(
        answer.content_hash,
        answer.models,
        copied.stored,
        Path(answer.repository),
        answer.revision,
        copied.problem,
    )


@dataclass(frozen=True)
class Taken:
    """What became of each package that was asked for or waited.

    ``copied`` are the packages that came to the remotes, also those versioned before; ``problem`` says what could
    not. ``filled`` are the remotes that were new and got all that there is.
    """

    packages: dict[str, Answer]
    copied: list[str]
    problem: str
    filled: tuple[str, ...] = ()


def snapshot_all(data_root: Path, folders: Iterable[PackageFolder], params: Params) -> Taken:
    """Version these packages and everything that waits, and push what could not be pushed before.

    Raises:
        SnapshotFailed: a package is not there, or others version for too long.
    """
    queue = Queue(data_root)
    for folder in folders:
        _refuse_missing(folder)
        queue.enter(folder)
    with queue.lock(params.versioned.wait_s):
        repository, tickets = repository_to_write(data_root), queue.waiting()
        answers = _take(tickets, repository, params)
        for ticket in tickets:
            if answers[ticket.key].taken:
                queue.leave(ticket, answers[ticket.key])
    if not params.versioned.push:
        return Taken(answers, [], "")
    unpushed = Unpushed(repository.data_root)
    before = unpushed.names()
    copied = copy_out(repository, params.versioned, wait_s=params.versioned.wait_s)
    return Taken(answers, sorted(before - unpushed.names()), copied.problem, copied.filled)


def _refuse_missing(folder: PackageFolder) -> None:
    if not folder.path.is_dir():
        raise SnapshotFailed(f"{folder.customer}/{folder.package}: there is no such package at {folder.path}.")


def _answer(queue: Queue, ticket: Ticket, data_root: Path, params: Params) -> Answer:
    """The answer to a ticket: from whoever holds the lock, else by holding it."""
    answers: list[Answer] = []

    def answered() -> bool:
        if found := queue.answer(ticket):
            answers.append(found)
        return bool(answers)

    with queue.lock(params.versioned.wait_s, answered) as ours:
        if not ours or answered():
            return answers[0]
        others = [item for item in queue.waiting() if item.key != ticket.key]
        found = _take([ticket, *others], repository_to_write(data_root), params)
        for item in (ticket, *others):
            if found[item.key].taken:  # who waits for another tries again himself
                queue.leave(item, found[item.key])
        queue.answer(ticket)
        queue.drop_old_answers()
        return found[ticket.key]


def _take(tickets: list[Ticket], repository: Repository, params: Params) -> dict[str, Answer]:
    """Version packages, the first with patience, and let them wait for the remotes."""
    answers: dict[str, Answer] = {}

    def take() -> None:
        left = [item for item in tickets[:1] if item.key in answers] or tickets
        with opened(repository) as store:
            for ticket in left:
                answers[ticket.key] = _one(store, repository, ticket, params)
        first = answers[left[0].key] if left else None
        if first is not None and not (first.taken or first.final):
            raise SnapshotFailed(first.problem)

    try:
        patiently(take, params.versioned.tries)
    except Exception as error:  # those that were come to have a problem of their own
        for ticket in tickets:
            problem = str(_failed(ticket.folder(repository.data_root), error))
            answers.setdefault(ticket.key, Answer(taken=False, problem=problem))
    return answers


def _one(store: Store, repository: Repository, ticket: Ticket, params: Params) -> Answer:
    folder = ticket.folder(repository.data_root)
    try:
        with folder.lock():
            return _keep(store, repository, folder, params)
    except Exception as error:  # one package's trouble is not that of the others
        final = isinstance(error, StageDamaged)
        return Answer(taken=False, problem=str(_failed(folder, error)), final=final)


def _keep(store: Store, repository: Repository, folder: PackageFolder, params: Params) -> Answer:
    for name in STAGES:
        if (folder.path / name).is_dir():
            folder.prove(name)
    models = _models(folder)
    kept = [Path(f"{path}.dvc") for path in (folder.path, *models)]
    for path in kept:
        refuse_spoilt(path)
    for path in models:
        store.keep(path)
    pipeline = _pipeline_stages(folder, params, repository)
    if pipeline:
        store.commit_stages(pipeline)
    else:
        store.keep(folder.path)
    outs = working_tree(repository, folder).outs
    content_hash = outs.get("") or outs["scores"]
    revision = ""
    if repository.own:
        names = [repository.inside(path) for path in kept if path.is_file()] + _shared(repository)
        revision = repository.git.committed(names, message_of(folder, content_hash, models))
    if to_be_copied(store, repository):
        Unpushed(repository.data_root).add(folder.key, _hashes(repository, folder))
    return Answer(True, content_hash, len(models), str(repository.root), revision)


def _shared(repository: Repository) -> list[str]:
    """The parameters and the weights, also those that git has and that are gone."""
    listed = repository.git("ls-files", "-z", "--cached", "--others", "--", PARAMS, ":(glob)weights/*.dvc")
    return [name for name in listed.split("\0") if name]


def _hashes(repository: Repository, folder: PackageFolder) -> list[str]:
    """The folders that a version of the package consists of, with its model versions."""
    hashes = list(working_tree(repository, folder).outs.values())
    return hashes + [recorded_hash(Path(f"{path}.dvc")) for path in _models(folder)]


def _models(folder: PackageFolder) -> list[Path]:
    """The folders of the package's model versions; one that is gone is missing from disk, and stays in history."""
    if not folder.stage("models").is_dir():
        return []
    from alp_assets.stages.models import package_versions

    return [path for path in package_versions(folder) if path.is_dir()]


def _pipeline_stages(folder: PackageFolder, params: Params, repository: Repository) -> list[str]:
    """The stages of ``dvc.yaml`` that make this package, or none."""
    if repository.root != PROJECT or not default_data_root(folder.data_root):
        return []
    for name, reference in params.packages.items():
        if (reference.customer, reference.package) == (folder.customer, folder.package):
            return [f"{stage}@{name}" for stage in STAGES]
    return []


def _failed(folder: PackageFolder, error: Exception) -> SnapshotFailed:
    if isinstance(error, StageDamaged):
        return SnapshotFailed(f"{folder.key}: is not versioned: {error} Then run `alp snapshot`.")
    said = str(error) if isinstance(error, AlpError) else repr(error)
    return SnapshotFailed(
        f"{folder.key}: DVC could not version the package ({said}). Its results are whole; run `alp snapshot` "
        "when this is mended."
    )
