"""Every engine beside the field's detectors, on the same draws: real motors, motors in noise, synthetic machines.

One run, one table. Seeds 0, 1, ... are for reporting alone: what the defaults are was chosen on motors and
synthetic machines with seeds from 100 up, and in noise on recordings of the noise set's first fold, which the
table leaves out. ``--first-seed 100`` is for development and takes that fold.

A method is fitted on the known normals, calibrated on them as ALP does it (scores of normals that it has not
seen, then the conformal threshold for 10 % false alarms in the worse domain) and scores all test clips. Slow
methods get fewer seeds; the table says how many. Everything is timed on one thread, with as many at work as there
are cores, and without the embedding, which the methods share.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np

from alp_assets.decision.metrics import evaluate
from alp_assets.decision.threshold import conformal_threshold
from alp_assets.encoders.base import Feature
from alp_assets.engines.base import Engine, Normals, Scores
from alp_assets.engines.catalog import feature_of, make_engine
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.engines.selection import Situation, choose_engine
from alp_assets.errors import EngineUnfit
from alp_assets.params import ModelParams, Params, with_overrides
from alp_assets.progress import Progress, in_lines
from bench.engine_data import (
    Draw,
    Pool,
    motor_pool,
    noise_condition,
    noise_recordings,
    noisy_pool,
    synthetic_pool,
)
from bench.motor_sounds import labelled_recordings
from bench.output import save, say, show
from bench.peers import Peer, pyod_peers, sklearn_peers
from bench.real_data import absent, motor_sounds

RATE = 0.1
"""False alarms that are promised, as a share of normal clips."""

NORMALS = (3, 5, 10, 20)
HEADLINE = 10
NOISE_SNR_DB = (0.0, -5.0)
ENCODER, PLAIN = "alp_conv", "logmel"

AUTO_TARGET = 0.80
"""Mean AUC over the motors that ``auto`` is to reach with ten normals."""

IN_NOISE, ANYWHERE = 0.05, -0.01
"""What ``auto`` is to gain over the same on log-mel in noise, and the most that it may lose on the motors."""

AUTO, AUTO_PLAIN, NEAREST, BEST_OF_PYOD = "auto", "auto on log-mel", "nearest neighbour", "best of PyOD"
_PEERS_FEATURE = Feature(PLAIN, "pooled")
_BASELINE_FOLDS = 2

Cost = Literal["light", "slow", "heavy", "baseline"]
"""Under a second for a draw; seconds; many seconds; minutes."""


@dataclass(frozen=True)
class Method:
    """A row of the table. ``settings`` are parameters of ``models``, by dotted name, or none for a peer."""

    name: str
    cost: Cost
    engine: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    peer: Peer | None = None
    encoder: str = ENCODER


_GENREP = (("memory_bank.mode", "genrep"),)
ALP_METHODS = (
    Method("patch_memory (A)", "heavy", "patch_memory"),
    Method("patch_memory (A), log-mel", "heavy", "patch_memory", encoder=PLAIN),
    Method("memory_bank (B), fused", "light", "memory_bank"),
    Method("memory_bank (B), fused, log-mel", "light", "memory_bank", encoder=PLAIN),
    Method("memory_bank (B), genrep", "light", "memory_bank", _GENREP),
    Method("memory_bank (B), genrep, log-mel", "light", "memory_bank", _GENREP, encoder=PLAIN),
    Method("meta_prototype (C)", "heavy", "meta_prototype"),
    Method("isolation_forest (L1)", "slow", "isolation_forest"),
    Method("autoencoder (L2), mean", "slow", "autoencoder", (("autoencoder.variant", "mean"),)),
)
BASELINE = Method("dense autoencoder, frames", "baseline", "autoencoder", (("autoencoder.variant", "frames"),))
PYOD = tuple(Method(peer.name, "slow" if "Forest" in peer.name else "light", peer=peer) for peer in pyod_peers())
METHODS = (
    Method(AUTO, "light", "auto"),
    Method(AUTO_PLAIN, "light", "auto", encoder=PLAIN),
    *ALP_METHODS,
    BASELINE,
    *PYOD,
    *(Method(peer.name, "light", peer=peer) for peer in sklearn_peers()),
)


@dataclass(frozen=True)
class Outcome:
    """What a method made of a draw. ``refused`` says why there is nothing; else it is empty.

    ``fit_s`` is without the calibration; ``score_s`` is for all ``clips``.
    """

    condition: str
    group: str
    seed: int
    normals: int
    method: str
    engine: str
    refused: str = ""
    auc: float = 0.0
    pauc: float = 0.0
    harmonic_mean: float = 0.0
    promised: float = 0.0
    false_alarms: int = 0
    test_normals: int = 0
    clips: int = 0
    fit_s: float = 0.0
    score_s: float = 0.0


@dataclass(frozen=True)
class Mean:
    """A method in one condition with one count of normals: means over the groups of means over the seeds.

    ``auc_std`` is the spread over seeds of the mean over groups. False alarms are pooled over all draws. Times
    are medians.
    """

    condition: str
    normals: int
    method: str
    engine: str
    seeds: int
    auc: float
    auc_std: float
    pauc: float
    promised: float
    false_alarms: float
    fit_s: float
    clips_per_s: float


@dataclass(frozen=True)
class Plan:
    """How many seeds a method gets by its cost, on the motors and ``elsewhere``; the other fields say of what."""

    first_seed: int
    seeds: dict[Cost, int]
    elsewhere: dict[Cost, int]
    normals: tuple[int, ...]
    snr_db: tuple[float, ...]
    processes: int

    def seeds_of(self, cost: Cost, condition: str) -> list[int]:
        """The seeds of a method of some cost."""
        counts = self.seeds if condition == "motors" else self.elsewhere
        return list(range(self.first_seed, self.first_seed + counts[cost]))

    def methods_for(self, draw: Draw) -> list[Method]:
        """The methods whose turn it is on a draw; the baseline's with ten normals (or the most) alone."""
        return [
            method
            for method in METHODS
            if draw.seed in self.seeds_of(method.cost, draw.condition)
            and (method.cost != "baseline" or draw.normals == headline(self.normals))
        ]


