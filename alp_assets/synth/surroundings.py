"""Where a machine stands: background noise, microphone positions, and what differs between the domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alp_assets.errors import ParameterError
from alp_assets.synth.shapes import (
    Signal,
    Slope,
    at_angle,
    filtered,
    gain_of,
    noise,
    one_turn,
    place,
    ringing,
    rms,
    turn_share,
    wander,
)

Noise = Callable[[np.random.Generator, int, int], Signal]

_MAINS_HZ = 60.0
_RESPONSE_S = 0.02
_UNSTEADY = (0.05, 0.4)  # what goes on around a machine comes and goes


@dataclass(frozen=True)
class Microphone:
    """A place to listen from: gain, a shelf that lifts or dulls the highs, and early reflections.

    ``reflections`` are pairs of delay in milliseconds and amplitude relative to the direct sound.
    """

    gain_db: float
    shelf_hz: float
    shelf_db: float
    reflections: tuple[tuple[float, float], ...]


MICROPHONES: dict[str, Microphone] = {
    "near": Microphone(gain_db=1.0, shelf_hz=3000.0, shelf_db=0.0, reflections=((2.1, 0.15),)),
    "side": Microphone(gain_db=0.0, shelf_hz=2500.0, shelf_db=-4.0, reflections=((1.3, 0.3), (4.7, -0.2))),
    "above": Microphone(gain_db=0.5, shelf_hz=2000.0, shelf_db=3.0, reflections=((3.4, -0.3), (7.9, 0.15))),
    "far": Microphone(
        gain_db=-1.0, shelf_hz=1800.0, shelf_db=-7.0, reflections=((1.9, 0.5), (5.3, 0.35), (9.6, -0.25))
    ),
}
"""Microphone positions by ``mic_position_id``."""


@dataclass(frozen=True)
class Domain:
    """The conditions of a domain: what recordings draw from."""

    noises: tuple[str, ...]
    snr_db: tuple[float, float]
    microphones: tuple[str, ...]
    speeds: tuple[str, ...]


DOMAINS: dict[str, Domain] = {
    "source": Domain(("white", "pink", "hum"), (10.0, 30.0), ("near", "side"), ("low", "mid")),
    "target": Domain(("brown", "babble", "impulse"), (0.0, 20.0), ("above", "far"), ("mid", "high")),
}


def background(kind: str, rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """Background noise of a kind in ``NOISES``: (n,) with RMS 1. Unknown kinds are a ``ParameterError``."""
    if kind not in NOISES:
        raise ParameterError(f"noise {kind!r} is unknown. Choose from: {', '.join(NOISES)}.")
    out = NOISES[kind](rng, n, sample_rate_hz)
    out *= np.maximum(0.1, 1.0 + rng.uniform(*_UNSTEADY) * wander(rng, n, sample_rate_hz, rate_hz=1.0))
    out /= rms(out)
    return out


def listen(signal: Signal, position: str, sample_rate_hz: int) -> Signal:
    """The signal (n,) as it arrives at a microphone position, same length; later samples never lead."""
    if position not in MICROPHONES:
        raise ParameterError(
            f"microphone position {position!r} is unknown. Choose from: {', '.join(MICROPHONES)}."
        )
    return filtered(signal, _response(MICROPHONES[position], sample_rate_hz))


def mix(signal: Signal, noise_signal: Signal, snr_db: float, reference: Signal | None = None) -> Signal:
    """Add noise at a signal-to-noise ratio in dB, both (n,).

    The ratio is against ``reference`` where it is given: the healthy machine, so that a fault does
    not change how loud the surroundings are.
    """
    level = rms(signal if reference is None else reference)
    return signal + noise_signal * (level / rms(noise_signal) * gain_of(-snr_db))


@lru_cache(maxsize=64)
def _response(microphone: Microphone, sample_rate_hz: int) -> Signal:
    """Impulse response: direct sound and reflections through a first-order high shelf."""
    taps = np.zeros(round(_RESPONSE_S * sample_rate_hz))
    taps[0] = gain_of(microphone.gain_db)
    for delay_ms, amplitude in microphone.reflections:
        taps[round(delay_ms * sample_rate_hz / 1000.0)] += taps[0] * amplitude
    corner = float(np.tan(np.pi * min(microphone.shelf_hz / sample_rate_hz, 0.45)))
    high = gain_of(microphone.shelf_db)
    pole = (1.0 - corner) / (1.0 + corner)
    shelf = pole ** np.arange(-1.0, len(taps) - 1.0)
    shelf *= (corner - high + pole * (corner + high)) / (1.0 + corner)
    shelf[0] = (corner + high) / (1.0 + corner)
    return np.convolve(taps, shelf)[: len(taps)]


def _white(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    return noise(rng, n, sample_rate_hz)


def _pink(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    return noise(rng, n, sample_rate_hz, Slope(-3.0, 20.0, 20_000.0))


def _brown(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    return noise(rng, n, sample_rate_hz, Slope(-6.0, 40.0, 20_000.0))


def _hum(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """Mains hum: the even multiples of 60 Hz stand out, on a floor of pink noise."""
    sizes = {1: 0.5, 2: 1.0, 3: 0.2, 4: 0.5, 6: 0.25, 8: 0.12}
    table = one_turn({k: size * np.exp(1j * rng.uniform(0.0, 2.0 * np.pi)) for k, size in sizes.items()})
    cycles = np.arange(n, dtype=np.float64) * (_MAINS_HZ / sample_rate_hz)
    out = at_angle(table, turn_share(cycles))
    out += 0.4 * _pink(rng, n, sample_rate_hz)
    return out


def _babble(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """Distant voices: two bands of speech, each with its own syllables (about four a second)."""
    out = 0.3 * _pink(rng, n, sample_rate_hz)
    for low_hz, high_hz, level in ((150.0, 700.0, 1.0), (1000.0, 3000.0, 0.5)):
        syllables = np.maximum(0.0, 0.6 + wander(rng, n, sample_rate_hz, rate_hz=4.0))
        out += level * syllables * noise(rng, n, sample_rate_hz, Slope(-3.0, low_hz, high_hz))
    return out


def _impulse(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """A workshop: metal struck about once a second, on a floor of pink noise."""
    out = _pink(rng, n, sample_rate_hz)
    for _ in range(1 + rng.poisson(n / sample_rate_hz)):
        clank = ringing(rng, sample_rate_hz, rng.uniform(400.0, 3500.0, 3).tolist(), rng.uniform(0.01, 0.05))
        start = rng.integers(0, n, 1)
        out += place(n, clank, start, rng.uniform(2.0, 6.0, 1))
    return out


NOISES: dict[str, Noise] = {
    "white": _white,
    "pink": _pink,
    "brown": _brown,
    "hum": _hum,
    "babble": _babble,
    "impulse": _impulse,
}
"""Background noises by ``noise_id``."""
