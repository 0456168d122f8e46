"""Versions with states, their history, thresholds and labels; takes over what a table ``versions`` held."""

import itertools
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from alp_assets.errors import ModelCorrupt
from alp_assets.registry.contents import describe_folder
from alp_assets.registry.names import default_name

revision = "0001"
down_revision = None

_WHO = "alp"
_UNKNOWN = ("engine", "letter", "encoder", "weights", "data_hash", "code_version", "description")
_SUCCEEDED = "a model of a package received later took its place"


def upgrade() -> None:
    """Make the tables and fill them from the earlier layout, where there is one."""
    versions, events, thresholds = _make_tables()
    connection = op.get_bind()
    if not sa.inspect(connection).has_table("versions"):
        return
    earlier = connection.execute(sa.text("SELECT * FROM versions ORDER BY received_at, registered_at")).mappings()
    taken = _taken_over([dict(row) for row in earlier], context.config.attributes["data_root"])
    for row in taken:
        connection.execute(versions.insert().values(row))
    for row in taken:
        connection.execute(events.insert(), _history(row))
        if row["threshold"] is not None:
            first = {
                "number": 0,
                "value": row["threshold"],
                "note": "fitted",
                "who": _WHO,
                "at": row["created_at"],
            }
            connection.execute(thresholds.insert().values(version=row["version"], **first))
    op.drop_table("versions")


def _taken_over(earlier: list[dict[str, Any]], root: Path) -> list[dict[str, Any]]:
    """The rows of versions; the last of a section is its champion, as the earlier layout had it."""
    last = {_section(row): row["version"] for row in earlier}
    names: set[str] = set()
    rows: dict[str, dict[str, Any]] = {}
    for row in earlier:
        found = {**_unread(row), **_read(root / row["folder"], row["version"])}
        champion = last[_section(row)] == row["version"]
        found |= {
            "state": "champion" if champion else "archived",
            "reason": "its package was received last" if champion else _SUCCEEDED,
        }
        stem = default_name(row["machine_type"], row["section_id"], found["engine"] or "model")
        found["name"] = next(name for i in itertools.count(1) if (name := f"{stem}-{i}") not in names)
        names.add(found["name"])
        rows[row["version"]] = found
    return list(rows.values())


def _section(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["customer"], row["machine_type"], row["section_id"]


def _unread(row: dict[str, Any]) -> dict[str, Any]:
    """What the earlier layout knew of a version."""
    kept = ("version", "customer", "machine_type", "section_id", "package", "received_at", "folder")
    return {
        **{name: row[name] for name in kept},
        "created_at": row["registered_at"],
        **dict.fromkeys(_UNKNOWN, ""),
        "packages": [row["package"]],
        "clips": 0,
        "parameters": {},
        "metrics": {},
        "calibration": {},
        "threshold": None,
        "files": {},
        "bytes": 0,
        "pinned": False,
    }


def _read(folder: Path, version: str) -> dict[str, Any]:
    """What the folder of a version says; nothing where it is gone or changed."""
    try:
        found = describe_folder(folder)
    except ModelCorrupt:
        return {}
    return found if found["version"] == version else {}


def _history(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Every version of the earlier layout was once the champion or came after it."""
    event = {"at": row["created_at"], "who": _WHO, "version": row["version"]}
    why = f"fitted on package {row['package']}"
    events = [
        {**event, "what": "registered", "before": "", "after": "candidate", "why": why},
        {**event, "what": "promoted", "before": "candidate", "after": "champion", "why": "its package came last"},
    ]
    if row["state"] == "archived":
        events.append(
            {**event, "what": "archived", "before": "champion", "after": "archived", "why": _SUCCEEDED},
        )
    return events


def _make_tables() -> tuple[sa.Table, sa.Table, sa.Table]:
    versions = op.create_table(
        "model_versions",
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
    )
    section = ["customer", "machine_type", "section_id"]
    champion = sa.text("state = 'champion'")
    op.create_index(
        "one_champion", "model_versions", section, unique=True, sqlite_where=champion, postgresql_where=champion
    )
    op.create_index("of_section", "model_versions", section)
    events = op.create_table(
        "events",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.String(20), nullable=False),
        sa.Column("version", sa.String(16), sa.ForeignKey("model_versions.version"), nullable=False, index=True),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    thresholds = op.create_table(
        "thresholds",
        sa.Column("version", sa.String(16), sa.ForeignKey("model_versions.version"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("package", sa.Text, nullable=False),
        sa.Column("clip_id", sa.Text, nullable=False),
        sa.Column("label", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
    )
    op.create_index("of_package", "labels", ["customer", "package"])
    return versions, events, thresholds