FULL = Plan(
    first_seed=0,
    seeds={"light": 10, "slow": 2, "heavy": 2, "baseline": 1},
    elsewhere={"light": 3, "slow": 1, "heavy": 1, "baseline": 1},
    normals=NORMALS,
    snr_db=NOISE_SNR_DB,
    processes=len(os.sched_getaffinity(0)),
)
QUICK = replace(
    FULL,
    seeds={"light": 3, "slow": 1, "heavy": 1, "baseline": 0},
    elsewhere={"light": 1, "slow": 1, "heavy": 1, "baseline": 0},
    normals=(HEADLINE,),
)


def main() -> None:
    """Measure, print and write ``engines.json``."""
    plan = _plan_from(_arguments())
    report = in_lines(say)
    outcomes: list[Outcome] = []
    started = time.perf_counter()
    for pool in _pools(plan, report):
        outcomes += measure(pool, plan, report)
    means = means_of(outcomes)
    minutes = (time.perf_counter() - started) / 60
    _print(means, outcomes, plan)
    say(f"{minutes:.1f} minutes")
    if plan.first_seed:
        say("seeds of development: nothing is written")
        return
    save(
        "engines",
        {
            "plan": asdict(plan),
            "encoder": ENCODER,
            "false_alarm_rate": RATE,
            "means": [asdict(mean) for mean in means],
            "targets": [{**asdict(target), "met": target.met} for target in targets_of(outcomes)],
            "auc_by_draw": _by_draw(outcomes),
            "minutes": minutes,
            "parameters": Params().model_dump(mode="json", include={"embeddings", "models"}),
        },
    )


