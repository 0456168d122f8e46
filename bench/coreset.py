"""What engine A loses and gains by keeping fewer patches: scores and times against the full memory.

Scores are compared on real motor recordings, or on synthetic machines where there are none, with patches of
log-mel spectrograms. The draws are development seeds, from 100 up, because the default size of the memory
was chosen on them. Times are also taken at the shape of a large transformer, where values do not matter and
are random.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.base import TARGET, Normals, Scores
from alp_assets.engines.patch_memory import PatchMemory
from alp_assets.params import LogmelParams, PatchMemoryParams
from bench.motor_sounds import classes, labelled_recordings
from bench.output import save, say, show
from bench.real_data import absent, motor_sounds

Mode = Literal["bandwise", "faithful"]

SHARES = (1.0, 0.5, 0.2, 0.1, 0.05)
SUPPORT = 10
TRANSFORMER = (11, 12, 101, 768)
"""Layers, bands, time steps and values of a ten-second clip in AST."""

_SIZES = (12_120, 6_000, 2_000, 1_000)
_FIRST_SEED = 100
_MACHINES = ("fan", "pump", "valve")
_TIMED_CLIPS = 2
_EVERY = 4
"""One in so many recordings of the other classes is scored, to save time."""


@dataclass(frozen=True)
class Draw:
    """Known normals (10, ...), and test clips (n, ...) of which some are ``anomalous`` (n,)."""

    name: str
    seed: int
    known: FloatArray
    test: FloatArray
    anomalous: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """A memory of some size against the full one on one draw; times in seconds, scoring of one clip."""

    mode: str
    share: float
    name: str
    seed: int
    patches: int
    auc: float
    auc_change: float
    rank_correlation: float
    largest_difference: float
    fit_s: float
    score_s: float


def main() -> None:
    """Measure, print and write ``coreset.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.coreset", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help=f"draws for each class: seeds {_FIRST_SEED}, ...")
    seeds = range(_FIRST_SEED, _FIRST_SEED + parser.parse_args().seeds)
    real = motor_sounds() is not None
    if not real:
        say(f"coreset: synthetic machines, {absent()}")
    modes: tuple[Mode, ...] = ("bandwise", "faithful")
    outcomes = []
    for draw in _motor_draws(seeds) if real else _synthetic_draws(seeds):
        for mode in modes:
            outcomes += compare(draw, mode)
    rows = [_mean_of(outcomes, mode, share) for mode in modes for share in SHARES]
    times = [_transformer_times(mode, size) for mode in modes for size in _SIZES]
    _print(rows, times)
    save(
        "coreset",
        {
            "data": "motors" if real else "synthetic",
            "seeds": list(seeds),
            "support": SUPPORT,
            "sizes": rows,
            "transformer_times": times,
            "draws": [asdict(outcome) for outcome in outcomes],
        },
    )


def compare(draw: Draw, mode: Mode) -> list[Outcome]:
    """Every size of memory on one draw; scores of the full memory are what the others are compared with."""
    from scipy.stats import spearmanr
    from sklearn.metrics import roc_auc_score

    patches = len(draw.known) * int(np.prod(draw.known.shape[2:4]))
    found: list[Outcome] = []
    full: Scores | None = None
    for share in SHARES:
        size = max(1, round(share * patches))
        fit_s, score_s, scores = _timed(mode, size, draw.known, draw.test)
        full = scores if full is None else full
        auc = float(roc_auc_score(draw.anomalous, scores))
        found.append(
            Outcome(
                mode=mode,
                share=share,
                name=draw.name,
                seed=draw.seed,
                patches=size,
                auc=auc,
                auc_change=auc - (found[0].auc if found else auc),
                rank_correlation=float(spearmanr(full, scores).statistic),
                largest_difference=float(np.abs(scores - full).max()),
                fit_s=fit_s,
                score_s=score_s,
            )
        )
    return found


def _timed(mode: Mode, size: int, known: FloatArray, test: FloatArray) -> tuple[float, float, Scores]:
    engine = PatchMemory(PatchMemoryParams(mode=mode, memory_patches=size, support=len(known)))
    started = time.perf_counter()
    model = engine.fit(Normals(known, np.full(len(known), TARGET)))
    fitted = time.perf_counter()
    scores = model.score(test)
    return fitted - started, (time.perf_counter() - fitted) / len(test), scores


def _transformer_times(mode: Mode, size: int) -> dict[str, Any]:
    values = np.random.default_rng(_FIRST_SEED).standard_normal((SUPPORT, *TRANSFORMER), np.float32)
    fit_s, score_s, _ = _timed(mode, size, values, values[:_TIMED_CLIPS])
    return {"mode": mode, "patches": size, "fit_s": fit_s, "score_s": score_s}


