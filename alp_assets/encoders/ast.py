"""The Audio Spectrogram Transformer (Gong et al., Interspeech 2021, arXiv 2104.01778)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alp_assets.audio.standardize import SAMPLE_RATE
from alp_assets.encoders.checkpoint import Checkpoint
from alp_assets.encoders.device import Placement
from alp_assets.encoders.fbank import Fbank
from alp_assets.encoders.trunk import load_transformer
from alp_assets.errors import WeightsMissing

if TYPE_CHECKING:
    from torch import Tensor

_AUDIOSET_MEAN = -4.2677393
_AUDIOSET_STD = 4.5689974
"""Of log-mel energies; what ASTFeatureExtractor takes where the checkpoint says nothing."""


@dataclass(frozen=True)
class AstPlan:
    """The grid and the features of an AST checkpoint. ``config`` is transformers' own."""

    checkpoint: Checkpoint
    config: Any
    mean: float
    std: float
    normalized: bool

    @property
    def depth(self) -> int:
        """How many layers the checkpoint has."""
        return int(self.config.num_hidden_layers)

    @property
    def grid(self) -> tuple[int, int]:
        """Bands and time steps: patches overlap as the strides say, over ``max_length`` frames."""
        bands = 1 + (self.config.num_mel_bins - self.config.patch_size) // self.config.frequency_stride
        time = 1 + (self.config.max_length - self.config.patch_size) // self.config.time_stride
        return bands, time

    @property
    def values(self) -> int:
        """Values of a grid cell."""
        return int(self.config.hidden_size)

    @property
    def bytes_per_clip(self) -> int:
        """Working memory of one clip, roughly."""
        bands, time = self.grid
        return 4 * bands * time * (8 * self.values + 2 * int(self.config.intermediate_size))

    @property
    def settings(self) -> dict[str, Any]:
        """How the features are computed."""
        normalization = {"mean": self.mean, "std": self.std} if self.normalized else {}
        return {"mels": self.config.num_mel_bins, "frames": self.config.max_length, **normalization}

    def load(self, layers: int, placement: Placement, compiled: bool) -> AstTrunk:
        """Read the weights of the lowest layers."""
        import copy

        from transformers import ASTModel

        config = copy.deepcopy(self.config)
        config.num_hidden_layers = layers
        model = load_transformer(self.checkpoint, ASTModel, config).to(placement.device)
        return AstTrunk(self, model, placement, compiled)


def ast_plan(checkpoint: Checkpoint) -> AstPlan:
    """Read the configuration.

    Raises:
        WeightsMissing: its features are not those of 16 kHz sound, or not those that its layers take.
    """
    from transformers import ASTConfig

    told = checkpoint.preprocessor
    try:
        config = ASTConfig.from_dict(checkpoint.config)
        mean, std = float(told.get("mean", _AUDIOSET_MEAN)), float(told.get("std", _AUDIOSET_STD))
        rate, mels = (
            int(told.get("sampling_rate", SAMPLE_RATE)),
            int(told.get("num_mel_bins", config.num_mel_bins)),
        )
    except Exception as error:  # the configuration is checked by libraries of its own
        raise WeightsMissing(f"{checkpoint.path}: impossible settings: {' '.join(str(error).split())}") from error
    if rate != SAMPLE_RATE or mels != config.num_mel_bins or not std > 0:
        raise WeightsMissing(
            f"{checkpoint.path}: made for {rate} Hz, {mels} mel bands and deviation {std:g}; ALP's clips have "
            f"{SAMPLE_RATE} Hz and its layers take {config.num_mel_bins} bands."
        )
    return AstPlan(checkpoint, config, mean, std, bool(told.get("do_normalize", True)))


class AstTrunk:
    """The layers. What flows between them stays float32; the placement's precision is that of their products."""

    def __init__(self, plan: AstPlan, model: Any, placement: Placement, compiled: bool) -> None:
        import torch

        self.plan = plan
        self._model = model
        self._device = placement.device
        for layer in model.layers:
            layer.attention.to(placement.dtype)
            layer.mlp.to(placement.dtype)
        self._fbank = Fbank(plan.config.num_mel_bins, "hanning", 1.0, placement.device)
        self._step: Callable[[Any, Tensor], Tensor] = torch.compile(_layer) if compiled else _layer

    def hidden(self, waves: Tensor, wanted: Collection[int]) -> Iterator[tuple[int, Tensor]]:
        """Outputs of the wanted layers, before the final normalization, less the CLS and distillation tokens."""
        bands, time = self.plan.grid
        x = self._model.embeddings(self.features(waves))
        for number, layer in enumerate(self._model.layers[: max(wanted)], start=1):
            x = self._step(layer, x)
            if number in wanted:
                yield number, x[:, -bands * time :].reshape(len(x), bands, time, -1)

    def features(self, waves: Tensor) -> Tensor:
        """Energies (n, max_length, mels) as ASTFeatureExtractor has them: zeros after the end, then normalized."""
        from torch.nn.functional import pad

        found = self._fbank(waves.to(self._device))[:, : self.plan.config.max_length]
        whole = pad(found, (0, 0, 0, self.plan.config.max_length - found.shape[1]))
        return (whole - self.plan.mean) / (2 * self.plan.std) if self.plan.normalized else whole


def _layer(layer: Any, x: Tensor) -> Tensor:
    """One pre-norm transformer layer."""
    dtype = layer.mlp.fc1.weight.dtype
    attended, _ = layer.attention(layer.layernorm_before(x).to(dtype))
    x = x + attended
    result: Tensor = x + layer.mlp(layer.layernorm_after(x).to(dtype))
    return result
