"""What machines sound of: the physics that recipes put together.

Each component describes ranges; its ``draw`` makes the part of one physical machine, and the part's
``add_to`` lets it sound in one recording. Levels are in dB relative to the machine's other components.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from alp_assets.synth.shapes import (
    Clock,
    Signal,
    Slope,
    add_copies,
    gain_of,
    noise,
    one_turn,
    ringing,
    turn_cosine,
    turn_shares,
    wander,
)

Range = tuple[float, float]
REACH = 0.45
"""Of the sample rate: no tone is placed above it."""

_OPENING = 0.03  # share of a cycle in which flow swells and ebbs
_VARIATION_DB = 0.8  # standard deviation from recording to recording
_UNSTEADY = (0.02, 0.15)


@dataclass(frozen=True)
class Run:
    """One recording of a running machine: its conditions, and where its shaft is at every sample.

    ``shaft_hz`` is the mean rotation frequency, ``slip`` by how much it is behind the turning field of the
    motor, ``tone_gain`` and ``noise_gain`` what the load makes of tones and of noise.
    """

    rng: np.random.Generator
    n: int
    sample_rate_hz: int
    shaft_hz: float
    slip: float
    speed: float
    tone_gain: float
    noise_gain: float
    cycles: Signal
    clock: Clock

    @property
    def field_hz(self) -> float:
        """Rotation frequency of the motor's field: the shaft's without slip."""
        return self.shaft_hz / (1.0 - self.slip)


class Part(Protocol):
    """A component of one physical machine."""

    def add_to(self, out: Signal, run: Run) -> None:
        """Let it sound: add its samples to ``out`` (n,)."""


class Component(Protocol):
    """A component of a machine type."""

    def draw(self, rng: np.random.Generator, passing: int) -> Part:
        """The part of one physical machine; ``passing`` is how many blades or vanes pass in a turn."""


@dataclass(frozen=True)
class Tones:
    """A family of harmonics: ``count`` multiples of ``order`` times the shaft frequency.

    ``order`` is a range of whole numbers (1 is the shaft itself; a fan's blades or a pump's vanes are
    higher), ``fall_db`` the mean fall from one harmonic to the next, ``spread_db`` how far single
    harmonics of a machine stray from it.
    """

    order: tuple[int, int]
    count: int
    level_db: float
    fall_db: float
    spread_db: float = 3.0

    def draw(self, rng: np.random.Generator) -> Family:
        """The harmonics of one machine."""
        levels_db = -self.fall_db * np.arange(self.count) + rng.normal(0.0, self.spread_db, self.count)
        amplitudes = 10.0 ** (levels_db / 20.0)
        amplitudes *= gain_of(self.level_db) * np.sqrt(2.0 / np.sum(amplitudes**2))
        phases = rng.uniform(0.0, 2.0 * np.pi, self.count)
        return Family(
            order=int(rng.integers(self.order[0], self.order[1] + 1)),
            amplitudes=tuple((amplitudes * np.exp(1j * phases)).tolist()),
        )


@dataclass(frozen=True)
class Family:
    """Harmonics of one machine: complex amplitudes of 1, 2, ... times ``order``."""

    order: int
    amplitudes: tuple[complex, ...]


@dataclass(frozen=True)
class Broadband:
    """Noise of flow or friction: corner frequencies, tilt and level; ranges are per machine.

    ``depth`` is the amplitude modulation by the rotation. With ``open_share`` below 1 the noise
    sounds only in that share of every cycle.
    """

    low_hz: Range
    high_hz: Range
    tilt_db: Range
    level_db: float
    depth: Range = (0.0, 0.0)
    open_share: float = 1.0

    def draw(self, rng: np.random.Generator, passing: int) -> Flow:
        """The noise of one machine."""
        return Flow(
            colour=_colour(rng, self.low_hz, self.high_hz, self.tilt_db),
            gain=gain_of(self.level_db + rng.normal(0.0, 1.0)),
            depth=rng.uniform(*self.depth),
            open_share=self.open_share,
        )


@dataclass(frozen=True)
class Flow:
    """Broadband noise of one machine."""

    colour: Slope
    gain: float
    depth: float
    open_share: float

    def add_to(self, out: Signal, run: Run) -> None:
        """Let it sound."""
        sound = noise(run.rng, run.n, run.sample_rate_hz, self.colour)
        sound *= unsteady(run, run.noise_gain * self.gain * _today(run.rng))
        if self.depth or self.open_share < 1.0:
            sound *= run.clock.near(self._envelope())
        out += sound

    def _envelope(self) -> Signal:
        envelope = 1.0 + self.depth * turn_cosine(1)
        if self.open_share < 1.0:
            share = turn_shares()
            envelope *= np.clip(np.minimum(share, self.open_share - share) / _OPENING, 0.0, 1.0)
        return envelope


@dataclass(frozen=True)
class Clicks:
    """A struck body at a fixed place of every cycle: two resonances that die away within ``decay_s``."""

    at: Range
    ring_hz: Range
    decay_s: Range
    level_db: float

    def draw(self, rng: np.random.Generator, passing: int) -> Blows:
        """The blows of one machine."""
        return Blows(
            at=rng.uniform(*self.at),
            per_cycle=1.0,
            jitter=0.0,
            depth=0.0,
            spread_db=0.7,
            gain=gain_of(self.level_db + rng.normal(0.0, 1.0)),
            kernel_seed=int(rng.integers(2**31)),
            ring_hz=tuple(rng.uniform(*self.ring_hz, 2).tolist()),
            decay_s=rng.uniform(*self.decay_s),
        )


@dataclass(frozen=True)
class RollingImpacts:
    """Balls that pass a place of a bearing's race: impacts through a resonance.

    They pass ``balls`` x ``ratio`` times a turn, which is no whole number, a little irregularly because
    balls slide, and louder where the shaft presses: modulated by the rotation with ``depth``.
    """

    balls: tuple[int, int]
    ratio: Range
    depth: Range
    ring_hz: Range
    decay_s: Range
    level_db: float

    def draw(self, rng: np.random.Generator, passing: int) -> Blows:
        """The impacts of one bearing."""
        return Blows(
            at=0.0,
            per_cycle=int(rng.integers(self.balls[0], self.balls[1] + 1)) * rng.uniform(*self.ratio),
            jitter=0.01,
            depth=rng.uniform(*self.depth),
            spread_db=1.5,
            gain=gain_of(self.level_db + rng.normal(0.0, 1.0)),
            kernel_seed=int(rng.integers(2**31)),
            ring_hz=(rng.uniform(*self.ring_hz),),
            decay_s=rng.uniform(*self.decay_s),
        )


@dataclass(frozen=True)
class Blows:
    """Blows of one machine, ``per_cycle`` of them in every cycle from the place ``at`` on."""

    at: float
    per_cycle: float
    jitter: float
    depth: float
    spread_db: float
    gain: float
    kernel_seed: int
    ring_hz: tuple[float, ...]
    decay_s: float

    def add_to(self, out: Signal, run: Run) -> None:
        """Let them sound."""
        kernel = _struck(self.kernel_seed, run.sample_rate_hz, self.ring_hz, self.decay_s)
        first, last = ((run.cycles[edge] - self.at) * self.per_cycle for edge in (0, -1))
        counts = np.arange(np.ceil(first), np.floor(last) + 1.0)
        if self.jitter:
            counts = np.clip(counts + run.rng.normal(0.0, self.jitter, len(counts)), first, last)
        turned = counts / self.per_cycle + self.at
        starts = np.searchsorted(run.cycles, turned)
        levels_db = run.rng.normal(0.0, self.spread_db, len(starts))
        gains = run.tone_gain * self.gain * _today(run.rng) * 10.0 ** (levels_db / 20.0)
        gains *= 1.0 + self.depth * np.cos(2.0 * np.pi * turned)
        add_copies(out, kernel, starts, gains)


@dataclass(frozen=True)
class Motor:
    """An induction motor: twice its supply frequency and multiples, which the slip makes swell.

    The supply turns a field of ``pole_pairs``; the shaft falls behind it by the slip, and the hum swells at the
    pole-pass frequency, twice the slip times the supply. With ``slots`` the rotor's bars sound as well: at as
    many times the shaft frequency, with sidebands at twice the supply frequency.
    """

    pole_pairs: tuple[int, int]
    level_db: float
    slots: tuple[int, int] = (0, 0)
    slot_db: float = -200.0

    def draw(self, rng: np.random.Generator, passing: int) -> Hum:
        """The motor of one machine."""
        sizes = 10.0 ** (np.array([0.0, -8.0, -14.0]) / 20.0) * 10.0 ** (rng.normal(0.0, 2.0, 3) / 20.0)
        sizes = sizes * np.sqrt(2.0 / np.sum(sizes**2)) * np.exp(2j * np.pi * rng.uniform(0.0, 1.0, 3))
        return Hum(
            pole_pairs=int(rng.integers(self.pole_pairs[0], self.pole_pairs[1] + 1)),
            amplitudes=tuple(sizes.tolist()),
            gain=gain_of(self.level_db + rng.normal(0.0, 1.0)),
            swell=rng.uniform(0.1, 0.3),
            slots=int(rng.integers(self.slots[0], self.slots[1] + 1)),
            slot_gain=gain_of(self.slot_db + rng.normal(0.0, 1.0)),
        )


@dataclass(frozen=True)
class Hum:
    """The motor of one machine; ``amplitudes`` are those of 2, 4 and 6 times the supply frequency."""

    pole_pairs: int
    amplitudes: tuple[complex, ...]
    gain: float
    swell: float
    slots: int
    slot_gain: float

    def supply_hz(self, run: Run) -> float:
        """Frequency of the current that the motor is fed with."""
        return self.pole_pairs * run.field_hz

    def add_to(self, out: Signal, run: Run) -> None:
        """Let it sound."""
        supply_hz = self.supply_hz(run)
        sounding = {
            2 * k: amplitude
            for k, amplitude in enumerate(self.amplitudes, 1)
            if 2 * k * supply_hz < REACH * run.sample_rate_hz
        }
        hum = self._steady(run, supply_hz).read(_kept_turn(tuple(sounding.items())))
        pole_pass = self._steady(run, 2.0 * run.slip * supply_hz).near(turn_cosine(1))
        pole_pass *= self.swell
        pole_pass += 1.0
        if self.slots and self.slots * run.shaft_hz + 2.0 * supply_hz < REACH * run.sample_rate_hz:
            slots = run.clock.read(_kept_turn(((self.slots, np.sqrt(2.0) * self.slot_gain),)))
            slots *= hum + np.float32(0.5)
            hum *= self.gain
            hum += slots
        else:
            hum *= self.gain
        hum *= pole_pass
        hum *= run.tone_gain * _today(run.rng)
        out += hum

    def _steady(self, run: Run, rate_hz: float) -> Clock:
        return Clock.steady(run.n, run.sample_rate_hz, rate_hz, run.rng.uniform())


@dataclass(frozen=True)
class GearMesh:
    """Two gears: harmonics of the tooth-mesh frequency with sidebands at the turning of either shaft.

    The pinion on the shaft has ``teeth``, the wheel ``wheel`` times as many. Sidebands at the shaft's frequency
    come from the pinion's errors (``sideband_db`` below the mesh), those at the wheel's from its modulation by
    ``depth``.
    """

    teeth: tuple[int, int]
    wheel: Range
    count: int
    level_db: float
    fall_db: float
    sideband_db: Range
    depth: Range

    def draw(self, rng: np.random.Generator, passing: int) -> Mesh:
        """The gears of one machine."""
        teeth = int(rng.integers(self.teeth[0], self.teeth[1] + 1))
        harmonics: dict[int, complex] = {}
        for k in range(1, self.count + 1):
            size = gain_of(-self.fall_db * (k - 1) + rng.normal(0.0, 2.0))
            harmonics[k * teeth] = size * np.exp(2j * np.pi * rng.uniform())
            for side in (-2, -1, 1, 2):
                below_db = rng.uniform(*self.sideband_db) + 5.0 * (abs(side) - 1)
                harmonics[k * teeth + side] = size * gain_of(-below_db) * np.exp(2j * np.pi * rng.uniform())
        power = sum(abs(amplitude) ** 2 for amplitude in harmonics.values()) / 2.0
        scale = gain_of(self.level_db) / np.sqrt(power)
        return Mesh(
            teeth=teeth,
            wheel_teeth=round(teeth * rng.uniform(*self.wheel)),
            amplitudes=tuple((multiple, complex(scale * size)) for multiple, size in harmonics.items()),
            depth=rng.uniform(*self.depth),
        )


@dataclass(frozen=True)
class Mesh:
    """The gears of one machine; ``amplitudes`` go by multiples of the shaft frequency."""

    teeth: int
    wheel_teeth: int
    amplitudes: tuple[tuple[int, complex], ...]
    depth: float

    def add_to(self, out: Signal, run: Run) -> None:
        """Let them sound."""
        highest = REACH * run.sample_rate_hz / run.shaft_hz
        today = run.tone_gain * _today(run.rng)
        table = one_turn({multiple: today * size for multiple, size in self.amplitudes if multiple < highest})
        wheel = Clock.of(run.cycles * (self.teeth / self.wheel_teeth)).near(turn_cosine(1))
        wheel *= self.depth
        wheel += 1.0
        wheel *= run.clock.read(table)
        out += wheel


@dataclass(frozen=True)
class Bubbles:
    """Cavitation: bubbles that collapse in random bursts of high noise, most where a vane passes.

    It grows by ``speed_db`` when the speed doubles, faster than the machine itself does.
    """

    low_hz: Range
    high_hz: Range
    level_db: float
    speed_db: float
    bursts_hz: float = 40.0

    def draw(self, rng: np.random.Generator, passing: int) -> Cavitation:
        """The cavitation of one pump."""
        return Cavitation(
            colour=_colour(rng, self.low_hz, self.high_hz, (0.0, 2.0)),
            gain=gain_of(self.level_db + rng.normal(0.0, 1.0)),
            speed_db=self.speed_db,
            vanes=passing,
            depth=rng.uniform(0.5, 0.9),
            bursts_hz=self.bursts_hz,
        )


@dataclass(frozen=True)
class Cavitation:
    """The cavitation of one pump with so many ``vanes``."""

    colour: Slope
    gain: float
    speed_db: float
    vanes: int
    depth: float
    bursts_hz: float

    def add_to(self, out: Signal, run: Run) -> None:
        """Let it sound."""
        bursts = wander(run.rng, run.n, run.sample_rate_hz, self.bursts_hz)
        np.maximum(bursts, 0.1, out=bursts)
        bursts *= run.clock.near(self._vane_pass(run))
        bursts *= noise(run.rng, run.n, run.sample_rate_hz, self.colour)
        out += bursts

    def _vane_pass(self, run: Run) -> Signal:
        speed_gain = gain_of(self.speed_db * float(np.log2(run.speed)))
        gain = speed_gain * run.noise_gain * self.gain * _today(run.rng)
        return gain * (1.0 + self.depth * turn_cosine(self.vanes))


def unsteady(run: Run, gain: float, share: float = 1.0) -> Signal:
    """A gain (n,) that wanders: no machine runs evenly, and some recordings are less even than others."""
    depth = gain * share * float(np.exp(run.rng.uniform(*np.log(_UNSTEADY))))
    return wander(run.rng, run.n, run.sample_rate_hz, 3.0, depth, gain)


def today(rng: np.random.Generator, count: int) -> Signal:
    """Amplitude factors (count,) by which tones differ from recording to recording."""
    factors: Signal = 10.0 ** (rng.normal(0.0, _VARIATION_DB, count) / 20.0)
    return factors


@lru_cache(maxsize=64)
def _struck(seed: int, sample_rate_hz: int, ring_hz: tuple[float, ...], decay_s: float) -> Signal:
    """The ringing of one machine's body, which all its recordings share; not to be written to."""
    return ringing(np.random.default_rng(seed), sample_rate_hz, ring_hz, decay_s)


@lru_cache(maxsize=64)
def _kept_turn(harmonics: tuple[tuple[int, complex], ...]) -> Signal:
    """``one_turn`` of harmonics that all recordings of a machine share; not to be written to."""
    return one_turn(dict(harmonics))


def _today(rng: np.random.Generator) -> float:
    return gain_of(rng.normal(0.0, _VARIATION_DB))


def _colour(rng: np.random.Generator, low_hz: Range, high_hz: Range, tilt_db: Range) -> Slope:
    low, high = rng.uniform(*low_hz), rng.uniform(*high_hz)
    return Slope(rng.uniform(*tilt_db), low, high)
