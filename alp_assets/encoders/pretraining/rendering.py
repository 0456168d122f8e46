"""Sound of random machines: every rendering of a machine is another moment of it, in another place.

Vectorised over machines in torch, on a CPU or a GPU. Periodic sources are wavetables read at the phase of a
wandering shaft, noises are shaped in the frequency domain, impacts are convolved with their resonances there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np

from alp_assets.encoders.device import one_thread
from alp_assets.encoders.pretraining.machines import (
    COLOUR_KNOTS,
    HARMONICS,
    ROTORS,
    TRAINS,
    Machines,
)
from alp_assets.parallel import ordered_map

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

RATE = 16_000
SAMPLES = 48_000
"""Three seconds."""

_TABLE = 2_048
_WANDER_POINTS = 13
"""Points between which a speed drifts, over the three seconds."""

_IMPACTS = 1_100
"""Most impacts of a train."""

_ABSENT_DB = -100.0
"""Sources of a lower level are not there."""

_FEW = 16
"""Machines that a processor works through at a time."""

_ROOMS = 32
_ROOM_SAMPLES = 8_000


@dataclass(frozen=True)
class Surroundings:
    """How renderings of one machine may differ: ranges that are drawn from for each.

    ``noise_db`` is the signal-to-noise ratio of the background, ``microphone_db`` the deviation of the
    microphone's response, ``speed`` the relative deviation of the speed from moment to moment.
    """

    noise_db: tuple[float, float] = (3.0, 40.0)
    microphone_db: float = 2.0
    speed: float = 0.003
    room: float = 0.6
    clipped: float = 0.05
    level_dbfs: tuple[float, float] = (-60.0, -15.0)


def render(machines: Machines, generator: Generator, surroundings: Surroundings) -> Tensor:
    """Sound (n, SAMPLES), float32, one rendering of each machine, on the generator's device.

    Each of a processor's threads works through a few machines at a time, so that what it has at hand fits its
    cache. Chance is drawn for all at once: how many those few are, and which thread has them, changes nothing.
    """
    import torch

    device, count = generator.device, len(machines)
    m = {name: torch.from_numpy(value).to(device) for name, value in vars(machines).items()}
    heard = _Heard(
        rotors=(m["rotor_db"] > _ABSENT_DB).any(0).tolist(), strokes=bool((m["stroke_db"] > _ABSENT_DB).any())
    )
    chance = _Chance(generator, count)

    def rendered(rows: slice) -> Tensor:
        these = {name: value[rows] for name, value in m.items()}
        return _rendered(these, heard, _Draw(chance, rows), surroundings)

    def rendered_alone(rows: slice) -> Tensor:
        with one_thread(), torch.no_grad():
            return rendered(rows)

    if device.type != "cpu":
        return rendered(slice(0, count))
    few = [slice(start, min(start + _FEW, count)) for start in range(0, count, _FEW)]
    return torch.cat(list(ordered_map(rendered_alone, few, torch.get_num_threads())))


def _rendered(m: dict[str, Tensor], heard: _Heard, draw: _Draw, surroundings: Surroundings) -> Tensor:
    """Sound (n, SAMPLES) of some of the machines."""
    import torch

    speed = 1 + surroundings.speed * draw.normal()
    shaft = _phase(m["rate_hz"][:, 0] * speed, m["wander"][:, 0], *_drift(draw))
    sound = _rotors(m, heard, shaft, speed, draw)
    flow = _noise(m["flow_colour_db"], draw).mul_(_read(m["flow_envelope"], shaft * _ratio(m["flow_rate_hz"], m)))
    sound += flow.mul_(_gusts(m["gusts"], draw)).mul_(_gain(m["flow_db"])[:, None])
    if heard.strokes:
        cycle = _phase(m["stroke_rate_hz"] * speed, torch.full_like(speed, 0.01), *_drift(draw))
        strokes = _noise(m["stroke_colour_db"], draw).mul_(_read(m["stroke_envelope"], cycle))
        sound += strokes.mul_(_gain(m["stroke_db"])[:, None])
    spectrum = torch.fft.rfft(sound)
    for train in range(TRAINS):
        _add_impacts(spectrum, m, train, speed, draw)
    _place_in_rooms(spectrum, draw, surroundings.room)
    power = _power(spectrum)
    background = _coloured(_random_colours(draw), draw)
    low, high = surroundings.noise_db
    ratio = low + (high - low) * draw.uniform()
    spectrum += background.mul_((torch.sqrt(power / _power(background)) * 10 ** (-ratio / 20))[:, None])
    spectrum *= _curve(surroundings.microphone_db * draw.normal(COLOUR_KNOTS))
    return _recorded(torch.fft.irfft(spectrum, SAMPLES), draw, surroundings)


@dataclass(frozen=True)
class _Heard:
    """Which sources any of all the machines has: chance is drawn for those."""

    rotors: list[bool]
    strokes: bool


class _Chance:
    """Random tensors of n rows on the generator's device, in the order in which they are first asked for."""

    def __init__(self, generator: Generator, count: int) -> None:
        self.generator, self.count = generator, count
        self._drawn: list[Tensor] = []
        self._lock = Lock()

    def drawn(self, number: int, kind: Literal["rand", "randn"], shape: tuple[int, ...]) -> Tensor:
        """The draw of a number, made when it is the first of it."""
        import torch

        with self._lock:
            if number == len(self._drawn):
                make = getattr(torch, kind)
                device = self.generator.device
                self._drawn.append(make(self.count, *shape, generator=self.generator, device=device))
            return self._drawn[number]


