"""Three workers, PostgreSQL and Redis on this machine: what drops into the inbox is worked on, nothing is lost."""

import re
import shutil
import tempfile
import time
from pathlib import Path

import dagster as dg
import pytest

from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import make_repository, repository_of
from alp_assets.versions.revisions import committed
from alp_assets.versions.store import opened
from alp_assets.versions.unpushed import Unpushed
from deploy.cluster.local import end_leftovers, running_cluster
from deploy.cluster.place import REGISTRY, ClusterError, Workers, free_ports, open_place
from deploy.cluster.postgres import program
from schemas.sections import Section
from tests.packages import machine_package
from tests.store.buckets import machine, running

pytestmark = pytest.mark.slow

PACKAGES = ("acme__p0", "acme__p1", "acme__p2", "acme__p3", "other__p0", "other__p1")
PARAMETERS = """
quality: {data_docs: false}
sensitivity: {enabled: false}
models: {engine: isolation_forest}
embeddings: {encoder: logmel}
"""
QUICK = {"enabled": True, "poll_interval_seconds": 1, "start_timeout_seconds": 600, "max_runtime_seconds": 600}
DONE_S = 600.0


def _missing() -> str | None:
    for module in ("psycopg", "psycopg2", "celery", "dagster_celery", "dagster_postgres"):
        pytest.importorskip(module)
    if shutil.which("redis-server") is None:
        return "there is no Redis here (apt-get install redis-server)"
    try:
        program("initdb")
    except ClusterError as error:
        return str(error)
    return None


@pytest.fixture
def scratch():
    if reason := _missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="alp cluster ", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as somebody else
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(scratch):
    data = scratch / "data"
    data.mkdir()
    (data / "params.yaml").write_text(PARAMETERS)
    return open_place(data, scratch / "state", free_ports(1)[0])


def test_packages_of_two_customers_on_three_workers(place, monkeypatch):
    """One test, because starting it all takes long."""
    make_repository(place.data_root, str(place.folder / "remote"))
    drop_all(place)
    with running_cluster(place, Workers(3), run_monitoring=QUICK) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        with dg.DagsterInstance.from_config(str(place.home)) as instance:
            runs = finished(instance, len(PACKAGES))
            processes = [_processes(instance, run) for run in runs.values()]
        check_every_package_ended_well_in_one_run(runs, place)
        assert len(set().union(*processes)) == 3, "every worker took part, and stayed warm"
        check_customers_took_turns(runs)
        check_the_registry_is_whole(place)
        check_every_package_is_versioned_and_copied(place)
        check_no_password_is_in_what_others_may_read(place)
    assert end_leftovers(place) == 0, "nothing is left running"


def test_a_bucket_holds_the_packages_and_postgresql_the_rest(scratch, monkeypatch):
    (scratch / "params.yaml").write_text(PARAMETERS)
    monkeypatch.setenv("ALP_PARAMS", str(scratch / "params.yaml"))
    with running() as server, machine("cluster", scratch / "cache", scratch / "unused.db") as root:
        bucket, place = server.bucket("cluster"), open_place(root, scratch / "state", free_ports(1)[0])
        archives = [
            machine_package(scratch / f"{number}.zip", seed=number, train=3, normal=1, anomaly=1)
            for number in (0, 1)
        ]
        bucket.upload({f"inbox/acme/p{number}.zip": path for number, path in enumerate(archives)})
        with (
            running_cluster(place, Workers(2), run_monitoring=QUICK) as cluster,
            pytest.MonkeyPatch.context() as patch,
        ):
            for name, value in cluster.environment.items():
                patch.setenv(name, value)
            with dg.DagsterInstance.from_config(str(place.home)) as instance:
                runs = finished(instance, 2)
        assert {key: run.dagster_run.status.value for key, run in runs.items()} == {
            "acme__p0": "SUCCESS",
            "acme__p1": "SUCCESS",
        }
        assert all(bucket.listed(f"packages/acme/p{number}/report") for number in (0, 1))
        with machine("cluster", scratch / "elsewhere", scratch / "unused.db") as other:
            report = PackageFolder(other, "acme", "p0").stage("report")
            assert (report / "report.html").is_file()


def drop_all(place):
    for number, key in enumerate(PACKAGES):
        archive = machine_package(place.folder / "new.zip", seed=number, train=4, normal=2, anomaly=1)
        folder = PackageFolder.from_key(place.data_root, key)
        folder.inbox.parent.mkdir(parents=True, exist_ok=True)
        archive.rename(folder.inbox)


def finished(instance, count):
    """The records of the runs by package, once so many have ended."""
    until = time.monotonic() + DONE_S
    while len(ended := [run for run in instance.get_run_records() if run.end_time]) < count:
        assert time.monotonic() < until, ended
        time.sleep(0.3)
    return {run.dagster_run.tags["dagster/partition"]: run for run in instance.get_run_records()}


def _processes(instance, run):
    logs = instance.all_logs(run.dagster_run.run_id)
    found = [re.search(r"Executing steps in process \(pid: (\d+)\)", entry.user_message) for entry in logs]
    return {match[1] for match in found if match}


def check_every_package_ended_well_in_one_run(runs, place):
    assert {key: run.dagster_run.status.value for key, run in runs.items()} == dict.fromkeys(PACKAGES, "SUCCESS")
    assert all("dagster/parent_run_id" not in run.dagster_run.tags for run in runs.values())
    assert all(PackageFolder.from_key(place.data_root, key).stage("report").is_dir() for key in PACKAGES)


def check_every_package_is_versioned_and_copied(place):
    """By whichever worker had the lock; what waited for the remote was taken by whoever was at it."""
    repository = repository_of(place.data_root)
    with opened(repository) as store:
        copied = set(store.sizes(remote=True))
        for key in PACKAGES:
            (version,) = committed(repository, PackageFolder.from_key(place.data_root, key))
            assert store.closure(version.outs.values()) <= copied, key
    assert not Queue(place.data_root).waiting()
    assert not Unpushed(place.data_root).names()


def check_customers_took_turns(runs):
    """One had four packages there first: it never had all workers, and the other did not wait for all of them."""
    acme = [(run.start_time, run.end_time) for key, run in runs.items() if key.startswith("acme")]
    for start, _ in acme:
        assert sum(begun <= start < done for begun, done in acme) <= 2
    assert runs["other__p1"].start_time < max(start for start, _ in acme)


def check_the_registry_is_whole(place):
    """On PostgreSQL, written by three processes: no version lost, one champion for each machine."""
    registry = Registry(place.data_root, place.database_url(REGISTRY))
    for customer in ("acme", "other"):
        section = Section(customer, "fan", "1")
        versions = registry.versions(section)
        assert {version.package for version in versions} == {key[-2:] for key in PACKAGES if customer in key}
        assert registry.champion(section) in versions
        for version in versions:
            verify(version)


def check_no_password_is_in_what_others_may_read(place):
    words = [place.secret(name).encode() for name in ("redis", "postgres")]
    files = [path for path in place.folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert len(files) > 5
    assert not [path for path in files if any(word in path.read_bytes() for word in words)]
