"""How fast Time-MoE trains and scores: against a dense transformer, against naive dispatch, against real time.

Everything is timed in turn in one run, the best of a few rounds. CPU seconds stand beside wall seconds, since
they hang less on what else the machine does; threads that wait for each other on busy cores spoil both, so there
``--threads 1`` tells more. Weights are untrained, which changes no speed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alp_assets.engines.base import Normals
from alp_assets.engines.time_moe.config import SHAPES, Shape
from alp_assets.engines.time_moe.engine import TimeMoe
from alp_assets.engines.time_moe.experts import Routing, SparseExperts
from alp_assets.engines.time_moe.fitted import TimeMoeModel
from alp_assets.engines.time_moe.layers import empty, gated
from alp_assets.engines.time_moe.loss import huber_loss
from alp_assets.engines.time_moe.model import Network, new_network
from alp_assets.signal_params import TimeMoeParams
from alp_assets.signals.blocks import BlockStore
from alp_assets.signals.windows import Feed, WindowPlan
from alp_assets.stages.window_store import stored
from bench.output import save, say, show
from schemas.sections import Section

WINDOW, BATCH = 2048, 8
RATE_HZ, CHANNELS, HOUR_S = 10_000, 3, 3600.0
_LOOPED_POINTS = 2048
_GEMM = 1024


@dataclass(frozen=True)
class Taken:
    """Seconds of the best round, on the wall and of the processor."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Speed:
    """A network at work on windows of 2,048 points; ``share`` is of the measured GEMM rate."""

    network: str
    work: str
    windows_per_s: float
    windows_per_cpu_s: float
    gflops: float
    share: float


def main() -> None:
    """Measure, print and write ``time_moe.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.time_moe", description=__doc__)
    parser.add_argument("--size", default="small", choices=("tiny", "small"), help="of the network on the CPU")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    parser.add_argument("--seconds", type=float, default=8.0, help="of current that are scored")
    parser.add_argument("--megabytes", type=int, default=512, help="of signals that become a window store")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="fewer on a busy machine"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds, shape = arguments.rounds, SHAPES[arguments.size]
    gemm = gemm_rate("cpu", torch.float32, rounds)
    speeds = compare(shape, gemm, rounds)
    dispatch = dispatches(shape, rounds)
    hour = real_time(arguments.size, arguments.seconds, rounds)
    store = window_store(arguments.megabytes, rounds)
    gpu = on_gpu(rounds) if torch.cuda.is_available() else None
    _print(arguments.size, gemm, speeds, dispatch, hour, gpu)
    say(
        f"Window store: {store['megabytes']:,} MB converted at {store['converted_mb_per_s']:,.0f} MB/s "
        f"({store['converted_mb_per_cpu_s']:,.0f} a CPU second); {store['windows_per_s']:,.0f} shuffled windows "
        f"of {WINDOW:,} points read in a second."
    )
    save(
        "time_moe",
        {
            "size": arguments.size,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "window": WINDOW,
            "batch": BATCH,
            "gemm_gflops": gemm / 1e9,
            "speeds": [asdict(item) for item in speeds],
            "dispatch_seconds": {name: asdict(taken) for name, taken in dispatch.items()},
            "hour": hour,
            "window_store": store,
            "gpu": gpu,
        },
    )


def gemm_rate(device: str, kind: torch.dtype, rounds: int, size: int = _GEMM) -> float:
    """The operations that square products reach in a second."""
    first, second = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / timed({"": lambda: first @ second}, 5 * rounds)[""].wall


def compare(shape: Shape, gemm: float, rounds: int) -> list[Speed]:
    """The sparse network and a dense one of equal active parameters, scoring and training."""
    networks = {"time_moe": _network(shape), "dense": dense_network(shape)}
    series = torch.randn(BATCH, WINDOW, generator=torch.Generator().manual_seed(0))
    speeds = []
    for work, times in (("score", 1), ("train", 3)):
        make = _scoring if work == "score" else _training
        taken = timed({name: make(network, series) for name, network in networks.items()}, rounds)
        operations = times * BATCH * WINDOW * operations_of_a_point(shape)
        speeds += [
            Speed(
                name,
                work,
                BATCH / item.wall,
                BATCH / item.cpu,
                operations / item.wall / 1e9,
                operations / item.wall / gemm,
            )
            for name, item in taken.items()
        ]
    return speeds


def operations_of_a_point(shape: Shape, points: int = WINDOW) -> int:
    """Operations of a point going forward: two for each active weight, and attention to half of the window."""
    layer = 4 * shape.hidden**2 + 3 * shape.hidden * shape.active_width + shape.experts * shape.hidden
    attention = 2 * (points // 2) * shape.hidden
    return 2 * (shape.layers * (layer + attention) + shape.hidden * sum(shape.horizons))


def dense_network(shape: Shape) -> Network:
    """The same decoder with one unit for all points, as wide as what a point goes through of the experts."""
    network = _network(shape)
    for layer in network.decoders:
        layer.experts = _DenseUnit(shape)  # type: ignore[assignment]
    return network


class _DenseUnit(nn.Module):
    """A gated unit in the place of experts, all of them one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_up = empty(2 * shape.active_width, shape.hidden)
        self.down = empty(shape.hidden, shape.active_width)
        with torch.no_grad():
            for value in self.parameters():
                value.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))

    def forward(self, points: Tensor) -> tuple[Tensor, Routing]:
        one = torch.zeros(len(points), 1, dtype=torch.long)
        return functional.linear(gated(points, self.gate_up), self.down), Routing(one.float(), one)


