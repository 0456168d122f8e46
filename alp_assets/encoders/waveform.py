"""Encoders that take the waveform itself: wav2vec 2.0 and its kin (arXiv 2006.11477)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alp_assets.audio.standardize import CLIP_SAMPLES, SAMPLE_RATE
from alp_assets.encoders.checkpoint import Checkpoint
from alp_assets.encoders.device import Placement
from alp_assets.encoders.trunk import load_transformer
from alp_assets.errors import WeightsMissing

if TYPE_CHECKING:
    from torch import Tensor

_VARIANCE_FLOOR = 1e-7  # of Wav2Vec2FeatureExtractor


@dataclass(frozen=True)
class WaveformPlan:
    """Tokens have a time but no band, so the grid is one band high."""

    checkpoint: Checkpoint
    config: Any
    normalized: bool

    @property
    def depth(self) -> int:
        """How many layers the checkpoint has."""
        return int(self.config.num_hidden_layers)

    @property
    def grid(self) -> tuple[int, int]:
        """One band, and what the convolutions leave of ten seconds."""
        steps = CLIP_SAMPLES
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            steps = 1 + (steps - kernel) // stride
        return 1, steps

    @property
    def values(self) -> int:
        """Values of a token."""
        return int(self.config.hidden_size)

    @property
    def bytes_per_clip(self) -> int:
        """Working memory of one clip, roughly: the first convolution rules."""
        channels, stride = self.config.conv_dim[0], self.config.conv_stride[0]
        return int(4 * 3 * channels * CLIP_SAMPLES // stride)

    @property
    def settings(self) -> dict[str, Any]:
        """How the features are computed."""
        return {"normalized": self.normalized}

    def load(self, layers: int, placement: Placement, compiled: bool) -> WaveformTrunk:
        """Read the weights of the lowest layers."""
        import copy

        from transformers import AutoModel

        config = copy.deepcopy(self.config)
        config.num_hidden_layers = layers
        model = load_transformer(self.checkpoint, AutoModel, config)
        return WaveformTrunk(self, model.to(placement.device, placement.dtype), placement, compiled)


def waveform_plan(checkpoint: Checkpoint) -> WaveformPlan:
    """Read the configuration; ``WeightsMissing`` where it is not for 16 kHz sound."""
    from transformers import AutoConfig

    told = checkpoint.preprocessor
    try:
        config = AutoConfig.for_model(**checkpoint.config)
        rate = int(told.get("sampling_rate", SAMPLE_RATE))
    except Exception as error:  # the configuration is checked by libraries of its own
        raise WeightsMissing(f"{checkpoint.path}: impossible settings: {' '.join(str(error).split())}") from error
    if rate != SAMPLE_RATE:
        raise WeightsMissing(f"{checkpoint.path}: made for {rate} Hz; ALP's clips have {SAMPLE_RATE} Hz.")
    return WaveformPlan(checkpoint, config, bool(told.get("do_normalize", True)))


class WaveformTrunk:
    """The model, of which the layers above those wanted are taken off for the time of a call."""

    def __init__(self, plan: WaveformPlan, model: Any, placement: Placement, compiled: bool) -> None:
        import torch

        self.plan = plan
        self._model = model
        self._placement = placement
        self._layers = list(model.encoder.layers)
        if compiled:
            for layer in self._layers:
                layer.forward = torch.compile(layer.forward)

    def hidden(self, waves: Tensor, wanted: Collection[int]) -> Iterator[tuple[int, Tensor]]:
        """Outputs of the wanted layers, before any final normalisation."""
        from torch.nn import ModuleList

        kept: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(module: Any, given: Any, output: Any) -> None:
                kept[number] = output[0] if isinstance(output, tuple) else output

            return hook

        handles = [self._layers[number - 1].register_forward_hook(keep(number)) for number in wanted]
        try:
            self._model.encoder.layers = ModuleList(self._layers[: max(wanted)])
            self._model(self.features(waves))
        finally:
            for handle in handles:
                handle.remove()
        for number in sorted(kept):
            yield number, kept[number].unsqueeze(1)

    def features(self, waves: Tensor) -> Tensor:
        """The waveform, brought to mean 0 and variance 1 where the checkpoint was trained so."""
        waves = waves.to(self._placement.device)
        if self.plan.normalized:
            variance, mean = waves.var(dim=1, keepdim=True, correction=0), waves.mean(dim=1, keepdim=True)
            waves = (waves - mean) / (variance + _VARIANCE_FLOOR).sqrt()
        return waves.to(self._placement.dtype)
