"""Training on normal series, and going on exactly where a killed training had been.

Nothing random is drawn while training: order and offsets of the windows follow from the seed and the position in
the data (``signals.windows``), so weights, optimiser, position and the counters beside them are the whole state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.encoders.device import Placement, place
from alp_assets.engines.time_moe.checkpoint import (
    MetricsLog,
    load_state,
    optimizer_state,
    restore_optimizer,
    save_state,
)
from alp_assets.engines.time_moe.loss import balance_loss, huber_loss
from alp_assets.engines.time_moe.usage import Counts, ExpertUsage, counted
from alp_assets.errors import ParameterError
from alp_assets.progress import Progress, silent
from alp_assets.signals.windows import Feed, SeriesSource, WindowPlan

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from alp_assets.engines.time_moe.model import Network

Windows = npt.NDArray[np.float32]

_BETTER = 1e-4
"""A validation loss is better when it is lower by this share."""

_LAST_RATE = 0.1
"""The share of the learning rate that a schedule ends with."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        steps: of the optimiser, at most.
        batch: windows that go through the network together.
        accumulation: batches whose gradients make one step; 8 x 16 windows are the effective batch of 128.
        learning_rate: of AdamW; it rises linearly over ``warm_up`` steps, then falls by half a cosine to a tenth.
        balance: how much uneven use of the experts counts, from 0 rising linearly over ``balance_warm_up`` steps.
        huber_delta: from where on the loss is linear in the error.
        largest_gradient: norm to which gradients are clipped.
        evaluate_every: steps between two looks at the validation windows, or at the training loss without any.
        patience: looks without an improvement after which training stops.
        save_every: steps between two checkpoints, where there is a folder for them.
        collapse_window: steps in a row for which an idle expert has collapsed.
        eight_bit: AdamW's state in 8 bits, where there are a GPU and bitsandbytes.
    """

    steps: int
    batch: int = 8
    accumulation: int = 16
    learning_rate: float = 1e-4
    warm_up: int = 100
    weight_decay: float = 0.01
    balance: float = 0.02
    balance_warm_up: int = 500
    huber_delta: float = 2.0
    largest_gradient: float = 1.0
    evaluate_every: int = 25
    patience: int = 8
    save_every: int = 100
    collapse_window: int = 50
    eight_bit: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = min((step + 1) / max(self.warm_up, 1), 1.0)
        falling = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * rising * falling

    def balance_at(self, step: int) -> float:
        """How much the use of the experts counts in a step."""
        return self.balance * min(step / max(self.balance_warm_up, 1), 1.0)


@dataclass(frozen=True)
class Data:
    """What is trained on, and normal windows (v, window) that are only looked at."""

    source: SeriesSource
    plan: WindowPlan
    validation: Windows | None = None


@dataclass
class State:
    """Where a training is. ``seconds`` is the time that was spent on it, over all its runs.

    ``beat_step`` and ``beat_seconds`` are when the heartbeat last came.
    """

    step: int = 0
    seconds: float = 0.0
    beat_step: int = 0
    beat_seconds: float = 0.0
    huber_delta: float = 0.0
    loss: float = math.inf
    best_loss: float = math.inf
    looks_without: int = 0
    losses: list[float] = field(default_factory=list)

    @property
    def numbers(self) -> dict[str, Any]:
        """As JSON, which knows no infinity."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, numbers: dict[str, Any]) -> State:
        """The state that ``numbers`` were taken of."""
        values: dict[str, Any] = {name: math.inf if value is None else value for name, value in numbers.items()}
        return cls(**values)


