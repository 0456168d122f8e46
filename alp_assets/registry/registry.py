"""Which model versions there are, and which one a section scores with.

Version folders are copies that nobody changes: ``models/<customer>/<section>/<version>/`` in the data
root. The table is ``registry.db`` beside it.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from alp_assets.errors import ModelCorrupt
from alp_assets.files import replaced_folder
from schemas.sections import Section

_TABLES = sa.MetaData()
_VERSIONS = sa.Table(
    "versions",
    _TABLES,
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("customer", sa.String, primary_key=True),
    sa.Column("machine_type", sa.String, primary_key=True),
    sa.Column("section_id", sa.String, primary_key=True),
    sa.Column("package", sa.String, nullable=False),
    sa.Column("received_at", sa.String, nullable=False),
    sa.Column("registered_at", sa.String, nullable=False),
    sa.Column("folder", sa.String, nullable=False),
)


@dataclass(frozen=True)
class Version:
    """One fitted model of a section. ``folder`` holds model, plan and threshold."""

    version: str
    section: Section
    package: str
    registered_at: str
    folder: Path


class Registry:
    """The model versions of one data root. Safe to use from several threads and processes."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root
        data_root.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(
            f"sqlite:///{data_root / 'registry.db'}", connect_args={"timeout": 60}, poolclass=sa.NullPool
        )
        with self._engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(_VERSIONS, if_not_exists=True))

    def register(self, section: Section, package: str, received_at: str, folder: Path) -> Version:
        """Keep a copy of a fitted model's folder as a version. The same content is the same version.

        A copy that was damaged since is made anew.
        """
        version = content_hash(folder)
        relative = Path("models", section.customer, section.folder, version)
        row = {
            "version": version,
            "customer": section.customer,
            "machine_type": section.machine_type,
            "section_id": section.section_id,
            "package": package,
            "received_at": received_at,
            "registered_at": datetime.now(UTC).isoformat(),
            "folder": relative.as_posix(),
        }
        with self._engine.begin() as connection:
            connection.execute(_VERSIONS.delete().where(*_same_version(section, version)))
            if not _is_whole(self._root / relative, version):  # one at a time: deleting took the write lock
                with replaced_folder(self._root / relative) as part:
                    shutil.copytree(folder, part, dirs_exist_ok=True)
            connection.execute(_VERSIONS.insert().values(row))
        return self._version(section, row["version"], package, row["registered_at"], row["folder"])

    def champion(self, section: Section) -> Version | None:
        """The version that the section scores with: the latest fit of the package received last."""
        versions = self.versions(section)
        return versions[0] if versions else None

    def versions(self, section: Section) -> list[Version]:
        """All versions of a section, the champion first."""
        query = (
            sa.select(_VERSIONS)
            .where(*_same_section(section))
            .order_by(_VERSIONS.c.received_at.desc(), _VERSIONS.c.registered_at.desc())
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            self._version(section, row["version"], row["package"], row["registered_at"], row["folder"])
            for row in rows
        ]

    def _version(self, section: Section, version: str, package: str, registered_at: str, folder: str) -> Version:
        return Version(version, section, package, registered_at, self._root / folder)


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


def _same_section(section: Section) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        _VERSIONS.c.customer == section.customer,
        _VERSIONS.c.machine_type == section.machine_type,
        _VERSIONS.c.section_id == section.section_id,
    )


def _same_version(section: Section, version: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_same_section(section), _VERSIONS.c.version == version)


def content_hash(folder: Path) -> str:
    """The version that a folder with these files is."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
