"""The sound of a healthy machine, from parameters.

A ``Recipe`` describes a machine type by ranges; ``build_machine`` draws one physical machine (a
section) from it; ``Machine.sound`` lets it run. Every type is made of the same three components:
families of harmonics of the shaft, broadband noise that may follow the rotation, and clicks at fixed
angles of the cycle. A further type is a further entry in ``RECIPES``; a further kind of physics is a
further component beside the three.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from alp_assets.errors import ParameterError
from alp_assets.synth.shapes import (
    Signal,
    Slope,
    at_angle,
    gain_db,
    gain_of,
    noise,
    one_turn,
    place,
    ringing,
    rms,
    turn_share,
    wander,
)

Range = tuple[float, float]
_REACH = 0.45  # of the sample rate: no tone is placed above it
_OPENING = 0.03  # share of a cycle in which flow swells and ebbs
_VARIATION_DB = 0.8  # standard deviation from recording to recording
_UNSTEADY = (0.02, 0.15)
_COSINE = one_turn({1: 1.0})


@dataclass(frozen=True)
class Tones:
    """A family of harmonics: ``count`` multiples of ``order`` times the shaft frequency.

    ``order`` is a range of whole numbers (1 is the shaft itself; a fan's blades or a pump's vanes are
    higher), ``fall_db`` the mean fall from one harmonic to the next, ``spread_db`` how far single
    harmonics of a section stray from it.
    """

    order: tuple[int, int]
    count: int
    level_db: float
    fall_db: float
    spread_db: float = 3.0


@dataclass(frozen=True)
class Broadband:
    """Noise of flow or friction: corner frequencies, tilt and level; ranges are per section.

    ``depth`` is the amplitude modulation by the rotation. With ``open_share`` below 1 the noise
    sounds only in that share of every cycle.
    """

    low_hz: Range
    high_hz: Range
    tilt_db: Range
    level_db: float
    depth: Range = (0.0, 0.0)
    open_share: float = 1.0


@dataclass(frozen=True)
class Clicks:
    """A struck body at a fixed place of every cycle: two resonances that die away within ``decay_s``."""

    at: Range
    ring_hz: Range
    decay_s: Range
    level_db: float


@dataclass(frozen=True)
class Recipe:
    """A machine type. Levels of components are relative to each other, in dB.

    ``cycle_hz`` is the shaft frequency (of a valve: how often it switches), ``slip`` the relative
    standard deviation of its slow wander, ``speed_db`` the change of level when the speed doubles,
    ``tone_load_db`` and ``noise_load_db`` the change of tones and noise when the load doubles.
    """

    cycle_hz: Range
    slip: float
    depth: Range
    speed_db: float
    tone_load_db: float
    noise_load_db: float
    tones: tuple[Tones, ...] = ()
    broadband: tuple[Broadband, ...] = ()
    clicks: tuple[Clicks, ...] = ()


RECIPES: dict[str, Recipe] = {
    "fan": Recipe(
        cycle_hz=(22.0, 30.0),
        slip=0.002,
        depth=(0.02, 0.08),
        speed_db=12.0,
        tone_load_db=4.0,
        noise_load_db=2.0,
        tones=(
            Tones(order=(1, 1), count=6, level_db=-14.0, fall_db=3.0),
            Tones(order=(5, 9), count=5, level_db=-5.0, fall_db=5.0),
        ),
        broadband=(Broadband((80.0, 200.0), (900.0, 1800.0), (-4.0, -2.0), level_db=-3.0, depth=(0.05, 0.15)),),
    ),
    "pump": Recipe(
        cycle_hz=(28.0, 48.0),
        slip=0.003,
        depth=(0.15, 0.35),
        speed_db=9.0,
        tone_load_db=6.0,
        noise_load_db=3.0,
        tones=(
            Tones(order=(1, 1), count=16, level_db=-4.0, fall_db=1.5, spread_db=5.0),
            Tones(order=(5, 7), count=4, level_db=-7.0, fall_db=4.0),
        ),
        broadband=(Broadband((600.0, 1200.0), (2500.0, 5000.0), (-2.0, 1.0), level_db=-7.0, depth=(0.2, 0.5)),),
    ),
    "valve": Recipe(
        cycle_hz=(0.9, 1.6),
        slip=0.01,
        depth=(0.0, 0.0),
        speed_db=3.0,
        tone_load_db=4.0,
        noise_load_db=3.0,
        broadband=(
            Broadband((1500.0, 2500.0), (4500.0, 6500.0), (-1.0, 1.0), level_db=0.0, open_share=0.4),
            Broadband((80.0, 200.0), (2000.0, 4000.0), (-3.0, -1.0), level_db=0.0),
        ),
        clicks=(
            Clicks(at=(0.0, 0.0), ring_hz=(900.0, 3200.0), decay_s=(0.008, 0.02), level_db=14.0),
            Clicks(at=(0.38, 0.42), ring_hz=(500.0, 1800.0), decay_s=(0.012, 0.03), level_db=11.0),
        ),
    ),
}
"""Machine types that can be synthesized, by their name in the contract."""

SPEEDS = {"low": 0.85, "mid": 1.0, "high": 1.2}
"""Relative speed of each ``speed_level``."""

LOADS = {"light": 0.7, "full": 1.0}
"""Relative load of each ``load_level``."""


@dataclass(frozen=True)
class _Family:
    order: int
    amplitudes: tuple[complex, ...]


@dataclass(frozen=True)
class _Flow:
    low_hz: float
    high_hz: float
    tilt_db: float
    gain: float
    depth: float
    open_share: float


@dataclass(frozen=True)
class _Click:
    at: float
    gain: float
    kernel_seed: int
    ring_hz: tuple[float, ...]
    decay_s: float


@dataclass(frozen=True)
class Machine:
    """One physical machine. ``level_dbfs`` is what a microphone at the reference place reads from it."""

    machine_type: str
    cycle_hz: float
    depth: float
    level_dbfs: float
    recipe: Recipe = field(repr=False)
    families: tuple[_Family, ...] = field(repr=False)
    flows: tuple[_Flow, ...] = field(repr=False)
    clicks: tuple[_Click, ...] = field(repr=False)

    def sound(
        self, rng: np.random.Generator, n: int, sample_rate_hz: int, speed: float = 1.0, load: float = 1.0
    ) -> Signal:
        """Let the machine run: (n,) samples, full scale 1.0.

        Args:
            rng: what differs from recording to recording (phases, slip, noise).
            n: number of samples.
            sample_rate_hz: samples per second.
            speed: relative to nominal, see ``SPEEDS``.
            load: relative to nominal, see ``LOADS``.
        """
        cycles = self._cycles(rng, n, sample_rate_hz, speed)
        share = turn_share(cycles)
        tones = gain_of(self.recipe.tone_load_db * float(np.log2(load)))
        flow = gain_of(self.recipe.noise_load_db * float(np.log2(load)))
        swell = 1.0 + self.depth * load * _COSINE
        out = at_angle(tones * swell * self._tones(rng, sample_rate_hz, speed), share)
        out *= _unsteady(rng, n, sample_rate_hz, 0.5)
        for part in self.flows:
            out += _run_flow(part, rng, share, sample_rate_hz, flow)
        for click in self.clicks:
            out += _run_click(click, rng, cycles, sample_rate_hz, tones)
        level_db = self.level_dbfs + self.recipe.speed_db * float(np.log2(speed)) + rng.normal(0.0, 0.3)
        out *= gain_of(level_db)
        return out

    def _cycles(self, rng: np.random.Generator, n: int, sample_rate_hz: int, speed: float) -> Signal:
        """Cycles turned since an arbitrary start, (n,)."""
        rate_hz = self.cycle_hz * speed * (1.0 + rng.normal(0.0, self.recipe.slip))
        cycles = wander(rng, n, sample_rate_hz, rate_hz=2.0)
        cycles *= self.recipe.slip
        cycles += 1.0
        np.cumsum(cycles, out=cycles)
        cycles *= rate_hz / sample_rate_hz
        cycles += rng.uniform()
        return cycles

    def _tones(self, rng: np.random.Generator, sample_rate_hz: int, speed: float) -> Signal:
        """One turn of all harmonics that the sample rate can hold."""
        highest = int(_REACH * sample_rate_hz / (self.cycle_hz * speed))
        harmonics: dict[int, complex] = {}
        for family in self.families:
            today = 10.0 ** (rng.normal(0.0, _VARIATION_DB, len(family.amplitudes)) / 20.0)
            for k, amplitude in enumerate((np.asarray(family.amplitudes) * today).tolist(), 1):
                multiple = family.order * k
                if multiple <= highest:
                    harmonics[multiple] = harmonics.get(multiple, 0.0) + amplitude
        return one_turn(harmonics)


def recipe_of(machine_type: str) -> Recipe:
    """The recipe of a machine type; ``ParameterError`` if it cannot be synthesized."""
    try:
        return RECIPES[machine_type]
    except KeyError:
        known = ", ".join(RECIPES)
        raise ParameterError(
            f"machine type {machine_type!r} cannot be synthesized. Choose from: {known}."
        ) from None


def build_machine(machine_type: str, rng: np.random.Generator) -> Machine:
    """Draw one physical machine of a type; machines of one type differ in every parameter a little."""
    recipe = recipe_of(machine_type)
    machine = Machine(
        machine_type=machine_type,
        cycle_hz=rng.uniform(*recipe.cycle_hz),
        depth=rng.uniform(*recipe.depth),
        level_dbfs=0.0,
        recipe=recipe,
        families=tuple(_draw_family(tones, rng) for tones in recipe.tones),
        flows=tuple(_draw_flow(flow, rng) for flow in recipe.broadband),
        clicks=tuple(_draw_click(click, rng) for click in recipe.clicks),
    )
    return _at_level(machine, rng.uniform(-29.0, -26.5), rng)


def _at_level(machine: Machine, level_dbfs: float, rng: np.random.Generator) -> Machine:
    """The same machine, set to a level; components of random loudness make measuring necessary."""
    trial = machine.sound(rng, 4 * 16_000, 16_000)
    return replace(machine, level_dbfs=level_dbfs - gain_db(rms(trial)))


def _draw_family(tones: Tones, rng: np.random.Generator) -> _Family:
    levels_db = -tones.fall_db * np.arange(tones.count) + rng.normal(0.0, tones.spread_db, tones.count)
    amplitudes = 10.0 ** (levels_db / 20.0)
    amplitudes *= gain_of(tones.level_db) * np.sqrt(2.0 / np.sum(amplitudes**2))
    phases = rng.uniform(0.0, 2.0 * np.pi, tones.count)
    return _Family(
        order=int(rng.integers(tones.order[0], tones.order[1] + 1)),
        amplitudes=tuple((amplitudes * np.exp(1j * phases)).tolist()),
    )


def _draw_flow(flow: Broadband, rng: np.random.Generator) -> _Flow:
    return _Flow(
        low_hz=rng.uniform(*flow.low_hz),
        high_hz=rng.uniform(*flow.high_hz),
        tilt_db=rng.uniform(*flow.tilt_db),
        gain=gain_of(flow.level_db + rng.normal(0.0, 1.0)),
        depth=rng.uniform(*flow.depth),
        open_share=flow.open_share,
    )


def _draw_click(click: Clicks, rng: np.random.Generator) -> _Click:
    return _Click(
        at=rng.uniform(*click.at),
        gain=gain_of(click.level_db + rng.normal(0.0, 1.0)),
        kernel_seed=int(rng.integers(2**31)),
        ring_hz=tuple(rng.uniform(*click.ring_hz, 2).tolist()),
        decay_s=rng.uniform(*click.decay_s),
    )


def _run_flow(flow: _Flow, rng: np.random.Generator, share: Signal, sample_rate_hz: int, gain: float) -> Signal:
    out = noise(rng, len(share), sample_rate_hz, Slope(flow.tilt_db, flow.low_hz, flow.high_hz))
    out *= gain * flow.gain * gain_of(rng.normal(0.0, _VARIATION_DB))
    out *= _unsteady(rng, len(share), sample_rate_hz, 1.0)
    if flow.depth:
        out *= at_angle(1.0 + flow.depth * _COSINE, share)
    if flow.open_share < 1.0:
        out *= np.clip(np.minimum(share, flow.open_share - share) / _OPENING, 0.0, 1.0)
    return out


def _unsteady(rng: np.random.Generator, n: int, sample_rate_hz: int, amount: float) -> Signal:
    """A gain (n,) around 1: no machine runs evenly, and some recordings are less even than others."""
    depth = amount * float(np.exp(rng.uniform(*np.log(_UNSTEADY))))
    gain = wander(rng, n, sample_rate_hz, rate_hz=3.0)
    gain *= depth
    gain += 1.0
    return gain


def _run_click(
    click: _Click, rng: np.random.Generator, cycles: Signal, sample_rate_hz: int, gain: float
) -> Signal:
    kernel = ringing(np.random.default_rng(click.kernel_seed), sample_rate_hz, click.ring_hz, click.decay_s)
    starts = np.flatnonzero(np.diff(np.floor(cycles - click.at))) + 1
    gains = (
        gain
        * click.gain
        * gain_of(rng.normal(0.0, _VARIATION_DB))
        * 10.0 ** (rng.normal(0.0, 0.7, len(starts)) / 20.0)
    )
    return place(len(cycles), kernel, starts, gains)
