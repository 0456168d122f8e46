"""Random machines to pretrain on: what each one does, as numbers that ``rendering`` makes sound of.

Everything is drawn from wide ranges, wider than real machines have, because features that tell such machines
apart must attend to whatever may set two machines apart: pitch and order of lines, sidebands, resonances,
colour and modulation of noise, rate and shape of impacts. No recording of anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

ROTORS = 4
"""Periodic sources of a machine: two shafts, the mains, a whine."""

HARMONICS = 256
COLOUR_KNOTS = 16
"""Points of a spectral colour, evenly spaced in mel from 0 to 8 kHz."""

TRAINS = 2
CYCLE_POINTS = 256
"""Points of an envelope over one cycle."""

_NYQUIST_HZ = 7_800.0
_ABSENT_DB = -120.0


@dataclass(frozen=True)
class Machines:
    """n machines, a row each. Levels are in dB relative to one another.

    Rotors: ``rate_hz`` (n, ROTORS), ``harmonics`` (n, ROTORS, HARMONICS) amplitudes, ``rotor_db``, ``wander`` the
    relative deviation of the speed, ``beat`` the depth of amplitude modulation at the first shaft's rate times
    ``beat_order``. Flow: ``flow_colour_db`` (n, COLOUR_KNOTS), ``flow_db``, ``flow_envelope`` (n, CYCLE_POINTS)
    over ``flow_rate_hz``, ``gusts`` the depth of slow changes. Strokes, noise in the rhythm of a cycle: the same.
    Impact trains: ``impact_hz`` (n, TRAINS), ``impact_db``, ``jitter`` of their times as a share of the
    period, ``spread_db`` of their strengths, ``ring_hz`` (n, TRAINS, 2) and ``ring_s`` of two resonances,
    ``load_zone`` the depth of modulation at the first shaft's rate.
    """

    rate_hz: Array
    harmonics: Array
    rotor_db: Array
    wander: Array
    beat: Array
    beat_order: Array
    flow_db: Array
    flow_colour_db: Array
    flow_rate_hz: Array
    flow_envelope: Array
    gusts: Array
    stroke_db: Array
    stroke_colour_db: Array
    stroke_rate_hz: Array
    stroke_envelope: Array
    impact_db: Array
    impact_hz: Array
    jitter: Array
    spread_db: Array
    ring_hz: Array
    ring_s: Array
    load_zone: Array

    def __len__(self) -> int:
        return len(self.rate_hz)

    def rows(self, chosen: npt.NDArray[np.intp]) -> Machines:
        """Some of the machines, in the order of ``chosen``."""
        return Machines(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})


def draw_machines(count: int, rng: np.random.Generator) -> Machines:
    """``count`` random machines of every kind: rotating, reciprocating, flowing, humming, and mixtures."""
    shaft = _log_uniform(rng, 6, 120, count)
    mains = rng.choice([50.0, 60.0], count) * 2
    rate = np.stack(
        [shaft, shaft * rng.uniform(0.2, 7, count), mains, _log_uniform(rng, 300, 6_000, count)], axis=1
    )
    slip = rng.uniform(0.95, 1, count)
    rate[:, 0] = np.where(rng.random(count) < 0.3, mains / 2 / rng.integers(1, 4, count) * slip, rate[:, 0])
    loudness = rng.normal(0, 7, (count, ROTORS)) + np.array([0, -6, -9, -16])
    present = rng.random((count, ROTORS)) < np.array([0.8, 0.45, 0.4, 0.3])
    impacts = rng.random((count, TRAINS)) < np.array([0.45, 0.2])
    flows, strokes = rng.random(count) < 0.85, rng.random(count) < 0.35
    stroke_rate = _log_uniform(rng, 0.4, 14, count)
    return Machines(
        rate_hz=_f32(rate),
        harmonics=np.stack([_harmonics(rate[:, i], i, rng) for i in range(ROTORS)], axis=1),
        rotor_db=_f32(np.where(present, loudness, _ABSENT_DB)),
        wander=_f32(_log_uniform(rng, 1e-4, 1.5e-2, (count, ROTORS)) * np.array([1, 1, 0.02, 0.5])),
        beat=_f32(np.where(rng.random((count, ROTORS)) < 0.4, rng.uniform(0, 0.9, (count, ROTORS)), 0)),
        beat_order=_f32(rng.choice([0.5, 1, 1, 2, 3], (count, ROTORS))),
        flow_db=_f32(np.where(flows, rng.normal(-6, 8, count), _ABSENT_DB)),
        flow_colour_db=_colours(count, rng),
        flow_rate_hz=_f32(shaft * rng.choice([1, 1, 2, 3, 5, 7], count)),
        flow_envelope=_envelopes(count, rng, depth=0.6),
        gusts=_f32(np.where(rng.random(count) < 0.5, rng.uniform(0, 0.5, count), 0)),
        stroke_db=_f32(np.where(strokes, rng.normal(0, 6, count), _ABSENT_DB)),
        stroke_colour_db=_colours(count, rng),
        stroke_rate_hz=_f32(stroke_rate),
        stroke_envelope=_events(count, rng),
        impact_db=_f32(np.where(impacts, rng.normal(2, 7, (count, TRAINS)), _ABSENT_DB)),
        impact_hz=_f32(
            np.stack([shaft * rng.uniform(0.35, 9, count), stroke_rate * rng.choice([1, 2, 4], count)], axis=1)
        ),
        jitter=_f32(_log_uniform(rng, 1e-3, 0.2, (count, TRAINS))),
        spread_db=_f32(rng.uniform(0, 6, (count, TRAINS))),
        ring_hz=_f32(_log_uniform(rng, 300, 7_500, (count, TRAINS, 2))),
        ring_s=_f32(_log_uniform(rng, 6e-4, 2.5e-2, (count, TRAINS, 2))),
        load_zone=_f32(np.where(rng.random((count, TRAINS)) < 0.5, rng.uniform(0, 1, (count, TRAINS)), 0)),
    )


def altered(machines: Machines, rng: np.random.Generator) -> Machines:
    """Each machine with one or two things different: another speed, a new fault, other loudness or resonances.

    What a fault or another load does. Near siblings are the hardest to tell apart, and telling them apart is
    what the features are for.
    """
    count = len(machines)
    times = rng.integers(1, 3, count)
    kinds = np.stack([rng.permutation(_KINDS) for _ in range(count)])[:, :2]
    chosen = np.zeros((count, _KINDS), bool)
    for place in range(2):
        chosen[np.arange(count), kinds[:, place]] |= place < times
    fresh = draw_machines(count, rng)
    speed = np.where(chosen[:, 0], np.exp(rng.choice([-1, 1], count) * rng.uniform(0.02, 0.2, count)), 1.0)
    scaled = np.array([True, True, False, True])
    rate = np.where(scaled, machines.rate_hz * speed[:, None], machines.rate_hz)
    lines = machines.harmonics * 10 ** (rng.normal(0, 6, machines.harmonics.shape) / 20)
    bumps = _bumps(rng, count, 8)
    changes: dict[str, npt.NDArray[np.floating]] = {
        "rate_hz": rate,
        "flow_rate_hz": machines.flow_rate_hz * speed,
        "stroke_rate_hz": machines.stroke_rate_hz * speed,
        "impact_hz": machines.impact_hz * speed[:, None],
        "harmonics": _where(chosen[:, 1], lines, machines.harmonics),
        "rotor_db": _where(chosen[:, 2], machines.rotor_db + rng.normal(0, 6, (count, ROTORS)), machines.rotor_db),
        "flow_colour_db": _where(chosen[:, 3], machines.flow_colour_db + bumps, machines.flow_colour_db),
        "flow_db": _where(chosen[:, 4], machines.flow_db + rng.normal(0, 6, count), machines.flow_db),
        "stroke_envelope": _where(chosen[:, 5], fresh.stroke_envelope, machines.stroke_envelope),
        "flow_envelope": _where(chosen[:, 5], fresh.flow_envelope, machines.flow_envelope),
        "ring_hz": machines.ring_hz
        * np.exp(chosen[:, 6, None, None] * rng.normal(0, 0.2, machines.ring_hz.shape)),
        "beat": _where(chosen[:, 7], rng.uniform(0, 0.9, machines.beat.shape), machines.beat),
    }
    struck = rng.integers(TRAINS, size=count)
    new_fault = chosen[:, 8, None] & (np.arange(TRAINS) == struck[:, None])
    loud = rng.normal(0, 6, (count, TRAINS))
    for name in ("impact_hz", "ring_hz", "ring_s", "jitter", "load_zone"):
        before = changes.get(name, getattr(machines, name))
        mask = new_fault if before.ndim == 2 else new_fault[..., None]
        changes[name] = np.where(mask, getattr(fresh, name), before)
    changes["impact_db"] = np.where(new_fault, loud, machines.impact_db)
    changes["ring_hz"] = np.minimum(changes["ring_hz"], 7_800)
    return replace(machines, **{name: _f32(value) for name, value in changes.items()})


_KINDS = 9
"""What ``altered`` may change: speed, lines, balance, colour, flow, rhythm, resonances, beats, a fault."""


def _harmonics(rate: npt.NDArray[np.floating], rotor: int, rng: np.random.Generator) -> Array:
    """Amplitudes (n, HARMONICS) of root mean square 1, none above 7.8 kHz: slope, blades, mesh, resonances."""
    count = len(rate)
    order = np.arange(1, HARMONICS + 1)
    level = -20 * np.log10(order) * rng.uniform(0.3, 2.2, (count, 1))
    level = level + rng.normal(0, 1, (count, HARMONICS)) * rng.uniform(2, 10, (count, 1))
    blades = rng.integers(2, 14, (count, 1))
    level += np.where(order % blades == 0, rng.uniform(0, 25, (count, 1)) * (rng.random((count, 1)) < 0.6), 0)
    teeth = rng.integers(11, 121, (count, 1))
    away = np.abs((order + teeth // 2) % teeth - teeth // 2)
    mesh = rng.uniform(10, 40, (count, 1)) - away * rng.uniform(3, 15, (count, 1))
    geared = (order > teeth // 2) & (rng.random((count, 1)) < 0.35) & (rotor < 2)
    level += np.where(geared, np.maximum(mesh, 0), 0)
    hz = order * rate[:, None]
    for _ in range(3):
        at, width = _log_uniform(rng, 80, 7_000, (count, 1)), rng.uniform(0.05, 0.5, (count, 1))
        level += rng.uniform(-6, 18, (count, 1)) * np.exp(-0.5 * (np.log(hz / at) / width) ** 2)
    amplitude = np.where(hz < _NYQUIST_HZ, 10 ** (level / 20), 0)
    return _f32(amplitude / np.sqrt((amplitude**2).sum(axis=1, keepdims=True) + 1e-12))


def _colours(count: int, rng: np.random.Generator) -> Array:
    """Spectral colours (n, COLOUR_KNOTS) in dB: a slope, some roughness, three resonances."""
    knots = np.linspace(0, 1, COLOUR_KNOTS)
    colour = rng.uniform(-45, 12, (count, 1)) * knots + rng.normal(0, 3, (count, COLOUR_KNOTS))
    for _ in range(3):
        colour += _bumps(rng, count, 9)
    return _f32(colour)


def _bumps(rng: np.random.Generator, count: int, height_db: float) -> npt.NDArray[np.float64]:
    knots = np.linspace(0, 1, COLOUR_KNOTS)
    at, width = rng.uniform(0, 1, (count, 1)), rng.uniform(0.03, 0.2, (count, 1))
    bump: npt.NDArray[np.float64] = rng.normal(0, height_db, (count, 1)) * np.exp(
        -0.5 * ((knots - at) / width) ** 2
    )
    return bump


def _envelopes(count: int, rng: np.random.Generator, depth: float) -> Array:
    """Smooth envelopes (n, CYCLE_POINTS) around 1: the first harmonics of a cycle, for half of the machines."""
    turn = 2 * np.pi * np.arange(CYCLE_POINTS) / CYCLE_POINTS
    wave = np.zeros((count, CYCLE_POINTS))
    for order in (1, 2, 3):
        wave += rng.normal(0, 1 / order, (count, 1)) * np.cos(order * turn + rng.uniform(0, 6.3, (count, 1)))
    depths = np.where(rng.random((count, 1)) < 0.5, rng.uniform(0, depth, (count, 1)), 0)
    return _f32(np.maximum(1 + depths * wave, 0.02))


def _events(count: int, rng: np.random.Generator) -> Array:
    """Envelopes (n, CYCLE_POINTS) of one to four events in a cycle: a rise, a decay, some with a plateau."""
    turn = np.arange(CYCLE_POINTS) / CYCLE_POINTS
    envelope = np.full((count, CYCLE_POINTS), 0.02)
    for number in range(4):
        since = (turn - rng.random((count, 1))) % 1
        rise, fall = _log_uniform(rng, 2e-3, 0.05, (count, 1)), _log_uniform(rng, 0.01, 0.3, (count, 1))
        hold = np.where(rng.random((count, 1)) < 0.4, rng.uniform(0, 0.3, (count, 1)), 0)
        event = np.minimum(since / rise, 1) * np.exp(-np.maximum(since - rise - hold, 0) / fall)
        there = rng.random((count, 1)) < (1 if number == 0 else 0.35)
        envelope += there * 10 ** (rng.normal(0, 5, (count, 1)) / 20) * event
    return _f32(envelope)


def _where(
    rows: npt.NDArray[np.bool_], these: npt.NDArray[np.floating], those: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """``these`` in some rows (n,), ``those`` in the others."""
    return np.where(rows.reshape(-1, *[1] * (these.ndim - 1)), these, those)


def _log_uniform(
    rng: np.random.Generator, low: float, high: float, size: int | tuple[int, ...]
) -> npt.NDArray[np.float64]:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def _f32(values: npt.NDArray[np.floating]) -> Array:
    return values.astype(np.float32)
