"""Dagster's storage in PostgreSQL that keeps its connections open from one event to the next."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from dagster import EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.exc import DBAPIError

_KEPT = 2
_MORE = 30
"""Connections of a process: kept when nothing asks, and opened beside them while many threads ask at once."""

_PATIENCE_S = 20.0
"""So long a server that does not answer is asked again, each time that Dagster asks, which is six times."""

_POLL_S = 0.5
_TRIES = 3
_T = TypeVar("_T")
_AGE_S = 1800
_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""A connection that a network has dropped in silence is noticed within a minute."""


class PooledPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules over a few connections of the process, which are tried before they are used.

    Dagster's own storage connects anew for every query: PostgreSQL starts a process and checks the password each
    time, some 500 times for a package. One that a restarted PostgreSQL has closed is replaced without a word, also
    in the middle of a statement.
    """

    def __init__(self, postgres_url: str, *args: Any, token_provider: Any = None, **kwargs: Any) -> None:
        super().__init__(postgres_url, *args, token_provider=token_provider, **kwargs)
        if token_provider is not None:  # a token is for a connection, and Dagster asks for it
            return
        self._event_log_storage = _PatientEventLog(postgres_url, should_autocreate_tables=False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = _engine(postgres_url)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresStorage:
        """The storage of an instance's ``dagster.yaml``, whose settings are those of Dagster's own."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )


@lru_cache
def _engine(url: str) -> Engine:
    """One for the whole process: a worker opens an instance for every run."""
    engine = create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT,
        max_overflow=_MORE,
        pool_recycle=_AGE_S,
        pool_pre_ping=True,
        connect_args=_ALIVE,
        pool_use_lifo=True,  # so that those beyond what is needed grow old
    )
    engine._connection_cls = _PatientConnection
    event.listen(engine, "do_connect", _connected)
    # a forked process leaves its parent's connections alone
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    return engine


class _PatientConnection(Connection):
    """A connection in which a statement is sent again when the server died over it.

    Dagster's storages commit each statement by itself, but for a few transactions, which name another isolation
    level and are not for a connection to repeat. One whose answer alone was lost is carried out twice: an event
    that is told twice costs less than a step that fails.
    """

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """As SQLAlchemy's."""

        def send() -> Any:
            return super(_PatientConnection, self).execute(
                statement, parameters, execution_options=execution_options
            )

        if "isolation_level" in self.get_execution_options():
            return send()
        return _again(send, self.rollback)  # which lets the next statement connect anew: nothing is taken back


class _PatientEventLog(PostgresEventLogStorage):
    """The event log, in which what is known of an asset is changed in a transaction with each of its events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tables: set[str] = set()
        super().__init__(*args, **kwargs)

    def has_table(self, table_name: str) -> bool:
        """As Dagster's, which asks PostgreSQL with every event: a table that was there is there."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event(self, event: EventLogEntry) -> None:
        """As Dagster's."""
        _again(lambda: super(_PatientEventLog, self).store_event(event))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """As Dagster's."""
        _again(lambda: super(_PatientEventLog, self).store_event_batch(events))


def _again(do: Callable[[], _T], before: Callable[[], object] = lambda: None) -> _T:
    """What a function gives, which is called again when its connection broke."""
    for _ in range(_TRIES - 1):
        try:
            return do()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            before()
    return do()


def _connected(dialect: Dialect, _: Any, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """A connection, also where the server is just starting again: a step in the middle would fail for it."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return dialect.connect(*arguments, **settings)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_S)
