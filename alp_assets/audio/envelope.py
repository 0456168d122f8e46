"""Envelope and low-frequency spectra of a clip: where worn bearings and unbalanced shafts show.

A damaged bearing strikes at its fault frequency, and each blow rings structural resonances at some kHz.
The envelope of that band is the train of blows, so its spectrum has lines at the fault frequency and its
multiples (Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", MSSP 25, 2011, sections 3
and 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray

BAND_HZ = (2_000, 7_000)
"""What is demodulated."""

ENVELOPE_HZ = np.arange(5, 501)
"""Frequencies of the envelope spectrum: each second is a segment, so lines are 1 Hz apart."""

_LOW_BINS = np.arange(10, 401)
LOW_HZ = _LOW_BINS / 2
"""Frequencies of the low-frequency spectrum: 5 to 200 Hz, 0.5 Hz apart."""

SPECTRUM_FLOOR_DB = -120.0

_RATE = 16_000
_GRAIN = 1_600
"""The transform's length is a multiple of a tenth of a second, so both decimated rates divide it."""

_ENVELOPE_RATE = 10_000
_LOW_RATE = 1_000
_LOW_EDGE_HZ = 450

_SILENCE = 1e-7
"""An envelope with a smaller mean (full scale 1.0, -140 dB) is that of rounding, and has no spectrum."""

_Signal = npt.NDArray[np.floating[Any]]
_Complex = npt.NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Spectra:
    """What the spectra of a clip are, all finite.

    ``envelope_db`` (496,) is the power of the envelope's lines relative to its squared mean, at
    ``ENVELOPE_HZ``; the loudness of the clip is not in it. ``low_db`` (391,) is the level of lines in the
    sound itself (dBFS), at ``LOW_HZ``. ``kurtosis`` and ``crest`` are those of the envelope: about 3.2 and
    up to 5 for noise, and more the more it comes in blows; 0 for silence.
    """

    envelope_db: FloatArray
    low_db: FloatArray
    kurtosis: float
    crest: float


def spectra(samples: FloatArray) -> Spectra:
    """The spectra of samples (n,) at 16 kHz. What is shorter than a segment counts as one, filled with zeros."""
    from scipy import fft

    size = max(1, -(-samples.size // _GRAIN)) * _GRAIN
    transform = fft.rfft(samples, n=size)
    envelope = np.abs(_band(transform, size, BAND_HZ, _ENVELOPE_RATE))
    low = _band(transform, size, (0, _LOW_EDGE_HZ), _LOW_RATE).real
    envelope = envelope[: max(1, samples.size * _ENVELOPE_RATE // _RATE)]
    low = low[: max(1, samples.size * _LOW_RATE // _RATE)]
    low_db = _lines(low, 2 * _LOW_RATE)[_LOW_BINS]
    mean = float(envelope.mean())
    if not mean > _SILENCE:
        return Spectra(np.full(ENVELOPE_HZ.size, SPECTRUM_FLOOR_DB, np.float32), low_db, 0.0, 0.0)
    relative = envelope / mean - 1
    variance = float(np.mean(relative**2))
    return Spectra(
        envelope_db=_lines(relative, _ENVELOPE_RATE)[ENVELOPE_HZ],
        low_db=low_db,
        kurtosis=float(np.mean(relative**4)) / max(variance**2, 1e-12),
        crest=float(envelope.max()) / float(np.sqrt(np.mean(envelope**2))),
    )


def _band(transform: _Complex, size: int, band_hz: tuple[int, int], rate: int) -> _Complex:
    """The analytic signal of a band, moved down to 0 Hz and sampled at ``rate``."""
    from scipy import fft

    low, high = (hz * size // _RATE for hz in band_hz)
    out = size * rate // _RATE
    moved: _Complex = fft.ifft(transform[low:high], n=out)
    moved *= 2 * out / size
    return moved


def _lines(signal: _Signal, segment: int) -> FloatArray:
    """Mean power of the lines of half-overlapping Hann segments (segment // 2 + 1,), in dB.

    The scale is that of a sine: one of amplitude a on a line reads a ** 2 / 2.
    """
    from scipy import fft

    if signal.size < segment:
        signal = np.pad(signal, (0, segment - signal.size))
    segments = np.lib.stride_tricks.sliding_window_view(signal, segment)[:: segment // 2]
    segments = segments - segments.mean(axis=1, keepdims=True)
    window = _window(segment)
    spectrum = fft.rfft(segments * window, axis=1)
    power = np.square(np.abs(spectrum)).mean(axis=0) * (2 / float(window.sum()) ** 2)
    decibels = 10 * np.log10(np.maximum(power, 10 ** (SPECTRUM_FLOOR_DB / 10)))
    # some processors round the floor itself down
    floored: FloatArray = np.maximum(decibels, SPECTRUM_FLOOR_DB).astype(np.float32)
    return floored


@lru_cache(maxsize=4)
def _window(size: int) -> _Signal:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
