"""Weights of the published Time-MoE in this network, as far as names and shapes agree.

The layout is that of ``Maple728/TimeMoE-50M`` on the Hugging Face hub. Projections that are apart there are one
matrix here. Into ``base`` go attention, shared experts, norms, routers, embedding and heads; its experts are
narrower than the published ones (192 of 768) and stay fresh. Into ``published`` goes everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alp_assets.errors import WeightsMissing

if TYPE_CHECKING:
    from torch import Tensor

    from alp_assets.engines.time_moe.config import Shape
    from alp_assets.engines.time_moe.model import Network

PUBLISHED = "Maple728/TimeMoE-50M"
_FILE = "model.safetensors"


@dataclass(frozen=True)
class Loaded:
    """Names of the network's parameters that were ``taken``, and those ``left`` fresh with the reason."""

    taken: tuple[str, ...]
    left: dict[str, str]


def load_published(network: Network, path: Path) -> Loaded:
    """Fill a network from a safetensors file in the published layout, or from a folder that holds one.

    Raises:
        WeightsMissing: there is no such file, it cannot be read, or nothing in it fits.
    """
    import torch

    tensors = _read(path)
    taken, left = [], {}
    with torch.no_grad():
        for name, value in network.named_parameters():
            parts = _SourceOf(network.shape).names(name)
            missing = [part for row in parts for part in row if part not in tensors]
            if missing:
                left[name] = f"{missing[0]} is not there"
                continue
            found = _joined(parts, tensors)
            if found is None or found.shape != value.shape:
                shape = "of parts that do not fit together" if found is None else f"{tuple(found.shape)}"
                left[name] = f"{shape}, not {tuple(value.shape)}"
                continue
            value.copy_(found)
            taken.append(name)
    if not taken:
        raise WeightsMissing(f"{path}: nothing in it fits. It must have the layout of {PUBLISHED}.")
    return Loaded(tuple(taken), left)


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path / _FILE if path.is_dir() else path
    if not file.is_file():
        raise WeightsMissing(
            f"{file}: no such file. Download {_FILE} of {PUBLISHED} from the Hugging Face hub and name its "
            "folder, or leave models.time_moe.weights empty."
        )
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsMissing(f"{file}: not readable as safetensors ({error}). Download it again.") from error


@dataclass(frozen=True)
class _SourceOf:
    shape: Shape

    def names(self, own: str) -> list[list[str]]:
        """The published tensors that make a parameter: rows are stacked, the parts of a row joined end to end."""
        if own.startswith("heads."):
            return [[f"lm_heads.{own.removeprefix('heads.')}.out_layer.weight"]]
        if own == "embedding.gate_up":
            return [["model.embed_layer.gate_layer.weight", "model.embed_layer.emb_layer.weight"]]
        if own == "norm.weight":
            return [["model.norm.weight"]]
        _, number, part = own.split(".", 2)
        return [[f"model.layers.{number}.{name}" for name in row] for row in self._of_layer(part)]

    def _of_layer(self, part: str) -> Iterator[list[str]]:
        attention, experts = "self_attn", "ffn_layer"
        plain = {
            "before_attention.weight": ["input_layernorm.weight"],
            "before_experts.weight": ["post_attention_layernorm.weight"],
            "attention.qkv": [f"{attention}.{name}_proj.weight" for name in "qkv"],
            "attention.qkv_bias": [f"{attention}.{name}_proj.bias" for name in "qkv"],
            "attention.out": [f"{attention}.o_proj.weight"],
            "experts.router": [f"{experts}.gate.weight"],
            "experts.shared_gate_up": [f"{experts}.shared_expert.{name}_proj.weight" for name in ("gate", "up")],
            "experts.shared_down": [f"{experts}.shared_expert.down_proj.weight"],
            "experts.shared_switch": [f"{experts}.shared_expert_gate.weight"],
        }
        if part in plain:
            yield plain[part]
            return
        names = {"experts.gate_up": ("gate", "up"), "experts.down": ("down",)}[part]
        for expert in range(self.shape.experts):
            yield [f"{experts}.experts.{expert}.{name}_proj.weight" for name in names]


def _joined(rows: list[list[str]], tensors: dict[str, Tensor]) -> Tensor | None:
    """The parameter that published tensors make, or nothing where they do not fit together."""
    import torch

    try:
        made = [torch.cat([tensors[name] for name in row]) for row in rows]
        return made[0] if len(made) == 1 else torch.stack(made)
    except RuntimeError:
        return None
