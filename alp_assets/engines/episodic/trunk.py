"""The frozen start of engine C: what ALP's own encoder makes of the log-mel frames of a clip.

The network's own head and the clip embedding are left out; a model carries a copy of the rest, so other weights
that ALP comes with some day change no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.alp_conv import SHIPPED, WEIGHTS_FILE, shipped_encoder
from alp_assets.encoders.logmel import frames_of_clip
from alp_assets.errors import EngineUnfit

if TYPE_CHECKING:
    from alp_assets.encoders.conv_network import ConvNetwork

STRIDE = 16
"""Frames that a step of the grid is made of."""

_PARTS = ("stem.", "stages.")


class Trunk:
    """Weights (float16) of the stages by name, and the ``architecture`` of the network that they belong to."""

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]], architecture: Mapping[str, int]) -> None:
        self.weights = dict(weights)
        self.architecture = dict(architecture)

    @classmethod
    def shipped(cls) -> Trunk:
        """That of the weights that ALP comes with; ``WeightsMissing`` where they are not there or damaged."""
        from safetensors.numpy import load_file

        card = shipped_encoder().card
        tensors = load_file(SHIPPED / WEIGHTS_FILE)
        return cls({name: tensors[name] for name in tensors if name.startswith(_PARTS)}, card["architecture"])

    def grids(self, frames: FloatArray) -> FloatArray:
        """What the last stage finds in frames (n, bands, time): (n, channels, bands / 16, time / 16)."""
        return np.stack(list(self.each(frames)))

    def each(self, frames: FloatArray) -> Iterator[FloatArray]:
        """The same clip by clip, so that a clip's numbers never depend on others."""
        import torch

        for clip in frames:
            # torch.tensor copies to an aligned place, whatever the address of the clip: sums round alike.
            sound = torch.tensor(np.ascontiguousarray(clip, dtype=np.float32))
            with torch.inference_mode():
                grid: FloatArray = self._network.grid(sound[None])[0].numpy()
            yield grid

    @cached_property
    def _network(self) -> ConvNetwork:
        import torch

        from alp_assets.encoders.conv_network import ConvNetwork

        with torch.device("meta"):  # takes neither memory for the head nor numbers from torch's generator
            network = ConvNetwork(**self.architecture)
        tensors = {name: torch.from_numpy(value.astype(np.float32)) for name, value in self.weights.items()}
        network.load_state_dict(tensors, strict=False, assign=True)
        return network.eval()


def refuse_other_scale(frames: FloatArray) -> None:
    """``EngineUnfit`` for frames (n, bands, time) of another log-mel scale than the shipped weights are for."""
    scale = shipped_encoder().scale
    wanted = (scale.n_mels, frames_of_clip(scale))
    if frames.shape[1:] != wanted:
        bands, time = frames.shape[1:]
        raise EngineUnfit(
            f"meta_prototype starts from ALP's own encoder, which hears {wanted[0]} mel bands and {wanted[1]} "
            f"frames in ten seconds; here there are {bands} and {time}. Set embeddings.logmel back to its "
            "defaults, or models.meta_prototype.start to random."
        )
