"""Bringing a package, or a section's models, back as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import VersionRefused
from alp_assets.files import replaced_folder, write_bytes
from alp_assets.params import Params
from alp_assets.registry.contents import content_hash
from alp_assets.registry.records import ModelMissing, State
from alp_assets.registry.registry import Registry
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.copying import commit_copied
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import Repository, repository_of
from alp_assets.versions.revisions import Revision, committed, find_revision, recorded_model, working_tree
from alp_assets.versions.store import Store, opened
from schemas.sections import Section


@dataclass(frozen=True)
class Restored:
    """What was brought back. ``notes`` say in words what became of its models, and what did not change.

    ``revision`` is the new commit, empty where ALP does not commit or everything was as wanted already.
    """

    version: str
    at: str
    changed: bool
    revision: str
    notes: list[str]


def restore(folder: PackageFolder, revision: str, params: Params, *, force: bool = False) -> Restored:
    """Bring a package's folder back as it was, all of it or nothing, and fetch its model versions' files.

    The registry is left as it is: which model a section scores with is a decision of its own.

    Raises:
        VersionRefused: there is no such version, it cannot be had, or what lies there was never versioned and
            ``force`` is not given.
        PackageBusy: somebody works on the package.
    """
    repository = repository_of(folder.data_root)
    find_revision(repository, folder, revision)  # before locks, which are files beside the package
    with Queue(folder.data_root).lock(params.versioned.wait_s), folder.lock(), opened(repository) as store:
        wanted = find_revision(repository, folder, revision)
        changed = folder.path.is_dir() is False or _present(store, folder, wanted) != wanted.outs
        if not force:
            _refuse_uncommitted(repository, folder, wanted)
        if changed:
            if not force:
                refuse_unversioned(store, repository, folder)
            _replace(store, folder, wanted)
        commit = _record(repository, folder, wanted)
        notes = _models(store, repository, folder)
    notes += commit_copied(repository, folder, params.versioned) if commit else []
    return Restored(wanted.name, wanted.commit.at if wanted.commit else "", changed, commit, notes)


def refuse_unversioned(store: Store, repository: Repository, folder: PackageFolder) -> None:
    """``VersionRefused`` when the package holds results that no version has."""
    if not folder.path.is_dir():
        return
    last = working_tree(repository, folder)
    if not last.outs or _present(store, folder, last) != last.outs:
        name = f"{folder.customer}/{folder.package}"
        raise VersionRefused(
            f"{name}: holds results that no version has yet, and they would be lost. Run `alp snapshot {name}` "
            "first, or add --force."
        )


def _refuse_uncommitted(repository: Repository, folder: PackageFolder, wanted: Revision) -> None:
    """``VersionRefused`` when the ``.dvc`` file alone knows the latest version, and would know it no more."""
    last = working_tree(repository, folder).outs
    if repository.own or "" not in last or last == wanted.outs:
        return
    if all(item.outs != last for item in committed(repository, folder)):
        raise VersionRefused(
            f"{folder.customer}/{folder.package}: its latest version is not committed, and would be lost. Commit "
            f"{folder.package}.dvc first, or add --force."
        )


def restore_models(data_root: Path, section: Section) -> list[str]:
    """Bring back the files of a section's model versions that are gone or changed; what was done, in words."""
    repository = repository_of(data_root)
    versions = Registry(data_root).versions(section)
    if not versions:
        raise VersionRefused(f"{section}: has no models. `alp models list` shows the sections that have.")
    with opened(repository) as store:
        told = [bring_model(store, repository, item.folder, item.version) for item in versions]
    return [f"{item.name} ({item.state}): {text}" for item, text in zip(versions, told, strict=True)]


def _present(store: Store, folder: PackageFolder, like: Revision) -> dict[str, str]:
    """What lies there, by the folders that a version names."""
    places = {name: folder.path / name for name in like.outs}
    return {name: store.hash_of(place) if place.is_dir() else "" for name, place in places.items()}


def _replace(store: Store, folder: PackageFolder, wanted: Revision) -> None:
    store.fetch(store.closure(wanted.outs.values()))
    with replaced_folder(folder.path) as part:
        for name, value in wanted.outs.items():
            (part / name).mkdir(exist_ok=True)
            store.checkout(value, part / name)


def _record(repository: Repository, folder: PackageFolder, wanted: Revision) -> str:
    """Let the ``.dvc`` file say what lies there; a pipeline's lock file is the pipeline's."""
    if "" not in wanted.outs or wanted.commit is None:
        return ""
    path = Path(f"{folder.path}.dvc")
    name = repository.inside(path.parent) + f"/{path.name}"
    text = repository.git("show", f"{wanted.commit.commit}:{name}")
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_bytes(path, text.encode())
    if not repository.own:
        return ""
    head = repository.git("rev-parse", "HEAD").strip()
    words = f"{folder.customer}/{folder.package}: restored as of {wanted.name} ({wanted.commit.at[:10]})"
    commit = repository.git.committed([name], f"{words}\n\nContent: {wanted.outs['']}\n")
    return commit if repository.git("rev-parse", "HEAD").strip() != head else ""


def _models(store: Store, repository: Repository, folder: PackageFolder) -> list[str]:
    """What the restored package's models are to the registry, which nobody changed."""
    if not folder.stage("models").is_dir():
        return []
    registry, notes = Registry(folder.data_root), []
    for section in package_sections(folder):
        place = folder.stage("models") / section.folder
        if not (place / "model.json").is_file():
            continue
        version = content_hash(place)
        try:
            known = registry.get(version)
        except ModelMissing:
            notes.append(
                f"{section}: model {version} of this version is not in the registry, which was left as it is. "
                f"`alp stage models {folder.customer}/{folder.package}` registers one."
            )
            continue
        state = "is its champion" if known.state is State.CHAMPION else f"is {known.state}"
        champion = registry.champion(section)
        text = f"{section}: {known.name} {state}"
        if known.state is not State.CHAMPION:
            text += f"; it goes on scoring with {champion.name}" if champion else "; it has no champion"
            text += f". `alp models promote {known.name}` puts the restored one in force"
        notes.append(f"{text}. {bring_model(store, repository, known.folder, version)}")
    return notes


def bring_model(store: Store, repository: Repository, place: Path, version: str) -> str:
    """See that a model version's files are there."""
    if place.is_dir() and content_hash(place) == version:
        return "Its files are whole."
    try:
        value = recorded_model(repository, place.relative_to(repository.data_root))
    except VersionRefused as error:
        return f"Its files are gone or changed, and cannot be brought back: {error}"
    with replaced_folder(place) as part:
        store.checkout(value, part)
    if content_hash(place) != version:
        return "Its files were brought back, but are not what was registered: fit it again."
    return "Its files were brought back."
