"""The network of ALP's own encoder: a small residual convolutional network over log-mel spectrograms.

Imported only where it is needed, because torch takes its time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDE = 16
"""Bands and frames that the deepest stage makes one of."""

_SCALE_DB = 15.0


class ConvNetwork(nn.Module):
    """Four stages, each of half the bands and frames and twice the channels of the one before, and a head.

    The level of a clip is taken out, so that the gain of a recorder is no feature; other encoders' statistics,
    which stand beside these embeddings, have it.

    Args:
        bands: mel bands, a multiple of 16.
        channels: of the first stage.
        width: values of a clip embedding.
        projected: values that the contrast is trained on.
    """

    def __init__(self, bands: int, channels: int, width: int, projected: int) -> None:
        super().__init__()
        widths = [channels * 2**stage for stage in range(4)]
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels, 5, 2, 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList(
            _Stage(below, above) for below, above in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.head = nn.Linear(widths[-1] * bands // STRIDE, width)
        self.projection = nn.Linear(width, projected)

    def grid(self, decibels: Tensor, stages: int = 4) -> Tensor:
        """What the first stages make of spectrograms (n, bands, frames) in dB: (n, channels, bands, frames)."""
        level = decibels.mean(dim=(1, 2), keepdim=True)
        found: Tensor = self.stem(((decibels - level) / _SCALE_DB)[:, None])
        for stage in self.stages[:stages]:
            found = stage(found)
        return found

    def embed(self, deepest: Tensor) -> Tensor:
        """Clip embeddings (n, width) of unit length, of what the last stage found."""
        return F.normalize(F.relu(self.head(deepest.mean(dim=3).flatten(1))), dim=1)

    def forward(self, decibels: Tensor) -> Tensor:
        """Projections (n, projected) of unit length, which the contrast is trained on."""
        return F.normalize(self.projection(self.embed(self.grid(decibels))), dim=1)


class _Stage(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the first one halves the grid where the channels grow."""

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        stride = 1 if below == above else 2
        self.first = nn.Conv2d(below, above, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(above)
        self.second = nn.Conv2d(above, above, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(above)
        self.shortcut: nn.Module = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.Conv2d(below, above, 1, stride, bias=False), nn.BatchNorm2d(above))
        )

    def forward(self, grid: Tensor) -> Tensor:
        found = F.relu(self.first_norm(self.first(grid)), inplace=True)
        found = self.second_norm(self.second(found))
        found += self.shortcut(grid)
        return F.relu(found, inplace=True)


def folded(network: ConvNetwork) -> ConvNetwork:
    """The same network for use, in evaluation mode: its normalisations have become part of its convolutions."""
    network.eval()
    _fold(network.stem, "0", "1")
    for stage in network.stages:
        _fold(stage, "first", "first_norm")
        _fold(stage, "second", "second_norm")
        if isinstance(stage.shortcut, nn.Sequential):
            _fold(stage.shortcut, "0", "1")
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    layer, normalisation = module.get_submodule(convolution), module.get_submodule(norm)
    assert isinstance(layer, nn.Conv2d)
    assert isinstance(normalisation, nn.BatchNorm2d)
    module.set_submodule(convolution, fuse_conv_bn_eval(layer, normalisation))
    module.set_submodule(norm, nn.Identity())
