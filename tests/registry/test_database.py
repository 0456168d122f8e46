"""The registry's database: opened by many at once, migrated, and refused when it is newer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from alp_assets.registry.contents import content_hash
from alp_assets.registry.database import Database
from alp_assets.registry.records import RegistryAway, RegistryRefused, State
from alp_assets.registry.registry import Registry, verify
from alp_assets.registry.tables import REVISION, TABLES
from schemas.sections import Section
from tests.registry.conftest import FAN, FEBRUARY, JANUARY, write_model
from tests.registry.postgres import cluster

CHILDREN, ROUNDS = 8, 3


@pytest.fixture(scope="module")
def postgres():
    with cluster() as url:
        yield url


@pytest.fixture
def on_postgres(postgres):
    """The URL of an empty database."""
    engine = sa.create_engine(
        sa.make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS fresh WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE fresh"))
    engine.dispose()
    return postgres.replace("/postgres?", "/fresh?")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, root):
    if request.param == "postgresql":
        return request.getfixturevalue("on_postgres")
    return f"sqlite:///{root / 'registry.db'}"


_CHILD = """
import sys
from pathlib import Path
from alp_assets.params import PromotionParams
from alp_assets.registry.registry import Registry
from schemas.sections import Section

root, fitted, url, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
fan, own = Section("acme", "fan", "1호기"), Section("acme", "pump", number)
print("ready", flush=True)
sys.stdin.readline()
for folder in sorted((fitted / number).iterdir()):
    section = own if folder.name.startswith("own") else fan
    version = Registry(root, url).register(section, "january", "2026-01-01", folder).version
    Registry(root, url).judge(version, {"auc": 0.9}, PromotionParams())
    if section == fan:
        Registry(root, url).promote(version, number, "its turn")
        Registry(root, url).save_threshold(version, 2.0, "", number)
