"""Weights of ALP's own encoder as they are shipped: safetensors in half precision, and a card."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.encoders.alp_conv import CARD_FILE, WEIGHTS_FILE
from alp_assets.encoders.pretraining.config import PretrainConfig
from alp_assets.encoders.pretraining.spectrograms import SCALE
from alp_assets.files import sha256_of, write_json
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
        "limits": list(_LIMITS),
    }
    write_json(folder / CARD_FILE, card)
    return card
