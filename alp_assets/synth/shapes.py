"""The few shapes that synthetic sounds are made of: coloured noise, rotation, slow wander, ringing, events.

Whole recordings are computed in float32, at 16 kHz with operations that round alike on every processor (no
vectorised sines or exponentials, no BLAS); levels and phases in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.floating[Any]]
"""Samples, shape (n,), full scale 1.0."""

_TURN = 2**14
_PHASE_SHIFT = 16  # bits of 30 below those of a table's index
_AT_ONCE = 4096
_STRETCH = 1000  # samples whose squares are summed before double precision takes over
_LONG = 300  # samples from which copies are quicker placed one by one
_KEPT_BYTES = 31 * 2**20


def rms(signal: Signal) -> float:
    """Root mean square of a signal (n,), in full scale.

    Not by ``np.dot``: its rounding depends on how many threads the BLAS splits the sum over.
    """
    return float(np.sqrt(energy(signal).sum() / len(signal)))


def energy(signal: Signal) -> Signal:
    """Sums of squares of stretches of a signal (n,), float64: in its own precision within each of them alone."""
    whole = len(signal) // _STRETCH * _STRETCH
    stretches, rest = signal[:whole].reshape(-1, _STRETCH), signal[whole:]
    sums = np.einsum("ij,ij->i", stretches, stretches).astype(np.float64)
    return np.append(sums, float(np.sum(rest * rest, dtype=np.float64)))


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


FLAT = Slope(0.0, 0.0, float("inf"))
"""White: the same at every frequency."""


def noise(rng: np.random.Generator, n: int, sample_rate_hz: int, colour: Slope | None = None) -> Signal:
    """Gaussian noise (n,): without a ``colour`` white, float64, of RMS 1; else float32, of RMS 1 on average."""
    if colour is not None:
        return _coloured(rng, n, sample_rate_hz, colour)
    out: Signal = rng.standard_normal(n)
    out /= rms(out)
    return out


def _coloured(rng: np.random.Generator, n: int, sample_rate_hz: int, colour: Slope) -> Signal:
    """Blocks of half a second that fade into each other: many short transforms are quicker than a long one."""
    from scipy import fft

    size = fft.next_fast_len(sample_rate_hz // 2, real=True)
    fade = size // 8
    hop = size - fade
    shape = (-(-n // hop) + 1, 2 * (size // 2 + 1))
    # a transform sums so many independent bins that any distribution of theirs makes Gaussian samples
    words = rng.integers(0, 2**64, -(-shape[0] * shape[1] // 4), dtype=np.uint64)
    parts = words.view(np.int16)[: shape[0] * shape[1]].reshape(shape)
    spectra = np.multiply(parts, _amplitudes(colour, size, sample_rate_hz), dtype=np.float32)
    blocks = fft.irfft(spectra.view(np.complex64), size, overwrite_x=True)
    rise = _rise(fade)
    blocks[:, :fade] *= rise
    blocks[1:, :fade] += blocks[:-1, hop:] * rise[::-1]
    out: Signal = blocks[:, :hop].ravel()[fade : fade + n]
    return out


@lru_cache(maxsize=16)
def _rise(fade: int) -> Signal:
    """A rise (fade,) from 0 to 1 whose power and that of its mirror image are 1 together."""
    rise: Signal = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade).astype(np.float32)
    return rise


@lru_cache(maxsize=64)
def _amplitudes(colour: Slope, size: int, sample_rate_hz: int) -> Signal:
    """The colour on the bins of a transform, for the real and the imaginary part of each, without DC.

    They make RMS 1 of parts that are 16-bit numbers at random. Kept: a section's recordings share them.
    """
    frequency_hz = np.arange(size // 2 + 1, dtype=np.float64) * (sample_rate_hz / size)
    amplitudes = colour.amplitudes(frequency_hz)
    amplitudes[0] = 0.0
    part_power = 2.0**32 / 12.0
    power = 4.0 * part_power * float(np.sum(amplitudes**2)) / size**2
    return np.repeat(amplitudes / np.sqrt(power), 2).astype(np.float32)


def one_turn(harmonics: Mapping[int, complex]) -> Signal:
    """What repeats with every turn, as a table of one turn (16384,): harmonics by their multiple.

    The complex amplitude of a multiple (from 1, well below 8192) holds its size and its phase.
    """
    from scipy import fft

    spectrum = np.zeros(_TURN // 2 + 1, dtype=np.complex64)
    for multiple, amplitude in harmonics.items():
        spectrum[multiple] += amplitude * (_TURN / 2)
    table: Signal = fft.irfft(spectrum, _TURN, overwrite_x=True)
    return table


@lru_cache(maxsize=16)
def turn_cosine(multiple: int) -> Signal:
    """The cosine that passes so often in one turn, as a table (16384,); not to be written to."""
    return one_turn({multiple: 1.0})


def turn_shares() -> Signal:
    """The share of the turn, 0 to 1, of every entry of a table of one turn: (16384,)."""
    return np.arange(_TURN, dtype=np.float32) / np.float32(_TURN)


class Clock:
    """Where a rotation is at every sample, ready to read tables of one turn by it."""

    def __init__(self, phase: NDArray[np.int32]) -> None:
        """Take the shares of the turn (n,) in units of 2**-30."""
        self._phase = phase
        self._index = (phase >> _PHASE_SHIFT).astype(np.intp)

    @cached_property
    def _weight(self) -> Signal:
        """How far each sample is on the way to the next entry of a table; ``near`` does without."""
        weight: Signal = (self._phase & (2**_PHASE_SHIFT - 1)).astype(np.float32)
        weight *= np.float32(2.0**-_PHASE_SHIFT)
        return weight

    @classmethod
    def of(cls, cycles: Signal) -> Clock:
        """The clock of cycles turned since an arbitrary start, (n,) float64."""
        share = cycles - np.floor(cycles)
        share *= 2.0**30 - 1.0
        return cls(share.astype(np.int32))

    @classmethod
    def steady(cls, n: int, sample_rate_hz: int, rate_hz: float, start: float) -> Clock:
        """The clock of what turns evenly, from a share ``start`` of the turn on."""
        turned = np.arange(n, dtype=np.uint32)
        turned *= np.uint32(round(rate_hz / sample_rate_hz * 2**32) % 2**32)
        turned += np.uint32(int(start * 2**32) % 2**32)
        turned >>= 2
        return cls(turned.view(np.int32))

    def read(self, table: Signal) -> Signal:
        """A table of one turn (16384,) at every sample, linearly interpolated: (n,) float32."""
        pairs = np.empty(len(table), dtype=np.complex64)  # entry and step side by side: one look-up finds both
        pairs.real, pairs.imag = table, np.diff(table, append=table[:1])
        found = np.take(pairs, self._index)
        out: Signal = found.imag * self._weight
        out += found.real
        return out

    def near(self, table: Signal) -> Signal:
        """The same from the entry before each sample: enough for what turns over slowly, like envelopes."""
        found: Signal = np.take(table, self._index)
        return found


def wavering_cycles(rng: np.random.Generator, n: int, sample_rate_hz: int, rate_hz: float, waver: float) -> Signal:
    """The cycles (n,) of something whose speed wavers slowly by a relative standard deviation ``waver``."""
    hop = max(1, sample_rate_hz // 2)
    speeds = 1.0 + waver * rng.standard_normal(-(-n // hop) + 1)
    speeds *= rate_hz / sample_rate_hz
    passed = np.cumsum(0.5 * hop * (speeds[1:] + speeds[:-1]))
    starts = rng.uniform() + np.concatenate([[0.0], passed[:-1]])
    step = np.arange(hop, dtype=np.float64)
    cycles = speeds[:-1, None] * step
    cycles += (np.diff(speeds)[:, None] / (2.0 * hop)) * (step * step)
    cycles += starts[:, None]
    return cycles.ravel()[:n]


def wander(
    rng: np.random.Generator, n: int, sample_rate_hz: int, rate_hz: float, depth: float = 1.0, centre: float = 0.0
) -> Signal:
    """A slow random curve (n,): normal values ``rate_hz`` times a second, joined by lines; float32.

    The values have the mean ``centre`` and the standard deviation ``depth``.
    """
    hop = max(1, round(sample_rate_hz / rate_hz))
    knots = (depth * rng.standard_normal(-(-n // hop) + 1) + centre).astype(np.float32)
    ramp = _ramp(hop)
    lines = np.diff(knots)[:, None] * ramp
    lines += knots[:-1, None]
    return lines.ravel()[:n]


@lru_cache(maxsize=16)
def _ramp(hop: int) -> Signal:
    """From 0 to just below 1 in so many steps (hop,); not to be written to."""
    ramp: Signal = (np.arange(hop) / hop).astype(np.float32)
    return ramp


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
    """A signal (n,) with copies of ``kernel`` at sample positions ``starts``, cut off at the end; float64."""
    out = np.zeros(n)
    add_copies(out, kernel, starts, gains)
    return out


def add_copies(out: Signal, kernel: Signal, starts: NDArray[np.int64], gains: Signal) -> None:
    """Add copies of ``kernel`` to ``out`` (n,), in its precision, at sample positions ``starts``."""
    size, gains = len(kernel), gains.astype(out.dtype)
    kernel = kernel.astype(out.dtype)
    whole = starts <= len(out) - size
    if size > _LONG:
        whole = np.zeros_like(whole)
    for start, gain in zip(starts[~whole].tolist(), gains[~whole], strict=True):
        out[start : start + size] += gain * kernel[: len(out) - start]
    starts, gains = starts[whole], gains[whole]
    for first in range(0, len(starts), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        where = starts[some, None] + np.arange(size)
        np.add.at(out, where.ravel(), (gains[some, None] * kernel).ravel())


def keep_freed_memory() -> None:
    """Let the C library keep what is freed instead of handing it back to the system.

    A recording is made of dozens of arrays of a megabyte that come and go; fetching every one of them from the
    system anew took most of the time. glibc moves its limits up to the largest array that it has seen freed, so
    one is taken, untouched, and freed; elsewhere this does nothing.
    """
    np.empty(_KEPT_BYTES, dtype=np.uint8)
