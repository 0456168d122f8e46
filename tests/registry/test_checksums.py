"""Bits that flip in what the registry holds: noticed when it is read, named, and mended."""

import sqlite3
import struct
from contextlib import closing

import pytest
import sqlalchemy as sa

from alp_assets.params import Params, PromotionParams
from alp_assets.registry import rows
from alp_assets.registry.records import RegistryRefused, State
from alp_assets.registry.registry import Registry
from alp_assets.watch.doctor.services import services
from tests.registry.conftest import FAN, FEBRUARY, JANUARY, write_model
from tests.registry.postgres import cluster

VALUE = 0.123456


@pytest.fixture(scope="module")
def postgres():
    with cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, root):
    """The URL of an empty database."""
    if request.param == "sqlite":
        root.mkdir()
        return f"sqlite:///{root / 'registry.db'}"
    postgres = request.getfixturevalue("postgres")
    engine = sa.create_engine(
        sa.make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS flipped WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE flipped"))
    engine.dispose()
    return postgres.replace("/postgres?", "/flipped?")


@pytest.fixture
def registry(url, root):
    return Registry(root, url)


@pytest.fixture
def model(registry, tmp_path):
    """A champion whose threshold somebody set, and a candidate."""
    found = registry.register(FAN, "january", JANUARY, write_model(tmp_path / "a", "a"))
    registry.register(FAN, "february", FEBRUARY, write_model(tmp_path / "b", "b"))
    registry.save_threshold(found.version, VALUE, "quieter", "jin")
    return registry.get(found.version)


def write(registry, statement, version=""):
    """Change a row as no code of ALP does."""
    with registry._database.writing() as connection:
        assert connection.execute(sa.text(statement), {"version": version} if version else {}).rowcount == 1


def damage(registry):
    with registry._database.reading() as connection:
        return list(rows.damage(connection))


def test_what_is_as_it_was_written_is_read(registry, model):
    assert registry.threshold(model.version) == VALUE
    assert registry.champion(FAN) == model
    assert damage(registry) == []


def test_every_decision_leaves_rows_that_are_sound(registry, model):
    candidate = next(item for item in registry.versions(FAN) if item.state is State.CANDIDATE)
    registry.judge(candidate.version, {"auc": 0.75}, PromotionParams(), "alp")
    registry.pin(candidate.name, "jin", "왜냐하면")
    registry.describe(candidate.name, "조용한 모델", "jin")
    registry.unpin(FAN, "jin", "")
    registry.rollback(FAN, "jin", "")
    registry.archive(candidate.name, "jin", "")
    assert registry.champion(FAN).version == model.version
    assert damage(registry) == []


def test_a_bit_that_flips_in_a_threshold_on_disk_is_noticed_and_it_can_be_set_anew(tmp_path):
    registry = Registry(tmp_path)
    version = registry.register(FAN, "january", JANUARY, write_model(tmp_path / "a", "a")).version
    registry.save_threshold(version, VALUE, "quieter", "jin")
    flip(tmp_path / "registry.db", struct.pack(">d", VALUE))
    with pytest.raises(RegistryRefused, match=f"{version}: .*alp models threshold {version} VALUE"):
        registry.threshold(version)
    assert len(damage(registry)) == 1
    assert registry.history(version=version)[0].after == repr(VALUE)
    registry.save_threshold(version, VALUE, "as it was", "jin")
    assert [(item.number, item.value) for item in registry.thresholds(version)] == [(0, 1.0), (2, VALUE)]
    assert damage(registry) == []


def bytes_of(path):
    """What the file holds once its log is in it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return bytearray(path.read_bytes())


def flip(path, wanted):
    """Change one bit of a value that a database's file holds once."""
    data = bytes_of(path)
    assert data.count(wanted) == 1
    data[data.index(wanted)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("change", ["value = 0.5", "number = 7", "number = -3", "who = 'kim'"])
def test_a_threshold_in_force_that_is_not_the_one_that_was_set_is_refused(registry, model, change):
    write(
        registry, f"UPDATE thresholds SET {change} WHERE version = :version AND number = 1", version=model.version
    )
    with pytest.raises(RegistryRefused, match="the threshold in force of this model is not the one"):
        registry.thresholds(model.version)
    assert registry.save_threshold(model.version, 0.25, "", "jin").number >= 1
    assert registry.threshold(model.version) == 0.25


def test_a_threshold_that_is_no_longer_in_force_hinders_nothing(registry, model):
    write(
        registry, "UPDATE thresholds SET value = 9 WHERE version = :version AND number = 0", version=model.version
    )
    assert [item.value for item in registry.thresholds(model.version)] == [VALUE]
    assert damage(registry) == []


@pytest.mark.parametrize(
    "change",
    ["state = 'chaipion'", "state = 'archived'", "pinned = NOT pinned", "name = 'other'", "checksum = NULL"],
)
def test_a_champion_that_is_not_as_it_was_written_is_named_and_never_taken_for_none(registry, model, change):
    write(registry, f"UPDATE model_versions SET {change} WHERE version = :version", model.version)
    with pytest.raises(RegistryRefused, match=f"{model.version}.*Put a backup of the registry back") as refused:
        registry.champion(FAN)
    assert damage(registry) == [str(refused.value)]
    with pytest.raises(RegistryRefused):
        registry.find()
    with pytest.raises(RegistryRefused):
        registry.promote(model.version, "jin", "")


@pytest.mark.parametrize("change", ["packages = '[\"jan'", "reason = CAST(x'ff41' AS TEXT)"])
def test_what_cannot_even_be_read_as_text_or_json_is_damage_in_words(tmp_path, change):
    registry = Registry(tmp_path)
    registry.register(FAN, "january", JANUARY, write_model(tmp_path / "a", "a"))
    write(registry, f"UPDATE model_versions SET {change}")
    with pytest.raises(RegistryRefused, match="the registry is damaged"):
        registry.champion(FAN)


def test_a_registry_from_before_there_were_checksums_gets_them(url, root, model):
    """Its rows are taken to be as they were written."""
    database = Registry(root, url)._database
    with database.writing() as connection:
        for table in ("model_versions", "thresholds"):
            connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN checksum"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    registry = Registry(root, url)
    assert registry.champion(FAN) == model
    assert registry.threshold(model.version) == VALUE
    assert damage(registry) == []


def test_the_doctor_names_what_is_damaged_and_what_to_do(registry, model, url, root, monkeypatch):
    monkeypatch.setenv("ALP_REGISTRY_URL", url)
    assert told(root).state == "ok"
    write(registry, "UPDATE thresholds SET value = 0.5 WHERE number = 1")
    found = told(root)
    assert found.state == "problem"
    assert f"alp models threshold {model.version} VALUE" in found.fix


def told(root):
    return next(finding for finding in services(root, Params()) if finding.what == "registry")


def test_the_doctor_names_an_index_that_no_longer_fits(tmp_path, monkeypatch):
    """A row that cannot be found by its key is no row that could be compared with its checksum."""
    monkeypatch.delenv("ALP_REGISTRY_URL", raising=False)
    registry = Registry(tmp_path)
    version = registry.register(FAN, "january", JANUARY, write_model(tmp_path / "a", "a")).version
    data = bytes_of(tmp_path / "registry.db")
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection:
        index = "SELECT rootpage FROM sqlite_master WHERE name LIKE '%autoindex_thresholds%'"
        page, size = (connection.execute(said).fetchone()[0] for said in (index, "PRAGMA page_size"))
    data[data.index(version.encode(), (page - 1) * size, page * size)] ^= 1
    (tmp_path / "registry.db").write_bytes(data)
    found = told(tmp_path)
    assert found.state == "problem"
    assert "SQLite finds the file damaged" in found.fix
