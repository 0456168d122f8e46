"""ALP's own encoder: how fast it is made and used, and how much weights differ that were trained with other seeds.

``--weights`` names folders that ``alp pretrain`` wrote; without it the shipped weights alone are measured. The
engine is what ``auto`` takes, on real motors and on the same in noise, beside the same engine on log-mel
statistics; seeds 0, 1, ... and noise recordings that nothing was chosen on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from alp_assets.encoders.alp_conv import CARD_FILE, SHIPPED, AlpConvEncoder
from alp_assets.encoders.base import Encoder, Feature, Sound
from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.encoders.pretraining.card import Result, add_results
from alp_assets.encoders.pretraining.machines import draw_machines
from alp_assets.encoders.pretraining.rendering import Surroundings, render
from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.parallel import ordered_map
from alp_assets.params import LogmelParams, MemoryBankParams, RunParams
from alp_assets.progress import in_lines
from bench.engine_data import Pool, motor_pool, noise_recordings, noisy_pool
from bench.motor_sounds import labelled_recordings
from bench.output import save, say, show
from bench.real_data import absent, motor_sounds

RENDERED_TARGET, ENCODED_TARGET = 300, 100
"""Clips of three seconds rendered, and of ten seconds encoded, in a second on two cores."""

PLAIN = "log-mel alone"
_NORMALS = (3, 5, 10, 20)
_SNR_DB = (0.0, -5.0)
_RENDERED, _ENCODED, _ROUNDS = 512, 256, 5


@dataclass(frozen=True)
class Figure:
    """Mean AUC over groups and seeds of one encoder in one condition."""

    weights: str
    condition: str
    normals: int
    auc: float


def main() -> None:
    """Measure, print and write ``pretraining.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.pretraining", description=__doc__)
    parser.add_argument("--weights", type=Path, nargs="+", default=[SHIPPED], help="folders of alp pretrain")
    parser.add_argument("--into-cards", action="store_true", help="put the figures into the cards of the weights")
    parser.add_argument("--seeds", type=int, default=10, help="on the motors; in noise at most 3")
    chosen = parser.parse_args()
    speeds = {"rendered_per_s": _rendering(), "encoded_per_s": _encoding(AlpConvEncoder(chosen.weights[0]))}
    show(
        "Speed, on all cores",
        ("", "per second", "wanted"),
        [
            ["clips of 3 s rendered", f"{speeds['rendered_per_s']:.0f}", str(RENDERED_TARGET)],
            ["clips of 10 s encoded", f"{speeds['encoded_per_s']:.0f}", str(ENCODED_TARGET)],
        ],
    )
    figures = _figures(chosen.weights, chosen.seeds)
    if figures:
        _print(figures)
    if chosen.into_cards:
        for folder in chosen.weights:
            add_results(folder / CARD_FILE, results_of(figures, folder.name))
    cards = [AlpConvEncoder(folder).card for folder in chosen.weights]
    save(
        "pretraining",
        {
            **speeds,
            "figures": [vars(figure) for figure in figures],
            "weights": [{name: card[name] for name in ("sha256", "recipe", "steps", "log")} for card in cards],
        },
    )


def _rendering() -> float:
    """Clips a second in the median of some rounds."""
    import torch

    machines = draw_machines(_RENDERED, np.random.default_rng(0))
    generator = torch.Generator().manual_seed(0)
    render(machines.rows(np.arange(64)), generator, Surroundings())
    seconds = []
    with torch.inference_mode():
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            for start in range(0, _RENDERED, 64):
                render(machines.rows(np.arange(start, start + 64)), generator, Surroundings())
            seconds.append(time.perf_counter() - started)
    return _RENDERED / statistics.median(seconds)


def _encoding(encoder: AlpConvEncoder) -> float:
    """Clips a second with as many threads as the stage embeddings has."""
    rng = np.random.default_rng(0)
    sounds = [Sound(rng.normal(0, 0.1, 160_000).astype(np.float32)) for _ in range(_ENCODED)]
    batches = [sounds[start : start + 16] for start in range(0, _ENCODED, 16)]

    def encode(batch: Sequence[Sound]) -> None:
        encoder.encode(batch, ["pooled"])

    threads = RunParams().threads
    list(ordered_map(encode, batches[:threads], threads))
    started = time.perf_counter()
    list(ordered_map(encode, batches, threads))
    return _ENCODED / (time.perf_counter() - started)


def _figures(folders: Sequence[Path], seeds: int) -> list[Figure]:
    place = motor_sounds()
    if place is None:
        say(f"motors: skipped, {absent()}")
        return []
    found = []
    encoders: list[tuple[str, Encoder]] = [(PLAIN, LogmelEncoder(LogmelParams()))]
    encoders += [(folder.name, AlpConvEncoder(folder)) for folder in folders]
    recordings, noise, report = labelled_recordings(place), noise_recordings(), in_lines(say)
    for name, encoder in encoders:
        found += _of(name, encoder, motor_pool(recordings, range(seeds), _NORMALS, report, [encoder]))
        for snr_db in _SNR_DB if noise else ():
            few = range(min(seeds, 3))
            pool = noisy_pool(recordings, noise, snr_db, few, (10,), report, [encoder])
            found += _of(name, encoder, pool)
    return found


def _of(name: str, encoder: Encoder, pool: Pool) -> list[Figure]:
    values = pool.embedded[Feature(encoder.name, "pooled")]
    by_count: dict[int, list[float]] = {}
    for draw in pool.draws:
        scores = MemoryBank(MemoryBankParams()).fit(draw.known(values)).score(values[draw.test])
        auc = float(roc_auc_score(draw.labels == "anomaly", scores))
        by_count.setdefault(draw.normals, []).append(auc)
    return [
        Figure(name, pool.condition, count, statistics.fmean(aucs)) for count, aucs in sorted(by_count.items())
    ]


def results_of(figures: Sequence[Figure], weights: str) -> list[Result]:
    """The rows of a card: those of its weights, and of the same engine on log-mel statistics alone."""
    found = []
    for figure in figures:
        method = {PLAIN: "memory_bank on logmel", weights: "memory_bank on alp_conv"}.get(figure.weights)
        if method:
            noise = figure.condition.partition(", ")[2] or "clean"
            found.append(Result("motor sounds", noise, method, round(figure.auc, 4), figure.normals))
    return found


def _print(figures: Sequence[Figure]) -> None:
    names = list(dict.fromkeys(figure.weights for figure in figures))
    places = list(dict.fromkeys((figure.condition, figure.normals) for figure in figures))
    value = {(figure.weights, figure.condition, figure.normals): figure.auc for figure in figures}
    rows = []
    for condition, normals in places:
        learned = [value[name, condition, normals] for name in names[1:]]
        rows.append(
            [
                f"{condition}, {normals} normals",
                *(f"{value[name, condition, normals]:.3f}" for name in names),
                f"{statistics.fmean(learned):.3f}",
                f"{statistics.pstdev(learned):.3f}",
            ]
        )
    show("Mean AUC by weights", ("", *names, "mean of weights", "spread"), rows)


if __name__ == "__main__":
    main()