def dispatches(shape: Shape, rounds: int) -> dict[str, Taken]:
    """The experts of one layer computed in four ways on the same points."""
    layer = _network(shape).decoders[0].experts
    with torch.no_grad():
        layer.router.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    points = torch.randn(_LOOPED_POINTS, shape.hidden, generator=torch.Generator().manual_seed(0))
    ways = {
        "grouped by expert": lambda: layer._sparse(points, layer.route(points)),
        "loop over experts with masks": lambda: _by_masks(layer, points),
        "every expert for every point": lambda: _all_experts(layer, points),
        "loop over points": lambda: _by_points(layer, points),
    }
    with torch.inference_mode():
        wanted = ways["grouped by expert"]()
        for way in ways.values():
            torch.testing.assert_close(way(), wanted, atol=1e-5, rtol=1e-4)  # type: ignore[no-untyped-call]
        return timed(ways, rounds)


def _expert(layer: SparseExperts, number: int, points: Tensor) -> Tensor:
    return functional.linear(gated(points, layer.gate_up[number]), layer.down[number])


def _by_points(layer: SparseExperts, points: Tensor) -> Tensor:
    routing = layer.route(points)
    found = torch.zeros_like(points)
    for row, chosen in enumerate(routing.chosen.tolist()):
        for number in chosen:
            found[row] += routing.probabilities[row, number] * _expert(layer, number, points[row])
    return found


def _by_masks(layer: SparseExperts, points: Tensor) -> Tensor:
    """As the published code does it."""
    routing = layer.route(points)
    mask = functional.one_hot(routing.chosen, len(layer.router)).permute(2, 1, 0)
    found = torch.zeros_like(points)
    for number in range(len(layer.router)):
        _, rows = torch.where(mask[number])
        made = _expert(layer, number, points[rows]) * routing.probabilities[rows, number, None]
        found.index_add_(0, rows, made)
    return found


def _all_experts(layer: SparseExperts, points: Tensor) -> Tensor:
    routing = layer.route(points)
    best = routing.probabilities.gather(1, routing.chosen)
    weights = torch.zeros_like(routing.probabilities).scatter(1, routing.chosen, best)
    made = torch.stack([_expert(layer, number, points) for number in range(len(layer.router))], dim=1)
    return (made * weights[..., None]).sum(dim=1)


