"""Which model versions there are, and which one a section scores with.

Version folders are copies that nobody changes: ``models/<customer>/<section>/<version>/`` in the data
root. What is known of them lies in ``registry.db`` beside it, or in the database of ``ALP_REGISTRY_URL``.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast, get_args

import sqlalchemy as sa

from alp_assets.errors import ModelCorrupt
from alp_assets.files import replaced_folder
from alp_assets.params import PromotionParams
from alp_assets.registry import rows
from alp_assets.registry.contents import content_hash, describe_folder
from alp_assets.registry.database import FILE, Database
from alp_assets.registry.names import checked_name
from alp_assets.registry.promotion import objections
from alp_assets.registry.records import (
    ClipLabel,
    Event,
    Label,
    ModelMissing,
    RegistryRefused,
    State,
    ThresholdVersion,
    Version,
)
from alp_assets.registry.tables import EVENTS, LABELS, VERSIONS
from alp_assets.store.base import store_of
from alp_assets.store.manifest import FolderDamaged
from schemas.sections import Section

__all__ = ["ModelMissing", "Registry", "RegistryRefused", "content_hash", "verify"]

_WAITS = "waits until its package is scored"


class Registry:
    """The model versions of one data root. Safe to use from several threads and processes.

    Args:
        data_root: where the versions' folders lie.
        url: of the database; by default ``ALP_REGISTRY_URL``, else ``registry.db`` in the data root.

    Raises:
        RegistryRefused: the database cannot be opened, or an ALP newer than this one made it.
    """

    def __init__(self, data_root: Path, url: str | None = None) -> None:
        self._root, self._store = data_root, store_of(data_root)
        chosen = url or os.environ.get("ALP_REGISTRY_URL")
        if not chosen and self._store.mirrors:
            raise RegistryRefused(
                "ALP_DATA names a bucket, which cannot hold the registry: several machines write to it. Set "
                "ALP_REGISTRY_URL=postgresql://user@host/database."
            )
        self._database = Database(chosen or f"sqlite:///{data_root.absolute() / FILE}", data_root)

    def register(
        self,
        section: Section,
        package: str,
        received_at: str,
        folder: Path,
        *,
        name: str = "",
        description: str = "",
        who: str = "alp",
        origin: str = "",
        created_at: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> Version:
        """Keep a copy of a fitted model's folder as a version.

        The first model of a section becomes its champion, later ones wait as candidates until ``judge``. The same
        content again is the same version and stays what it is; a copy that was damaged since is made anew.
        ``origin`` says where a model comes from that was not fitted here; ``created_at`` and ``metrics`` are what
        was known of it there.

        Raises:
            ModelCorrupt: the folder holds no model.
            RegistryRefused: another model has the name, or another section this very model.
        """
        contents = describe_folder(folder)
        version = contents["version"]
        place = Path("models", section.customer, section.folder, version)
        if self._store.mirrors:
            self._keep(folder, place, version)  # the same for whoever does it: nobody need wait for the upload
        with self._database.writing() as connection:
            there = connection.execute(sa.select(VERSIONS).where(VERSIONS.c.version == version)).mappings().first()
            known = rows.proven(there) if there else None
            if known and rows.version_of(known, self._root).section != section:
                raise RegistryRefused(f"{folder}: this is model {known['name']} of another section.")
            if not self._store.mirrors:
                self._keep(folder, place, version)  # one at a time: nobody else may write
            if known:
                if not known["files"]:  # could not be read when an earlier layout was taken over
                    rows.change(connection, **contents)
                    rows.add_threshold(connection, version, contents["threshold"], "fitted", who)
            else:
                row = {
                    **contents,
                    "customer": section.customer,
                    "machine_type": section.machine_type,
                    "section_id": section.section_id,
                    "name": rows.free_name(
                        connection, checked_name(name) if name else "", section, contents["engine"]
                    ),
                    "state": State.CANDIDATE.value,
                    "pinned": False,
                    "package": package,
                    "received_at": received_at,
                    "created_at": created_at or rows.now(),
                    "metrics": dict(metrics or {}),
                    "folder": place.as_posix(),
                    "description": description,
                    "reason": "waits for somebody to promote it" if origin else _WAITS,
                }
                self._add(connection, row, section, who, origin)
            return self._version(connection, version)

    def judge(
        self, version: str, metrics: Mapping[str, float], rule: PromotionParams, who: str = "alp"
    ) -> Version:
        """Note the labelled figures of a version's own package, and promote a candidate that deserves it.

        A candidate that does not stays one, with the reason. Champions and archived versions stay what they are.
        """
        with self._database.writing() as connection:
            row = rows.find_row(connection, version)
            figures = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
            if figures != row["metrics"]:
                rows.change(connection, row["version"], metrics=figures)
                before, after = _figures(row["metrics"]), _figures(figures)
                rows.note(connection, row["version"], "metrics", who, before, after, "its package was scored")
            found = self._version(connection, row["version"])
            if found.state is State.CANDIDATE:
                self._judge(connection, found, rule, who)
            return self._version(connection, row["version"])

    def get(self, version: str) -> Version:
        """The version of an id or a name; ``ModelMissing`` when there is none."""
        with self._database.reading() as connection:
            row = rows.find_row(connection, version)
        return self._fetched(row)

    def find(
        self,
        *,
        customer: str | None = None,
        machine_type: str | None = None,
        section_id: str | None = None,
        engine: str | None = None,
        state: State | str | None = None,
    ) -> list[Version]:
        """The versions that have all that is given, champions first, then the newest."""
        wanted = {
            "customer": customer,
            "machine_type": machine_type,
            "section_id": section_id,
            "engine": engine,
            "state": None if state is None else str(state),
        }
        where = [VERSIONS.c[name] == value for name, value in wanted.items() if value is not None]
        with self._database.reading() as connection:
            found = connection.execute(rows.in_order(sa.select(VERSIONS).where(*where))).mappings()
            return [self._listed(rows.proven(row)) for row in found]

    def versions(self, section: Section) -> list[Version]:
        """All versions of a section, the champion first, then the newest."""
        return self.find(
            customer=section.customer, machine_type=section.machine_type, section_id=section.section_id
        )

    def champion(self, section: Section) -> Version | None:
        """The version that the section scores with."""
        with self._database.reading() as connection:
            row = rows.champion_row(connection, section)
        return None if row is None else self._fetched(row)

    def promote(self, version: str, who: str, why: str) -> Version:
        """Make a version the champion of its section, whatever the policy says.

        Raises:
            ModelCorrupt: its files are gone or changed.
            RegistryRefused: the present champion is pinned.
        """
        found = self.get(version)
        verify(found)
        with self._database.writing() as connection:
            row = rows.find_row(connection, found.version)
            if row["state"] != State.CHAMPION:
                self._crown(connection, found, "promoted", who, why)
            return self._version(connection, found.version)

    def rollback(self, section: Section, who: str, why: str) -> Version:
        """Make the champion before the present one the champion again.

        Raises:
            ModelMissing: the section has no champion, or had none before this one.
            ModelCorrupt: the files of the one before are gone or changed.
            RegistryRefused: the present champion is pinned.
        """
        with self._database.writing() as connection:
            before = rows.champion_before(connection, section)
            if before is None:
                raise ModelMissing(f"{section}: there was no champion before the present one to go back to.")
            found = self._fetched(rows.find_row(connection, before))
            verify(found)
            self._crown(connection, found, "rolled_back", who, why)
            return self._version(connection, before)

    def archive(self, version: str, who: str, why: str) -> Version:
        """Take a version out of use; ``RegistryRefused`` for a champion."""
        with self._database.writing() as connection:
            row = rows.find_row(connection, version)
            if row["state"] == State.CHAMPION:
                raise RegistryRefused(f"{row['name']}: is the champion of its section. Promote another one first.")
            if row["state"] != State.ARCHIVED:
                self._enter(connection, row, State.ARCHIVED, "archived", who, why)
            return self._version(connection, row["version"])

    def pin(self, version: str, who: str, why: str) -> Version:
        """Make a version the champion, if it is not, and keep it so until it is unpinned."""
        found = self.promote(version, who, why)
        with self._database.writing() as connection:
            row = rows.find_row(connection, found.version)
            if row["state"] != State.CHAMPION:
                raise RegistryRefused(f"{row['name']}: another model was promoted meanwhile. Try again.")
            if not row["pinned"]:
                rows.change(connection, found.version, pinned=True)
                rows.note(connection, found.version, "pinned", who, row["state"], row["state"], why)
            return self._version(connection, found.version)

    def unpin(self, section: Section, who: str, why: str) -> Version:
        """Let the section's champion be replaced again; ``ModelMissing`` when it has none."""
        with self._database.writing() as connection:
            row = rows.champion_row(connection, section)
            if row is None:
                raise ModelMissing(f"{section}: has no champion.")
            if row["pinned"]:
                rows.change(connection, row["version"], pinned=False)
                rows.note(connection, row["version"], "unpinned", who, row["state"], row["state"], why)
            return self._version(connection, row["version"])

    def describe(self, version: str, text: str, who: str) -> Version:
        """Write what a version is, in place of what was written before."""
        with self._database.writing() as connection:
            row = rows.find_row(connection, version)
            if row["description"] != text:
                rows.change(connection, row["version"], description=text)
                rows.note(connection, row["version"], "described", who, row["description"], text, "")
            return self._version(connection, row["version"])

    def history(self, section: Section | None = None, version: str | None = None) -> list[Event]:
        """The decisions about a section's versions, about one version, or all of them; newest first."""
        query = sa.select(EVENTS).order_by(EVENTS.c.number.desc())
        with self._database.reading() as connection:
            if section is not None:
                query = query.join(VERSIONS, VERSIONS.c.version == EVENTS.c.version).where(
                    *rows.in_section(section)
                )
            if version is not None:
                query = query.where(EVENTS.c.version == rows.find_row(connection, version)["version"])
            return [rows.event_of(row) for row in connection.execute(query).mappings()]

    def save_threshold(self, version: str, value: float, note: str, who: str) -> ThresholdVersion:
        """Give a version another threshold, which is in force from then on."""
        if not math.isfinite(value):
            raise RegistryRefused(f"{value} is no threshold: give a finite number.")
        with self._database.writing() as connection:
            row = rows.find_row(connection, version)
            before = rows.sound_thresholds(connection, row["version"])
            saved = rows.add_threshold(connection, row["version"], float(value), note, who)
            was = repr(before[-1].value) if before else ""
            rows.note(connection, row["version"], "threshold", who, was, repr(saved.value), note)
            return saved

    def thresholds(self, version: str) -> list[ThresholdVersion]:
        """The thresholds of a version; the first is the fitted one and the last is in force."""
        with self._database.reading() as connection:
            return rows.thresholds(connection, rows.find_row(connection, version)["version"])

    def threshold(self, version: str) -> float:
        """The threshold in force."""
        found = self.thresholds(version)
        return found[-1].value if found else math.nan

    def label(self, customer: str, package: str, clip_id: str, label: str, note: str, who: str) -> Label:
        """Note what a clip is: a false alarm is ``normal``, a real one ``anomaly``. The last word counts."""
        if label not in get_args(ClipLabel):
            raise RegistryRefused(f"{label!r} is no label: choose {' or '.join(get_args(ClipLabel))}.")
        found = Label(customer, package, clip_id, cast("ClipLabel", label), note, who, rows.now())
        with self._database.writing() as connection:
            connection.execute(LABELS.insert().values(vars(found)))
        return found

    def labels(self, customer: str, package: str | None = None) -> list[Label]:
        """The last label of every clip of a customer, or of one package of it."""
        with self._database.reading() as connection:
            return rows.latest_labels(connection, customer, package)

    def label_history(self, customer: str) -> list[Label]:
        """Every label that was given to clips of a customer, the first one first: later ones took their place."""
        with self._database.reading() as connection:
            return rows.given_labels(connection, customer)

    def _listed(self, row: rows.Row) -> Version:
        """The same where it was never fetched."""
        return rows.version_of(row, self._root) if (self._root / row["folder"]).is_dir() else self._fetched(row)

    def _fetched(self, row: rows.Row) -> Version:
        """A version whose files are in the data root, unless they are damaged, which ``verify`` tells."""
        with suppress(FolderDamaged):
            self._store.fetch(row["folder"])
        return rows.version_of(row, self._root)

    def _keep(self, folder: Path, place: Path, version: str) -> None:
        if not self._store.mirrors and _is_whole(self._root / place, version):
            return
        with replaced_folder(self._root / place) as part:
            shutil.copytree(folder, part, dirs_exist_ok=True)
            if content_hash(part) != version:
                raise ModelCorrupt(f"{folder}: this model was changed while it was registered. Try again.")
            self._store.publish(place.as_posix(), part)

    def _add(
        self, connection: sa.Connection, row: dict[str, Any], section: Section, who: str, origin: str
    ) -> None:
        connection.execute(VERSIONS.insert().values(row))
        version, state = row["version"], row["state"]
        why = origin or f"fitted on package {row['package']}"
        rows.note(connection, version, "imported" if origin else "registered", who, "", state, why)
        rows.add_threshold(connection, version, row["threshold"], "fitted", who)
        if rows.champion_row(connection, section) is None:
            found = self._version(connection, version)
            self._crown(connection, found, "promoted", who, "the first model of its section")

    def _judge(self, connection: sa.Connection, found: Version, rule: PromotionParams, who: str) -> None:
        row = rows.champion_row(connection, found.section)
        against = objections(found, rows.version_of(row, self._root), rule) if row else []
        if not against:
            why = f"no worse than {row['name']}" if row else "its section has no champion"
            self._crown(connection, found, "promoted", who, why)
        elif found.reason != (reason := "; ".join(against)):
            rows.change(connection, found.version, reason=reason)
            rows.note(connection, found.version, "withheld", who, found.state, found.state, reason)

    def _crown(self, connection: sa.Connection, found: Version, what: str, who: str, why: str) -> None:
        """Make a version the champion; the one before is archived."""
        present = rows.champion_row(connection, found.section)
        if present and present["pinned"]:
            raise RegistryRefused(f"{found.section}: its champion {present['name']} is pinned. Unpin it first.")
        if present:
            self._enter(connection, present, State.ARCHIVED, "archived", who, f"{found.name} took its place")
        row = rows.find_row(connection, found.version)
        self._enter(connection, row, State.CHAMPION, what, who, why)

    def _enter(
        self, connection: sa.Connection, row: rows.Row, state: State, what: str, who: str, why: str
    ) -> None:
        rows.change(connection, row["version"], state=state.value, reason=why)
        rows.note(connection, row["version"], what, who, row["state"], state.value, why)

    def _version(self, connection: sa.Connection, version: str) -> Version:
        return rows.version_of(rows.find_row(connection, version), self._root)


def verify(version: Version) -> None:
    """``ModelCorrupt`` when a version's folder is gone or not what was registered."""
    if not _is_whole(version.folder, version.version):
        raise ModelCorrupt(
            f"{version.folder}: this model version of {version.section} is missing or was changed after it "
            f"was registered. Run the models stage of package {version.package} again, or restore the "
            "folder from DVC."
        )


def _is_whole(folder: Path, version: str) -> bool:
    return folder.is_dir() and content_hash(folder) == version


def _figures(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items()))
