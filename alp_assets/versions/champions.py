"""Which model a section scored with, and since when; and bringing the one of a day back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from alp_assets.errors import VersionRefused
from alp_assets.registry.records import Version
from alp_assets.registry.registry import Registry
from alp_assets.versions.repository import repository_of
from alp_assets.versions.restore import bring_model
from alp_assets.versions.revisions import end_of_revision, moment
from alp_assets.versions.store import opened
from schemas.sections import Section

_CROWNED = ("promoted", "rolled_back")


@dataclass(frozen=True)
class Reign:
    """The time for which a model version was its section's champion; ``until`` is empty while it is."""

    version: str
    since: str
    until: str


@dataclass(frozen=True)
class RestoredModel:
    """The name of the model that was champion then, and since and until when, as in ``Reign``.

    ``notes`` say in words what became of its files, and what is not as it was then.
    """

    model: str
    since: str
    until: str
    notes: list[str]


def reigns(registry: Registry, section: Section) -> list[Reign]:
    """The champions that a section had, the first one first."""
    crowned = [event for event in reversed(registry.history(section)) if event.what in _CROWNED]
    ends = [*(event.at for event in crowned[1:]), ""]
    return [Reign(event.version, event.at, end) for event, end in zip(crowned, ends, strict=True)]


def restore_champion(data_root: Path, section: Section, revision: str) -> RestoredModel:
    """Bring back the files of the model that was champion at the end of a day or minute, or at a commit.

    The registry is left as it is: which model a section scores with is a decision of its own.

    Raises:
        VersionRefused: there is no such moment or commit, the section had no champion then, or the files cannot
            be had.
    """
    repository = repository_of(data_root)
    registry = Registry(repository.data_root)
    if not registry.versions(section):
        raise VersionRefused(f"{section}: has no models. `alp models list` shows the sections that have.")
    end = end_of_revision(repository, revision)
    before = [reign for reign in reigns(registry, section) if moment(reign.since) < end]
    if not before:
        raise VersionRefused(
            f"{section}@{revision}: it had no champion yet. `alp history {section}` shows which it had, and when."
        )
    then = registry.get(before[-1].version)
    with opened(repository) as store:
        told = bring_model(store, repository, then.folder, then.version)
    notes = [told, *_threshold(registry, then, end), *_champion(registry, then)]
    return RestoredModel(then.name, before[-1].since, before[-1].until, notes)


def _threshold(registry: Registry, then: Version, end: datetime) -> list[str]:
    """What somebody has set since."""
    given = registry.thresholds(then.version)
    earlier = [item for item in given if moment(item.at) < end]
    if not earlier or earlier[-1].value == given[-1].value:
        return []
    return [f"Its threshold was {earlier[-1].value:.4g} then and is {given[-1].value:.4g} now."]


def _champion(registry: Registry, then: Version) -> list[str]:
    """How to put it in force, where it is not."""
    champion = registry.champion(then.section)
    if champion is None or champion.version == then.version:
        return []
    return [
        f"{then.section} goes on scoring with {champion.name}. `alp models promote {then.name}` puts this one in "
        "force."
    ]