def _mean_of(outcomes: list[Outcome], mode: str, share: float) -> dict[str, Any]:
    chosen = [outcome for outcome in outcomes if outcome.mode == mode and outcome.share == share]

    def mean(figure: Callable[[Outcome], float]) -> float:
        return statistics.fmean(map(figure, chosen))

    return {
        "mode": mode,
        "share": share,
        "patches": chosen[0].patches,
        "auc": mean(lambda item: item.auc),
        "auc_change": mean(lambda item: item.auc_change),
        "auc_change_worst": min(item.auc_change for item in chosen),
        "rank_correlation": mean(lambda item: item.rank_correlation),
        "largest_difference": max(item.largest_difference for item in chosen),
        "fit_s": mean(lambda item: item.fit_s),
        "score_s": mean(lambda item: item.score_s),
    }


def _motor_draws(seeds: range) -> Iterator[Draw]:
    folder = motor_sounds()
    assert folder is not None
    recordings = labelled_recordings(folder)
    clips = _encoded([_first_clip(item.path) for item in recordings])
    names = np.array([item.motor_class for item in recordings])
    for name in classes(recordings):
        for seed in seeds:
            normal = np.flatnonzero(names == name)
            known = np.sort(np.random.default_rng(seed).choice(normal, SUPPORT, replace=False))
            others = np.flatnonzero(names != name)[::_EVERY]
            rest = np.concatenate([np.setdiff1d(normal, known), others])
            yield Draw(name, seed, clips[known], clips[rest], names[rest] != name)


def _synthetic_draws(seeds: range) -> Iterator[Draw]:
    from alp_assets.audio.standardize import CLIP_SAMPLES, SAMPLE_RATE
    from alp_assets.synth.anomalies import ANOMALIES, add_anomaly
    from alp_assets.synth.machines import build_machine

    kinds = list(ANOMALIES)
    for machine_type in _MACHINES:
        for seed in seeds:
            rng = np.random.default_rng(seed)
            machine = build_machine(machine_type, rng)
            sounds = [machine.sound(rng, CLIP_SAMPLES, SAMPLE_RATE) for _ in range(5 * SUPPORT)]
            anomalous = np.arange(4 * SUPPORT) % 2 == 1
            for place in np.flatnonzero(anomalous):
                kind = kinds[place // 2 % len(kinds)]
                whole = sounds[SUPPORT + place]
                sounds[SUPPORT + place] = add_anomaly(kind, whole, SAMPLE_RATE, rng)[0]
            clips = _encoded([sound.astype(np.float32) for sound in sounds])
            yield Draw(machine_type, seed, clips[:SUPPORT], clips[SUPPORT:], anomalous)


def _first_clip(path: Any) -> FloatArray:
    from alp_assets.audio.decode import open_recording
    from alp_assets.audio.standardize import standard_clips

    with path.open("rb") as stream, open_recording(stream) as recording:
        return next(iter(standard_clips(recording, 1, 1.0))).sound


def _encoded(sounds: list[FloatArray]) -> FloatArray:
    from alp_assets.encoders.base import Sound
    from alp_assets.encoders.logmel import LogmelEncoder

    return LogmelEncoder(LogmelParams()).encode([Sound(sound) for sound in sounds], ["patches"])["patches"]


def _print(rows: list[dict[str, Any]], times: list[dict[str, Any]]) -> None:
    figures = (
        "AUC", "AUC change", "worst", "rank correlation", "largest difference", "fit s", "score s/clip"
    )  # fmt: skip
    show(
        "Engine A: memory against the full memory",
        ("mode", "kept", "patches", *figures),
        [
            [
                row["mode"],
                f"{row['share']:.0%}",
                f"{row['patches']:,}",
                f"{row['auc']:.3f}",
                f"{row['auc_change']:+.3f}",
                f"{row['auc_change_worst']:+.3f}",
                f"{row['rank_correlation']:.4f}",
                f"{row['largest_difference']:.4f}",
                f"{row['fit_s']:.2f}",
                f"{row['score_s']:.4f}",
            ]
            for row in rows
        ],
    )
    show(
        f"Times at a transformer's shape {TRANSFORMER}, {SUPPORT} normals",
        ("mode", "patches per layer", "fit s", "score s/clip"),
        [[row["mode"], f"{row['patches']:,}", f"{row['fit_s']:.1f}", f"{row['score_s']:.2f}"] for row in times],
    )


if __name__ == "__main__":
    main()
