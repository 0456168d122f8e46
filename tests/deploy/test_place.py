"""The folder of a cluster, its passwords, and what is said when something is missing."""

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from deploy.cluster import broker, postgres
from deploy.cluster.local import end_leftovers
from deploy.cluster.place import MARK, ClusterError, Workers, configure, open_place
from deploy.cluster.services import Service, Supervisor


@pytest.fixture
def place(tmp_path):
    return open_place(tmp_path / "data", tmp_path / "cluster")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_passwords_are_long_kept_and_for_their_owner_alone(place, tmp_path):
    first = place.secret("redis")
    assert len(first) >= 32
    assert first != place.secret("postgres")
    assert open_place(tmp_path / "data", tmp_path / "cluster").secret("redis") == first
    assert mode(place.folder / "secrets.json") == 0o600


def test_no_password_is_written_anywhere_else(place):
    configure(place, Workers(2))
    service = broker.redis(place) if broker.shutil.which("redis-server") else None
    words = (place.secret("redis"), place.secret("postgres"))
    readable = [path for path in place.folder.rglob("*") if path.is_file() and mode(path) & 0o077]
    assert readable
    assert not any(word in path.read_text() for path in readable for word in words)
    if service is not None:
        assert not any(word in part for part in service.command for word in words)
        assert "bind 127.0.0.1" in (place.folder / "redis/redis.conf").read_text()


def test_ports_are_chosen_once(place, tmp_path):
    assert len(set(place.ports.values())) == 3
    assert open_place(tmp_path / "data", tmp_path / "cluster").ports == place.ports


def test_the_folder_is_in_the_data_root_unless_it_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ALP_CLUSTER", raising=False)
    assert open_place(tmp_path / "data").folder == tmp_path / "data/cluster"
    monkeypatch.setenv("ALP_CLUSTER", str(tmp_path / "elsewhere"))
    assert open_place(tmp_path / "data").folder == tmp_path / "elsewhere"


def test_everything_knows_its_cluster_its_data_and_its_share_of_the_cores(place):
    environment = place.environment(Workers(cpu=100))
    assert environment[MARK] == str(place.folder)
    assert environment["ALP_DATA"] == str(place.data_root)
    assert environment["ALP_THREADS"] == "1"
    assert "gpu" not in environment["ALP_RUN_TAGS"]
    assert "gpu: {dagster-celery/queue: gpu}" in place.environment(Workers(gpu=1))["ALP_RUN_TAGS"]


def test_one_worker_stays_free_for_other_customers():
    assert [Workers(cpu).customer_limit for cpu in (1, 2, 3)] == [1, 1, 2]
    assert Workers(3, per_customer=3).customer_limit == 3


@pytest.mark.parametrize("numbers", [(0, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_numbers_that_cannot_be_are_refused(numbers):
    with pytest.raises(ClusterError, match="at least one worker"):
        Workers(*numbers)


@pytest.mark.parametrize(
    ("start", "package"), [(broker.redis, "redis-server"), (postgres.postgres, "apt-get install postgresql")]
)
def test_what_is_not_installed_is_named_with_its_package(place, monkeypatch, start, package):
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    with pytest.raises(ClusterError, match=package):
        start(place)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no Redis here")
def test_a_redis_that_outlived_its_cluster_is_ended_wherever_that_lies(tmp_path):
    place = open_place(tmp_path / "data", tmp_path / "클러 ster")
    alone = subprocess.Popen(broker.redis(place).command, stdout=subprocess.DEVNULL)  # nothing marks it
    try:
        broker.wait_for_redis(place)
        assert end_leftovers(place) == 1
        assert alone.wait(30) == 0
        assert end_leftovers(place) == 0
    finally:
        alone.kill()


@pytest.fixture
def supervisor(tmp_path):
    told = []
    one = Supervisor(tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path, told.append)
    one.told = told
    yield one
    one.stop()


def wait_for(found, seconds=10.0):

    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_dies_is_started_again_and_told(supervisor, tmp_path):
    supervisor.start(Service("worker", ["sh", "-c", "echo begun; exec sleep 60"]))
    first = supervisor.pid("worker")
    wait_for(lambda: "begun" in (tmp_path / "worker.log").read_text())
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: supervisor.pid("worker") != first)
    wait_for(lambda: (tmp_path / "worker.log").read_text().count("begun") == 2)
    assert "worker ended (-9)" in supervisor.told[0]


def test_nothing_is_left_when_it_stops(supervisor, tmp_path):
    """Not even what a service started itself and left."""
    supervisor.start(Service("parent", ["sh", "-c", "sleep 77 & echo $! > child; wait"]))
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    child = (tmp_path / "child").read_text().strip()
    supervisor.stop()
    wait_for(lambda: not _runs(child))


def _runs(pid):

    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
