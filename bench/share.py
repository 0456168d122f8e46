"""What Dagster takes of a package on PostgreSQL: its run without the stages' functions.

Runs go through a warm process as in a worker. Making the run and its plan is counted in, though in a cluster the
daemon does that; so are the gates' checks and the tables that assets show. Processor seconds are told beside those
by the clock, because a busy machine changes them less; what waits for the disk is in the latter alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from bench.cluster import SHARE_TARGET_S, TINY
from bench.output import save, say, show
from bench.slopes import databases
from bench.synthetic import PARTS, spec_of, write

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Seconds:
    """By the clock and of the processor: a whole run, and the part of it inside the stages' functions."""

    clock: float
    processor: float
    inside_clock: float
    inside_processor: float

    @property
    def share_clock(self) -> float:
        """By the clock, outside the stages."""
        return self.clock - self.inside_clock

    @property
    def share_processor(self) -> float:
        """Of the processor, outside the stages."""
        return self.processor - self.inside_processor


def main() -> None:
    """Measure, print and write ``share.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.share", description=__doc__)
    parser.add_argument("--packages", type=int, default=5, help="after a first one, which imports everything")
    count = parser.parse_args().packages
    with tempfile.TemporaryDirectory(prefix="alp-bench-", dir="/tmp") as name:
        scratch = Path(name)
        scratch.chmod(0o755)  # PostgreSQL runs as somebody else
        archive = scratch / "package.zip"
        write(archive, spec_of(PARTS, channels=1, sample_rate_hz=16_000, duration_s=1.0))
        with databases(scratch / "cluster") as (place, instance):
            (place.data_root / "params.yaml").write_text(TINY)
            runs = [_run(instance, place.data_root, archive, number) for number in range(count + 1)][1:]
    rows = [
        [str(number), *(f"{value:.2f}" for value in (run.clock, run.share_clock, run.share_processor))]
        for number, run in enumerate(runs, 1)
    ]
    show("A warm run of a package on PostgreSQL, seconds", ("package", "run", "outside stages", "processor"), rows)
    say(f"target: {SHARE_TARGET_S:g} s or less outside the stages")
    shares = [
        {**asdict(run), "share_s": run.share_clock, "share_processor_s": run.share_processor} for run in runs
    ]
    save("share", {"packages": shares, "targets": {"share_s": SHARE_TARGET_S}})


def _run(instance: dg.DagsterInstance, data_root: Path, archive: Path, number: int) -> Seconds:
    from alp_assets.assets.workplace import Workplace
    from alp_assets.definitions import defs

    key = f"bench{number}__first"
    inbox = data_root / "inbox" / f"bench{number}" / "first.zip"
    inbox.parent.mkdir(parents=True)
    inbox.write_bytes(archive.read_bytes())
    instance.add_dynamic_partitions("packages", [key])
    with _inside() as inside:
        clock, processor = time.perf_counter(), time.process_time()
        job = defs.resolve_job_def("onboard")
        done = job.execute_in_process(
            instance=instance, partition_key=key, resources={"workplace": Workplace(data_root)}
        )
        seconds = time.perf_counter() - clock, time.process_time() - processor
    if not done.success:
        raise RuntimeError(f"the run of {key} failed")
    return Seconds(*seconds, *inside)


@contextmanager
def _inside() -> Iterator[list[float]]:
    """Seconds by the clock and of the processor that stages' functions take in the block."""
    from alp_assets.stages.catalog import stage_function

    taken = [0.0, 0.0]

    def measured(stage: str) -> Any:
        function = stage_function(stage)

        def call(*args: Any, **more: Any) -> Any:
            clock, processor = time.perf_counter(), time.process_time()
            try:
                return function(*args, **more)
            finally:
                taken[0] += time.perf_counter() - clock
                taken[1] += time.process_time() - processor

        return call

    with mock.patch("alp_assets.assets.running.stage_function", measured):
        yield taken


if __name__ == "__main__":
    main()
