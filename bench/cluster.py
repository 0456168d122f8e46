"""How several workers share the work: throughput, the orchestrator's part, and a long queue of tiny packages.

The throughput of 1, 2 and 3 workers is measured one after the other on the same packages, each with a cluster of
its own (PostgreSQL, Redis, Dagster) on this machine. Workers share its cores, so the ratio can be no better than
the cores allow: how many cores were idle on average is told beside it. The orchestrator's part of a package is its
run's time without that inside the stages' functions.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.stages.package import STAGES
from bench.cluster_watch import Memory, MemoryWatch, database_rows, per_package, processor_seconds
from bench.output import save, say, show
from bench.synthetic import PARTS, spec_of, write
from deploy.cluster.local import Cluster, running_cluster
from deploy.cluster.place import Workers, free_ports, open_place

if TYPE_CHECKING:
    import dagster as dg

SHARE_TARGET_S = 2.0
_DIFFERENT = 10  # packages; the others are the same bytes of other customers
_DONE_S = 7200.0
_PARAMETERS = "versioned: {enabled: false}\n"
TINY = _PARAMETERS + (
    "quality: {data_docs: false}\nsensitivity: {enabled: false}\n"
    "models: {engine: memory_bank}\nembeddings: {encoder: logmel}\n"
)


@dataclass(frozen=True)
class Throughput:
    """One number of workers: from the drop of the packages to the end of the last run."""

    workers: int
    threads: int
    packages: int
    failed: int
    seconds: float
    clips_per_s: float
    idle_cores: float
    load_before: float
    run_s: float
    share_s: float
    share_longest_s: float
    share_over_target: int
    queued_to_started_s: float
    workers_processor_s: float
    others_processor_s: float


def main() -> None:
    """Measure, print and write ``cluster.json`` and ``cluster_queue.json``."""
    chosen = _options().parse_args()
    with tempfile.TemporaryDirectory(prefix="alp-bench-", dir="/tmp") as name:
        scratch = Path(name)
        scratch.chmod(0o755)  # PostgreSQL runs as somebody else
        if chosen.packages:
            archives = _archives(scratch, min(_DIFFERENT, chosen.packages), chosen.clips, chosen.seconds)
            results = [_throughput(scratch, archives, chosen, workers) for workers in chosen.workers]
            _print(results, chosen.clips)
            figures = {"clips": chosen.clips, "clip_s": chosen.seconds, "targets": {"share_s": SHARE_TARGET_S}}
            save("cluster", {**figures, "throughput": [asdict(result) for result in results]})
        if chosen.tiny:
            archives = _archives(scratch, 1, PARTS, 1.0)  # each of a customer of its own
            save("cluster_queue", _queue(scratch, archives, chosen.tiny, chosen.tiny_workers))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--packages", type=int, default=60, help="0 leaves the throughput out")
    parser.add_argument("--clips", type=int, default=60, help=f"of a package, a multiple of {PARTS}")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--tiny", type=int, default=1000, help="packages in the long queue; 0 leaves it out")
    parser.add_argument("--tiny-workers", type=int, default=2)
    return parser


def _archives(scratch: Path, count: int, clips: int, seconds: float) -> list[Path]:
    folder = scratch / f"archives-{clips}-{seconds:g}"
    folder.mkdir(exist_ok=True)
    made = [folder / f"{number}.zip" for number in range(count)]
    for number, path in enumerate(made):
        write(path, spec_of(clips, seed=number, channels=1, sample_rate_hz=16_000, duration_s=seconds))
    return made


def _throughput(scratch: Path, archives: list[Path], chosen: argparse.Namespace, number: int) -> Throughput:
    import dagster as dg

    workers = Workers(number, per_customer=number)
    with _cluster(scratch / f"workers-{number}", workers, _PARAMETERS) as (cluster, instance):
        _warm_up(cluster, instance, archives[0], number)
        used = processor_seconds(cluster)
        load, busy, began, clock = os.getloadavg()[0], _busy(), time.time(), time.monotonic()
        _drop(cluster.place.data_root, archives, chosen.packages)
        records = _wait(instance, chosen.packages + number, None)
        idle = len(os.sched_getaffinity(0)) - (_busy() - busy) / (time.monotonic() - clock)
        mine = [record for record in records if record.create_timestamp.timestamp() >= began]
        good = [record for record in mine if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS]
        shares = [_share(instance, record) for record in good]
        seconds = max(record.end_time or 0.0 for record in mine) - began
        waits = [_waited(instance, record) for record in good]
        used = {part: seconds - used[part] for part, seconds in processor_seconds(cluster).items()}
        at_work = sum(seconds for part, seconds in used.items() if part.startswith("cpu-"))
    return Throughput(
        workers=number,
        threads=workers.threads,
        packages=len(mine),
        failed=len(mine) - len(good),
        seconds=seconds,
        clips_per_s=len(good) * chosen.clips / seconds,
        idle_cores=idle,
        load_before=load,
        run_s=statistics.fmean((record.end_time or 0.0) - (record.start_time or 0.0) for record in good),
        share_s=statistics.fmean(shares),
        share_longest_s=max(shares),
        share_over_target=sum(share > SHARE_TARGET_S for share in shares),
        queued_to_started_s=statistics.fmean(waits),
        workers_processor_s=at_work / len(mine),
        others_processor_s=(sum(used.values()) - at_work) / len(mine),
    )


def _queue(scratch: Path, archives: list[Path], count: int, number: int) -> dict[str, Any]:
    """Drain a queue of tiny packages, watching memory and what the databases gain."""
    with _cluster(scratch / "queue", Workers(number, per_customer=number), TINY) as (cluster, instance):
        _warm_up(cluster, instance, archives[0], number)
        rows, watch, began = database_rows(cluster.place), MemoryWatch(cluster), time.time()
        _drop(cluster.place.data_root, archives, count)
        records = _wait(instance, count + number, watch)
        memory = watch.close()
        gained = per_package(rows, database_rows(cluster.place), count)
    failed = sum(not record.dagster_run.is_success for record in records)
    seconds = max(record.end_time or 0.0 for record in records) - began
    _print_queue(memory, gained, count, failed, seconds)
    return {
        "packages": count,
        "workers": number,
        "clips": PARTS,
        "failed": failed,
        "seconds": seconds,
        "memory_mb": {f"{share:.0%}": memory.at(share)[2] for share in (0.1, 0.25, 0.5, 0.75, 1.0)},
        "memory_mb_per_100_packages": memory.slopes(),
        "database_per_package": gained,
    }


@contextmanager
def _cluster(folder: Path, workers: Workers, params: str) -> Iterator[tuple[Cluster, dg.DagsterInstance]]:
    import dagster as dg

    data = folder / "data"
    data.mkdir(parents=True)
    (data / "params.yaml").write_text(params)
    place = open_place(data, folder / "state", free_ports(1)[0])
    before = dict(os.environ)
    try:
        with running_cluster(place, workers, told=say) as cluster:
            os.environ.update(cluster.environment)
            with dg.DagsterInstance.from_config(str(place.home)) as instance:
                yield cluster, instance
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def _warm_up(cluster: Cluster, instance: dg.DagsterInstance, archive: Path, number: int) -> None:
    """A package for every worker, so that none is measured while it imports."""
    for one in range(number):
        _put(archive, cluster.place.data_root, f"warm-{one}", "first")
    _wait(instance, number, None)


def _drop(data_root: Path, archives: Sequence[Path], count: int) -> None:
    """Put packages into the inbox: a customer sends different bytes each time, others may send the same."""
    for number in range(count):
        _put(archives[number % len(archives)], data_root, f"customer-{number // len(archives)}", f"p{number}")


def _put(archive: Path, data_root: Path, customer: str, package: str) -> None:
    place = data_root / "inbox" / customer
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(archive, place / f".{package}.part")
    settled = time.time() - 60
    os.utime(place / f".{package}.part", (settled, settled))
    (place / f".{package}.part").rename(place / f"{package}.zip")


def _wait(instance: dg.DagsterInstance, count: int, watch: MemoryWatch | None) -> Sequence[dg.RunRecord]:
    """Every run, once so many have ended."""
    import dagster as dg

    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    until = time.monotonic() + _DONE_S
    while (done := instance.get_runs_count(dg.RunsFilter(statuses=ended))) < count:
        if watch:
            watch.done = done
        if time.monotonic() > until:
            raise RuntimeError(f"only {done} of {count} packages have ended within {_DONE_S:g} s")
        time.sleep(0.5)
    if watch:
        watch.done = done
    return instance.get_run_records()


def _share(instance: dg.DagsterInstance, record: dg.RunRecord) -> float:
    """Seconds of a run outside its stages' functions: a function ends when its step tells of its output."""
    inside, began = 0.0, {}
    for entry in instance.all_logs(record.dagster_run.run_id):
        if not entry.is_dagster_event or entry.step_key not in STAGES:
            continue
        kind = entry.get_dagster_event().event_type_value
        if kind == "STEP_START":
            began[entry.step_key] = entry.timestamp
        elif kind == "STEP_OUTPUT" and entry.step_key in began:
            inside += entry.timestamp - began.pop(entry.step_key)
    return (record.end_time or 0.0) - (record.start_time or 0.0) - inside


