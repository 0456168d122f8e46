"""The registry's database: opened, brought up to date, read and written by many at once.

SQLite in the data root by default (write-ahead log, writers one after the other), or PostgreSQL by URL.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from json import JSONDecodeError
from pathlib import Path

import sqlalchemy as sa

from alp_assets.registry.records import RegistryAway, RegistryRefused
from alp_assets.registry.tables import REVISION

FILE = "registry.db"
_WAIT_S = 120
_LOCK = 0x414C50  # of PostgreSQL's advisory locks, the one that writers of a registry take
_WRITES = "alp_writes"
_DAMAGED = ("malformed", "not a database", "file is encrypted", "decode to UTF-8")


class Database:
    """One registry's database at its latest revision.

    Raises:
        RegistryRefused: it cannot be opened, an ALP newer than this one made it, or it is damaged, which may show
            as late as when it is read or written.
        RegistryAway: its server does not answer, which may show as late.
    """

    def __init__(self, url: str, data_root: Path) -> None:
        try:
            self._engine = _engine(sa.make_url(url), os.getpid())
            if self._engine.dialect.name == "sqlite" and self._engine.url.database:
                Path(self._engine.url.database).parent.mkdir(parents=True, exist_ok=True)
            if self._revision() != REVISION:
                self._upgrade(data_root)
        except sa.exc.ArgumentError as error:
            raise RegistryRefused(f"ALP_REGISTRY_URL: {error}. Write postgresql://user@host/database.") from error
        except ModuleNotFoundError as error:
            raise RegistryRefused(
                f"the registry's database needs {error.name}, which is not installed. Install ALP with its extra "
                "postgres."
            ) from error
        except (sa.exc.DBAPIError, OSError) as error:
            shown = sa.make_url(url).render_as_string(hide_password=True)
            if _is_damage(error):
                raise _damaged(shown, error) from error
            if _is_away(error):
                raise _away(shown, error) from error
            raise RegistryRefused(
                f"{shown}: the registry cannot be opened ({getattr(error, 'orig', error)})."
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database."""
        with _told(self._engine.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection that alone may write until the block ends; what it wrote stays when that ends well."""
        with (
            _told(self._engine.url),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            return _revision_of(connection)

    def _upgrade(self, data_root: Path) -> None:
        if self._engine.dialect.name == "sqlite":
            self._log_ahead()
        with self.writing() as connection:
            found = _revision_of(connection)  # another process may have been quicker
            if found != REVISION:
                _migrate(connection, data_root, found)

    def _log_ahead(self) -> None:
        """Let readers and a writer work at once. SQLite does not wait for its turn at this: it is asked again."""
        until = time.monotonic() + _WAIT_S
        while True:
            with self._engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                assert raw is not None
                try:
                    raw.cursor().execute("PRAGMA journal_mode=WAL")
                    return
                except Exception as error:
                    if "locked" not in str(error) or time.monotonic() > until:
                        raise sa.exc.OperationalError("PRAGMA journal_mode", None, error) from error
            time.sleep(0.05)


@contextmanager
def _told(url: sa.URL) -> Iterator[None]:
    try:
        yield
    except (sa.exc.DatabaseError, JSONDecodeError) as error:
        shown = url.render_as_string(hide_password=True)
        if _is_away(error):
            raise _away(shown, error) from error
        if not (_is_damage(error) or isinstance(error, JSONDecodeError)):
            raise
        raise _damaged(shown, error) from error


def _is_away(error: Exception) -> bool:
    """Whether PostgreSQL could not be reached, or was lost on the way."""
    if not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return False
    return type(error.orig).__module__.startswith("psycopg")


def _away(shown: str, error: Exception) -> RegistryAway:
    return RegistryAway(
        f"{shown}: the registry's database does not answer ({getattr(error, 'orig', error)}). Look whether its "
        "server runs, and try again."
    )


def _is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file holds something else than it wrote."""
    return any(words in str(getattr(error, "orig", "")) for words in _DAMAGED)


def _damaged(shown: str, error: Exception) -> RegistryRefused:
    return RegistryRefused(
        f"{shown}: the registry is damaged ({getattr(error, 'orig', error)}). Put a backup back, for decisions "
        "about champions, thresholds and labels are in it alone. Without one: move it away, with the files -wal "
        "and -shm beside it, and run the stages models and scores of each package again, which registers their "
        "models anew."
    )


@lru_cache(maxsize=32)
def _engine(url: sa.URL, process: int) -> sa.Engine:
    """The connections of one process: a forked one must not share its parent's."""
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if url.get_backend_name() != "sqlite":
        raise sa.exc.ArgumentError(f"{url.get_backend_name()} is no database of a registry")
    engine = sa.create_engine(url, connect_args={"timeout": _WAIT_S}, poolclass=sa.NullPool)
    sa.event.listen(engine, "connect", _leave_transactions_alone)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _leave_transactions_alone(connection: object, _: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3 would begin them late


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision_of(connection: sa.Connection) -> str | None:
    try:
        with connection.begin_nested() if connection.dialect.name == "postgresql" else _nothing():
            found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            return found
    except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
        if "alembic_version" not in str(error.orig):
            raise
        return None


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _migrate(connection: sa.Connection, data_root: Path, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    place = Path(__file__).parent / "migrations"
    config = Config(attributes={"connection": connection, "data_root": data_root})
    config.set_main_option("script_location", str(place).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise RegistryRefused(
            f"{connection.engine.url.render_as_string(hide_password=True)}: the registry is of revision {found}, "
            f"which a later ALP made; this one knows up to {REVISION}. Install that ALP, or name another registry."
        )
    command.upgrade(config, "head")
