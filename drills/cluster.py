"""kill -9 of a worker, of the daemon, of PostgreSQL and of Redis, with packages of several customers at work."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from alp_assets.registry.registry import Registry
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import PackageFolder
from drills.aftermath import check, check_recovered
from drills.children import wait_for
from drills.ground import PACKAGE, Ground
from drills.runs import DONE_S, MOST_TRIES, Runs, all_ended, half_through, reasons, runs_of, send
from drills.verdict import Drill, DrillSkipped, expect

if TYPE_CHECKING:
    import dagster as dg

    from deploy.cluster.local import Cluster

WORKERS = 2
CUSTOMERS = 3
_MONITOR = {"enabled": True, "poll_interval_seconds": 2, "start_timeout_seconds": 240, "max_runtime_seconds": 600}

Kill = Callable[["Cluster", Sequence[PackageFolder], "dg.DagsterInstance"], str]


@contextmanager
def started(ground: Ground) -> Iterator[Cluster]:
    """The cluster of all drills, in a data root of its own.

    Raises:
        DrillSkipped: PostgreSQL, Redis or the libraries for them are not here.
    """
    try:
        import celery  # noqa: F401
        import dagster_celery  # noqa: F401
        import dagster_postgres  # noqa: F401
        import psycopg  # noqa: F401
    except ImportError as error:
        raise DrillSkipped(f"{error.name} is not installed; install ALP with its extra cluster") from None
    from deploy.cluster.local import running_cluster
    from deploy.cluster.place import ClusterError, Workers, free_ports, open_place
    from deploy.cluster.postgres import program

    if shutil.which("redis-server") is None:
        raise DrillSkipped("there is no Redis here (apt-get install redis-server)")
    try:
        program("initdb")
    except ClusterError as error:
        raise DrillSkipped(str(error)) from None
    place = open_place(ground.new_root(), ground.folder / "cluster", free_ports(1)[0])
    with running_cluster(place, Workers(WORKERS), web=False, told=_quiet, run_monitoring=_MONITOR) as cluster:
        yield cluster


def killed(ground: Ground, kill: Kill, name: str) -> str:
    """Packages are dropped into the inbox, more than there are workers, and something is killed over them.

    Each must end well, after few tries, with one version of its model.
    """
    cluster = ground.cluster
    folders = [PackageFolder(cluster.place.data_root, f"{name}-{number}", PACKAGE) for number in range(CUSTOMERS)]
    with patch.dict(os.environ, cluster.environment), _instance(cluster) as instance:
        known = {folder.key for folder in folders}
        send(ground, folders)
        what = kill(cluster, folders, instance)
        wait_for(
            lambda: all_ended(instance, known), f"every run has ended after {name} was killed", seconds=DONE_S
        )
        runs = runs_of(instance, known)
        tries = {key: len(found) for key, found in runs.items()}
        states = {key: found[-1].dagster_run.status.value for key, found in runs.items()}
        why = [reasons(instance, found[-1].dagster_run.run_id) for found in runs.values()]
        expect(
            set(states.values()) == {"SUCCESS"},
            f"the packages ended with {states} after {tries} tries: {'; '.join(filter(None, why))}",
        )
        expect(max(tries.values()) <= MOST_TRIES, f"tried without end: {tries}")
        for folder in folders:
            check_recovered(ground, folder)
            expect(len(_versions(folder)) == 1, f"{folder.key}: {len(_versions(folder))} versions of one model")
        check(ground, folders[0])
    again = sum(tries.values()) - len(tries)
    return f"{what}; {len(tries)} packages done, {again or 'none'} tried again"


def kill_worker(cluster: Cluster, folders: Sequence[PackageFolder], instance: dg.DagsterInstance) -> str:
    """The worker that has a run, with all its processes."""
    keys = {folder.key for folder in folders}
    busy: list[str] = []

    def found() -> bool:
        busy[:] = _busy_workers(cluster, runs_of(instance, keys))
        return bool(busy)

    wait_for(found, "a worker has a run")
    os.killpg(cluster.supervisor.pid(busy[0]), signal.SIGKILL)
    return f"{busy[0]} killed at work"


def kill_service(
    cluster: Cluster, folders: Sequence[PackageFolder], instance: dg.DagsterInstance, *, service: str
) -> str:
    """A service, with all its processes, once a package is half through."""
    wait_for(lambda: any(map(half_through, folders)), "a package is half through")
    pid = cluster.supervisor.pid(service)
    os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: cluster.supervisor.pid(service) != pid, f"{service} is started again")
    return f"{service} killed and started again"


def _quiet(_: str) -> None:
    """What the supervisor says is seen by what comes of it."""


@contextmanager
def _instance(cluster: Cluster) -> Iterator[dg.DagsterInstance]:
    import dagster

    with dagster.DagsterInstance.from_config(str(cluster.place.home)) as instance:
        yield instance


def _busy_workers(cluster: Cluster, runs: Runs) -> list[str]:
    """The workers whose processes say that they work on one of these runs at this moment."""
    from celery import Celery

    found = []
    with Celery(broker=cluster.place.broker_url, backend=cluster.place.broker_url) as app:
        for tries in runs.values():
            run = tries[-1].dagster_run
            if run.status.value == "STARTED" and (task := run.tags.get("dagster-celery/task_id")):
                about = app.AsyncResult(task).info
                if isinstance(about, dict) and "hostname" in about:
                    found.append(str(about["hostname"]).partition("@")[0])
    return found


def _versions(folder: PackageFolder) -> list[Any]:
    registry = Registry(folder.data_root)
    found = [version for section in package_sections(folder) for version in registry.versions(section)]
    return [version for version in found if version.package == folder.package]


def _drill(name: str, words: str, kill: Callable[..., str]) -> Drill:
    return Drill(
        f"kill-{name}",
        f"kill -9 of {words}, packages of several customers at work",
        partial(killed, kill=kill, name=name),
    )


DRILLS = (
    _drill("worker", "a worker of the cluster", kill_worker),
    _drill("daemon", "Dagster's daemon", partial(kill_service, service="daemon")),
    _drill("postgres", "PostgreSQL", partial(kill_service, service="postgres")),
    _drill("redis", "Redis", partial(kill_service, service="redis")),
)
