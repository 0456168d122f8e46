"""Whether two recordings hold the same sound, however it was scaled, shifted or encoded."""

from __future__ import annotations

import numpy as np

from alp_assets.audio.decode import FloatArray, Recording, pick_channel

_RATE = 8_000
_LONGEST_S = 20
_LOWEST_HZ, _HIGHEST_HZ = 200, 3_400
"""Lossy codecs and telephones keep this part of the spectrum."""


def excerpt(recording: Recording, channel: int | str) -> FloatArray:
    """The first 20 s of a recording as samples at 8 kHz, for ``sameness``."""
    import soxr

    wanted, found = _LONGEST_S * recording.info.sample_rate_hz, []
    for block in recording.blocks():
        found.append(pick_channel(block, channel)[:wanted])
        wanted -= found[-1].size
        if wanted <= 0:
            break
    samples = np.nan_to_num(np.concatenate(found), posinf=0.0, neginf=0.0) if found else np.zeros(0, np.float32)
    result: FloatArray = soxr.resample(samples, recording.info.sample_rate_hz, _RATE, quality="LQ")
    return result


def sameness(first: FloatArray, second: FloatArray) -> float:
    """How much of the waveform two excerpts share, from 0 (nothing) to 1 (all of it).

    The peak of the generalized cross-correlation with phase transform (Knapp and Carter, 1976): every
    frequency counts alike and only its phase, so neither gain nor filters nor the tones that two
    recordings of one machine have in common matter, only whether the noise is the same.
    """
    from scipy import fft

    if not first.size or not second.size:
        return 0.0
    size = int(fft.next_fast_len(first.size + second.size, real=True))
    low, high = (round(hz * size / _RATE) for hz in (_LOWEST_HZ, _HIGHEST_HZ))
    cross = fft.rfft(first, size)[low:high] * np.conj(fft.rfft(second, size)[low:high])
    magnitude = np.abs(cross)
    phases = np.zeros(size // 2 + 1, np.complex64)
    phases[low:high] = cross / np.maximum(magnitude, 1e-20)
    found = fft.irfft(phases, size)
    return float(np.abs(found).max() * size / (2 * max(high - low, 1)))
