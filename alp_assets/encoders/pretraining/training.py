"""The contrast that ALP's own encoder is trained on.

Two renderings of one machine, each in noise of its own, shall be closer to each other than to any other
machine: normalised temperature-scaled cross entropy (Chen et al., "A simple
framework for contrastive learning of visual representations", ICML 2020), on synthesized data as in
"Synthetic doppelgangers" (arXiv 2406.05923).

Everything random in a step comes from the seed and the number of the step, so a training that was cut off goes
on as if it had not been.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alp_assets.encoders.pretraining.config import PretrainConfig
from alp_assets.encoders.pretraining.probes import make_probe
from alp_assets.encoders.pretraining.spectrograms import SCALE, rendered
from alp_assets.encoders.pretraining.views import paired_views
from alp_assets.errors import ParameterError
from alp_assets.progress import Progress, silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from alp_assets.encoders.conv_network import ConvNetwork

STATE_FILE, LOG_FILE = "state.pt", "log.jsonl"
_WARM_UP = 50
_LARGEST_GRADIENT = 5.0
_POOL, _STEP, _START = 1, 2, 3
"""First numbers of the random streams."""


@dataclass(frozen=True)
class Row:
    """A line of the log: means over a round, and what the probe finds at its end (AUC)."""

    round: int
    step: int
    loss: float
    accuracy: float
    probe: dict[str, float]


def train(
    config: PretrainConfig,
    folder: Path,
    progress: Progress = silent,
    tell: Callable[[Row], None] = lambda row: None,
) -> ConvNetwork:
    """Train, or go on with what is in the folder; its log has a line for each round.

    Raises:
        ParameterError: the folder holds a training of another configuration.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run.begin(config, folder, device)
    probe = make_probe(config.seed, device)
    while run.round < config.rounds:
        _one_round(run, config, device, progress)
        row = Row(run.round, run.round * config.steps, run.loss, run.accuracy, probe.of(run.network))
        run.save(folder, row)
        tell(row)
    return run.network.eval()


@dataclass
class _Run:
    """What a training holds between rounds."""

    config: PretrainConfig
    network: ConvNetwork
    optimizer: torch.optim.Optimizer
    round: int = 0
    loss: float = math.nan
    accuracy: float = math.nan

    @classmethod
    def begin(cls, config: PretrainConfig, folder: Path, device: torch.device) -> _Run:
        import torch

        run = cls(config, network := new_network(config).to(device), _optimizer(network, config))
        if not (folder / STATE_FILE).is_file():
            return run
        state = torch.load(folder / STATE_FILE, map_location=device, weights_only=True)
        if state["config"] != config.model_dump(mode="json"):
            raise ParameterError(
                f"{folder}: holds a training of another configuration. Name another folder, or delete it."
            )
        run.network.load_state_dict(state["network"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.round = state["round"]
        return run

    def save(self, folder: Path, row: Row) -> None:
        """Replace the state in one move, then the log."""
        import torch

        part = folder / f"{STATE_FILE}.part"
        torch.save(
            {
                "config": self.config.model_dump(mode="json"),
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "round": self.round,
            },
            part,
        )
        os.replace(part, folder / STATE_FILE)
        log = folder / LOG_FILE
        lines = log.read_text(encoding="utf-8").splitlines()[: self.round - 1] if log.is_file() else []
        lines.append(json.dumps(vars(row)))
        part = folder / f"{LOG_FILE}.part"
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(part, log)


def new_network(config: PretrainConfig) -> ConvNetwork:
    """An untrained network; its random weights hang on the seed alone."""
    import torch

    from alp_assets.encoders.conv_network import ConvNetwork

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng((config.seed, _START)).integers(2**62)))
        return ConvNetwork(SCALE.n_mels, config.channels, config.width, config.projected)


def _optimizer(network: ConvNetwork, config: PretrainConfig) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-2)


def _one_round(run: _Run, config: PretrainConfig, device: torch.device, progress: Progress) -> None:
    import torch

    pool = rendered(config.machines, config.renderings, (config.seed, _POOL, run.round), device, progress)
    run.network.train()
    losses, hits = [], []
    for number in range(config.steps):
        step = run.round * config.steps + number
        for group in run.optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config.total_steps)
        rng = np.random.default_rng((config.seed, _STEP, step))
        loss, hit = contrast(run.network(paired_views(pool, config, rng, device)), config.temperature)
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), _LARGEST_GRADIENT)
        run.optimizer.step()
        losses.append(float(loss.detach()))
        hits.append(float(hit))
        progress(step + 1, config.total_steps, f"steps, loss {losses[-1]:.2f}")
    run.round += 1
    run.loss, run.accuracy = float(np.mean(losses)), float(np.mean(hits))


def contrast(projections: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross entropy of finding a view's partner, rows i and n + i of (2 n, d), and how often it is found."""
    import torch

    count = len(projections) // 2
    likeness = projections @ projections.T / temperature
    own = torch.eye(2 * count, dtype=torch.bool, device=likeness.device)
    likeness = likeness.masked_fill(own, -torch.inf)
    partner = torch.arange(2 * count, device=likeness.device).roll(count)
    loss = torch.nn.functional.cross_entropy(likeness, partner)
    return loss, (likeness.detach().argmax(1) == partner).float().mean()


def _schedule(step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to nothing."""
    return min((step + 1) / _WARM_UP, 0.5 * (1 + math.cos(math.pi * step / total)))


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log of a training, a row for each round."""
    return [json.loads(line) for line in (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()]