class Trainer:
    """Trains a network in place. With a folder, a training that was cut off there goes on.

    ``after_step`` is called with the trainer after each step: the heartbeat.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        schedule: Schedule,
        folder: Path | None = None,
        after_step: Callable[[Trainer], None] | None = None,
        placement: Placement | None = None,
    ) -> None:
        """Set up, or read the state in the folder.

        Raises:
            ParameterError: the folder holds a training of another configuration.
            ModelCorrupt: its state cannot be read.
        """
        self.placement = placement or place(schedule.precision)
        self.network = network.to(self.placement.device)
        self.data, self.schedule, self.folder = data, schedule, folder
        self.optimizer = _optimizer(network, schedule)
        self.feed = Feed(data.source, data.plan)
        self.usage = ExpertUsage(schedule.collapse_window)
        self.state = State(huber_delta=schedule.huber_delta)
        self.best: dict[str, Tensor] = {}
        self._after_step = after_step
        self._metrics = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._metrics = MetricsLog(folder)
            self._go_on(folder)
        self._begun = time.monotonic() - self.state.seconds

    @property
    def done(self) -> bool:
        """Whether there is nothing left to learn: all steps are taken, or more of them brought nothing."""
        return self.state.step >= self.schedule.steps or self.state.looks_without >= self.schedule.patience

    def run(self, progress: Progress = silent) -> None:
        """Train to the end; the network then has the best weights that validation saw, or the last ones."""
        while not self.done:
            self.step()
            progress(self.state.step, self.schedule.steps, f"steps, loss {self.state.loss:.4f}")
        if self.folder is not None:
            self.save()
        if self.best:
            self.network.load_state_dict(self.best)

    def step(self) -> None:
        """One step of the optimiser, and what is due after it."""
        schedule, state = self.schedule, self.state
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate(state.step)
        self.optimizer.zero_grad()
        found = [self._gradient() for _ in range(schedule.accumulation)]
        gradient = _clipped(self.network, schedule.largest_gradient)
        self.optimizer.step()
        losses, balances, counts = zip(*found, strict=True)
        state.loss = float(np.mean(losses))
        state.losses = [*state.losses, state.loss][-schedule.evaluate_every :]
        used: Counts = np.sum(counts, axis=0)
        self.usage.add(used)
        state.step += 1
        state.seconds = time.monotonic() - self._begun
        row = {"loss": state.loss, "balance": float(np.mean(balances)), "gradient": gradient}
        self.log("step", {**row, "rate": schedule.rate(state.step - 1), "experts": used.tolist()})
        if state.step % schedule.evaluate_every == 0:
            self._look()
        if self._after_step is not None:
            self._after_step(self)
        if self.folder is not None and state.step % schedule.save_every == 0:
            self.save()

    def log(self, kind: str, row: dict[str, Any]) -> None:
        """A line of ``metrics.jsonl``, where there is a folder."""
        if self._metrics is not None:
            self._metrics.write({"kind": kind, "step": self.state.step, "seconds": self.state.seconds, **row})

    def save(self) -> None:
        """Replace the checkpoint that the training can go on from."""
        if self.folder is None:
            raise ValueError("a training without a folder cannot be saved")
        tensors, rest = optimizer_state(self.optimizer)
        tensors |= {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        state = {
            **self.state.numbers,
            "epoch": self.feed.epoch,
            "position": self.feed.position,
            "optimizer": rest,
            "usage": self.usage.state,
            "configuration": self._configuration,
        }
        save_state(self.folder, tensors, state)

    @property
    def _configuration(self) -> dict[str, Any]:
        """What must be the same for a training to go on."""
        plan = self.data.plan
        cut = {"window": plan.window, "stride": plan.stride, "seed": plan.seed, "points": int(plan.lengths.sum())}
        shape = {**asdict(self.network.shape), "horizons": list(self.network.shape.horizons)}
        return {"schedule": asdict(self.schedule), "shape": shape, "windows": cut}

    def _go_on(self, folder: Path) -> None:
        found = load_state(folder)
        if found is None:
            MetricsLog(folder).cut(0)
            return
        tensors, saved = found
        if saved["configuration"] != self._configuration:
            raise ParameterError(
                f"{folder}: holds a training of another configuration. Name another folder, or delete it."
            )
        self.network.load_state_dict(_under("network.", tensors))
        self.best = {name: value.to(self.placement.device) for name, value in _under("best.", tensors).items()}
        restore_optimizer(self.optimizer, tensors, saved["optimizer"])
        self.usage.restore(saved["usage"])
        self.feed.epoch, self.feed.position = saved["epoch"], saved["position"]
        self.state = State.of({name: saved[name] for name in asdict(self.state)})
        if self._metrics is not None:
            self._metrics.cut(self.state.step)

    def _gradient(self) -> tuple[float, float, Counts]:
        """Add a batch's gradient; its loss, the balance of the experts, and the points that each got."""
        import torch

        series = torch.from_numpy(self.feed.take(self.schedule.batch)).to(self.placement.device)
        with torch.autocast(
            self.placement.device, self.placement.dtype, enabled=self.placement.precision == "bfloat16"
        ):
            output = self.network(series)
        loss = huber_loss(output, series, self.state.huber_delta)
        balance = balance_loss(output.routings)
        whole = loss + self.schedule.balance_at(self.state.step) * balance
        (whole / self.schedule.accumulation).backward()  # type: ignore[no-untyped-call]
        return loss.item(), balance.item(), counted(output.routings)

    def _look(self) -> None:
        """Whether the network got better; the weights of the best look are kept."""
        state = self.state
        loss = float(np.mean(state.losses))
        if self.data.validation is not None:
            loss = self._validation_loss(self.data.validation)
        if loss < state.best_loss * (1 - _BETTER):
            state.best_loss, state.looks_without = loss, 0
            if self.data.validation is not None:
                self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        else:
            state.looks_without += 1
        self.log("look", {"loss": loss, "held_out": self.data.validation is not None})

    def _validation_loss(self, windows: Windows) -> float:
        import torch

        losses, batch = [], self.schedule.batch
        with torch.inference_mode():
            for start in range(0, len(windows), batch):
                series = torch.from_numpy(windows[start : start + batch]).to(self.placement.device)
                # The schedule's delta and not the heartbeat's, so that looks can be compared.
                losses.append(
                    len(series) * huber_loss(self.network(series), series, self.schedule.huber_delta).item()
                )
        return sum(losses) / len(windows)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _clipped(network: Network, largest: float) -> float:
    import torch

    return float(torch.nn.utils.clip_grad_norm_(network.parameters(), largest))


def _optimizer(network: Network, schedule: Schedule) -> Optimizer:
    """AdamW; its state in 8 bits where that was asked for and can be had. One-dimensional weights do not decay."""
    import torch

    values = list(network.parameters())
    groups = [
        {"params": [value for value in values if value.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [value for value in values if value.ndim <= 1], "weight_decay": 0.0},
    ]
    if schedule.eight_bit and torch.cuda.is_available():
        try:
            from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            pass
        else:
            found: Optimizer = AdamW8bit(groups, lr=schedule.learning_rate)
            return found
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, fused=True)
