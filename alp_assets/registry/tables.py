"""The tables of the registry, as the latest migration leaves them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from alp_assets.registry.checksums import COLUMN, checksum_of

REVISION = "0002"
"""The latest migration; a database that says so needs none."""

TABLES = sa.MetaData()


def _checksum() -> sa.Column[str]:
    """What a row that is inserted says of its other columns; who updates one updates it too."""

    def default(context: Any) -> str:
        return checksum_of(context.get_current_parameters())

    return sa.Column(COLUMN, sa.String(16), nullable=True, default=default)


VERSIONS = sa.Table(
    "model_versions",
    TABLES,
    sa.Column("version", sa.String(16), primary_key=True),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("machine_type", sa.Text, nullable=False),
    sa.Column("section_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("letter", sa.Text, nullable=False),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("weights", sa.Text, nullable=False),
    sa.Column("package", sa.Text, nullable=False),
    sa.Column("received_at", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("packages", sa.JSON, nullable=False),
    sa.Column("clips", sa.Integer, nullable=False),
    sa.Column("data_hash", sa.Text, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("calibration", sa.JSON, nullable=False),
    sa.Column("threshold", sa.Float, nullable=True),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    _checksum(),
)

_CHAMPION = sa.text("state = 'champion'")
sa.Index(
    "one_champion",
    VERSIONS.c.customer,
    VERSIONS.c.machine_type,
    VERSIONS.c.section_id,
    unique=True,
    sqlite_where=_CHAMPION,
    postgresql_where=_CHAMPION,
)
sa.Index("of_section", VERSIONS.c.customer, VERSIONS.c.machine_type, VERSIONS.c.section_id)

EVENTS = sa.Table(
    "events",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.String(20), nullable=False),
    sa.Column("version", sa.String(16), sa.ForeignKey("model_versions.version"), nullable=False, index=True),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

THRESHOLDS = sa.Table(
    "thresholds",
    TABLES,
    sa.Column("version", sa.String(16), sa.ForeignKey("model_versions.version"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    _checksum(),
)

LABELS = sa.Table(
    "labels",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("package", sa.Text, nullable=False),
    sa.Column("clip_id", sa.Text, nullable=False),
    sa.Column("label", sa.String(16), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("of_package", "customer", "package"),
)
