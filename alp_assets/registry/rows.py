"""Rows of the registry's tables as records, and the questions that are asked of them more than once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alp_assets.registry.names import default_name
from alp_assets.registry.records import (
    Event,
    Label,
    ModelMissing,
    RegistryRefused,
    State,
    ThresholdVersion,
    Version,
)
from alp_assets.registry.tables import EVENTS, LABELS, THRESHOLDS, VERSIONS
from schemas.sections import Section

Row = Mapping[Any, Any]


def now() -> str:
    """The time as the registry writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def version_of(row: Row, root: Path) -> Version:
    """A row of ``model_versions``."""
    values = dict(row)
    section = Section(*(values.pop(name) for name in ("customer", "machine_type", "section_id")))
    threshold = values.pop("threshold")
    return Version(
        **{
            **values,
            "section": section,
            "state": State(values["state"]),
            "packages": tuple(values["packages"]),
            "threshold": float("nan") if threshold is None else threshold,
            "folder": root / values["folder"],
        }
    )


def event_of(row: Row) -> Event:
    """A row of ``events``."""
    return Event(**{name: value for name, value in row.items() if name != "number"})


def threshold_of(row: Row) -> ThresholdVersion:
    """A row of ``thresholds``."""
    return ThresholdVersion(**row)


def label_of(row: Row) -> Label:
    """A row of ``labels``."""
    return Label(**{name: value for name, value in row.items() if name != "number"})


def in_section(section: Section) -> tuple[sa.ColumnElement[bool], ...]:
    """That a version is of a section."""
    return (
        VERSIONS.c.customer == section.customer,
        VERSIONS.c.machine_type == section.machine_type,
        VERSIONS.c.section_id == section.section_id,
    )


def in_order(query: sa.Select[Any]) -> sa.Select[Any]:
    """Champions first, then the newest."""
    first = sa.case((VERSIONS.c.state == State.CHAMPION.value, 0), else_=1)
    return query.order_by(first, VERSIONS.c.created_at.desc(), VERSIONS.c.name.desc())


def find_row(connection: sa.Connection, version: str) -> Row:
    """The version of an id or a name; ``ModelMissing`` when there is none."""
    wanted = (VERSIONS.c.version == version) | (VERSIONS.c.name == version)
    row = connection.execute(sa.select(VERSIONS).where(wanted)).mappings().first()
    if row is None:
        raise ModelMissing(f"{version}: there is no such model. `alp models list` shows those that there are.")
    return dict(row)


def champion_row(connection: sa.Connection, section: Section) -> Row | None:
    """The champion of a section."""
    query = sa.select(VERSIONS).where(*in_section(section), VERSIONS.c.state == State.CHAMPION.value)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def free_name(connection: sa.Connection, name: str, section: Section, engine: str) -> str:
    """The name that somebody gave if no other version has it, else one of its section and engine with a number."""
    if name:
        if _taken(connection, name):
            raise RegistryRefused(f"{name}: another model has this name already. Choose another.")
        return name
    stem = default_name(section.machine_type, section.section_id, engine)
    return next(found for i in itertools.count(1) if not _taken(connection, found := f"{stem}-{i}"))


def champion_before(connection: sa.Connection, section: Section) -> str | None:
    """The version that was champion before the present one; roll-backs are not gone through again."""
    query = (
        sa.select(EVENTS.c.what, EVENTS.c.version)
        .join(VERSIONS, VERSIONS.c.version == EVENTS.c.version)
        .where(*in_section(section), EVENTS.c.what.in_(["promoted", "rolled_back"]))
        .order_by(EVENTS.c.number)
    )
    line: list[str] = []
    for what, version in connection.execute(query):
        if what == "rolled_back":
            while line and line[-1] != version:
                line.pop()
        else:
            line.append(version)
    return line[-2] if len(line) > 1 else None


def change(connection: sa.Connection, version: str, **values: Any) -> None:
    """Change columns of a version."""
    connection.execute(VERSIONS.update().where(VERSIONS.c.version == version).values(**values))


def note(connection: sa.Connection, version: str, what: str, who: str, before: str, after: str, why: str) -> None:
    """Write an event."""
    row = {"at": now(), "who": who, "what": what, "version": version, "before": before, "after": after, "why": why}
    connection.execute(EVENTS.insert().values(row))


def thresholds(connection: sa.Connection, version: str) -> list[ThresholdVersion]:
    """The thresholds of a version by number."""
    query = sa.select(THRESHOLDS).where(THRESHOLDS.c.version == version).order_by(THRESHOLDS.c.number)
    return [threshold_of(dict(row)) for row in connection.execute(query).mappings()]


def add_threshold(connection: sa.Connection, version: str, value: float, text: str, who: str) -> ThresholdVersion:
    """Write a threshold with the next number."""
    query = sa.select(sa.func.max(THRESHOLDS.c.number)).where(THRESHOLDS.c.version == version)
    last = connection.execute(query).scalar()
    row = {
        "version": version,
        "number": 0 if last is None else last + 1,
        "value": value,
        "note": text,
        "who": who,
        "at": now(),
    }
    connection.execute(THRESHOLDS.insert().values(row))
    return threshold_of(row)


def latest_labels(connection: sa.Connection, customer: str, package: str | None) -> list[Label]:
    """The last label of every clip, oldest first."""
    of_customer = [LABELS.c.customer == customer, *([LABELS.c.package == package] if package else [])]
    latest = (
        sa.select(sa.func.max(LABELS.c.number)).where(*of_customer).group_by(LABELS.c.package, LABELS.c.clip_id)
    )
    query = sa.select(LABELS).where(LABELS.c.number.in_(latest)).order_by(LABELS.c.number)
    return [label_of(dict(row)) for row in connection.execute(query).mappings()]


def _taken(connection: sa.Connection, name: str) -> bool:
    return connection.execute(sa.select(VERSIONS.c.version).where(VERSIONS.c.name == name)).first() is not None