Registry(root, url).register(fan, "january", "2026-01-01", fitted / "same" / "same")
"""


@pytest.mark.slow
def test_many_processes_that_register_and_promote_at_once_lose_nothing(url, root, tmp_path):
    """Also the first use of a database, when there are no tables yet."""
    fitted = tmp_path / "fitted"
    write_model(fitted / "same" / "same", "same")
    for number in range(CHILDREN):
        for turn in range(ROUNDS):
            for kind in ("own", "shared"):
                write_model(fitted / str(number) / f"{kind}{turn}", f"{kind} {turn} of {number}")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(root), str(fitted), url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(CHILDREN)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 0, errors
    _look_at(Registry(root, url))


def _look_at(registry):
    shared = registry.versions(FAN)
    assert len(shared) == CHILDREN * ROUNDS + 1
    assert len({item.name for item in registry.find()}) == len(registry.find()) == CHILDREN * ROUNDS * 2 + 1
    assert [item.state for item in shared].count(State.CHAMPION) == 1
    for version in registry.find():
        verify(version)
    for number in range(CHILDREN):
        own = registry.versions(Section("acme", "pump", str(number)))
        assert [item.state for item in own].count(State.CHAMPION) == 1
        assert len(own) == ROUNDS
    events = registry.history(FAN)[::-1]
    assert [event.what for event in events].count("registered") == len(shared)
    champion = None
    for event in events:  # every champion took over from the one before
        if event.after == State.CHAMPION and event.before != State.CHAMPION:
            assert champion is None
            champion = event.version
        elif event.before == State.CHAMPION and event.after != State.CHAMPION:
            assert event.version == champion
            champion = None
    assert champion == registry.champion(FAN).version
    promoted = [item for item in shared if len(registry.thresholds(item.version)) == 2]
    assert len(promoted) == CHILDREN * ROUNDS


def test_the_database_itself_keeps_a_section_from_having_two_champions(url, root, tmp_path):
    registry = Registry(root, url)
    for name in "ab":
        registry.register(FAN, "january", JANUARY, write_model(tmp_path / name, name))
    text = sa.text("UPDATE model_versions SET state = 'champion'")
    with pytest.raises(sa.exc.IntegrityError), registry._database.writing() as connection:
        connection.execute(text)
    assert len(registry.find(state=State.CHAMPION)) == 1


def test_everything_works_on_either_database(url, root, tmp_path):
    registry = Registry(root, url)
    a, b = (registry.register(FAN, "january", JANUARY, write_model(tmp_path / name, name)) for name in "ab")
    assert registry.promote(b.name, "jin", "왜냐하면").reason == "왜냐하면"
    registry.label("acme", "january", "c1", "normal", "", "jin")
    assert [item.clip_id for item in registry.labels("acme")] == ["c1"]
    assert registry.rollback(FAN, "jin", "").version == a.version
    assert registry.find(state="archived") == [registry.get(b.version)]
    assert Registry(root, url).history() == registry.history()


def test_the_migrations_make_the_tables_that_the_code_reads(url, root):
    registry = Registry(root, url)
    with registry._database.reading() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == REVISION
        assert compare_metadata(context, TABLES) == []


def test_a_registry_that_a_later_alp_made_is_refused_in_words(url, root):
    registry = Registry(root, url)
    with registry._database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RegistryRefused, match=r"revision 9999, which a later ALP made"):
        Registry(root, url)


def test_opening_an_up_to_date_registry_needs_no_alembic(root):
    Registry(root)
    code = "import sys; from pathlib import Path; from alp_assets.registry.registry import Registry; "
    code += f"Registry(Path({str(root)!r})); sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_database_is_chosen_by_the_environment(root, tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_REGISTRY_URL", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    Registry(root)
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (root / "registry.db").exists()


@pytest.mark.parametrize(
    "bad", ["no url", "mysql://somewhere/x", "postgresql://alp@127.0.0.1:1/none", "sqlite:////proc/none/x.db"]
)
def test_a_database_that_cannot_be_used_is_refused_in_words(root, bad):
    with pytest.raises(RegistryRefused):
        Registry(root, bad)


def test_a_file_that_is_no_database_is_refused_in_words(root):
    root.mkdir()
    (root / "registry.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(RegistryRefused, match="the registry is damaged"):
        Registry(root)


def test_readers_are_not_held_up_by_a_writer(root, fitted):
    registry = Registry(root)
    registry.register(FAN, "january", JANUARY, fitted("one"))
    with registry._database.writing() as connection:
        connection.execute(sa.text("UPDATE model_versions SET description = 'half done'"))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(Registry(root).champion, FAN).result(10).description == ""


EARLIER = """
CREATE TABLE versions (
    version VARCHAR NOT NULL, customer VARCHAR NOT NULL, machine_type VARCHAR NOT NULL,
    section_id VARCHAR NOT NULL, package VARCHAR NOT NULL, received_at VARCHAR NOT NULL,
    registered_at VARCHAR NOT NULL, folder VARCHAR NOT NULL,
    PRIMARY KEY (version, customer, machine_type, section_id)
)"""


@pytest.fixture
def earlier(root):
    """A data root as the first layout left it: two models of a fan, of which one is gone, and one of a pump."""
    root.mkdir()
    rows = []
    places = [
        (FAN, "january", JANUARY),
        (FAN, "february", FEBRUARY),
        (Section("acme", "pump", "2"), "january", JANUARY),
    ]
    for section, package, received in places:
        part = write_model(root / "part", f"{section}{package}")
        version = content_hash(part)
        folder = f"models/acme/{section.folder}/{version}"
        (root / folder).parent.mkdir(parents=True, exist_ok=True)
        part.rename(root / folder)
        rows.append(
            (version, "acme", section.machine_type, section.section_id, package, received, received, folder)
        )
    with closing(sqlite3.connect(root / "registry.db")) as connection, connection:
        connection.execute(EARLIER)
        connection.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows[::-1])
    return [row[0] for row in rows]


def test_what_the_earlier_layout_held_is_taken_over(root, earlier):
    registry = Registry(root)
    january, february, pump = (registry.get(version) for version in earlier)
    assert registry.champion(FAN) == february
    assert (january.state, pump.state) == (State.ARCHIVED, State.CHAMPION)
    assert (january.engine, january.clips, january.threshold) == ("memory_bank", 6, 1.0)
    assert {january.name, february.name} == {"fan-1호기-memory_bank-1", "fan-1호기-memory_bank-2"}
    for version in (january, february, pump):
        verify(version)
    assert registry.rollback(FAN, "jin", "").version == january.version
    assert registry.threshold(pump.version) == 1.0


def test_a_model_that_was_gone_is_taken_over_and_mended_when_it_is_fitted_again(root, earlier, tmp_path):
    place = root / "models" / "acme" / FAN.folder / earlier[1]
    place.rename(tmp_path / "kept")
    registry = Registry(root)
    assert registry.champion(FAN).version == earlier[1]
    assert registry.get(earlier[1]).engine == ""
    assert registry.register(FAN, "february", FEBRUARY, tmp_path / "kept").engine == "memory_bank"
    assert registry.threshold(earlier[1]) == 1.0
    verify(registry.champion(FAN))


def test_many_that_open_an_earlier_layout_at_once_migrate_it_once(root, earlier):
    code = "import sys; from pathlib import Path; from alp_assets.registry.registry import Registry; "
    code += f"print(len(Registry(Path({str(root)!r})).find()))"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(CHILDREN)]
    assert [child.communicate(timeout=300)[0] for child in children] == [b"3\n"] * CHILDREN


def test_a_server_that_is_not_there_or_breaks_off_is_away(root, on_postgres, tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(RegistryAway, match="does not answer"):
        Database(f"postgresql://alp:hunter2@/postgres?host={tmp_path}", root)
    database = Database(on_postgres, root)
    killed = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(RegistryAway, match="does not answer"), database.reading() as connection:
        connection.execute(killed)
    with pytest.raises(RegistryAway, match="does not answer"), database.writing() as connection:
        connection.execute(killed)
    with database.reading() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
