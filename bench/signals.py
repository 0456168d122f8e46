"""Engines for signals on real stator currents with shorts between turns: what each tells, and what it costs.

    python -m bench.signals

One recording of the healthy motor is left out in turn, and every engine learns from the other four. The figure for
a fault level is how often a recording of it scores above the healthy one that was left out, the mean over all five
turns (an AUC). A recording's score is the mean over its windows of 200 points, which are 200 ms.

Windows are cut every 30 points to learn from and every 70 points to score. Multiples of 50 would be a trap: where
a recording was cut follows its state (``signal_data``), windows every 50 points of 1 kHz and 60 Hz all begin at
that angle of the supply, and a score might then tell states by the angle. Flux is not measured there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.engines.base import Model, Normals
from alp_assets.engines.catalog import make_engine
from alp_assets.engines.selection import Situation, choose_engine
from alp_assets.params import SIGNAL_ENGINES, ModelParams
from alp_assets.signal_params import SignalCnnParams, SignalPcaParams, SignalSpectrumParams, TimeMoeParams
from alp_assets.signals.windows import window_starts
from bench.output import save, say, show
from bench.signal_data import CurrentRecording, absent, read_currents, stator_currents

WINDOW = 200
LEARNT_EVERY, SCORED_EVERY = 30, 70
SETTINGS = ModelParams(
    time_moe=TimeMoeParams(size="small", window=WINDOW, context=40, batch=16),
    signal_pca=SignalPcaParams(window=100),
    signal_spectrum=SignalSpectrumParams(),
    signal_cnn=SignalCnnParams(window=WINDOW),
)

Windows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """One engine over all turns. ``auc`` is by fault level in percent, at recording level."""

    engine: str
    auc: dict[int, float]
    training_seconds: float
    windows_per_second: float


def main() -> int:
    """Measure, print and save; 0 also where there are no recordings."""
    import torch

    archive = stator_currents()
    if archive is None:
        say(absent())
        return 0
    torch.set_num_threads(1)
    recordings = read_currents(archive)
    chosen = automatic(recordings)
    results = [measured(name, recordings) for name in SIGNAL_ENGINES]
    by_name = {item.engine: item for item in results}
    results.append(replace(by_name[chosen], engine=f"auto ({chosen})"))
    table(results)
    save("signals", figures(results, chosen))
    return 0


def measured(name: str, recordings: Sequence[CurrentRecording]) -> Result:
    """Leave one healthy recording out in turn."""
    healthy = [item for item in recordings if not item.level]
    faulty = [item for item in recordings if item.level]
    above: dict[int, list[float]] = {level: [] for level in {item.level for item in faulty}}
    training = scoring = 0.0
    windows = 0
    for out in healthy:
        engine = make_engine(name, SETTINGS)
        began = time.perf_counter()
        model = engine.fit(normals([item for item in healthy if item is not out]))
        training += time.perf_counter() - began
        began = time.perf_counter()
        limit = score_of(model, out)
        found = [(item.level, score_of(model, item)) for item in faulty]
        scoring += time.perf_counter() - began
        windows += len(cut(out, SCORED_EVERY)) * (1 + len(faulty))
        for level, score in found:
            above[level].append(float(score > limit) + 0.5 * float(score == limit))
    auc = {level: float(np.mean(found)) for level, found in sorted(above.items())}
    say(f"{name}: {auc}, {training / len(healthy):.1f} s to learn")
    return Result(name, auc, training / len(healthy), windows / scoring)


def normals(recordings: Sequence[CurrentRecording]) -> Normals:
    """Windows of healthy recordings to learn from."""
    parts = [cut(item, LEARNT_EVERY) for item in recordings]
    names = np.repeat([item.name for item in recordings], [len(part) for part in parts])
    return Normals(np.concatenate(parts), np.full(len(names), "target"), names)


def score_of(model: Model, recording: CurrentRecording) -> float:
    """The mean over a recording's windows."""
    return float(model.score(cut(recording, SCORED_EVERY)).mean())


def cut(recording: CurrentRecording, stride: int) -> Windows:
    """Windows (n, 4, 200) in the standard rows, the flux zeros."""
    values = np.concatenate([recording.values, np.zeros_like(recording.values[:1])])
    starts = window_starts(values.shape[1], WINDOW, stride)
    return np.stack([values[:, start : start + WINDOW] for start in starts])


def automatic(recordings: Sequence[CurrentRecording]) -> str:
    """The engine that ``auto`` takes for the windows of four recordings."""
    known = normals([item for item in recordings if not item.level][:-1])
    silent = {name: np.full(len(known), "") for name in ("section_id", "speed_level", "load_level", "noise_id")}
    section = Situation(0, len(known), "alp_conv", silent, known.recordings, "current")
    return choose_engine(SETTINGS, "bench", "currents", section).engine.name


def table(results: Sequence[Result]) -> None:
    """Print what was measured, and say so where time_moe is not the best at the lowest level."""
    levels = sorted(results[0].auc)
    rows = [
        [
            item.engine,
            *(f"{item.auc[level]:.3f}" for level in levels),
            f"{item.training_seconds:.1f}",
            f"{item.windows_per_second:,.0f}",
        ]
        for item in results
    ]
    title = "Shorts between turns, real stator current: AUC of recordings by share of shorted turns"
    show(title, ["engine", *(f"{level} %" for level in levels), "s to learn", "windows/s"], rows)
    lowest = levels[0]
    best = max(results, key=lambda item: item.auc[lowest])
    moe = next(item for item in results if item.engine == "time_moe")
    if moe.auc[lowest] < best.auc[lowest]:
        say(f"time_moe ({SETTINGS.time_moe.size}) is not the best at {lowest} %: {best.engine} is.")


def figures(results: Sequence[Result], chosen: str) -> dict[str, Any]:
    """What is saved."""
    return {
        "windows": {"points": WINDOW, "learnt_every": LEARNT_EVERY, "scored_every": SCORED_EVERY},
        "time_moe": SETTINGS.time_moe.model_dump(mode="json"),
        "threads": 1,
        "auto": chosen,
        "engines": [asdict(item) for item in results],
    }


if __name__ == "__main__":
    sys.exit(main())
