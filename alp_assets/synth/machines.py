"""The sound of a healthy machine, from parameters.

A ``Recipe`` describes a machine type by ranges; ``build_machine`` draws one physical machine (a
section) from it; ``Machine.sound`` lets it run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from alp_assets.synth.components import REACH, Family, Part, Run, today, unsteady
from alp_assets.synth.recipes import Recipe, recipe_of
from alp_assets.synth.shapes import Clock, Signal, gain_db, gain_of, one_turn, rms, turn_cosine, wavering_cycles

SPEEDS = {"low": 0.85, "mid": 1.0, "high": 1.2}
"""Relative speed of each ``speed_level``."""

LOADS = {"light": 0.7, "full": 1.0, "heavy": 1.25}
"""Relative load of each ``load_level``."""

_LEVEL_DBFS = (-29.0, -26.5)
_TONES_UNSTEADY = 0.5  # of what broadband parts are


@dataclass(frozen=True)
class Machine:
    """One physical machine.

    ``cycle_hz`` is its shaft frequency at nominal speed and load, ``slip`` by how much that is behind the motor's
    field, and ``level_dbfs`` what a microphone at the reference place reads from it.
    """

    machine_type: str
    cycle_hz: float
    slip: float
    depth: float
    level_dbfs: float
    recipe: Recipe = field(repr=False)
    families: tuple[Family, ...] = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)

    def sound(
        self, rng: np.random.Generator, n: int, sample_rate_hz: int, speed: float = 1.0, load: float = 1.0
    ) -> Signal:
        """Let the machine run: (n,) samples, float32, full scale 1.0.

        Args:
            rng: what differs from recording to recording (phases, waver, noise).
            n: number of samples.
            sample_rate_hz: samples per second.
            speed: relative to nominal, see ``SPEEDS``.
            load: relative to nominal, see ``LOADS``.
        """
        run = self._run(rng, n, sample_rate_hz, speed, load)
        out = run.clock.read(self._tones(run, load))
        out *= unsteady(run, run.tone_gain, _TONES_UNSTEADY)
        for part in self.parts:
            part.add_to(out, run)
        level_db = self.level_dbfs + self.recipe.speed_db * float(np.log2(speed)) + rng.normal(0.0, 0.3)
        out *= gain_of(level_db)
        return out

    def cycle_at(self, speed: float, load: float) -> float:
        """The shaft frequency in Hz: a loaded motor falls further behind its field."""
        return self.cycle_hz * speed * (1.0 - self.slip * load) / (1.0 - self.slip)

    def _run(self, rng: np.random.Generator, n: int, sample_rate_hz: int, speed: float, load: float) -> Run:
        waver = self.recipe.waver
        shaft_hz = self.cycle_at(speed, load) * (1.0 + waver * rng.normal())
        cycles = wavering_cycles(rng, n, sample_rate_hz, shaft_hz, waver)
        doublings = float(np.log2(load))
        return Run(
            rng=rng,
            n=n,
            sample_rate_hz=sample_rate_hz,
            shaft_hz=shaft_hz,
            slip=self.slip * load,
            speed=speed,
            tone_gain=gain_of(self.recipe.tone_load_db * doublings),
            noise_gain=gain_of(self.recipe.noise_load_db * doublings),
            cycles=cycles,
            clock=Clock.of(cycles),
        )

    def _tones(self, run: Run, load: float) -> Signal:
        """One turn of all harmonics that the sample rate can hold, louder where the shaft presses."""
        highest = int(REACH * run.sample_rate_hz / run.shaft_hz)
        harmonics: dict[int, complex] = {}
        for family in self.families:
            amplitudes = np.asarray(family.amplitudes) * today(run.rng, len(family.amplitudes))
            for k, amplitude in enumerate(amplitudes.tolist(), 1):
                multiple = family.order * k
                if multiple <= highest:
                    harmonics[multiple] = harmonics.get(multiple, 0.0) + amplitude
        return one_turn(harmonics) * (1.0 + self.depth * load * turn_cosine(1))


def build_machine(machine_type: str, rng: np.random.Generator) -> Machine:
    """Draw one physical machine of a type; machines of one type differ in every parameter a little."""
    recipe = recipe_of(machine_type)
    families = tuple(tones.draw(rng) for tones in recipe.tones)
    passing = max((family.order for family in families), default=1)
    machine = Machine(
        machine_type=machine_type,
        cycle_hz=rng.uniform(*recipe.cycle_hz),
        slip=rng.uniform(*recipe.slip),
        depth=rng.uniform(*recipe.depth),
        level_dbfs=0.0,
        recipe=recipe,
        families=families,
        parts=tuple(component.draw(rng, passing) for component in recipe.components),
    )
    return _at_level(machine, rng.uniform(*_LEVEL_DBFS), rng)


def _at_level(machine: Machine, level_dbfs: float, rng: np.random.Generator) -> Machine:
    """The same machine, set to a level; components of random loudness make measuring necessary."""
    trial = machine.sound(rng, 4 * 16_000, 16_000)
    return replace(machine, level_dbfs=level_dbfs - gain_db(rms(trial)))
