"""How long it takes from a file that drops into the inbox to the finished run, with Dagster's daemon running.

The package is small, so that what remains is the way there: the file must have settled, Dagster evaluates
sensors every five seconds and looks at its queue every second, and the run gets a process that imports
everything. The share of the orchestrator is what is left of the time when that inside the run's steps is
taken away.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.daemon import Daemon, running_daemon
from bench.dagster_log import times_of
from bench.output import save, say, show
from bench.synthetic import PARTS, spec_of, write

SHARE_TARGET_S = 10.0
_CLIP_S = 2.0
_READY_S = 120.0
_DONE_S = 300.0


@dataclass(frozen=True)
class Arrival:
    """Seconds from the drop to the request, start and end of the run, and the seconds inside its steps."""

    requested_s: float
    started_s: float
    finished_s: float
    steps_s: float

    @property
    def orchestrator_s(self) -> float:
        """Seconds that the orchestrator took, from the drop to the end."""
        return self.finished_s - self.steps_s


def main() -> None:
    """Measure, print and write ``arrival.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.arrival", description=__doc__)
    parser.add_argument("--clips", type=int, default=PARTS, help=f"recordings, a multiple of {PARTS}")
    parser.add_argument("--repeat", type=int, default=5, help="packages, one after the other")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as scratch:
        archives = []
        for number in range(chosen.repeat):
            archives.append(Path(scratch) / f"package-{number}.zip")
            write(archives[-1], spec_of(chosen.clips, seed=number, channels=1, duration_s=_CLIP_S))
        with running_daemon(Path(scratch) / "data") as daemon:
            daemon.wait_for(lambda: daemon.has_ticked("uploads"), "look at the inbox", _READY_S)
            arrivals = [drop(archive, Path(scratch) / "data", daemon) for archive in archives]
    _print(arrivals, chosen.clips)
    save(
        "arrival",
        {
            "clips": chosen.clips,
            "arrivals": [{**asdict(item), "orchestrator_s": item.orchestrator_s} for item in arrivals],
            "targets": {"orchestrator_s": SHARE_TARGET_S},
        },
    )


def drop(archive: Path, data_root: Path, daemon: Daemon) -> Arrival:
    """Put a zip into the inbox in one move, as new as a copy that ended just now, and wait for its run.

    Raises:
        RuntimeError: there was no run, or it failed.
    """
    import dagster as dg

    place = data_root / "inbox" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    known = {run.run_id for run in daemon.instance.get_runs()}

    def record() -> dg.RunRecord | None:
        records = daemon.instance.get_run_records(limit=1)
        return records[0] if records and records[0].dagster_run.run_id not in known else None

    def ended() -> bool:
        found = record()
        return found is not None and found.dagster_run.is_finished and found.end_time is not None

    os.utime(archive)
    dropped = time.time()
    archive.replace(place / archive.name)
    daemon.wait_for(ended, "finished run", _DONE_S)
    run = record()
    if run is None or run.start_time is None or run.end_time is None or not run.dagster_run.is_success:
        raise RuntimeError(f"the run of {archive.name} did not succeed")
    times = times_of(daemon.instance.all_logs(run.dagster_run.run_id))
    return Arrival(
        requested_s=run.create_timestamp.timestamp() - dropped,
        started_s=run.start_time - dropped,
        finished_s=run.end_time - dropped,
        steps_s=times.inside,
    )


def _print(arrivals: list[Arrival], clips: int) -> None:
    rows = [
        [str(number), *(f"{value:.1f}" for value in asdict(item).values()), f"{item.orchestrator_s:.1f}"]
        for number, item in enumerate(arrivals, 1)
    ]
    columns = ("drop", "run requested", "run started", "run finished", "inside steps", "orchestrator")
    show(f"Arrival: seconds from the drop of a package of {clips} short clips", columns, rows)
    shares = [item.orchestrator_s for item in arrivals]
    say(
        f"orchestrator   {statistics.fmean(shares):.1f} s on average, at most {max(shares):.1f} s "
        f"(target: {SHARE_TARGET_S:g} s or less)"
    )


if __name__ == "__main__":
    main()
