"""What is done to spectrograms before the contrast: other machines in the background, microphones, floors.

All in the power of mel bands, so that endless mixtures come of a limited number of renderings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alp_assets.encoders.pretraining.config import PretrainConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_DB = math.log(10) / 10
_COLOUR_POINTS = 9


def paired_views(
    pool: npt.NDArray[np.float16], config: PretrainConfig, rng: np.random.Generator, device: torch.device
) -> Tensor:
    """Spectrograms (2 * batch, bands, crop): two renderings of each machine; row i and row batch + i are a pair.

    ``pool`` is (machines, 2, renderings, bands, frames), siblings side by side. Into a share of the views another
    clip of the pool is mixed, one that is none of the machine's.
    """
    import torch

    machines, kinds, renderings = pool.shape[:3]
    if config.siblings:
        chosen = np.repeat(rng.choice(machines, config.batch // 2, replace=False), 2)
        kind = np.tile([0, 1], config.batch // 2)
    else:
        chosen = rng.choice(machines, config.batch, replace=False)
        kind = rng.integers(kinds, size=config.batch)
    two = rng.permuted(np.tile(np.arange(renderings), (config.batch, 1)), axis=1)[:, :2]
    noisy = rng.random((2, config.batch)) < config.noisy
    if not config.both_noisy:
        noisy &= rng.integers(2, size=config.batch) == np.arange(2)[:, None]
    views = []
    for side in range(2):
        own = _crops(pool, chosen, kind, two[:, side], config.crop, rng)
        others = (chosen + rng.integers(1, machines, config.batch)) % machines
        crowd = _crops(
            pool,
            others,
            rng.integers(kinds, size=config.batch),
            rng.integers(renderings, size=config.batch),
            config.crop,
            rng,
        )
        found = torch.from_numpy(own).to(device)
        ratio = rng.uniform(*config.noise_db, config.batch)
        mixed = mixed_at(found, torch.from_numpy(crowd).to(device), _column(ratio, device))
        rows = torch.from_numpy(noisy[side]).to(device)[:, None, None]
        found = torch.where(rows, mixed, found)
        found = found + _colour(config, rng, device)
        floor = level_of(found) - _column(rng.uniform(*config.floor_db, config.batch), device)
        views.append(_sum(found, floor.expand_as(found)))
    return torch.cat(views)


def mixed_at(sound: Tensor, noise: Tensor, ratio_db: Tensor) -> Tensor:
    """Spectrograms (n, bands, frames) in dB with others in them at signal-to-noise ratios (n, 1, 1) in dB."""
    return _sum(sound, noise + (level_of(sound) - level_of(noise) - ratio_db))


def level_of(decibels: Tensor) -> Tensor:
    """Mean power (n, 1, 1) in dB."""
    power: Tensor = (decibels * _DB).exp().mean(dim=(1, 2), keepdim=True)
    return power.log() / _DB


def _sum(one: Tensor, other: Tensor) -> Tensor:
    import torch

    return torch.logaddexp(one * _DB, other * _DB) / _DB


def _crops(
    pool: npt.NDArray[np.float16],
    machine: npt.NDArray[np.intp],
    kind: npt.NDArray[np.intp],
    rendering: npt.NDArray[np.intp],
    frames: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    starts = rng.integers(pool.shape[-1] - frames + 1, size=len(machine))
    found = [
        pool[m, k, r, :, start : start + frames]
        for m, k, r, start in zip(machine, kind, rendering, starts, strict=True)
    ]
    return np.stack(found).astype(np.float32)


def _colour(config: PretrainConfig, rng: np.random.Generator, device: torch.device) -> Tensor:
    """Smooth random gains (batch, bands, 1) in dB."""
    import torch

    from alp_assets.encoders.pretraining.spectrograms import SCALE

    knots = rng.normal(0, config.equaliser_db, (config.batch, 1, _COLOUR_POINTS)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(knots).to(device), SCALE.n_mels, mode="linear", align_corners=True
    )
    return smooth.transpose(1, 2)


def _column(values: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    import torch

    return torch.from_numpy(values.astype(np.float32)).to(device)[:, None, None]
