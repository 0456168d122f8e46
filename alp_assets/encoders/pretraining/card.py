"""Weights of ALP's own encoder as they are shipped: safetensors in half precision, and a card.

The card's ``results`` are a table, a row for each figure. A training fills in what its probe found at the end;
``add_results`` puts in what was measured on recordings afterwards.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.encoders.alp_conv import CARD_FILE, WEIGHTS_FILE
from alp_assets.encoders.pretraining.config import PretrainConfig
from alp_assets.encoders.pretraining.spectrograms import SCALE
from alp_assets.errors import WeightsMissing
from alp_assets.files import read_json, sha256_of, write_json
from alp_assets.version import code_version

if TYPE_CHECKING:
    from alp_assets.encoders.conv_network import ConvNetwork

_DATA = (
    "Synthesized by alp_assets.encoders.pretraining (machines, rendering): random rotors with harmonics, blades, "
    "gear mesh and sidebands, mains hum, whines, flow noise, strokes, impact trains; each machine beside an "
    "altered sibling; random rooms, microphones and backgrounds. No recording of anything is used."
)
_LIMITS = (
    "Trained on synthesized sound at 16 kHz alone, on views of about two seconds.",
    "The level of a clip is taken out: a machine that only gets louder shows in log-mel statistics, not here.",
    "Tells machines and their conditions apart; knows no names of sounds.",
)

PROBE = "synthesized machines"
"""What the results of a training's own probe are of."""


@dataclass(frozen=True)
class Result:
    """A row of a card's results: the mean AUC of a ``method`` on some ``data`` in a ``condition``.

    ``normals`` are the known ones of each machine or class; none where that is told elsewhere.
    """

    data: str
    condition: str
    method: str
    auc: float
    normals: int | None = None


def write_weights(
    network: ConvNetwork, config: PretrainConfig, log: Sequence[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """Write weights and card into a folder; returns the card. The projection, which only trains, is left out."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if not name.startswith("projection.") and not name.endswith("num_batches_tracked")
    }
    part = folder / f"{WEIGHTS_FILE}.part"
    save_file(tensors, part)
    part.replace(folder / WEIGHTS_FILE)
    card = {
        "encoder": "alp_conv",
        "architecture": {
            "bands": SCALE.n_mels,
            "channels": config.channels,
            "width": config.width,
            "projected": config.projected,
        },
        "log_mel": SCALE.model_dump(mode="json"),
        "sha256": sha256_of(folder / WEIGHTS_FILE),
        "bytes": (folder / WEIGHTS_FILE).stat().st_size,
        "parameters": sum(value.numel() for value in tensors.values()),
        "data": _DATA,
        "recipe": config.model_dump(mode="json"),
        "steps": config.total_steps,
        "code_version": code_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "log": list(log),
        "results": [asdict(row) for row in _probed(log)],
        "limits": list(_LIMITS),
    }
    write_json(folder / CARD_FILE, card)
    return card


def add_results(card_file: Path, rows: Sequence[Result]) -> None:
    """Put rows into the results of a card. A row of the same data, condition, method and normals is replaced.

    Raises:
        WeightsMissing: the file is no card of the encoder's weights.
    """
    try:
        card = read_json(card_file)
        known = {_place(row): row for row in card.get("results", [])} if card["encoder"] == "alp_conv" else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsMissing(f"{card_file}: no card that `alp pretrain` wrote ({error}).") from error
    if known is None:
        raise WeightsMissing(f"{card_file}: the card of {card['encoder']}, not of alp_conv.")
    for row in map(asdict, rows):
        known[_place(row)] = row
    write_json(card_file, {**card, "results": list(known.values())})


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["data"], row["condition"], row["method"], row["normals"]


def _probed(log: Sequence[dict[str, Any]]) -> list[Result]:
    """What the probe found after the last round; its figures are named by method and condition."""
    found = []
    for name, auc in (log[-1]["probe"] if log else {}).items():
        method, _, condition = name.partition(", ")
        found.append(Result(PROBE, condition, method, auc))
    return found