def _by_draw(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """AUC by draw and method, so that methods can be compared on the draws that they share."""
    found: dict[str, dict[str, float]] = {}
    for outcome in outcomes:
        if not outcome.refused:
            draw = f"{outcome.condition}; {outcome.group}; seed {outcome.seed}; {outcome.normals} normals"
            found.setdefault(draw, {})[outcome.method] = round(outcome.auc, 4)
    return found


def measure(pool: Pool, plan: Plan, progress: Progress) -> list[Outcome]:
    """Every method on every draw that it has its turn on; draws are shared out to processes of one thread each."""
    work = partial(_measured, pool, plan)
    found: list[Outcome] = []
    for done, outcomes in enumerate(_in_processes(work, len(pool.draws), plan.processes), 1):
        found += outcomes
        progress(done, len(pool.draws), f"draws of {pool.condition}")
    return found


def _measured(pool: Pool, plan: Plan, index: int) -> list[Outcome]:
    draw = pool.draws[index]
    return list(outcomes_of(draw, pool, plan.methods_for(draw)))


_work: Callable[[int], list[Outcome]]
"""In a process that measures: what it does."""


def _in_processes(work: Callable[[int], list[Outcome]], count: int, processes: int) -> Iterator[list[Outcome]]:
    """``work`` of 0 to count - 1, in order. Forked processes share the embeddings instead of copying them."""
    with ProcessPoolExecutor(processes, get_context("fork"), _begin, (work,)) as executor:
        yield from executor.map(_do, range(count))


def _begin(work: Callable[[int], list[Outcome]]) -> None:
    """One thread for everything: for what is imported later by the environment, for what is here by a call."""
    global _work
    from threadpoolctl import threadpool_limits

    _work = work
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _do(index: int) -> list[Outcome]:
    return _work(index)


def outcomes_of(draw: Draw, pool: Pool, methods: Sequence[Method]) -> Iterator[Outcome]:
    """Methods on one draw. What ``auto`` chose is measured once, under both names."""
    done: dict[str, Outcome] = {}
    for method in methods:
        engine, feature, key = _made(method, draw)
        if key in done:
            yield replace(done[key], method=method.name)
            continue
        blank = Outcome(draw.condition, draw.group, draw.seed, draw.normals, method.name, engine.name)
        try:
            done[key] = _outcome(blank, engine, draw, pool, feature)
        except EngineUnfit as error:
            done[key] = replace(blank, refused=str(error))
        yield done[key]


def means_of(outcomes: Iterable[Outcome]) -> list[Mean]:
    """The rows of the table, and ``best of PyOD``: the one with the highest mean AUC."""
    by_row: dict[tuple[str, int, str], list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.refused:
            by_row.setdefault((outcome.condition, outcome.normals, outcome.method), []).append(outcome)
    means = [_mean(*row, found) for row, found in by_row.items()]
    of_pyod = {method.name for method in PYOD}
    best: dict[tuple[str, int], Mean] = {}
    for mean in means:
        place = (mean.condition, mean.normals)
        if mean.method in of_pyod and (place not in best or mean.auc > best[place].auc):
            best[place] = replace(mean, method=BEST_OF_PYOD, engine=mean.method)
    return means + list(best.values())


def headline(normals: Sequence[int]) -> int:
    """The count of normals that single figures are given for: ten, or else the largest."""
    return HEADLINE if HEADLINE in normals else max(normals)


@dataclass(frozen=True)
class Target:
    """What was to be reached with ten normals, what was measured, and how it was measured."""

    text: str
    wanted: float
    measured: float
    how: str

    @property
    def met(self) -> bool:
        """Whether it was."""
        return self.measured >= self.wanted


def targets_of(outcomes: Sequence[Outcome]) -> list[Target]:
    """The targets that this run has figures for. Two methods are compared on the draws that both had."""
    tens = [outcome for outcome in outcomes if outcome.normals == HEADLINE and not outcome.refused]
    found = []
    motors = [outcome for outcome in tens if outcome.condition == "motors"]
    if aucs := _aucs(motors, AUTO):
        found.append(Target("auto on motors: mean AUC", AUTO_TARGET, _over_groups(aucs), _counted(aucs)))
        against = [
            (_margin(aucs, rival), method.name, _counted(rival))
            for method in PYOD
            if (rival := _aucs(motors, method.name))
        ]
        if against:
            margin, name, how = min(against)
            found.append(Target("auto over the best of PyOD on motors: AUC", 0.03, margin, f"{name}, {how}"))
    for condition in dict.fromkeys(outcome.condition for outcome in tens):
        noisy = [outcome for outcome in tens if outcome.condition == condition]
        for rival_name, wanted in ((NEAREST, 0.0), (AUTO_PLAIN, IN_NOISE)):
            mine, rival = _aucs(noisy, AUTO), _aucs(noisy, rival_name)
            if condition.startswith("motors,") and mine and rival:
                text = f"auto over the {rival_name}, {condition}: AUC".replace("the auto", "auto")
                found.append(Target(text, wanted, _margin(mine, rival), _counted(rival)))
    for count in sorted({outcome.normals for outcome in outcomes}):
        here = [found for found in outcomes if (found.condition, found.normals) == ("motors", count)]
        mine, rival = _aucs(here, AUTO), _aucs(here, AUTO_PLAIN)
        if mine and rival:
            text = f"auto over {AUTO_PLAIN}, motors, {count} normals: AUC"
            found.append(Target(text, ANYWHERE, _margin(mine, rival), _counted(rival)))
    return found


Aucs = dict[tuple[str, int], float]
"""AUC by group and seed."""


def _aucs(outcomes: Iterable[Outcome], method: str) -> Aucs:
    return {(found.group, found.seed): found.auc for found in outcomes if found.method == method}


def _over_groups(values: Aucs) -> float:
    groups = sorted({group for group, _ in values})
    return statistics.fmean(
        statistics.fmean(value for (name, _), value in values.items() if name == group) for group in groups
    )


def _margin(mine: Aucs, rival: Aucs) -> float:
    return _over_groups({key: mine[key] - value for key, value in rival.items() if key in mine})


def _counted(values: Aucs) -> str:
    seeds = len({seed for _, seed in values})
    return f"{seeds} seed{'s' * (seeds != 1)}"


def _mean(condition: str, normals: int, method: str, found: Sequence[Outcome]) -> Mean:
    seeds = sorted({outcome.seed for outcome in found})
    by_seed = [statistics.fmean(outcome.auc for outcome in found if outcome.seed == seed) for seed in seeds]

    def over_groups(figure: Callable[[Outcome], float]) -> float:
        return _over_groups({(outcome.group, outcome.seed): figure(outcome) for outcome in found})

    return Mean(
        condition=condition,
        normals=normals,
        method=method,
        engine=", ".join(sorted({outcome.engine for outcome in found})),
        seeds=len(seeds),
        auc=over_groups(lambda outcome: outcome.auc),
        auc_std=statistics.pstdev(by_seed),
        pauc=over_groups(lambda outcome: outcome.pauc),
        promised=statistics.fmean(outcome.promised for outcome in found),
        false_alarms=sum(outcome.false_alarms for outcome in found)
        / sum(outcome.test_normals for outcome in found),
        fit_s=statistics.median(outcome.fit_s for outcome in found),
        clips_per_s=statistics.median(outcome.clips / outcome.score_s for outcome in found),
    )


def _made(method: Method, draw: Draw) -> tuple[Engine | Peer, Feature, str]:
    """The engine of a method, what it works on, and a key that is the same for the same engine."""
    if method.peer is not None:
        return method.peer, _PEERS_FEATURE, method.name
    params: ModelParams = with_overrides(
        Params(), {f"models.{name}": value for name, value in method.settings}
    ).models
    name = method.engine
    if name == AUTO:
        counts = {domain: int((draw.domains == domain).sum()) for domain in ("source", "target")}
        section = Situation(counts["source"], counts["target"], method.encoder, draw.conditions, draw.recordings)
        name = choose_engine(params, "bench", "engines", section).engine.name
    engine = make_engine(name, params)
    group = getattr(params, name).model_dump_json()
    feature = feature_of(engine, method.encoder)
    return engine, feature, f"{name} {feature.encoder} {group}"


def _outcome(blank: Outcome, engine: Engine | Peer, draw: Draw, pool: Pool, feature: Feature) -> Outcome:
    values = pool.embedded[feature]
    known, test = draw.known(values), values[draw.test]
    started = time.perf_counter()
    model = engine.fit(known)
    fitted = time.perf_counter()
    scores = model.score(test)
    scored = time.perf_counter()
    calibration = _calibration(engine, known, blank.method)
    threshold = conformal_threshold(
        {str(name): calibration[draw.domains == name] for name in np.unique(draw.domains)}, RATE
    )
    figures = evaluate(scores, draw.labels, draw.test_domains)
    normal = draw.labels == "normal"
    return replace(
        blank,
        auc=figures.auc or 0.0,
        pauc=figures.pauc or 0.0,
        harmonic_mean=figures.harmonic_mean or 0.0,
        promised=threshold.promised,
        false_alarms=int((scores[normal] > threshold.value).sum()),
        test_normals=int(normal.sum()),
        clips=len(test),
        fit_s=fitted - started,
        score_s=scored - fitted,
    )


def _calibration(engine: Engine | Peer, known: Normals, method: str) -> Scores:
    """Scores of the normals by what has not seen them; of the slow baseline in two folds, so that it ends."""
    if method == BASELINE.name:
        return cross_validated_scores(engine, known, most=_BASELINE_FOLDS)  # type: ignore[arg-type]
    return engine.calibrate(known)


def _pools(plan: Plan, progress: Progress) -> Iterator[Pool]:
    """The conditions, one after the other, so that only one is in memory."""
    folder, noise = motor_sounds(), noise_recordings(development=plan.first_seed > 0)
    if folder is None:
        say(f"motors: skipped, {absent()}")
    else:
        recordings = labelled_recordings(folder)
        yield motor_pool(recordings, plan.seeds_of("light", "motors"), plan.normals, progress)
        if not noise:
            say("motors in noise: skipped, there are no noise recordings beside the motors")
        for snr_db in plan.snr_db if noise else ():
            seeds = plan.seeds_of("light", noise_condition(snr_db))
            yield noisy_pool(recordings, noise, snr_db, seeds, plan.normals, progress)
    for seed in plan.seeds_of("light", "synthetic"):
        yield synthetic_pool(seed, plan.normals, progress)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seeds, ten normals, no baseline")
    parser.add_argument("--first-seed", type=int, default=0, help="100 for development")
    parser.add_argument("--normals", type=int, nargs="+", help="counts of known normals")
    parser.add_argument("--seeds", type=int, help="seeds of light methods on the motors")
    parser.add_argument("--slow-seeds", type=int, help="of methods that take seconds")
    parser.add_argument("--heavy-seeds", type=int, help="of methods that take many seconds")
    parser.add_argument("--baseline-seeds", type=int, help="of the dense autoencoder on frames")
    parser.add_argument("--elsewhere", type=int, help="most seeds in noise, and most synthetic customers")
    parser.add_argument("--processes", type=int, help="that measure at a time; default one for each core")
    return parser.parse_args()


def _plan_from(chosen: argparse.Namespace) -> Plan:
    plan = QUICK if chosen.quick else FULL
    asked: dict[Cost, int | None] = {
        "light": chosen.seeds,
        "slow": chosen.slow_seeds,
        "heavy": chosen.heavy_seeds,
        "baseline": chosen.baseline_seeds,
    }
    seeds = {cost: plan.seeds[cost] if count is None else count for cost, count in asked.items()}
    seeds = {cost: min(count, seeds["light"]) for cost, count in seeds.items()}
    most = plan.elsewhere["light"] if chosen.elsewhere is None else chosen.elsewhere
    elsewhere = {cost: min(count, seeds[cost], most) for cost, count in plan.elsewhere.items()}
    return replace(
        plan,
        first_seed=chosen.first_seed,
        seeds=seeds,
        elsewhere={**elsewhere, "light": most},
        normals=tuple(sorted(chosen.normals or plan.normals)),
        processes=chosen.processes or plan.processes,
    )


def _print(means: Sequence[Mean], outcomes: Sequence[Outcome], plan: Plan) -> None:
    at = headline(plan.normals)
    columns = ("", "seeds", "AUC", "pAUC", "false alarms %", "fit s", "clips/s")
    rows: list[list[str]] = []
    for condition in dict.fromkeys(outcome.condition for outcome in outcomes):
        rows.append([condition.upper(), *[""] * (len(columns) - 1)])
        for name in (*(method.name for method in METHODS), BEST_OF_PYOD):
            by_count = {m.normals: m for m in means if (m.condition, m.method) == (condition, name)}
            rows.append(_line(name, by_count, plan.normals, at))
    counts = ", ".join(map(str, plan.normals))
    title = f"Engines side by side with {counts} normals; times with {at}, on one thread, without embedding"
    show(title, columns, rows)
    for note in _notes(means, outcomes):
        say(note)
    if targets := targets_of(outcomes):
        lines = [
            [target.text, f"{target.wanted:+.3f}", f"{target.measured:+.3f}", "met" if target.met else "not met"]
            for target in targets
        ]
        show("Targets, with 10 normals where no count is given", ("target", "wanted", "measured", ""), lines)
        for target in targets:
            say(f"{target.text}: {target.how}")


def _line(name: str, by_count: dict[int, Mean], normals: Sequence[int], at: int) -> list[str]:
    def cell(text: Callable[[Mean], str]) -> str:
        return " ".join(text(by_count[count]) if count in by_count else "–" for count in normals)

    if not by_count:
        return [name, *["–"] * 6]
    timed = by_count.get(at) or next(iter(by_count.values()))
    return [
        name,
        str(timed.seeds),
        cell(lambda mean: f"{mean.auc:.3f}".removeprefix("0")),
        cell(lambda mean: f"{mean.pauc:.2f}".removeprefix("0")),
        cell(lambda mean: f"{100 * mean.false_alarms:.0f}"),
        f"{timed.fit_s:.3f}",
        f"{timed.clips_per_s:,.0f}",
    ]


def _notes(means: Sequence[Mean], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What the figures hang on, in words."""
    promised = {mean.normals: mean.promised for mean in means if mean.condition == "motors"}
    if promised:
        yield "promised: " + ", ".join(f"{rate:.1%} with {n}" for n, rate in sorted(promised.items()))
    for condition in dict.fromkeys(outcome.condition for outcome in outcomes):
        here = [outcome for outcome in outcomes if outcome.condition == condition]
        chosen = sorted({outcome.engine for outcome in here if outcome.method == AUTO})
        best = sorted({m.engine for m in means if (m.condition, m.method) == (condition, BEST_OF_PYOD)})
        yield f"{condition}: auto chose {', '.join(chosen)}; {BEST_OF_PYOD}: {', '.join(best)}"
    refused: dict[tuple[str, str], set[str]] = {}
    for outcome in outcomes:
        if outcome.refused:
            refused.setdefault((outcome.method, outcome.refused), set()).add(outcome.condition)
    for (method, reason), conditions in refused.items():
        yield f"{method}: refused on {'; '.join(sorted(conditions))}. {reason}"
    yield "PyOD ECOD ranks each test clip among the other test clips; all others score every clip for itself"
    yield f"{BASELINE.name}: calibrated in {_BASELINE_FOLDS} folds"


if __name__ == "__main__":
    main()
