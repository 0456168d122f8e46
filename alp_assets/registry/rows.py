"""Rows of the registry's tables as records, and the questions that are asked of them more than once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alp_assets.registry.checksums import COLUMN, checksum_of, is_sound
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

_BACKUP = (
    "Put a backup of the registry back. Without one: move it away, and run the stages models and scores of each "
    "package again, which registers their models anew."
)


def now() -> str:
    """The time as the registry writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def proven(row: Row) -> dict[str, Any]:
    """A row of ``model_versions`` without its checksum; ``RegistryRefused`` when the two do not match."""
    if not is_sound(row):
        raise RegistryRefused(_damaged_version(row))
    return {name: value for name, value in row.items() if name != COLUMN}


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
    return ThresholdVersion(**{name: value for name, value in row.items() if name != COLUMN})


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
    """The version of an id or a name; ``ModelMissing`` when there is none, ``RegistryRefused`` when damaged."""
    wanted = (VERSIONS.c.version == version) | (VERSIONS.c.name == version)
    row = connection.execute(sa.select(VERSIONS).where(wanted)).mappings().first()
    if row is None:
        raise ModelMissing(f"{version}: there is no such model. `alp models list` shows those that there are.")
    return proven(row)


def champion_row(connection: sa.Connection, section: Section) -> Row | None:
    """The champion of a section."""
    query = sa.select(VERSIONS).where(*in_section(section), VERSIONS.c.state == State.CHAMPION.value)
    row = connection.execute(query).mappings().first()
    if row is not None:
        return proven(row)
    for other in connection.execute(sa.select(VERSIONS).where(*in_section(section))).mappings():
        proven(other)  # what is damaged may be that it is the champion
    return None


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
    checksum = checksum_of({**find_row(connection, version), **values})
    connection.execute(VERSIONS.update().where(VERSIONS.c.version == version).values({**values, COLUMN: checksum}))


def note(connection: sa.Connection, version: str, what: str, who: str, before: str, after: str, why: str) -> None:
    """Write an event."""
    row = {"at": now(), "who": who, "what": what, "version": version, "before": before, "after": after, "why": why}
    connection.execute(EVENTS.insert().values(row))


def thresholds(connection: sa.Connection, version: str) -> list[ThresholdVersion]:
    """The thresholds of a version by number, without damaged ones that are no longer in force.

    Raises:
        RegistryRefused: the one in force is damaged.
    """
    found = _thresholds_of(connection, version)
    sound = _sound_thresholds(found)
    if not _has_one_in_force(found, sound):
        raise RegistryRefused(_damaged_threshold(version))
    return sound


def sound_thresholds(connection: sa.Connection, version: str) -> list[ThresholdVersion]:
    """Those that are not damaged, for whoever sets another."""
    return _sound_thresholds(_thresholds_of(connection, version))


def damage(connection: sa.Connection) -> Iterator[str]:
    """What is damaged, in words: the file as SQLite finds it, versions, and thresholds in force."""
    if connection.dialect.name == "sqlite":
        said = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if said != "ok":
            yield f"SQLite finds the file damaged ({said}). {_BACKUP}"
    yield from (
        _damaged_version(row) for row in connection.execute(sa.select(VERSIONS)).mappings() if not is_sound(row)
    )
    every = connection.execute(sa.select(THRESHOLDS).order_by(THRESHOLDS.c.version)).mappings()
    for version, rows in itertools.groupby(every, key=lambda row: str(row["version"])):
        found = list(rows)
        if not _has_one_in_force(found, _sound_thresholds(found)):
            yield _damaged_threshold(version)


def add_threshold(connection: sa.Connection, version: str, value: float, text: str, who: str) -> ThresholdVersion:
    """Write a threshold with the next number."""
    numbers = [int(row["number"]) for row in _thresholds_of(connection, version)]
    row = {
        "version": version,
        "number": max(len(numbers), max(numbers, default=-1) + 1),
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


def given_labels(connection: sa.Connection, customer: str) -> list[Label]:
    """Every label that was given to a customer's clips, oldest first."""
    query = sa.select(LABELS).where(LABELS.c.customer == customer).order_by(LABELS.c.number)
    return [label_of(dict(row)) for row in connection.execute(query).mappings()]


def _thresholds_of(connection: sa.Connection, version: str) -> Sequence[Row]:
    return connection.execute(sa.select(THRESHOLDS).where(THRESHOLDS.c.version == version)).mappings().all()


def _sound_thresholds(found: Sequence[Row]) -> list[ThresholdVersion]:
    return sorted((threshold_of(row) for row in found if is_sound(row)), key=lambda threshold: threshold.number)


def _has_one_in_force(found: Sequence[Row], sound: Sequence[ThresholdVersion]) -> bool:
    """Whether the last of so many thresholds is sound. They are numbered from 0; a damaged number says nothing."""
    return len(found) <= (sound[-1].number + 1 if sound else 0)


def _damaged_version(row: Row) -> str:
    which = f"{row['name']} ({row['version']})"
    return f"{which}: what the registry holds of this model is not what was written. {_BACKUP}"


def _damaged_threshold(version: str) -> str:
    return (
        f"{version}: the threshold in force of this model is not the one that was written. Set it anew with `alp "
        f"models threshold {version} VALUE`; `alp models history {version}` says what it was set to, and "
        "threshold.json in the model's folder what was fitted."
    )


def _taken(connection: sa.Connection, name: str) -> bool:
    return connection.execute(sa.select(VERSIONS.c.version).where(VERSIONS.c.name == name)).first() is not None
