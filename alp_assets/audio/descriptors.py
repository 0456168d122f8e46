"""A clip as named numbers: cepstral and spectral statistics, and the physical quantities that rules look at."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from alp_assets.audio.beyond import FLOOR_DB
from alp_assets.audio.decode import FloatArray
from alp_assets.audio.envelope import ENVELOPE_HZ, LOW_HZ, spectra
from alp_assets.audio.features import POWER_FLOOR, log_mel
from alp_assets.audio.standardize import SAMPLE_RATE
from alp_assets.params import LogmelParams

MFCC = 13
FRAME = 1024
HOP = 512
MELS = 40
ROLLOFF_SHARE = 0.85
RESONANCE_HZ = (2_000, 10_000)

_LOWEST_HZ = 20.0
"""What lies below is an offset or wind, and counts to no total."""


class Layout(NamedTuple):
    """Where in a vector of descriptors each lies.

    ``statistics`` is all that the forest learns from: mean, then standard deviation over frames of the 13
    mel-frequency cepstral coefficients (dB, orthonormal DCT-II), spectral centroid, bandwidth and rolloff
    (Hz), and zero crossings per sample; then the logarithm of the envelope's kurtosis, and its crest factor.

    The rest is for rules: ``level`` (dBFS), ``resonance`` (2 to 10 kHz over all, dB), ``above_10k`` (dBFS,
    or -120 where the recording has no such band) and ``has_above_10k`` (1 or 0), ``envelope`` and ``low``
    (dB, the lines of ``envelope.Spectra``).
    """

    statistics: slice
    level: int
    resonance: int
    above_10k: int
    has_above_10k: int
    envelope: slice
    low: slice
    size: int


def _layout() -> Layout:
    first = 2 * (MFCC + 4) + 2
    envelope = first + 4
    low = envelope + ENVELOPE_HZ.size
    size = low + LOW_HZ.size
    return Layout(
        statistics=slice(0, first),
        level=first,
        resonance=first + 1,
        above_10k=first + 2,
        has_above_10k=first + 3,
        envelope=slice(envelope, low),
        low=slice(low, size),
        size=size,
    )


LAYOUT = _layout()


def descriptors(samples: FloatArray, db_8_10k: float = math.nan, db_above_10k: float = math.nan) -> FloatArray:
    """Descriptors (``LAYOUT.size``,) of samples (n,) at 16 kHz, all finite for finite samples.

    ``db_8_10k`` counts to the resonances where it is known. Where it is not, they end at 8 kHz.
    """
    power = _power(samples)
    vector = np.zeros(LAYOUT.size, np.float64)
    found = spectra(samples)
    blows = [math.log(max(found.kurtosis, 1.0)), found.crest]
    vector[LAYOUT.statistics] = np.concatenate([_statistics(samples, power), blows])
    vector[LAYOUT.level] = _db(float(np.mean(np.square(samples, dtype=np.float64))))
    vector[LAYOUT.resonance] = _resonance(power.mean(axis=0), db_8_10k)
    has_above = math.isfinite(db_above_10k)
    vector[LAYOUT.above_10k] = db_above_10k if has_above else FLOOR_DB
    vector[LAYOUT.has_above_10k] = has_above
    vector[LAYOUT.envelope], vector[LAYOUT.low] = found.envelope_db, found.low_db
    return vector.astype(np.float32)


def _statistics(samples: FloatArray, power: FloatArray) -> FloatArray:
    from scipy import fft

    mel = log_mel(samples, LogmelParams(n_mels=MELS, n_fft=FRAME, hop_length=HOP))
    cepstra = fft.dct(mel, axis=0, norm="ortho")[:MFCC]
    series = np.concatenate([cepstra, _spectral(power), _crossings(samples)[None]])
    return np.concatenate([series.mean(axis=1), series.std(axis=1)])


def _power(samples: FloatArray) -> FloatArray:
    """Power (frames, bins) of Hann-windowed frames; the bins of a frame add up to its mean square."""
    from scipy import fft

    window = _window()
    spectrum = fft.rfft(_frames(samples) * window, axis=1)
    power: FloatArray = np.square(spectrum.real) + np.square(spectrum.imag)
    power *= 2 / (FRAME * float(window @ window))
    return power


def _spectral(power: FloatArray) -> FloatArray:
    """Centroid, bandwidth and rolloff (3, frames) in Hz; a silent frame's are those of white noise."""
    frequency = _frequencies()
    power = power + np.float32(POWER_FLOOR)
    total = power.sum(axis=1)
    centroid = np.einsum("tf,f->t", power, frequency) / total
    square = np.einsum("tf,f->t", power, frequency**2) / total
    bandwidth = np.sqrt(np.maximum(square - centroid**2, 0))
    reached = np.cumsum(power, axis=1) >= ROLLOFF_SHARE * total[:, None]
    return np.stack([centroid, bandwidth, frequency[np.argmax(reached, axis=1)]])


def _crossings(samples: FloatArray) -> FloatArray:
    """Zero crossings per sample (frames,)."""
    positive = _frames(samples) > 0
    crossings: FloatArray = np.mean(positive[:, 1:] != positive[:, :-1], axis=1, dtype=np.float32)
    return crossings


def _resonance(power: FloatArray, db_8_10k: float) -> float:
    """Energy from 2 to 10 kHz over that from 20 Hz on, in dB, not below -40."""
    frequency = _frequencies()
    beyond = 10 ** (db_8_10k / 10) if math.isfinite(db_8_10k) else 0.0
    band = float(power[frequency >= RESONANCE_HZ[0]].sum(dtype=np.float64)) + beyond
    total = float(power[frequency >= _LOWEST_HZ].sum(dtype=np.float64)) + beyond
    return 10 * math.log10(band / max(total, POWER_FLOOR) + 1e-4)


def _db(power: float) -> float:
    return 10 * math.log10(max(power, POWER_FLOOR))


def _frames(samples: FloatArray) -> FloatArray:
    if samples.size < FRAME:
        samples = np.pad(samples, (0, FRAME - samples.size))
    return np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]


@lru_cache(maxsize=1)
def _frequencies() -> FloatArray:
    return np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE).astype(np.float32)


@lru_cache(maxsize=1)
def _window() -> FloatArray:
    phase = 2 * np.pi * np.arange(FRAME) / FRAME
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