def real_time(size: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Scoring some seconds of three phases at 10 kHz, and what an hour comes to by that.

    Windows do not hang on each other, so time grows with the length.
    """
    model = _model(size)
    recording = _current(seconds)
    taken = timed({"": lambda: model.score(recording[None])}, rounds)[""]
    cores = len(os.sched_getaffinity(0))
    threads = torch.get_num_threads()
    return {
        "scored_s": seconds,
        "cores": cores,
        "threads": threads,
        "wall_s": taken.wall,
        "cpu_s": taken.cpu,
        "real_time_factor": seconds / taken.wall,
        "real_time_factor_by_cpu_time": seconds / taken.cpu * cores,
        "hour_s_extrapolated": HOUR_S * taken.wall / seconds,
    }


def window_store(megabytes: int, rounds: int) -> dict[str, Any]:
    """Converting clips of four rows as the stage models does, and reading windows of them in a shuffled order."""
    points, rate = 2**16, 2**20
    values = np.random.default_rng(0).normal(0, 1, (8, 4, points)).astype(np.float32)
    clips = [(str(row), "normal", values, row % len(values)) for row in range(megabytes)]
    turn = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        taken = timed(
            {"": lambda: stored(Path(folder, str(next(turn))), Section("bench", "motor", "1"), clips)}, rounds
        )[""]
        store = BlockStore(Path(folder, "0"))
        feed = Feed(store, WindowPlan(store.lengths, WINDOW, WINDOW))
        read = timed({"": lambda: feed.take(512)}, rounds)[""]
    size = megabytes * 4 * points * 4 / rate
    return {
        "megabytes": round(size),
        "converted_mb_per_s": size / taken.wall,
        "converted_mb_per_cpu_s": size / taken.cpu,
        "windows_per_s": 512 / read.wall,
    }


def on_gpu(rounds: int) -> dict[str, Any]:
    """Training ``base`` in bfloat16 on batches of 8 x 2,048, with the memory that it takes."""
    shape, device = SHAPES["base"], "cuda"
    rate = gemm_rate(device, torch.bfloat16, rounds, size=8192)
    figures: dict[str, Any] = {"name": torch.cuda.get_device_name(), "bf16_tflops": rate / 1e12}
    series = torch.randn(BATCH, WINDOW, device=device)
    for checkpointing in (False, True):
        network = new_network(shape, torch.Generator().manual_seed(0), checkpointing).to(device)
        torch.cuda.reset_peak_memory_stats()
        step = _training(network, series)

        def whole(step: Callable[[], None] = step) -> None:
            with torch.autocast(device, torch.bfloat16):
                step()

        taken = timed({"": whole}, rounds + 2)[""]
        tokens = BATCH * WINDOW / taken.wall
        figures["checkpointing" if checkpointing else "plain"] = {
            "tokens_per_s": tokens,
            "share_of_bf16_rate": 3 * tokens * operations_of_a_point(shape) / rate,
            "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        }
    return figures


def timed(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Taken]:
    """The best round of each, in turn, after one that does not count."""
    found: dict[str, list[Taken]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found[name].append(Taken(time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Taken(min(item.wall for item in taken[1:]), min(item.cpu for item in taken[1:]))
        for name, taken in found.items()
    }


def _network(shape: Shape) -> Network:
    return new_network(shape, torch.Generator().manual_seed(0))


def _scoring(network: Network, series: Tensor) -> Callable[[], None]:
    def work() -> None:
        with torch.inference_mode():
            network(series)

    return work


def _training(network: Network, series: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def work() -> None:
        optimizer.zero_grad()
        huber_loss(network(series), series, delta=2.0).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return work


def _model(size: str) -> TimeMoeModel:
    params = TimeMoeParams.model_validate({"size": size, "window": WINDOW, "steps": 1, "batch": 1})
    values = np.stack([_current(0.25, seed) for seed in range(2)])
    return TimeMoe(params).fit(Normals(values, np.full(2, "target")))


def _current(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Three phases (3, points) of 50 Hz with some noise."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phases = 2 * np.pi * (50 * time_s - np.arange(CHANNELS)[:, None] / 3)
    noise = np.random.default_rng(seed).normal(0, 0.02, (CHANNELS, len(time_s)))
    return (np.sin(phases) + noise).astype(np.float32)


def _print(
    size: str,
    gemm: float,
    speeds: list[Speed],
    dispatch: dict[str, Taken],
    hour: dict[str, Any],
    gpu: dict[str, Any] | None,
) -> None:
    show(
        f"Time-MoE {size}, windows of {WINDOW:,} points; GEMM {gemm / 1e9:.0f} GFLOP/s in this run",
        ("network, work", "windows/s", "windows/CPU s", "GFLOP/s", "of the GEMM rate"),
        [
            (
                f"{item.network}, {item.work}",
                f"{item.windows_per_s:.1f}",
                f"{item.windows_per_cpu_s:.1f}",
                f"{item.gflops:.1f}",
                f"{item.share:.0%}",
            )
            for item in speeds
        ],
    )
    best = dispatch["grouped by expert"]
    show(
        f"Experts of one layer, {_LOOPED_POINTS:,} points",
        ("dispatch", "ms", "times as long", "CPU ms", "times as long"),
        [
            (
                name,
                f"{1e3 * item.wall:.1f}",
                f"{item.wall / best.wall:.1f}",
                f"{1e3 * item.cpu:.1f}",
                f"{item.cpu / best.cpu:.1f}",
            )
            for name, item in dispatch.items()
        ],
    )
    say(
        f"{hour['scored_s']:g} s of three phases at 10 kHz scored in {hour['wall_s']:.1f} s: real-time factor "
        f"{hour['real_time_factor']:.2f} on {hour['threads']} thread(s) as busy as they are; by CPU time "
        f"{hour['real_time_factor_by_cpu_time']:.2f} on {hour['cores']} cores. An hour would take "
        f"{hour['hour_s_extrapolated'] / 60:.0f} minutes (extrapolated)."
    )
    say(f"GPU: {gpu}" if gpu else "GPU: none here, so base was not timed.")


if __name__ == "__main__":
    main()
