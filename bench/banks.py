"""What engine B takes at 100,000 normals of a section: time to fit and to score a clip, and memory.

The embeddings are random, correlated as real ones are, of the size that log-mel statistics have. Each mode gets a
process of its own, because memory is the peak of a process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.base import SOURCE, TARGET, Normals
from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.params import MemoryBankParams
from bench.output import save, show

_BANDS, _VALUES = 128, 6
_TARGET_CLIPS = 10
_COMMON = 20
"""Directions that the bands of a clip share, as levels and speeds do."""

_BATCH = 1_000
_ALONE = 20


def main() -> None:
    """Measure, print and write ``banks.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.banks", description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000, help="source normals in the bank")
    parser.add_argument("--calibrate", action="store_true", help="time the calibration too, some minutes")
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.mode:
        print(json.dumps(measure(chosen.mode, chosen.clips, chosen.calibrate)))
        return
    rows = [_in_own_process(mode, chosen.clips, chosen.calibrate) for mode in ("fused", "genrep")]
    columns = ("mode", "fit s", "calibrate s", "ms a clip, batch", "ms a clip, alone", "peak GB")
    show(f"Banks: {chosen.clips:,} x {_BANDS * _VALUES}", columns, [_line(row) for row in rows])
    save("banks", {"clips": chosen.clips, "bands": _BANDS, "values": _VALUES, "modes": rows})


def measure(mode: str, clips: int, calibrate: bool) -> dict[str, Any]:
    """The figures of one mode; memory includes the embeddings that it was given."""
    domains = np.array([SOURCE] * clips + [TARGET] * _TARGET_CLIPS)
    normals = Normals(embeddings(clips + _TARGET_CLIPS, seed=0), domains)
    engine = MemoryBank(MemoryBankParams.model_validate({"mode": mode}))
    clock = time.perf_counter()
    model = engine.fit(normals)
    fit_s = time.perf_counter() - clock
    queries = embeddings(_BATCH, seed=1)
    model.score(queries[:1])
    clock = time.perf_counter()
    together = model.score(queries)
    batch_s = time.perf_counter() - clock
    clock = time.perf_counter()
    alone = np.concatenate([model.score(queries[i : i + 1]) for i in range(_ALONE)])
    alone_s = time.perf_counter() - clock
    if not np.array_equal(alone, together[:_ALONE]):
        raise RuntimeError("clips alone scored otherwise than in a batch")
    calibrate_s = None
    if calibrate:
        clock = time.perf_counter()
        engine.calibrate(normals)
        calibrate_s = time.perf_counter() - clock
    return {
        "mode": mode,
        "fit_s": fit_s,
        "calibrate_s": calibrate_s,
        "batch_ms": 1_000 * batch_s / _BATCH,
        "alone_ms": 1_000 * alone_s / _ALONE,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def embeddings(clips: int, seed: int) -> FloatArray:
    """Random embeddings (clips, bands, values): what bands share, and what is each one's own."""
    shared = np.random.default_rng(0).normal(size=(_COMMON, _BANDS * _VALUES)).astype(np.float32)
    rng = np.random.default_rng(seed + 1)
    values = rng.standard_normal((clips, _BANDS * _VALUES), np.float32)
    values += rng.standard_normal((clips, _COMMON), np.float32) @ shared
    return values.reshape(clips, _BANDS, _VALUES)


def _in_own_process(mode: str, clips: int, calibrate: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.banks", "--mode", mode, "--clips", str(clips)]
    command += ["--calibrate"] * calibrate
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _line(row: dict[str, Any]) -> list[str]:
    calibrate = "not taken" if row["calibrate_s"] is None else f"{row['calibrate_s']:.0f}"
    figures = [f"{row[name]:.2f}" for name in ("batch_ms", "alone_ms", "peak_gb")]
    return [row["mode"], f"{row['fit_s']:.1f}", calibrate, *figures]


if __name__ == "__main__":
    main()
