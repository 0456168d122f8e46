"""How the parts that hold a large installation up grow with it: what `deploy/SCALE.md` counts with.

Each part is measured at several sizes, with nothing else running: a look of the upload sensor at the inbox,
Dagster's choice of the next run from a long queue, partitions and runs in PostgreSQL, finding a model in the
registry, and git with one `.dvc` file for every package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.output import save, say, show
from deploy.cluster.place import DATABASE, REGISTRY, Place, Workers, configure, open_place
from deploy.cluster.postgres import postgres, wait_and_fill
from deploy.cluster.services import Supervisor

if TYPE_CHECKING:
    import dagster as dg

SIZES = (100, 1_000, 10_000)
_PACKAGES_PER_CUSTOMER = 20
_REPEAT = 3
_VERSIONS = "registry: a machine's versions among so many, s"
_CHAMPIONS = "registry: every champion among so many versions, s"
_TEXTS = (
    *("engine", "letter", "encoder", "weights", "package", "received_at", "created_at"),
    *("data_hash", "folder", "code_version", "description", "reason"),
)


def main() -> None:
    """Measure, print and write ``slopes.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.slopes", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    sizes = parser.parse_args().sizes
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="alp-bench-", dir="/tmp") as name:
        scratch = Path(name)
        scratch.chmod(0o755)  # PostgreSQL runs as somebody else
        for size in sizes:
            _add(figures, size, "sensor: a look at an inbox that holds so many files, s", _inbox(scratch, size))
            _add(figures, size, "git: status of so many .dvc files, s", _git(scratch, size))
        with databases(scratch / "cluster") as (place, instance):
            _on_postgres(figures, sizes, place, instance)
    show("Seconds by size", ("what", *map(str, sizes)), [_row(name, figures[name], sizes) for name in figures])
    save("slopes", {"sizes": sizes, "seconds": figures})


def _on_postgres(
    figures: dict[str, dict[str, float]], sizes: Sequence[int], place: Place, instance: dg.DagsterInstance
) -> None:
    from sensors.turns import turn_tags

    before = 0
    for size in sizes:
        _fill(instance, before, size)
        before = size
        names = [f"c{number}" for number in range(20)]
        _add(figures, size, "queue: Dagster chooses the next of so many waiting runs, s", _next_run(instance))
        turns = _timed(partial(turn_tags, instance, names))
        _add(figures, size, "sensor: turns of 20 arrivals among so many waiting runs, s", turns)
        partitions = _timed(lambda: instance.get_dynamic_partitions("packages"))
        _add(figures, size, "partitions: all keys read, s", partitions)
        page = _timed(lambda: instance.get_run_records(limit=50))
        _add(figures, size, "runs: newest 50, the UI's first page, s", page)
    for name, seconds in _registry(place, sizes).items():
        for size, value in seconds.items():
            _add(figures, size, name, value)


def _inbox(scratch: Path, size: int) -> float:
    """A look at which nothing is new, every file of it known."""
    from sensors.inbox import Seen, load_cursor, save_cursor, scan_inbox

    root, seen = scratch / f"inbox-{size}", {}
    for number in range(size):
        path = root / "inbox" / f"c{number // _PACKAGES_PER_CUSTOMER}" / f"p{number}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        status = path.stat()
        name = path.relative_to(root / "inbox").as_posix()
        seen[name] = Seen(status.st_size, status.st_mtime_ns, "0" * 64)
    cursor = save_cursor(seen)

    def look() -> None:
        save_cursor(scan_inbox(root, load_cursor(cursor), 20).seen)

    seconds = _timed(look)
    shutil.rmtree(root)
    return seconds


