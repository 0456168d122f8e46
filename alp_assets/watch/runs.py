"""Dagster's runs of a data root's packages: which are going on, how they ended, and why.

Dagster's own SQLite files are read as they are, because importing Dagster takes longer than everything else that
``alp status`` does. Any other storage, and a file that is not as expected, is read through Dagster.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from alp_assets.home import home_of
from alp_assets.watch.redact import redact

QUEUED = ("QUEUED", "NOT_STARTED", "MANAGED")
GOING = (*QUEUED, "STARTING", "STARTED", "CANCELING")
BROKEN = ("FAILURE", "CANCELED")
_MOST = 5_000
_PATIENCE_S = 5
_PARTITION = "dagster/partition"
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Run:
    """A run of a package.

    Attributes:
        id: Dagster's.
        key: the package's partition; empty for other runs.
        status: Dagster's word.
        began: seconds since 1970 when it began, else when it was asked for; ``ended`` is 0 while it goes on.
    """

    id: str
    key: str
    status: str
    began: float
    ended: float = 0.0


@dataclass(frozen=True)
class Runs:
    """What goes on and what went wrong, newest first.

    Attributes:
        going: runs that have not ended.
        broken: runs that failed or were stopped.
        mended: when a package that has a broken run got through one last, by its key.
        problem: why Dagster could not be asked.
    """

    going: tuple[Run, ...] = ()
    broken: tuple[Run, ...] = ()
    mended: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""

    def last(self, key: str) -> Run | None:
        """The package's run that goes on, else its last one where that broke."""
        return self._last.get(key)

    @cached_property
    def _last(self) -> dict[str, Run]:
        broken = [run for run in self.broken if run.ended >= self.mended.get(run.key, 0.0)]
        return {run.key: run for run in (*sorted(broken, key=lambda run: run.ended), *reversed(self.going))}


def read_runs(data_root: Path) -> Runs:
    """The runs of a data root. What cannot be read is told in ``problem``."""
    home = home_of(data_root)
    if not (home / "dagster.yaml").is_file():
        return Runs()
    try:
        database = _own_files(home)
        if database is not None:
            return _from_file(database)
    except (sqlite3.Error, ValueError, OSError, yaml.YAMLError):
        pass  # written by another Dagster, which can read it, or damaged, which Dagster tells
    try:
        return _from_dagster(home)
    except Exception as error:  # whatever its storage raises, the folders tell the rest
        why = " ".join(f"{type(error).__name__}: {redact(str(error))}".split())[:_LONGEST_REASON]
        return Runs(problem=f"Dagster's instance in {home} cannot be read ({why}).")


def why_failed(data_root: Path, run: Run) -> str:
    """What failed a run, in a line; empty where that is not known."""
    home = home_of(data_root)
    place = home / "history" / "runs" / f"{run.id}.db"
    try:
        if _own_files(home) is not None and place.is_file():
            return next((text for text in _told(_failures(place)) if text), "")
        return _why_from_dagster(home, run)
    except Exception:  # the reason is a courtesy: the run is listed without it
        return ""


def _own_files(home: Path) -> Path | None:
    """Dagster's SQLite file of runs, where ``dagster.yaml`` names no other storage."""
    config = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8")) or {}
    if not isinstance(config, dict) or {"storage", "run_storage", "event_log_storage"} & config.keys():
        return None
    return home / "history" / "runs.db"


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_PATIENCE_S)


def _from_file(file: Path) -> Runs:
    if not file.is_file():
        return Runs()
    with closing(_open(file)) as connection:
        going, broken = _rows(connection, GOING), _rows(connection, BROKEN)
        return Runs(going, broken, _mended(connection, _keys(broken)))


def _rows(connection: sqlite3.Connection, statuses: Sequence[str]) -> tuple[Run, ...]:
    marks = ",".join("?" * len(statuses))
    rows = connection.execute(
        "SELECT run_id, partition, status, start_time, end_time, create_timestamp FROM runs "  # noqa: S608
        f"WHERE status IN ({marks}) ORDER BY id DESC LIMIT {_MOST}",
        statuses,
    )
    return tuple(
        Run(run_id, key or "", status, began or _seconds(created), ended or 0.0)
        for run_id, key, status, began, ended, created in rows
    )


def _mended(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, float]:
    # by way of the tags, which have an index of their values
    rows = connection.execute(
        "SELECT tags.value, MAX(done.end_time) FROM run_tags tags JOIN runs done ON done.run_id = tags.run_id "
        "WHERE tags.key = ? AND tags.value IN (SELECT value FROM json_each(?)) "
        "AND done.status = 'SUCCESS' AND done.end_time IS NOT NULL GROUP BY tags.value",
        (_PARTITION, json.dumps(keys)),
    )
    return dict(rows)


def _keys(runs: Sequence[Run]) -> list[str]:
    return sorted({run.key for run in runs if run.key})


def _seconds(stamp: str | None) -> float:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() if stamp else 0.0


def _failures(place: Path) -> Iterator[dict[str, Any]]:
    with closing(_open(place)) as connection:
        rows = connection.execute(
            "SELECT event FROM event_logs "
            "WHERE dagster_event_type IN ('STEP_FAILURE', 'PIPELINE_FAILURE') ORDER BY id"
        )
        for (event,) in rows:
            yield json.loads(event)


def _told(events: Iterator[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        happened = event.get("dagster_event") or {}
        data = happened.get("event_specific_data") or {}
        step = happened.get("step_key") or ""
        meant = (data.get("user_failure_data") or {}).get("description")
        error = data.get("error") or {}
        crash = (error.get("cause") or error).get("message") or happened.get("message")
        yield _line(step, meant or crash or "")


def _line(step: str, text: str) -> str:
    first = next(iter(text.strip().splitlines()), "")
    return f"{step}: {first}" if step and first else first


def _from_dagster(home: Path) -> Runs:
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    with DagsterInstance.from_config(str(home)) as instance:

        def having(statuses: Sequence[str], **more: Any) -> tuple[Run, ...]:
            wanted = RunsFilter(statuses=[DagsterRunStatus(status) for status in statuses], **more)
            records = instance.get_run_records(wanted, limit=_MOST)
            return tuple(
                Run(
                    record.dagster_run.run_id,
                    record.dagster_run.tags.get(_PARTITION, ""),
                    record.dagster_run.status.value,
                    record.start_time or record.create_timestamp.timestamp(),
                    record.end_time or 0.0,
                )
                for record in records
            )

        going, broken = having(GOING), having(BROKEN)
        keys = _keys(broken)
        done = having(("SUCCESS",), tags={_PARTITION: keys}) if keys else ()
        return Runs(going, broken, {run.key: run.ended for run in sorted(done, key=lambda run: run.ended)})


def _why_from_dagster(home: Path, run: Run) -> str:
    from dagster import DagsterEventType, DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        told = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
        for entry in instance.all_logs(run.id, of_type=told):
            event = entry.dagster_event
            failure = event.step_failure_data if event and event.is_step_failure else None
            meant = failure.user_failure_data.description if failure and failure.user_failure_data else ""
            error = (failure.error.cause or failure.error) if failure and failure.error else None
            crash = error.message if error else event.message if event else None
            text = _line(entry.step_key or "", meant or crash or "")
            if text:
                return text
    return ""
