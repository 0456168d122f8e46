"""Where a machine stands: background noise, microphone positions, and what differs between the domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alp_assets.errors import ParameterError
from alp_assets.synth.shapes import (
    FLAT,
    Clock,
    Signal,
    Slope,
    add_copies,
    gain_of,
    noise,
    one_turn,
    ringing,
    rms,
    wander,
)

Noise = Callable[[np.random.Generator, int, int], Signal]

_MAINS_HZ = 60.0
_DIED_AWAY = 1e-3  # of the shelf's response: few taps are left, which numpy convolves directly
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
    loads: tuple[str, ...]


DOMAINS: dict[str, Domain] = {
    "source": Domain(("white", "pink", "hum"), (10.0, 30.0), ("near", "side"), ("low", "mid"), ("light", "full")),
    "target": Domain(
        ("brown", "babble", "impulse"), (0.0, 20.0), ("above", "far"), ("mid", "high"), ("full", "heavy")
    ),
}


def background(kind: str, rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """Background noise of a kind in ``NOISES``: (n,) with RMS 1. Unknown kinds are a ``ParameterError``."""
    if kind not in NOISES:
        raise ParameterError(f"noise {kind!r} is unknown. Choose from: {', '.join(NOISES)}.")
    out = NOISES[kind](rng, n, sample_rate_hz)
    curve = wander(rng, n, sample_rate_hz, 1.0)
    curve *= rng.uniform(*_UNSTEADY)
    curve += 1.0
    out *= np.maximum(curve, 0.1, out=curve)
    out *= 1.0 / rms(out)
    return out


def listen(signal: Signal, position: str, sample_rate_hz: int) -> Signal:
    """The signal (n,) as it arrives at a microphone position, same length; later samples never lead."""
    if position not in MICROPHONES:
        raise ParameterError(
            f"microphone position {position!r} is unknown. Choose from: {', '.join(MICROPHONES)}."
        )
    microphone = MICROPHONES[position]
    shelved = np.convolve(signal, _shelf(microphone, sample_rate_hz).astype(signal.dtype))[: len(signal)]
    heard = shelved.copy()
    for delay_ms, gain in microphone.reflections:
        delay = round(delay_ms * sample_rate_hz / 1000.0)
        if delay < len(signal):
            heard[delay:] += shelved[: len(signal) - delay] * gain
    return heard


def at_snr(surroundings: Signal, machine: Signal, snr_db: float) -> Signal:
    """Surroundings of RMS 1 (n,), in place as loud as a ratio in dB to the healthy machine (n,) asks for."""
    surroundings *= rms(machine) * gain_of(-snr_db)
    return surroundings


@lru_cache(maxsize=64)
def _shelf(microphone: Microphone, sample_rate_hz: int) -> Signal:
    """Impulse response of the direct sound: a first-order high shelf, cut off where it has died away."""
    corner = float(np.tan(np.pi * min(microphone.shelf_hz / sample_rate_hz, 0.45)))
    high = gain_of(microphone.shelf_db)
    pole = (1.0 - corner) / (1.0 + corner)
    count = 2 + int(np.log(_DIED_AWAY) / np.log(abs(pole) + 1e-9)) if microphone.shelf_db else 1
    taps = pole ** np.arange(-1.0, count - 1.0)
    taps *= (corner - high + pole * (corner + high)) / (1.0 + corner)
    taps[0] = (corner + high) / (1.0 + corner)
    return taps * gain_of(microphone.gain_db)


def _white(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    return noise(rng, n, sample_rate_hz, FLAT)


def _pink(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    return noise(rng, n, sample_rate_hz, Slope(-3.0, 20.0, 20_000.0))


def _brown(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    return noise(rng, n, sample_rate_hz, Slope(-6.0, 40.0, 20_000.0))


def _hum(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """Mains hum: the even multiples of 60 Hz stand out, on a floor of pink noise."""
    sizes = {1: 0.5, 2: 1.0, 3: 0.2, 4: 0.5, 6: 0.25, 8: 0.12}
    table = one_turn({k: size * np.exp(1j * rng.uniform(0.0, 2.0 * np.pi)) for k, size in sizes.items()})
    out = Clock.steady(n, sample_rate_hz, _MAINS_HZ, 0.0).read(table)
    floor = _pink(rng, n, sample_rate_hz)
    floor *= 0.4
    out += floor
    return out


def _babble(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """Distant voices: two bands of speech, each with its own syllables (about four a second) and a murmur."""
    out = np.zeros(n, dtype=np.float32)
    for low_hz, high_hz, level in ((120.0, 700.0, 1.0), (1000.0, 3000.0, 0.5)):
        syllables = wander(rng, n, sample_rate_hz, 4.0, level, 0.8 * level)
        np.maximum(syllables, 0.2 * level, out=syllables)
        syllables *= noise(rng, n, sample_rate_hz, Slope(-3.0, low_hz, high_hz))
        out += syllables
    return out


def _impulse(rng: np.random.Generator, n: int, sample_rate_hz: int) -> Signal:
    """A workshop: one of three pieces of metal is struck about once a second, on a floor of pink noise."""
    out = _pink(rng, n, sample_rate_hz)
    for _ in range(3):
        clank = ringing(rng, sample_rate_hz, rng.uniform(400.0, 3500.0, 3).tolist(), rng.uniform(0.01, 0.05))
        starts = rng.integers(0, n, 1 + rng.poisson(n / sample_rate_hz / 3.0))
        add_copies(out, clank, starts, rng.uniform(4.0, 12.0, len(starts)))
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
