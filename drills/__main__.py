"""Make faults, and see what becomes of packages: ``python -m drills disk-full clock-run``; by default all."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import sys
import time
import traceback
from datetime import date

from drills import (
    clock,
    cluster,
    corrupted,
    disk_full,
    half_zip,
    kill_all,
    kill_process,
    memory,
    read_only,
    replaced_upload,
    stuck_decode,
    two_machines,
)
from drills.ground import Ground, open_ground
from drills.results import keep, show
from drills.verdict import Drill, DrillFailed, DrillSkipped, Result, Verdict, chosen

_ROOMS = (
    kill_process,
    kill_all,
    disk_full,
    read_only,
    clock,
    two_machines,
    replaced_upload,
    half_zip,
    corrupted,
    memory,
    stuck_decode,
    cluster,
)
DRILLS: tuple[Drill, ...] = tuple(drill for room in _ROOMS for drill in room.DRILLS)


def main() -> int:
    """Make the drills; 1 when one failed, 2 when one is not known."""
    parser = argparse.ArgumentParser(prog="make drill ARGS=…", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="DRILL", help="names, or their beginnings; default all")
    parser.add_argument("--list", action="store_true", help="say which there are, and make none")
    parser.add_argument("--trace", action="store_true", help="say where a drill failed")
    given = parser.parse_args()
    try:
        drills = chosen(DRILLS, given.names)
    except KeyError as error:
        parser.error(f"no drill is called {error}; --list says which there are")
    if given.list:
        print("\n".join(f"{drill.name:<28}{drill.done}" for drill in drills))
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # so that mounts and services end with the drills
        signal.signal(number, signal.default_int_handler)
    with open_ground() as ground:
        results = [make(drill, ground, trace=given.trace) for drill in drills]
    show(results)
    keep(results, DRILLS)
    return int(any(item.verdict == "failed" for item in results))


def make(drill: Drill, ground: Ground, *, trace: bool = False) -> Result:
    """Make one fault, and say how it ended."""
    print(f"{drill.name} …", end=" ", file=sys.stderr, flush=True)
    began = time.monotonic()
    verdict: Verdict = "passed"
    try:
        seen = drill.work(ground)
    except DrillSkipped as skipped:
        verdict, seen = "skipped", str(skipped)
    except DrillFailed as failed:
        verdict, seen = "failed", str(failed)
    except Exception as error:
        verdict, seen = "failed", f"{type(error).__name__}: {error}"
        if trace:
            traceback.print_exc()
    seconds = round(time.monotonic() - began, 1)
    print(f"{verdict}, {seconds:g} s", file=sys.stderr, flush=True)
    if verdict == "failed":
        print(f"  {seen}", file=sys.stderr, flush=True)
    return Result(
        drill.name, drill.done, _plain(seen, ground), seconds, verdict, date.today().isoformat(), _machine()
    )


def _plain(text: str, ground: Ground) -> str:
    """Without the names of temporary folders, which differ each time."""
    return re.sub(rf"{re.escape(str(ground.folder))}(/root-\d+|/disk/data|/view)?", "…", text)


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory_gb:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
