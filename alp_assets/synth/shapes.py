"""The few shapes that synthetic sounds are made of: coloured noise, slow wander, ringing, events.

Everything is computed in float64: rounded to 16 bits, the samples then do not depend on which
vector instructions a processor has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
"""Samples, shape (n,), full scale 1.0."""

_TURN = 2**15
_KEPT_SAMPLES = 1_000_000


def rms(signal: Signal) -> float:
    """Root mean square of a signal (n,), in full scale.

    Not by ``np.dot``: its rounding depends on how many threads the BLAS splits the sum over.
    """
    return float(np.sqrt(np.mean(signal * signal)))


def gain_db(factor: float) -> float:
    """The level in dB of an amplitude factor."""
    return 20.0 * float(np.log10(factor))


def gain_of(level_db: float) -> float:
    """The amplitude factor of a level in dB."""
    return float(10.0 ** (level_db / 20.0))


@dataclass(frozen=True)
class Slope:
    """An amplitude spectrum that tilts evenly between two corners and fades by 12 dB an octave outside."""

    db_per_octave: float
    low_hz: float
    high_hz: float

    def amplitudes(self, frequency_hz: Signal) -> Signal:
        """Amplitude at each frequency, same shape."""
        f = np.maximum(frequency_hz, 1.0)
        tilt = f ** (self.db_per_octave / gain_db(2.0))
        band: Signal = tilt / ((1.0 + (self.low_hz / f) ** 2) * (1.0 + (f / self.high_hz) ** 2))
        return band


def noise(rng: np.random.Generator, n: int, sample_rate_hz: int, colour: Slope | None = None) -> Signal:
    """Gaussian noise (n,) with RMS 1; white without a ``colour``."""
    if colour is None:
        out: Signal = rng.standard_normal(n)
    else:
        from scipy import fft

        size = fft.next_fast_len(n, real=True)
        spectrum = rng.standard_normal(2 * (size // 2 + 1)).view(np.complex128)
        kept = _amplitudes if size <= _KEPT_SAMPLES else _amplitudes.__wrapped__
        spectrum *= kept(colour, size, sample_rate_hz)
        out = fft.irfft(spectrum, size, overwrite_x=True)[:n]
    out /= rms(out)
    return out


@lru_cache(maxsize=16)
def _amplitudes(colour: Slope, size: int, sample_rate_hz: int) -> Signal:
    """The colour on the bins of a transform, without DC. Kept: a section's recordings share it."""
    frequency_hz = np.arange(size // 2 + 1, dtype=np.float64) * (sample_rate_hz / size)
    amplitudes = colour.amplitudes(frequency_hz)
    amplitudes[0] = 0.0
    return amplitudes


def one_turn(harmonics: Mapping[int, complex]) -> Signal:
    """What repeats with every turn, as a table of one turn (32768,): harmonics by their multiple.

    The complex amplitude of a multiple (from 1, well below 16384) holds its size and its phase.
    """
    spectrum = np.zeros(_TURN // 2 + 1, dtype=np.complex128)
    for multiple, amplitude in harmonics.items():
        spectrum[multiple] += amplitude
    return np.fft.irfft(spectrum, _TURN) * (_TURN / 2)


def at_angle(table: Signal, share: Signal) -> Signal:
    """Read a table of one turn at ``share`` of the turn (n,), 0 to 1, linearly interpolated: (n,)."""
    where = share * _TURN
    index = where.astype(np.int64)
    where -= index
    out = np.take(np.diff(table, append=table[0]), index)
    out *= where
    out += np.take(table, index)
    return out


def turn_share(cycles: Signal) -> Signal:
    """Where in its turn a rotation is: the cycles (n,) without their whole number."""
    share: Signal = cycles - np.floor(cycles)
    return share


def filtered(signal: Signal, taps: Signal) -> Signal:
    """The signal (n,) through a finite impulse response, same length, by overlap-add.

    The same as ``scipy.signal.oaconvolve``, whose package takes longer to import than a clip to make.
    """
    from scipy import fft

    hop = fft.next_fast_len(8 * len(taps), real=True)
    size = fft.next_fast_len(hop + len(taps) - 1, real=True)
    blocks = -(-len(signal) // hop)
    padded = np.zeros((blocks, hop))
    padded.ravel()[: len(signal)] = signal
    pieces = fft.irfft(fft.rfft(padded, size) * fft.rfft(taps, size), size)
    pieces[1:, : size - hop] += pieces[:-1, hop:]
    out: Signal = pieces[:, :hop].ravel()[: len(signal)]
    return out


def wander(rng: np.random.Generator, n: int, sample_rate_hz: int, rate_hz: float) -> Signal:
    """A slow random curve (n,): standard normal values ``rate_hz`` times a second, joined by lines."""
    hop = max(1, round(sample_rate_hz / rate_hz))
    knots = rng.standard_normal(-(-n // hop) + 1)
    ramp = np.arange(hop) / hop
    lines = np.diff(knots)[:, None] * ramp
    lines += knots[:-1, None]
    return lines.ravel()[:n]


def ringing(rng: np.random.Generator, sample_rate_hz: int, ring_hz: Iterable[float], decay_s: float) -> Signal:
    """What a struck body does: sines that die away (time constant ``decay_s``) with a noisy edge; peak 1.

    Shape (samples of five time constants,). Resonances above 0.45 of the sample rate are left out.
    """
    t = np.arange(max(2, round(5.0 * decay_s * sample_rate_hz))) / sample_rate_hz
    body = 0.3 * rng.standard_normal(len(t)) * np.exp(-t / (0.2 * decay_s))
    for frequency_hz in ring_hz:
        phase = rng.uniform(0.0, 2.0 * np.pi)
        if frequency_hz < 0.45 * sample_rate_hz:
            body += np.sin(2.0 * np.pi * frequency_hz * t + phase) * np.exp(-t / decay_s)
    body /= float(np.abs(body).max())
    return body


def place(n: int, kernel: Signal, starts: NDArray[np.int64], gains: Signal) -> Signal:
    """A signal (n,) with copies of ``kernel`` at sample positions ``starts``, cut off at the end."""
    out = np.zeros(n)
    for start, gain in zip(starts.tolist(), gains.tolist(), strict=True):
        stop = min(n, start + len(kernel))
        out[start:stop] += gain * kernel[: stop - start]
    return out
