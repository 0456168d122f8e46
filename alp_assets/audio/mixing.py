"""Mixing a recording of the surroundings into the sound of a machine."""

from __future__ import annotations

import numpy as np

from alp_assets.audio.decode import FloatArray


def mix_at_snr(sound: FloatArray, noise: FloatArray, snr_db: float, offset: int = 0) -> FloatArray:
    """Sound (n,) with noise (m,) added at a signal-to-noise ratio in dB, float32 (n,).

    The noise starts at sample ``offset`` and goes round until it is long enough; it is scaled so that the
    sound's RMS over its own is ``snr_db``. The sum is not clipped and may exceed full scale. Where sound or
    noise is silent there is no ratio, and the sound comes back as it is.
    """
    whole = sound.astype(np.float64)
    if not (len(sound) and len(noise)):
        return whole.astype(np.float32)
    piece = np.take(noise, np.arange(offset, offset + len(sound)), mode="wrap").astype(np.float64)
    sound_rms, noise_rms = _rms(whole), _rms(piece)
    if sound_rms == 0 or noise_rms == 0:
        return whole.astype(np.float32)
    gain = sound_rms / noise_rms * 10 ** (-snr_db / 20)
    mixed: FloatArray = (whole + gain * piece).astype(np.float32)
    return mixed


def _rms(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(samples**2)))
