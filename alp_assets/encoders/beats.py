"""BEATs (Chen et al., ICML 2023, arXiv 2212.09058), with the layers of SpeechBrain's implementation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alp_assets.audio.standardize import CLIP_SAMPLES
from alp_assets.encoders.checkpoint import WEIGHTS, Checkpoint, pt_tensors
from alp_assets.encoders.device import Placement
from alp_assets.encoders.fbank import Fbank, frame_count
from alp_assets.encoders.trunk import refuse_gaps
from alp_assets.errors import WeightsMissing

if TYPE_CHECKING:
    from torch import Tensor, nn

_MELS = 128
_FULL_SCALE = 2.0**15
_MEAN = 15.41663
_STD = 6.55582
"""Of the energies of 16-bit samples in AudioSet; part of the method, not of its checkpoints."""


@dataclass(frozen=True)
class BeatsPlan:
    """The grid of a BEATs checkpoint. ``config`` is SpeechBrain's own."""

    checkpoint: Checkpoint
    config: Any

    @property
    def depth(self) -> int:
        """How many layers the checkpoint has."""
        return int(self.config.encoder_layers)

    @property
    def grid(self) -> tuple[int, int]:
        """Bands and time steps: squares side by side; what is left at the end is dropped."""
        side = int(self.config.input_patch_size)
        return _MELS // side, frame_count(CLIP_SAMPLES) // side

    @property
    def values(self) -> int:
        """Values of a grid cell."""
        return int(self.config.encoder_embed_dim)

    @property
    def bytes_per_clip(self) -> int:
        """Working memory of one clip, roughly: activations, and the attention with its position bias."""
        bands, time = self.grid
        tokens = bands * time
        wide = 8 * self.values + 2 * int(self.config.encoder_ffn_embed_dim)
        return 4 * tokens * (wide + 4 * tokens * int(self.config.encoder_attention_heads))

    @property
    def settings(self) -> dict[str, Any]:
        """How the features are computed."""
        return {"mels": _MELS, "mean": _MEAN, "std": _STD}

    def load(self, layers: int, placement: Placement, compiled: bool) -> BeatsTrunk:
        """Read the weights, and keep the lowest layers."""
        from torch.nn.utils.parametrize import remove_parametrizations

        model = _empty(self.config)
        _fill(model, self.checkpoint)
        model.encoder.layers = model.encoder.layers[:layers]
        # the weight norm would be computed anew for every batch
        remove_parametrizations(model.encoder.pos_conv[0], "weight")
        return BeatsTrunk(self, model.eval().to(placement.device, placement.dtype), placement, compiled)


def beats_plan(checkpoint: Checkpoint) -> BeatsPlan:
    """Read the configuration.

    Raises:
        WeightsMissing: SpeechBrain is not installed, or the configuration is not one of BEATs.
    """
    config = _speechbrain().BEATsConfig(
        {key: value for key, value in checkpoint.config.items() if key != "model_type"}
    )
    plan = BeatsPlan(checkpoint, config)
    try:
        possible = plan.depth >= 1 and min(plan.grid) >= 1 and plan.values >= 1
    except (TypeError, ValueError, ZeroDivisionError):
        possible = False
    if not possible:
        raise WeightsMissing(f"{checkpoint.path}: impossible settings of BEATs in its configuration.")
    return plan


class BeatsTrunk:
    """The layers. Attention is biased by relative positions, which the first layer works out for all."""

    def __init__(self, plan: BeatsPlan, model: Any, placement: Placement, compiled: bool) -> None:
        import torch

        self.plan = plan
        self._model = model
        self._placement = placement
        self._fbank = Fbank(_MELS, "povey", _FULL_SCALE, placement.device)
        if compiled:
            for layer in model.encoder.layers:
                layer.forward = torch.compile(layer.forward)

    def hidden(self, waves: Tensor, wanted: Collection[int]) -> Iterator[tuple[int, Tensor]]:
        """Outputs of the wanted layers. Tokens run through the bands of a time step before the next step."""
        bands, time = self.plan.grid
        encoder = self._model.encoder
        x = self._embedded(self.features(waves))
        x = x + encoder.pos_conv(x.transpose(1, 2)).transpose(1, 2)
        if not encoder.layer_norm_first:
            x = encoder.layer_norm(x)
        x, bias = x.transpose(0, 1), None
        for number, layer in enumerate(encoder.layers[: max(wanted)], start=1):
            x, _, bias = layer(x, pos_bias=bias)
            if number in wanted:
                yield number, x.transpose(0, 1).reshape(len(waves), time, bands, -1).transpose(1, 2)

    def features(self, waves: Tensor) -> Tensor:
        """Normalized energies (n, frames, mels)."""
        return (self._fbank(waves.to(self._placement.device)) - _MEAN) / (2 * _STD)

    def _embedded(self, features: Tensor) -> Tensor:
        model = self._model
        patches = model.patch_embedding(features.unsqueeze(1).to(self._placement.dtype))
        tokens: Tensor = model.layer_norm(patches.flatten(2).transpose(1, 2))
        return model.post_extract_proj(tokens) if model.post_extract_proj is not None else tokens


def _empty(config: Any) -> Any:
    """The modules of BEATs under the names of its checkpoints, weights not yet read."""
    from torch import nn

    model: Any = nn.Module()
    side, inner, outer = config.input_patch_size, config.embed_dim, config.encoder_embed_dim
    model.patch_embedding = nn.Conv2d(1, inner, side, stride=side, bias=config.conv_bias)
    model.layer_norm = nn.LayerNorm(inner)
    model.post_extract_proj = nn.Linear(inner, outer) if inner != outer else None
    model.encoder = _speechbrain().TransformerEncoder(config)
    return model


def _fill(model: nn.Module, checkpoint: Checkpoint) -> None:
    from safetensors.torch import load_file

    path = checkpoint.path
    tensors = pt_tensors(path) if path.is_file() else load_file(path / WEIGHTS)
    try:
        told = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsMissing(f"{path}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    refuse_gaps(checkpoint, list(told.missing_keys), [])


def _speechbrain() -> Any:
    try:
        from speechbrain.lobes.models import beats
    except ImportError as error:
        raise WeightsMissing(
            "beats: SpeechBrain, whose layers it takes, is not installed. Run: pip install 'alp[beats]'"
        ) from error
    except (OSError, AttributeError) as error:
        raise WeightsMissing(
            f"beats: SpeechBrain is installed but cannot be loaded ({' '.join(str(error).split())[:200]}). "
            "It needs torchaudio of the same build (CPU or CUDA) as torch; see pip install 'alp[beats]'."
        ) from error
    return beats