def _waited(instance: dg.DagsterInstance, record: dg.RunRecord) -> float:
    """Seconds from the moment at which the run was given to a worker to its start there."""
    launched = instance.get_run_stats(record.dagster_run.run_id)
    return (launched.start_time or 0.0) - (launched.launch_time or launched.start_time or 0.0)


def _busy() -> float:
    """Seconds that all processors of the machine have been busy."""
    user, nice, system, _idle, _wait_io, *more = (
        int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + sum(more[:2])) / os.sysconf("SC_CLK_TCK")


def _print(results: Sequence[Throughput], clips: int) -> None:
    base = results[0]
    rows = [
        [
            str(result.workers),
            str(result.threads),
            f"{result.seconds:.0f}",
            f"{result.clips_per_s:.1f}",
            f"{result.clips_per_s / base.clips_per_s:.2f}",
            f"{result.idle_cores:.2f}",
            f"{result.load_before:.1f}",
            f"{result.share_s:.2f}",
            f"{result.share_longest_s:.2f}",
            str(result.share_over_target),
            f"{result.workers_processor_s:.1f} + {result.others_processor_s:.1f}",
            str(result.failed),
        ]
        for result in results
    ]
    columns = (
        *("workers", "threads each", "seconds", "clips/s", "ratio", "idle cores"),
        *("load before", "orchestrator s", "longest", "over", "processor s", "failed"),
    )
    show(f"{base.packages} packages of {clips} clips", columns, rows)
    say(
        f"orchestrator: seconds of a run outside its stages (target: {SHARE_TARGET_S:g} s or less), and how many "
        "are over it\n"
        "processor: seconds of a package in its worker, and in everything else (daemon, databases, UI)"
    )


def _print_queue(
    memory: Memory, gained: dict[str, dict[str, float]], count: int, failed: int, seconds: float
) -> None:
    slopes = memory.slopes()
    shares = (0.1, 0.5, 1.0)
    rows = [
        [part, *(f"{memory.at(share)[2][part]:.0f}" for share in shares), f"{slopes.get(part, 0):+.1f}"]
        for part in memory.samples[-1][2]
    ]
    show(
        f"{count} tiny packages in {seconds:.0f} s, {failed} failed: memory in 10^6 bytes",
        ("part", *(f"at {share:.0%}" for share in shares), "by 100 packages"),
        rows,
    )
    tables = sorted(gained.items(), key=lambda item: -item[1]["bytes"])
    show(
        "What a package adds to PostgreSQL",
        ("table", "rows", "bytes"),
        [[name, f"{values['rows']:.1f}", f"{values['bytes']:.0f}"] for name, values in tables],
    )


if __name__ == "__main__":
    main()
