"""Time-frequency features of standard clips."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import SAMPLE_RATE
from alp_assets.params import LogmelParams

if TYPE_CHECKING:
    from scipy.sparse import csr_array

POWER_FLOOR = 1e-12
"""Mean squared value of a band (full scale 1.0) that the logarithm is kept above: -120 dB."""

_DB = 10 / np.log(10)
"""Decibels in a natural logarithm of power; NumPy works that one out several values at a time."""

_FRAMES = 64
"""Frames at a time: what they need stays in the processor's cache, and no large block of memory is asked for."""


def log_mel(samples: FloatArray, params: LogmelParams) -> FloatArray:
    """Log-mel spectrogram in dB, (n_mels, frames), of samples (n,) at 16 kHz.

    Power spectra of Hann-windowed frames that lie wholly inside the samples, Slaney mel filters.
    The scale is such that a band's value is the power of the sound in it relative to full scale.
    """
    from scipy import fft

    if samples.size < params.n_fft:
        samples = np.pad(samples, (0, params.n_fft - samples.size))
    frames = np.lib.stride_tricks.sliding_window_view(samples, params.n_fft)[:: params.hop_length]
    window, bank = _window(params.n_fft), _mel_bank(params)
    mel = np.empty((params.n_mels, len(frames)), np.float32)
    for start in range(0, len(frames), _FRAMES):
        spectrum = fft.rfft(frames[start : start + _FRAMES] * window, axis=1)
        power = spectrum.real**2
        power += spectrum.imag**2
        mel[:, start : start + _FRAMES] = bank @ power.T
    mel *= 2 / (params.n_fft * float(window @ window))
    np.maximum(mel, POWER_FLOOR, out=mel)
    result: FloatArray = np.log(mel, out=mel)
    result *= _DB
    return result


@lru_cache(maxsize=8)
def _window(n_fft: int) -> FloatArray:
    phase = 2 * np.pi * np.arange(n_fft) / n_fft
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


@lru_cache(maxsize=8)
def _mel_bank(params: LogmelParams) -> csr_array[np.float32, tuple[int, int]]:
    """Triangular filters with a peak of 1, (n_mels, n_fft // 2 + 1).

    Sparse, because a dense product would go to BLAS, whose own threads get in the way of those that encode.
    """
    from librosa.filters import mel
    from scipy.sparse import csr_array

    bank = mel(
        sr=SAMPLE_RATE,
        n_fft=params.n_fft,
        n_mels=params.n_mels,
        fmin=params.fmin_hz,
        fmax=params.fmax_hz,
        norm=None,
        dtype=np.float32,
    )
    return csr_array(bank)