def _git(scratch: Path, size: int) -> float:
    root = scratch / f"git-{size}"
    for number in range(size):
        path = root / f"c{number // _PACKAGES_PER_CUSTOMER}" / f"p{number}.dvc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"outs:\n- md5: {uuid.uuid4().hex}.dir\n  path: p{number}\n")
    quiet = {"cwd": root, "check": True, "capture_output": True}
    for command in (["init"], ["add", "."], ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-m", "all"]):
        subprocess.run(["git", *command], **quiet)  # type: ignore[call-overload]
    seconds = _timed(lambda: subprocess.run(["git", "status", "--short"], **quiet))  # type: ignore[call-overload]
    shutil.rmtree(root)
    return seconds


@contextmanager
def databases(folder: Path) -> Iterator[tuple[Place, dg.DagsterInstance]]:
    """PostgreSQL alone, and an instance on it."""
    import dagster as dg

    (folder / "data").mkdir(parents=True)
    place, workers = open_place(folder / "data", folder / "state"), Workers(2)
    configure(place, workers)
    environment, before = place.environment(workers), dict(os.environ)
    supervisor = Supervisor(place.logs, environment, folder, say)
    try:
        supervisor.start(postgres(place))
        wait_and_fill(place)
        os.environ.update(environment)
        with dg.DagsterInstance.from_config(str(place.home)) as instance:
            yield place, instance
    finally:
        os.environ.clear()
        os.environ.update(before)
        supervisor.stop()


def _fill(instance: dg.DagsterInstance, start: int, end: int) -> None:
    """Partitions and waiting runs, written as rows that copy the first."""
    import psycopg

    keys = [f"c{number // _PACKAGES_PER_CUSTOMER}__p{number}" for number in range(start, end)]
    for first in range(0, len(keys), 1000):
        instance.add_dynamic_partitions("packages", keys[first : first + 1000])
    if not start:
        _one_waiting_run(instance)
    host, port = os.environ["ALP_POSTGRES_HOST"], os.environ["ALP_POSTGRES_PORT"]
    user, password = os.environ["ALP_POSTGRES_USER"], os.environ["ALP_POSTGRES_PASSWORD"]
    copies = end - max(start, 1)
    with psycopg.connect(host=host, port=port, user=user, password=password, dbname=DATABASE) as connection:
        template = connection.execute("SELECT run_id, run_body FROM runs ORDER BY id LIMIT 1").fetchone()
        assert template is not None
        old_id, body = template
        for number in range(end - copies, end):
            run_id, customer = str(uuid.uuid4()), f"c{number // _PACKAGES_PER_CUSTOMER}"
            connection.execute(
                "INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, create_timestamp, "
                "update_timestamp) SELECT %s, snapshot_id, pipeline_name, status, %s, now(), now() FROM runs "
                "WHERE run_id = %s",
                (run_id, body.replace(old_id, run_id), old_id),
            )
            connection.execute(
                "INSERT INTO run_tags (run_id, key, value) VALUES (%s, 'customer', %s), (%s, 'alp/turn', %s)",
                (run_id, customer, run_id, str(number % _PACKAGES_PER_CUSTOMER)),
            )
        connection.execute("ANALYZE")


def _one_waiting_run(instance: dg.DagsterInstance) -> None:
    import dagster as dg
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
    from dagster._core.test_utils import create_run_for_test

    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("alp"), "__repository__"), "onboard"
    )
    tags = {"customer": "c0", "alp/turn": "0", "dagster/priority": "0", "dagster/partition": "c0__p0"}
    create_run_for_test(
        instance, job_name="onboard", tags=tags, status=dg.DagsterRunStatus.QUEUED, remote_job_origin=origin
    )


def _next_run(instance: dg.DagsterInstance) -> float:
    from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

    daemon = QueuedRunCoordinatorDaemon(1)
    config = instance.get_concurrency_config()
    return _timed(lambda: daemon._get_runs_to_dequeue(instance, config, fixed_iteration_time=None))


def _registry(place: Place, sizes: Sequence[int]) -> dict[str, dict[int, float]]:
    """Finding models in a registry of so many versions, four for each machine."""
    import sqlalchemy as sa

    from alp_assets.registry.registry import Registry
    from alp_assets.registry.tables import VERSIONS
    from schemas.sections import Section

    url, section, before = place.database_url(REGISTRY), Section("c0", "fan", "1"), 0
    registry = Registry(place.data_root, url)
    found: dict[str, dict[int, float]] = {_VERSIONS: {}, _CHAMPIONS: {}}
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    for size in sizes:
        with engine.begin() as connection:
            connection.execute(VERSIONS.insert(), [_version(number) for number in range(before, size)])
        before = size
        found[_VERSIONS][size] = _timed(lambda: registry.versions(section))
        found[_CHAMPIONS][size] = _timed(lambda: registry.find(state="champion"))
    engine.dispose()
    return found


def _version(number: int) -> dict[str, Any]:
    return {
        "version": f"{number:016x}",
        "customer": f"c{number // 80}",
        "machine_type": "fan",
        "section_id": str(number // 4 % 20 + 1),
        "name": f"model-{number}",
        "state": "champion" if number % 4 == 0 else "archived",
        "pinned": False,
        "packages": ["p"],
        "clips": 10,
        "parameters": {"engine": "memory_bank"},
        "metrics": {"auc": 0.9},
        "calibration": {"promised": 0.01},
        "threshold": 1.0,
        "files": {"model.safetensors": "0" * 64},
        "bytes": 1_000_000,
        **dict.fromkeys(_TEXTS, "text"),
    }


def _add(figures: dict[str, dict[str, float]], size: int, name: str, seconds: float) -> None:
    figures.setdefault(name, {})[str(size)] = seconds


def _timed(work: Callable[[], object]) -> float:
    """The quickest of some tries, in seconds."""
    seconds = []
    for _ in range(_REPEAT):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _row(name: str, seconds: dict[str, float], sizes: Sequence[int]) -> list[str]:
    return [name, *(f"{seconds[str(size)]:.3f}" if str(size) in seconds else "" for size in sizes)]


if __name__ == "__main__":
    main()
