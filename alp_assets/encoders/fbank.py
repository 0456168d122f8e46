"""Log-mel filter bank energies as Kaldi computes them, for a whole batch of clips at once.

Frames of 25 ms every 10 ms at 16 kHz, the mean of each frame taken off, pre-emphasis 0.97, power spectrum,
triangular filters on Kaldi's mel scale from 20 Hz to 8 kHz, natural logarithm. No dither.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.audio.standardize import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

_FRAME = 400
_HOP = 160
_FFT = 512
_LOWEST_HZ = 20
_PREEMPHASIS = 0.97
_FLOOR = 1.1920928955078125e-07  # float32's epsilon, Kaldi's floor


class Fbank:
    """Clips (n, samples) to energies (n, frames, mels), in float32.

    ``window`` is Kaldi's name of it. ``scale`` is what full scale 1.0 is brought to before.
    """

    def __init__(self, mels: int, window: Literal["hanning", "povey"], scale: float, device: str) -> None:
        import torch

        hann = torch.hann_window(_FRAME, periodic=False, dtype=torch.float64)
        taper = hann if window == "hanning" else hann**0.85
        self._window = (taper * scale).float().to(device)
        self._filters = torch.from_numpy(_filters(mels)).float().to(device)

    def __call__(self, waves: Tensor) -> Tensor:
        """The energies of whole frames; what remains at a clip's end is left out."""
        import torch

        frames = waves.unfold(1, _FRAME, _HOP)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectra = torch.fft.rfft((frames - _PREEMPHASIS * before) * self._window, n=_FFT)
        power = spectra.real.square() + spectra.imag.square()
        energies: Tensor = power @ self._filters
        return energies.clamp_min(_FLOOR).log()


def frame_count(samples: int) -> int:
    """How many whole frames there are."""
    return 1 + (samples - _FRAME) // _HOP


def _filters(mels: int) -> npt.NDArray[np.float64]:
    """The weights (bins, mels) of the triangular filters."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        # 128 filters on 257 bins leave the lowest ones without a bin, in Kaldi as well
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        return mel_filter_bank(
            num_frequency_bins=_FFT // 2 + 1,
            num_mel_filters=mels,
            min_frequency=_LOWEST_HZ,
            max_frequency=SAMPLE_RATE // 2,
            sampling_rate=SAMPLE_RATE,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
