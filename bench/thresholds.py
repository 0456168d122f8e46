"""What thresholds promise and what happens, on real motor recordings: every policy, few and more normals.

Each class takes its turn as the normal one, with several draws of the recordings that are known. The engine
is memory_bank on alp_conv; a threshold is set on its calibration scores and tried on all other
recordings. Intervals are of the counts over all draws; the draws of a class overlap, so they are narrower
than they would be with new recordings. Seeds 0, 1, ... are for reporting alone: defaults were chosen on
seeds from 100 up, and of those nothing is written.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray, open_recording
from alp_assets.audio.standardize import standard_clips
from alp_assets.decision.policy import set_threshold
from alp_assets.decision.threshold import clopper_pearson
from alp_assets.encoders.alp_conv import shipped_encoder
from alp_assets.encoders.base import Sound
from alp_assets.engines.base import TARGET, Normals, Scores
from alp_assets.engines.catalog import make_engine
from alp_assets.params import DecisionParams, ModelParams
from bench.motor_sounds import MotorRecording, classes, labelled_recordings
from bench.output import save, say, show
from bench.real_data import absent, motor_sounds

ENGINE = "memory_bank"
CONFIDENCE = 0.95
POLICIES = {
    "conformal": DecisionParams(policy="conformal"),
    "quantile": DecisionParams(policy="quantile"),
    "gamma": DecisionParams(policy="gamma"),
    "quantile 1 %, extrapolated": DecisionParams(
        policy="quantile", false_alarm_rate=0.01, beyond_support="extrapolate"
    ),
    "one a day, persistence": DecisionParams(),
    "one a day, extrapolated": DecisionParams(beyond_support="extrapolate"),
}
"""Rates are 10 % where nothing else is said."""


@dataclass(frozen=True)
class Draw:
    """What one policy gave for a class, a seed and a number of normals."""

    policy: str
    motor_class: str
    seed: int
    known: int
    promised: float
    alarms_per_day: float
    false_alarms: int
    normals: int
    detected: int
    anomalies: int


def main() -> None:
    """Measure, print and write ``thresholds.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.thresholds", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="draws for each class")
    parser.add_argument("--first-seed", type=int, default=0, help="from 100 up for development")
    parser.add_argument("--normals", type=int, nargs="+", default=[10, 20], help="known normal recordings")
    chosen = parser.parse_args()
    folder = motor_sounds()
    if folder is None:
        say(f"thresholds: skipped, {absent()}")
        return
    recordings = labelled_recordings(folder)
    embeddings = embedded(recordings)
    names = np.array([recording.motor_class for recording in recordings])
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    draws = [
        draw
        for known in chosen.normals
        for motor_class in classes(recordings)
        for seed in seeds
        for draw in tried(embeddings, names == motor_class, motor_class, seed, known)
    ]
    rows = [
        summed([draw for draw in draws if (draw.known, draw.policy) == (known, policy)])
        for known in chosen.normals
        for policy in POLICIES
    ]
    _print(rows, seeds)
    if chosen.first_seed == 0:
        policies = {name: params.model_dump(mode="json") for name, params in POLICIES.items()}
        parameters = {
            ENGINE: ModelParams().memory_bank.model_dump(mode="json"),
            "alp_conv": shipped_encoder().settings,
        }
        save(
            "thresholds",
            {
                "seeds": list(seeds),
                "rows": rows,
                "draws": [asdict(draw) for draw in draws],
                "policies": policies,
                "parameters": parameters,
            },
        )


def embedded(recordings: list[MotorRecording]) -> FloatArray:
    """The pooled embedding (n, ...) of the first clip of every recording."""
    encoder = shipped_encoder()
    sounds = []
    for recording in recordings:
        with recording.path.open("rb") as stream, open_recording(stream) as opened:
            sounds.append(Sound(next(iter(standard_clips(opened, 1, 1.0))).sound))
    return encoder.encode(sounds, ["pooled"])["pooled"]


def tried(embeddings: FloatArray, normal: np.ndarray[Any, Any], name: str, seed: int, known: int) -> list[Draw]:
    """Every policy on one draw of ``known`` recordings of the class whose rows are ``normal`` (n,)."""
    train = np.random.default_rng(seed).choice(np.flatnonzero(normal), known, replace=False)
    unseen = np.ones(len(embeddings), np.bool_)
    unseen[train] = False
    engine = make_engine(ENGINE, ModelParams())
    normals = Normals(embeddings[train], np.full(known, TARGET))
    calibration = engine.calibrate(normals)
    model = engine.fit(normals)
    healthy, faulty = model.score(embeddings[unseen & normal]), model.score(embeddings[~normal])
    return [_draw(policy, params, calibration, healthy, faulty, name, seed) for policy, params in POLICIES.items()]


def _draw(
    policy: str,
    params: DecisionParams,
    calibration: Scores,
    healthy: Scores,
    faulty: Scores,
    motor_class: str,
    seed: int,
) -> Draw:
    threshold = set_threshold({TARGET: calibration}, params)
    return Draw(
        policy=policy,
        motor_class=motor_class,
        seed=seed,
        known=len(calibration),
        promised=threshold.promised,
        alarms_per_day=threshold.alarms_per_day,
        false_alarms=int((healthy > threshold.value).sum()),
        normals=len(healthy),
        detected=int((faulty > threshold.value).sum()),
        anomalies=len(faulty),
    )


def summed(draws: list[Draw]) -> dict[str, Any]:
    """One line of the table: the mean over classes and seeds, and the counts that it is of."""
    false_alarms, normals = sum(draw.false_alarms for draw in draws), sum(draw.normals for draw in draws)
    low, high = clopper_pearson(false_alarms, normals, CONFIDENCE)
    by_class: dict[str, list[float]] = {}
    for draw in draws:
        by_class.setdefault(draw.motor_class, []).append(draw.false_alarms / draw.normals)
    return {
        "normals": draws[0].known,
        "policy": draws[0].policy,
        "promised": statistics.fmean(draw.promised for draw in draws),
        "observed": statistics.fmean(draw.false_alarms / draw.normals for draw in draws),
        "low": low,
        "high": high,
        "by_class": {name: statistics.fmean(rates) for name, rates in by_class.items()},
        "detected": statistics.fmean(draw.detected / draw.anomalies for draw in draws),
        "alarms_per_day": statistics.fmean(draw.alarms_per_day for draw in draws),
    }


def _print(rows: list[dict[str, Any]], seeds: range) -> None:
    show(
        f"Thresholds on motors: {ENGINE}, seeds {seeds.start} to {seeds.stop - 1}; rates are of single clips",
        ("policy", "normals", "promised", "observed", "interval", "classes", "anomalies above"),
        [
            [
                row["policy"],
                str(row["normals"]),
                f"{row['promised']:.2%}",
                f"{row['observed']:.2%}",
                f"{row['low']:.1%} to {row['high']:.1%}",
                f"{min(row['by_class'].values()):.1%} to {max(row['by_class'].values()):.1%}",
                f"{row['detected']:.1%}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