class _Draw:
    """Some rows of what chance has for all; each of them asks in the same order."""

    def __init__(self, chance: _Chance, rows: slice) -> None:
        self._chance, self._rows = chance, rows
        self._asked = 0
        self._white: Tensor | None = None
        self._noises = 0

    @property
    def device(self) -> torch.device:
        return self._chance.generator.device

    def uniform(self, *shape: int) -> Tensor:
        return self._next("rand", shape)[self._rows]

    def normal(self, *shape: int) -> Tensor:
        return self._next("randn", shape)[self._rows]

    def spectrum(self) -> Tensor:
        """A white random spectrum (n, bins), complex.

        One draw serves a whole rendering: each further noise is that of the row before, so the noises of a
        clip are independent of each other.
        """
        import torch

        if self._white is None:
            self._white = torch.view_as_complex(self._next("randn", (SAMPLES // 2 + 1, 2)))
        start, stop = self._rows.start - self._noises, self._rows.stop - self._noises
        self._noises += 1
        if start % self._chance.count < stop % self._chance.count:
            return self._white[start % self._chance.count : stop % self._chance.count]
        return self._white[torch.arange(start, stop, device=self.device) % self._chance.count]

    def _next(self, kind: Literal["rand", "randn"], shape: tuple[int, ...]) -> Tensor:
        self._asked += 1
        return self._chance.drawn(self._asked - 1, kind, shape)


def _rotors(m: dict[str, Tensor], heard: _Heard, shaft: Tensor, speed: Tensor, draw: _Draw) -> Tensor:
    """Sum (n, SAMPLES) of the periodic sources."""
    import torch

    total = torch.zeros_like(shaft)
    for rotor in range(ROTORS):
        random = draw.uniform(HARMONICS + 1)
        if not heard.rotors[rotor]:
            continue
        drift = _drift(draw) if rotor else None
        rows = torch.nonzero(m["rotor_db"][:, rotor] > _ABSENT_DB)[:, 0]
        if not len(rows):
            continue
        if drift is None:
            phase = shaft[rows]
        else:
            rate = m["rate_hz"][:, rotor] * (1 if rotor == 2 else speed)
            phase = _phase(rate[rows], m["wander"][rows, rotor], drift[0][rows], drift[1][rows])
        table = _wavetable(m["harmonics"][rows, rotor], random[rows, :HARMONICS])
        sound = _read(table, phase.add_(random[rows, HARMONICS:]))
        depth, order = m["beat"][rows, rotor, None], m["beat_order"][rows, rotor, None]
        beating = torch.nonzero(depth[:, 0])[:, 0]
        turns = shaft[rows[beating]].mul_(2 * math.pi * order[beating])
        sound[beating] *= turns.cos_().mul_(depth[beating]).add_(1)
        total.index_add_(0, rows, sound.mul_(_gain(m["rotor_db"][rows, rotor])[:, None]))
    return total


def _wavetable(harmonics: Tensor, phases: Tensor) -> Tensor:
    """One turn (n, _TABLE) of root mean square 1."""
    import torch

    spectrum = torch.zeros(len(harmonics), _TABLE // 2 + 1, dtype=torch.complex64, device=harmonics.device)
    spectrum[:, 1 : HARMONICS + 1] = torch.polar(harmonics, 2 * math.pi * phases)
    turn: Tensor = torch.fft.irfft(spectrum, _TABLE) * (_TABLE / math.sqrt(2))
    return turn


def _read(table: Tensor, phase: Tensor) -> Tensor:
    """Tables (n, points) of one turn, read at phases (n, samples) in turns, which are overwritten.

    Points are a power of two, so that no fraction of a turn is rounded up to them.
    """
    return table.gather(1, phase.frac_().mul_(table.shape[1]).long())


def _drift(draw: _Draw) -> tuple[Tensor, Tensor]:
    """Chance for ``_phase``."""
    return draw.normal(_WANDER_POINTS), draw.uniform(1)


def _phase(rate_hz: Tensor, wander: Tensor, knots: Tensor, start: Tensor) -> Tensor:
    """Turns (n, SAMPLES) since the start, by a rate (n,) that drifts by ``wander`` of itself."""
    speed = _lines(1 + wander[:, None] * knots).mul_(rate_hz[:, None] / RATE)
    # summed in double precision: thousands of turns must keep their fraction
    return speed.double().cumsum_(1).float().add_(start)


def _lines(knots: Tensor) -> Tensor:
    """Straight lines (n, SAMPLES) between knots (n, k), evenly spaced."""
    import torch

    return torch.nn.functional.interpolate(knots[:, None], SAMPLES, mode="linear", align_corners=True)[:, 0]


def _noise(colour_db: Tensor, draw: _Draw) -> Tensor:
    """Noise (n, SAMPLES) of root mean square 1 and a colour (n, COLOUR_KNOTS)."""
    import torch

    return _levelled(torch.fft.irfft(_coloured(colour_db, draw), SAMPLES))


def _levelled(sound: Tensor) -> Tensor:
    """The same memory, at root mean square 1."""
    import torch

    norm = torch.linalg.vector_norm(sound, dim=1, keepdim=True)
    return sound.div_(norm.div_(math.sqrt(SAMPLES)).add_(1e-9))


def _coloured(colour_db: Tensor, draw: _Draw) -> Tensor:
    """Random spectrum (n, bins) of a colour."""
    return draw.spectrum() * _curve(colour_db)


def _curve(knots_db: Tensor) -> Tensor:
    """Gains (n, bins) of values in dB at knots that are evenly spaced in mel."""
    exponents = knots_db @ _interpolation().to(knots_db.device)
    return (exponents * (math.log(10) / 20)).exp_()


@cache
def _interpolation() -> Tensor:
    """Weights (COLOUR_KNOTS, bins) of linear interpolation between the knots."""
    import torch

    hz = np.linspace(0, RATE / 2, SAMPLES // 2 + 1)
    mel = np.log1p(hz / 700) / np.log1p(RATE / 2 / 700) * (COLOUR_KNOTS - 1)
    weights = np.maximum(1 - np.abs(mel - np.arange(COLOUR_KNOTS)[:, None]), 0)
    return torch.from_numpy(weights.astype(np.float32))


def _random_colours(draw: _Draw) -> Tensor:
    import torch

    slope = -45 + 55 * draw.uniform(1)
    return slope * torch.linspace(0, 1, COLOUR_KNOTS, device=slope.device) + 4 * draw.normal(COLOUR_KNOTS)


def _gusts(depth: Tensor, draw: _Draw) -> Tensor:
    """Slow random gains (n, SAMPLES)."""
    return _lines(1 + depth[:, None] * draw.normal(31)).clamp_(min=0.05)


def _add_impacts(spectrum: Tensor, m: dict[str, Tensor], train: int, speed: Tensor, draw: _Draw) -> None:
    """Add a train of impacts to spectra (n, bins) of the machines that have one."""
    import torch

    random, strengths, start = draw.normal(_IMPACTS), draw.normal(_IMPACTS), draw.uniform(1)
    rows = torch.nonzero(m["impact_db"][:, train] > _ABSENT_DB)[:, 0]
    if not len(rows):
        return
    rate = (m["impact_hz"][rows, train] * speed[rows]).clamp(0.3, 350)[:, None]
    number = torch.arange(_IMPACTS, device=spectrum.device) + start[rows]
    times = (number + m["jitter"][rows, train, None] * random[rows]) / rate
    index = (times * RATE).long()
    inside = (index >= 0) & (index < SAMPLES)
    strength = 10 ** (m["spread_db"][rows, train, None] * strengths[rows] / 20)
    turn = torch.cos(2 * math.pi * m["rate_hz"][rows, :1] * times)
    strength = strength * (1 + m["load_zone"][rows, train, None] * turn) * inside
    pulses = torch.zeros(len(rows), SAMPLES, device=spectrum.device)
    pulses.scatter_add_(1, index.clamp(0, SAMPLES - 1), strength)
    found = torch.fft.rfft(pulses).mul_(_ring(m["ring_hz"][rows, train], m["ring_s"][rows, train]))
    level = _gain(m["impact_db"][rows, train]) / torch.sqrt(_power(found) + 1e-12)
    spectrum.index_add_(0, rows, found.mul_(level[:, None]))


def _ring(hz: Tensor, seconds: Tensor) -> Tensor:
    """Responses (n, bins) of two decaying resonances, in closed form."""
    import torch

    bins = torch.linspace(0, RATE / 2, SAMPLES // 2 + 1, device=hz.device)
    squares = bins.square()
    total = torch.zeros(2, len(hz), len(bins), device=hz.device)
    for mode in range(hz.shape[1]):
        decay = 1 / seconds[:, mode, None]
        real = (hz[:, mode, None].square() - squares).mul_((2 * math.pi) ** 2).add_(decay.square())
        imaginary = 4 * math.pi * decay * bins
        scale = (real.square() + imaginary.square()).reciprocal_().mul_(2 * math.pi * hz[:, mode, None])
        total[0] += real.mul_(scale)
        total[1] -= imaginary.mul_(scale)
    return torch.complex(total[0], total[1])


def _place_in_rooms(spectrum: Tensor, draw: _Draw, share: float) -> None:
    """Add a decaying echo to the direct sound of a share of spectra (n, bins)."""
    import torch

    bank = _room_bank().to(draw.device)
    chosen = (draw.uniform() * _ROOMS).long()
    strength = torch.where(draw.uniform() < share, 0.7 * draw.uniform(), torch.zeros(()))
    rows = torch.nonzero(strength)[:, 0]
    spectrum[rows] *= bank[chosen[rows]].mul_(strength[rows, None]).add_(1)


@cache
def _room_bank() -> Tensor:
    """Spectra (_ROOMS, bins) of noise that decays within 0.02 to 0.15 s (to 1/e), the same for every seed."""
    import torch

    rng = np.random.default_rng(0)
    time = np.arange(_ROOM_SAMPLES) / RATE
    decay = np.exp(rng.uniform(np.log(0.02), np.log(0.15), (_ROOMS, 1)))
    echo = rng.standard_normal((_ROOMS, _ROOM_SAMPLES)) * np.exp(-time / decay)
    echo[:, :32] = 0
    echo /= np.sqrt((echo**2).sum(axis=1, keepdims=True))
    spectra: Tensor = torch.fft.rfft(torch.from_numpy(echo.astype(np.float32)), SAMPLES)
    return spectra


def _recorded(sound: Tensor, draw: _Draw, surroundings: Surroundings) -> Tensor:
    """What the recorder makes of it, in the same memory: sometimes clipped, at some level."""
    import torch

    limit = torch.where(draw.uniform(1) < surroundings.clipped, 1.2 + 2 * draw.uniform(1), 1e6 * torch.ones(()))
    low, high = surroundings.level_dbfs
    level = _gain(low + (high - low) * draw.uniform())[:, None]
    return _levelled(sound).clamp_(-limit, limit).mul_(level)


def _power(spectrum: Tensor) -> Tensor:
    import torch

    norm = torch.linalg.vector_norm(torch.view_as_real(spectrum), dim=(1, 2))
    power: Tensor = norm.square_() / spectrum.shape[1] + 1e-12
    return power


def _ratio(rate: Tensor, m: dict[str, Tensor]) -> Tensor:
    return (rate / m["rate_hz"][:, 0])[:, None]


def _gain(db: Tensor) -> Tensor:
    return 10 ** (db / 20)
