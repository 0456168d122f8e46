"""Log-mel spectrograms of rendered machines, many at a time, on any device."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alp_assets.encoders.pretraining.machines import Machines, altered, draw_machines
from alp_assets.encoders.pretraining.rendering import SAMPLES, Surroundings, render
from alp_assets.params import LogmelParams
from alp_assets.progress import Progress, silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALE = LogmelParams()
"""The scale of the spectrograms is fixed: weights hold for one scale alone."""

FRAMES = 1 + (SAMPLES - SCALE.n_fft) // SCALE.hop_length
_AT_A_TIME = 64


def rendered(
    count: int, renderings: int, seed: tuple[int, ...], device: torch.device, progress: Progress = silent
) -> npt.NDArray[np.float16]:
    """Spectrograms (count, 2, renderings, bands, FRAMES) in dB: of machines and of their altered siblings.

    The same seed gives the same machines and, on the same kind of device, the same sound.
    """
    import torch

    rng = np.random.default_rng(seed)
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    machines = draw_machines(count, rng)
    both = (machines, altered(machines, rng))
    found = np.empty((count, 2, renderings, SCALE.n_mels, FRAMES), np.float16)
    with torch.inference_mode():
        for start in range(0, count, _AT_A_TIME):
            rows = np.arange(start, min(start + _AT_A_TIME, count))
            for kind, these in enumerate(both):
                for number in range(renderings):
                    found[rows, kind, number] = _of(these.rows(rows), generator)
            progress(len(rows) + start, count, "machines rendered")
    return found


def log_mel_of(sounds: Tensor) -> Tensor:
    """Log-mel spectrograms (n, bands, frames) in dB of sounds (n, samples), as ``audio.features.log_mel``."""
    import torch

    window, bank = _window_and_bank()
    window, bank = window.to(sounds.device), bank.to(sounds.device)
    spectrum = torch.fft.rfft(sounds.unfold(1, SCALE.n_fft, SCALE.hop_length) * window)
    power = (spectrum.real**2 + spectrum.imag**2) * (2 / (SCALE.n_fft * float(window @ window)))
    return 10 * torch.log10((power @ bank.T).clamp_(min=1e-12)).transpose(1, 2)


def _of(machines: Machines, generator: torch.Generator) -> npt.NDArray[np.float16]:
    import torch

    return log_mel_of(render(machines, generator, Surroundings())).to(torch.float16).cpu().numpy()


@cache
def _window_and_bank() -> tuple[Tensor, Tensor]:
    import torch
    from librosa.filters import mel

    from alp_assets.audio.standardize import SAMPLE_RATE

    phase = 2 * np.pi * np.arange(SCALE.n_fft) / SCALE.n_fft
    bank = mel(
        sr=SAMPLE_RATE, n_fft=SCALE.n_fft, n_mels=SCALE.n_mels, fmin=SCALE.fmin_hz, fmax=SCALE.fmax_hz, norm=None
    )
    window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return torch.from_numpy(window), torch.from_numpy(bank.astype(np.float32))
