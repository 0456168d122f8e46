"""Checkpoints of a training: safetensors and JSON, each replaced in one move, and no program in them.

The JSON file names the tensors that belong to it and is written last, so a kill leaves the old pair or the new.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.errors import ModelCorrupt
from alp_assets.files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

STATE_FILE, METRICS_FILE = "state.json", "metrics.jsonl"

_KEPT = "state-{step}.safetensors"


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors, whole or not at all."""
    from safetensors.torch import save

    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))


def save_state(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Replace the state that a training goes on from; ``state`` is JSON with its ``step``."""
    name = _KEPT.format(step=state["step"])
    save_tensors(folder / name, tensors)
    write_json(folder / STATE_FILE, {**state, "tensors": name})
    for old in folder.glob(_KEPT.format(step="*")):
        if old.name != name:
            old.unlink()


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The state in a folder, nothing where no training left one; ``ModelCorrupt`` where it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / STATE_FILE).is_file():
        return None
    try:
        state = read_json(folder / STATE_FILE)
        return load_file(folder / state["tensors"]), state
    except (ValueError, KeyError, TypeError, FileNotFoundError, SafetensorError) as error:
        raise ModelCorrupt(
            f"{folder}: the training that was begun here cannot be read ({error!r}). "
            "Delete the folder to begin anew."
        ) from error


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimiser remembers of each parameter: its tensors by name, and the rest as JSON."""
    import torch

    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for number, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{number}.{name}"] = value
            else:
                rest[f"{number}.{name}"] = value
    return tensors, rest


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Make an optimiser remember what ``optimizer_state`` took from another."""
    state: dict[int, dict[str, Any]] = {}
    prefix = "optimizer."
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    for key, value in {**own, **rest}.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class MetricsLog:
    """``metrics.jsonl``: a line for each thing that happened, on disk at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS_FILE

    def write(self, row: dict[str, Any]) -> None:
        """Add a line."""
        with self._path.open("ab", buffering=0) as stream:
            stream.write((json.dumps(row, sort_keys=True, allow_nan=False) + "\n").encode())
            os.fsync(stream.fileno())

    def cut(self, step: int) -> None:
        """Drop the lines of steps after ``step``, which a training that goes on from there will write again."""
        if self._path.is_file():
            kept = [line for line in _whole_lines(self._path) if json.loads(line)["step"] <= step]
            write_bytes(self._path, b"".join(kept))

    def rows(self) -> list[dict[str, Any]]:
        """What was written."""
        return [json.loads(line) for line in _whole_lines(self._path)] if self._path.is_file() else []


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
