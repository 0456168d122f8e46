"""The versions that there are of a package or of a section's models, and what changed from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alp_assets.errors import AlpError, VersionRefused
from alp_assets.registry.records import Version
from alp_assets.registry.registry import Registry
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.champions import Reign, reigns
from alp_assets.versions.compare import Change, changes, score_changes
from alp_assets.versions.contents import Contents, contents_of, flat
from alp_assets.versions.git import Commit
from alp_assets.versions.repository import Repository, repository_of
from alp_assets.versions.revisions import Revision, committed, working_tree
from alp_assets.versions.store import Store, opened
from schemas.sections import Section

FIGURES = ("auc", "pauc", "harmonic_mean")


@dataclass(frozen=True)
class PackageVersion:
    """One version of a package and what is not as it was in the version before.

    ``at`` is ISO 8601 and empty for a version that is not committed. ``figures`` are AUC, partial AUC, harmonic
    mean, sections scored and clips flagged. ``rescored`` clips have another score, threshold or verdict than the
    version before gave them. ``problem`` says why the version cannot be read.
    """

    revision: str
    commit: str
    at: str
    who: str
    message: str
    content: str
    figures: dict[str, Any]
    parameters: dict[str, Change]
    changed: dict[str, Change]
    rescored: int = 0
    problem: str = ""


@dataclass(frozen=True)
class ModelVersion:
    """One version of a section's models, with the commit that first held it; ``parameters`` as above.

    ``reigns`` are the times for which the section scored with it.
    """

    version: str
    name: str
    state: str
    engine: str
    package: str
    created_at: str
    revision: str
    at: str
    message: str
    figures: dict[str, Any]
    parameters: dict[str, Change]
    changed: dict[str, Change]
    reigns: list[Reign]


def package_history(folder: PackageFolder, most: int) -> list[PackageVersion]:
    """The versions of a package, the latest first, ``most`` at most.

    Raises:
        VersionRefused: nothing of it was versioned.
    """
    repository = repository_of(folder.data_root)
    found = committed(repository, folder)
    now = working_tree(repository, folder)
    if now.outs and (not found or found[0].outs != now.outs):
        found = [now, *found]
    if not found:
        raise VersionRefused(f"{folder.customer}/{folder.package}: no version of it is in {repository.root}.")
    shown = found[: most + 1]  # the last is what the one before it is compared with
    with opened(repository) as store:
        read = [_read(store, revision) for revision in shown]
    earlier = [*read[1:], None]
    return [_told(*item) for item in zip(shown, read, earlier, strict=True)][:most]


def section_history(repository: Repository, section: Section) -> list[ModelVersion]:
    """The versions of a section's models, the latest first.

    Raises:
        VersionRefused: it has none.
    """
    registry = Registry(repository.data_root)
    found = sorted(registry.versions(section), key=lambda item: item.created_at)
    if not found:
        raise VersionRefused(f"{section}: has no models. `alp models list` shows the sections that have.")
    commits = _first_commits(repository, found)
    champions = reigns(registry, section)
    told = []
    for number, version in enumerate(found):
        before = found[number - 1] if number else None
        told.append(_model(registry, version, before, commits.get(version.version), champions))
    return told[::-1]


def _read(store: Store, revision: Revision) -> Contents | str:
    """A version, or why it cannot be read: then the others are shown all the same."""
    try:
        contents = contents_of(store, revision)
        _ = contents.metrics, contents.scores
    except AlpError as error:
        return str(error)
    return contents


def _told(revision: Revision, contents: Contents | str, before: Contents | str | None) -> PackageVersion:
    commit = revision.commit
    readable = isinstance(contents, Contents)
    figures = _figures(contents) if isinstance(contents, Contents) else {}
    parameters: dict[str, Change] = {}
    changed: dict[str, Change] = {}
    rescored = 0
    if isinstance(contents, Contents) and isinstance(before, Contents):
        rescored = len(score_changes(before, contents))
        parameters = changes(before.parameters, contents.parameters)
        changed = changes(_figures(before), figures)
    return PackageVersion(
        revision=revision.name,
        commit=commit.commit if commit else "",
        at=commit.at if commit else "",
        who=commit.who if commit else "",
        message=commit.subject if commit else "not committed yet",
        content=revision.outs.get("") or revision.outs.get("scores", ""),
        figures=figures,
        parameters=parameters,
        changed=changed,
        rescored=rescored,
        problem="" if readable else str(contents),
    )


def _figures(contents: Contents) -> dict[str, Any]:
    if not contents.metrics:
        return {}
    overall, counts = contents.metrics["overall"], contents.metrics["counts"]
    figures = {name: overall[name] for name in FIGURES if overall.get(name) is not None}
    return {**figures, **{name: counts[name] for name in ("scored", "sections", "flagged", "test_clips")}}


def _first_commits(repository: Repository, versions: list[Version]) -> dict[str, Commit]:
    """The commit that each version's ``.dvc`` file came with."""
    found = {}
    for version in versions:
        path = repository.inside(version.folder.parent) + f"/{version.version}.dvc"
        if commits := repository.git.log("--diff-filter=A", "--", path):
            found[version.version] = commits[0]
    return found


def _model(
    registry: Registry, version: Version, before: Version | None, commit: Commit | None, champions: list[Reign]
) -> ModelVersion:
    def figures(item: Version) -> dict[str, Any]:
        return {"threshold": registry.threshold(item.version), "normals": item.clips, **item.metrics}

    return ModelVersion(
        version=version.version,
        name=version.name,
        state=f"{version.state}, pinned" if version.pinned else str(version.state),
        engine=version.engine,
        package=version.package,
        created_at=version.created_at,
        revision=commit.commit[:10] if commit else "",
        at=commit.at if commit else "",
        message=commit.subject if commit else "not committed",
        figures=figures(version),
        parameters=changes(flat(before.parameters), flat(version.parameters)) if before else {},
        changed=changes(figures(before), figures(version)) if before else {},
        reigns=[reign for reign in champions if reign.version == version.version],
    )
