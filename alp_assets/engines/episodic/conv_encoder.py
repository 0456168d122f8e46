"""The network of engine C: log-mel frames of a clip in, an embedding out.

It starts from random convolutions, which are trained, or from the frozen ones of ``trunk``, on whose grid only
linear maps are trained.

Weights are a plain dict, so that their start depends on a given generator alone and they are stored as
they are. There is no batch normalisation: an embedding never depends on the other clips of a batch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from alp_assets.audio.decode import FloatArray

if TYPE_CHECKING:
    from torch import Generator, Tensor

CROP = 24
"""Time steps of a training crop, three seconds of standard frames."""

POOL = 4
"""Frames of a time step."""

_CHANNELS = (2, 16, 32, 64, 64)
_CHUNK = 64
_LEAST_VARIANCE = 1e-6

_SHRINKAGE = 0.5
"""A feature's deviation is never taken as much below half of the median feature's."""

_LEAST_SPREAD = 1e-5


def pooled_frames(frames: FloatArray) -> FloatArray:
    """Frames (n, bands, time) as (n, 2, bands, time / 4) float32: mean and deviation of four frames each.

    Works through a few clips at a time, since the frames may be a memory-mapped file.
    """
    count, bands, time = frames.shape
    pool = min(POOL, time)
    steps = time // pool
    pooled = np.empty((count, 2, bands, steps), np.float32)
    for start in range(0, count, _CHUNK):
        part = np.asarray(frames[start : start + _CHUNK, :, : steps * pool], dtype=np.float32)
        groups = part.reshape(len(part), bands, steps, pool)
        pooled[start : start + _CHUNK, 0] = groups.mean(axis=3)
        pooled[start : start + _CHUNK, 1] = groups.std(axis=3)
    return pooled


def initial_weights(generator: Generator, bands: int, dimensions: int) -> dict[str, Tensor]:
    """Four 3 x 3 convolutions of stride 2 (He initialisation), and two linear maps into the embedding.

    ``head`` reads what the convolutions found, ``direct`` the input; both as mean and deviation over time.
    """
    import torch

    weights = {}
    height = bands
    for i, (below, above) in enumerate(pairwise(_CHANNELS)):
        scale = (2 / (9 * below)) ** 0.5
        weights[f"conv{i}.weight"] = torch.randn(above, below, 3, 3, generator=generator) * scale
        weights[f"conv{i}.bias"] = torch.zeros(above)
        height = (height + 1) // 2
    for name, width in (("head", _CHANNELS[-1] * height), ("direct", _CHANNELS[0] * bands)):
        weights[name] = torch.randn(dimensions, 2 * width, generator=generator) * width**-0.5
    return weights


def weights_on_trunk(generator: Generator, dimensions: int, grids: Tensor, clips: Tensor) -> dict[str, Tensor]:
    """The two linear maps alone; ``head`` reads what a trunk found, ``direct`` the input.

    What they read is standardised by that of the normals: ``grids`` (n, channels, bands, time) and ``clips``
    (n, 2, bands, time). Means and spreads are no matter of training.
    """
    import torch

    weights = {}
    for name, values in (("head", grids), ("direct", clips)):
        found = torch.cat([_over_time(one[None]) for one in values])
        deviation = found.std(dim=0, correction=0)
        spread = (deviation.square() + (_SHRINKAGE * deviation.median()).square()).sqrt()
        weights[f"{name}_centre"] = found.mean(dim=0)
        weights[f"{name}_spread"] = torch.where(spread > _LEAST_SPREAD, spread, torch.ones(()))
        half = found.shape[1] // 2
        weights[name] = torch.randn(dimensions, 2 * half, generator=generator) * half**-0.5
    return weights


def trainable(weights: dict[str, Tensor]) -> list[Tensor]:
    """The weights that episodes change."""
    return [value for name, value in weights.items() if not name.endswith(("_centre", "_spread"))]


def embed(weights: dict[str, Tensor], clips: Tensor, grids: Tensor | None = None) -> Tensor:
    """Embeddings (n, dimensions) of standardised clips (n, 2, bands, time); any length of time will do.

    ``grids`` are what a trunk found in the same clips, for weights that start from one.
    """
    import torch.nn.functional as F  # noqa: N812

    if grids is not None:
        return _read(weights, "head", grids) + _read(weights, "direct", clips)
    found = clips
    for i in range(len(_CHANNELS) - 1):
        found = F.conv2d(found, weights[f"conv{i}.weight"], weights[f"conv{i}.bias"], stride=2, padding=1).relu()
    return F.linear(_over_time(found), weights["head"]) + F.linear(_over_time(clips), weights["direct"])


def _read(weights: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    import torch.nn.functional as F  # noqa: N812

    found = (_over_time(values) - weights[f"{name}_centre"]) / weights[f"{name}_spread"]
    return F.linear(found, weights[name])


def _over_time(values: Tensor) -> Tensor:
    """Mean and deviation over time of (n, channels, bands, time), as (n, 2 * channels * bands)."""
    import torch

    deviation = (values.var(dim=3, correction=0) + _LEAST_VARIANCE).sqrt()
    return torch.cat([values.mean(dim=3).flatten(1), deviation.flatten(1)], dim=1)
