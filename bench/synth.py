"""How fast the synthetic customer is made: recordings of 10 s a second, all types together and each alone.

Processor time is told beside the rate, because others may use the cores as well. The package is written to a
temporary file, checksum and all, by a process of its own for each number of workers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from alp_assets.synth.customer import FULL_SHAPE, SynthSpec, scaled, synthesize
from bench.output import save, show

TARGET = 150.0
"""Recordings a second on two cores."""

_TYPE_SCALE = 0.08


def main() -> None:
    """Measure, print and write ``synth.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.synth", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.3, help="of the full shape of 9,100 recordings")
    parser.add_argument("--measure", nargs=3, metavar=("TYPES", "SCALE", "THREADS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        types, scale, threads = chosen.measure
        spec = scaled(replace(FULL_SHAPE, machines=tuple(types.split(","))), float(scale))
        print(json.dumps(measure(spec, int(threads))))
        return
    cores = len(os.sched_getaffinity(0))
    every = ",".join(FULL_SHAPE.machines)
    rows = [_in_own_process("all types", every, chosen.scale, threads) for threads in sorted({1, cores})]
    rows += [_in_own_process(name, name, _TYPE_SCALE, cores) for name in FULL_SHAPE.machines]
    columns = ("machines", "workers", "recordings", "s", "a second", "processor ms each", "MB")
    show(f"Synthetic customer: target {TARGET:g} recordings a second on 2 cores", columns, [*map(_line, rows)])
    save("synth", {"target_per_second": TARGET, "runs": rows})


def measure(spec: SynthSpec, threads: int) -> dict[str, Any]:
    """The figures of one spec; imports and the first recordings, which fill caches, are not timed."""
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as scratch:
        synthesize(Path(scratch) / "warm.zip", scaled(spec, 1e-6), workers=threads)
        clock, processor = time.perf_counter(), _processor_s()
        made = synthesize(Path(scratch) / "package.zip", spec, workers=threads)
        seconds, busy = time.perf_counter() - clock, _processor_s() - processor
    return {
        "threads": threads,
        "recordings": made.recordings,
        "seconds": seconds,
        "per_second": made.recordings / seconds,
        "processor_ms_each": 1_000 * busy / made.recordings,
        "bytes": made.bytes,
    }


def _processor_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _in_own_process(name: str, types: str, scale: float, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.synth", "--measure", types, str(scale), str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"machines": name, **json.loads(done.stdout)}


def _line(row: dict[str, Any]) -> list[str]:
    figures = [f"{row['seconds']:.1f}", f"{row['per_second']:.0f}", f"{row['processor_ms_each']:.1f}"]
    counts = [str(row["threads"]), f"{row['recordings']:,}"]
    return [row["machines"], *counts, *figures, f"{row['bytes'] / 1e6:.0f}"]


if __name__ == "__main__":
    main()
