"""Dagster's storage that keeps its connections to PostgreSQL."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.utils import make_new_run_id

from deploy.cluster.place import TEMPLATE
from tests.registry.postgres import cluster

pytest.importorskip("dagster_postgres")
psycopg2 = pytest.importorskip("psycopg2")


@pytest.fixture(scope="module")
def server():
    with cluster() as url:
        yield url.replace("postgresql:", "postgresql+psycopg2:")


@pytest.fixture
def storage(server):
    from deploy.cluster.storage import PooledPostgresStorage

    return PooledPostgresStorage.from_config_value(None, {"postgres_url": server})


def backend(storage):
    """The server's process that the next query would go to."""
    with storage.event_log_storage._connect() as connection:
        return connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()


def test_dagster_s_settings_name_it_and_it_takes_them():
    from dagster._config import validate_config

    from deploy.cluster.storage import PooledPostgresStorage

    named = yaml.safe_load(TEMPLATE.read_text())["storage"]["custom"]
    assert (named["module"], named["class"]) == (PooledPostgresStorage.__module__, PooledPostgresStorage.__name__)
    assert validate_config(PooledPostgresStorage.config_type(), named["config"]).success


def test_queries_go_over_one_connection(storage):
    first = backend(storage)
    assert storage.run_storage.get_runs_count() == 0
    assert storage.schedule_storage.all_instigator_state() == []
    assert backend(storage) == first


def test_every_instance_of_a_process_uses_the_same(storage, server):
    first = backend(storage)
    for _ in range(5):
        assert backend(type(storage).from_config_value(None, {"postgres_url": server})) == first


def test_many_threads_at_once_are_all_served(storage):
    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(lambda _: backend(storage), range(64)))) == 64


def test_a_table_is_looked_for_until_it_is_there(storage, monkeypatch):
    events, looked = storage.event_log_storage, []
    dialect = events._engine.dialect
    monkeypatch.setattr(
        dialect, "has_table", lambda *args: looked.append(1) or type(dialect).has_table(dialect, *args)
    )
    assert not events.has_table("later")
    with events._connect() as connection:
        connection.execute(sa.text("CREATE TABLE later (number integer)"))
    assert [events.has_table("later") for _ in range(3)] == [True] * 3
    assert len(looked) == 2


def test_a_connection_that_the_server_has_ended_is_replaced(storage, server):
    gone = backend(storage)
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:gone, 10000)"), {"gone": gone})
    engine.dispose()
    assert storage.run_storage.get_runs_count() == 0
    assert backend(storage) != gone


@contextmanager
def dies_over(storage, words, times):
    """Let the server end a connection over statements with these words, so many times; the statements."""
    engine, done = storage.event_log_storage._engine, []

    def end(connection, cursor, statement, parameters, context, executemany):
        if words in statement and len(done) < times:
            done.append(statement)
            with closing(
                psycopg2.connect(engine.url.set(drivername="postgresql").render_as_string(False))
            ) as other:
                other.cursor().execute(f"SELECT pg_terminate_backend({cursor.connection.info.backend_pid}, 10000)")

    sa.event.listen(engine, "before_cursor_execute", end)
    yield done
    sa.event.remove(engine, "before_cursor_execute", end)


def materialized(run_id):
    data = StepMaterializationData(dg.AssetMaterialization(["stage", run_id]), [])
    happened = DagsterEvent("ASSET_MATERIALIZATION", "job", event_specific_data=data)
    return EventLogEntry(None, 10, "", run_id, time.time(), job_name="job", dagster_event=happened)


@pytest.mark.parametrize(("words", "told"), [("INSERT INTO event_logs", 1), ("NOTIFY", 1), ("asset_keys", 3)])
def test_a_server_that_dies_over_an_event_loses_nothing(storage, words, told):
    run_id = make_new_run_id()
    with dies_over(storage, words, times=2) as done:
        storage.event_log_storage.store_event(materialized(run_id))
    assert len(done) == 2
    assert len(storage.event_log_storage.get_logs_for_run(run_id)) == told
    assert storage.event_log_storage.has_asset_key(dg.AssetKey(["stage", run_id]))


def test_a_server_that_dies_over_every_try_is_told(storage):
    with dies_over(storage, "SELECT", times=100) as done, pytest.raises(sa.exc.OperationalError):
        storage.run_storage.get_runs_count()
    assert len(done) == 3
    assert storage.run_storage.get_runs_count() == 0


def test_what_the_server_refuses_is_not_sent_again(storage):
    with storage.event_log_storage._connect() as connection, pytest.raises(sa.exc.ProgrammingError):
        connection.execute(sa.text("SELECT nonsense"))


def test_a_server_that_is_starting_again_is_waited_for(storage, monkeypatch):
    connect, refused = psycopg2.connect, []

    def starting(*arguments, **settings):
        if len(refused) < 20:
            refused.append(1)
            raise psycopg2.OperationalError("the database system is starting up")
        return connect(*arguments, **settings)

    storage.event_log_storage._engine.dispose()
    monkeypatch.setattr(psycopg2, "connect", starting)
    monkeypatch.setattr("deploy.cluster.storage._POLL_S", 0.0)
    assert storage.run_storage.get_runs_count() == 0
    assert len(refused) == 20


def test_a_forked_process_has_connections_of_its_own(storage):
    ours = backend(storage)
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    child = context.Process(target=lambda: found.put(backend(storage)))
    child.start()
    assert found.get(timeout=60) != ours
    child.join(60)
    assert backend(storage) == ours
