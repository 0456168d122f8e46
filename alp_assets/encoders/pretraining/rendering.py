"""Sound of random machines: every rendering of a machine is another moment of it, in another place.

Vectorised over machines in torch, on a CPU or a GPU. Periodic sources are wavetables read at the phase of a
wandering shaft, noises are shaped in the frequency domain, impacts are convolved with their resonances there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from alp_assets.encoders.pretraining.machines import (
    COLOUR_KNOTS,
    HARMONICS,
    ROTORS,
    TRAINS,
    Machines,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

RATE = 16_000
SAMPLES = 48_000
"""Three seconds."""

_TABLE = 2_048
_WANDER_POINTS = 13
"""Points between which a speed drifts, over the three seconds."""

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
    """Sound (n, SAMPLES), float32, one rendering of each machine, on the generator's device."""
    import torch

    device = generator.device
    m = {name: torch.from_numpy(value).to(device) for name, value in vars(machines).items()}
    count = len(machines)
    draw = _Draw(generator, count)
    speed = 1 + surroundings.speed * draw.normal()
    shaft = _phase(m["rate_hz"][:, 0] * speed, m["wander"][:, 0], draw)
    sound = _rotors(m, shaft, speed, draw)
    flow = _noise(m["flow_colour_db"], draw) * _read(m["flow_envelope"], shaft * _ratio(m["flow_rate_hz"], m))
    sound += flow.mul_(_gusts(m["gusts"], draw)).mul_(_gain(m["flow_db"])[:, None])
    if bool((m["stroke_db"] > -100).any()):
        cycle = _phase(m["stroke_rate_hz"] * speed, 0.01 * torch.ones(count, device=device), draw)
        strokes = _noise(m["stroke_colour_db"], draw) * _read(m["stroke_envelope"], cycle)
        sound += strokes.mul_(_gain(m["stroke_db"])[:, None])
    spectrum = torch.fft.rfft(sound)
    for train in range(TRAINS):
        spectrum += _impacts(m, train, shaft, speed, draw)
    spectrum *= _rooms(draw, surroundings.room)
    power = _power(spectrum)
    background = _coloured(_random_colours(draw), draw)
    low, high = surroundings.noise_db
    ratio = low + (high - low) * draw.uniform()
    spectrum += background * (torch.sqrt(power / _power(background)) * 10 ** (-ratio / 20))[:, None]
    spectrum *= _curve(surroundings.microphone_db * draw.normal(COLOUR_KNOTS))
    return _recorded(torch.fft.irfft(spectrum, SAMPLES), draw, surroundings)


class _Draw:
    """Random tensors of n rows on the generator's device."""

    def __init__(self, generator: Generator, count: int) -> None:
        self.generator, self.count = generator, count
        self._spectrum: Tensor | None = None

    def uniform(self, *shape: int) -> Tensor:
        import torch

        return torch.rand(self.count, *shape, generator=self.generator, device=self.generator.device)

    def normal(self, *shape: int) -> Tensor:
        import torch

        return torch.randn(self.count, *shape, generator=self.generator, device=self.generator.device)

    def spectrum(self) -> Tensor:
        """A white random spectrum (n, bins), complex.

        One draw serves a whole rendering: each further noise is that of the row before, so the noises of a
        clip are independent of each other.
        """
        import torch

        self._spectrum = (
            torch.view_as_complex(self.normal(SAMPLES // 2 + 1, 2))
            if self._spectrum is None
            else self._spectrum.roll(1, 0)
        )
        return self._spectrum


def _rotors(m: dict[str, Tensor], shaft: Tensor, speed: Tensor, draw: _Draw) -> Tensor:
    """Sum (n, SAMPLES) of the periodic sources."""
    import torch

    total = torch.zeros_like(shaft)
    for rotor in range(ROTORS):
        rows = torch.nonzero(m["rotor_db"][:, rotor] > -100)[:, 0]
        random = draw.uniform(HARMONICS + 1)
        if not len(rows):
            continue
        if rotor == 0:
            phase = shaft[rows]
        else:
            here = m["rate_hz"][:, rotor] * (1 if rotor == 2 else speed)
            phase = _phase(here, m["wander"][:, rotor], draw)[rows]
        table = _wavetable(m["harmonics"][rows, rotor], random[rows, :HARMONICS])
        sound = _read(table, phase + random[rows, HARMONICS:])
        depth, order = m["beat"][rows, rotor, None], m["beat_order"][rows, rotor, None]
        beating = 1 + depth * torch.cos(2 * math.pi * order * shaft[rows])
        total[rows] += sound * beating * _gain(m["rotor_db"][rows, rotor])[:, None]
    return total


def _wavetable(harmonics: Tensor, phases: Tensor) -> Tensor:
    """One turn (n, _TABLE) of root mean square 1."""
    import torch

    spectrum = torch.zeros(len(harmonics), _TABLE // 2 + 1, dtype=torch.complex64, device=harmonics.device)
    spectrum[:, 1 : HARMONICS + 1] = torch.polar(harmonics, 2 * math.pi * phases)
    turn: Tensor = torch.fft.irfft(spectrum, _TABLE) * (_TABLE / math.sqrt(2))
    return turn


def _read(table: Tensor, phase: Tensor) -> Tensor:
    """Tables (n, points) of one turn, read at phases (n, samples) in turns."""
    points = table.shape[1]
    index = (phase.frac() * points).long().clamp_(0, points - 1)
    return table.gather(1, index)


def _phase(rate_hz: Tensor, wander: Tensor, draw: _Draw) -> Tensor:
    """Turns (n, SAMPLES) since the start, by a rate (n,) that drifts by ``wander`` of itself."""
    import torch

    drift = _lines(1 + wander[:, None] * draw.normal(_WANDER_POINTS))
    # summed in double precision: thousands of turns must keep their fraction
    turns = drift.mul_(rate_hz[:, None] / RATE).cumsum(1, dtype=torch.float64)
    return turns.float() + draw.uniform(1)


def _lines(knots: Tensor) -> Tensor:
    """Straight lines (n, SAMPLES) between knots (n, k), evenly spaced."""
    import torch

    return torch.nn.functional.interpolate(knots[:, None], SAMPLES, mode="linear", align_corners=True)[:, 0]


def _noise(colour_db: Tensor, draw: _Draw) -> Tensor:
    """Noise (n, SAMPLES) of root mean square 1 and a colour (n, COLOUR_KNOTS)."""
    import torch

    sound: Tensor = torch.fft.irfft(_coloured(colour_db, draw), SAMPLES)
    return sound / (sound.square().mean(1, keepdim=True).sqrt() + 1e-9)


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


def _impacts(m: dict[str, Tensor], train: int, shaft: Tensor, speed: Tensor, draw: _Draw) -> Tensor:
    """Spectrum (n, bins) of a train of impacts, zero where a machine has none."""
    import torch

    rows = torch.nonzero(m["impact_db"][:, train] > -100)[:, 0]
    most = 1_100
    random, strengths, start = draw.normal(most), draw.normal(most), draw.uniform(1)
    spectrum = torch.zeros(len(shaft), SAMPLES // 2 + 1, dtype=torch.complex64, device=shaft.device)
    if not len(rows):
        return spectrum
    rate = (m["impact_hz"][rows, train] * speed[rows]).clamp(0.3, 350)[:, None]
    number = torch.arange(most, device=shaft.device) + start[rows]
    times = (number + m["jitter"][rows, train, None] * random[rows]) / rate
    index = (times * RATE).long()
    inside = (index >= 0) & (index < SAMPLES)
    strength = 10 ** (m["spread_db"][rows, train, None] * strengths[rows] / 20)
    turn = torch.cos(2 * math.pi * m["rate_hz"][rows, :1] * times)
    strength = strength * (1 + m["load_zone"][rows, train, None] * turn) * inside
    pulses = torch.zeros(len(rows), SAMPLES, device=shaft.device)
    pulses.scatter_add_(1, index.clamp(0, SAMPLES - 1), strength)
    found = torch.fft.rfft(pulses) * _ring(m["ring_hz"][rows, train], m["ring_s"][rows, train])
    level = _gain(m["impact_db"][rows, train]) / torch.sqrt(_power(found) + 1e-12)
    spectrum[rows] = found * level[:, None]
    return spectrum


def _ring(hz: Tensor, seconds: Tensor) -> Tensor:
    """Responses (n, bins) of two decaying resonances, in closed form."""
    import torch

    bins = torch.linspace(0, RATE / 2, SAMPLES // 2 + 1, device=hz.device)
    total = torch.zeros(len(hz), len(bins), dtype=torch.complex64, device=hz.device)
    for mode in range(hz.shape[1]):
        decay = 1 / seconds[:, mode, None]
        real = decay.square() + (2 * math.pi) ** 2 * (hz[:, mode, None].square() - bins.square())
        imaginary = 4 * math.pi * decay * bins
        total += (2 * math.pi * hz[:, mode, None]) / torch.complex(real, imaginary)
    return total


def _rooms(draw: _Draw, share: float) -> Tensor:
    """Responses (n, bins): the direct sound and, for a share of them, a decaying echo."""
    import torch

    bank = _room_bank().to(draw.generator.device)
    chosen = (draw.uniform() * _ROOMS).long()
    strength = torch.where(draw.uniform() < share, 0.7 * draw.uniform(), torch.zeros(()))
    return 1 + strength[:, None] * bank[chosen]


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
    """What the recorder makes of it: a level, sometimes clipping; always steps of 16 bits as noise."""
    import torch

    sound = sound / (sound.square().mean(1, keepdim=True).sqrt() + 1e-9)
    limit = torch.where(draw.uniform(1) < surroundings.clipped, 1.2 + 2 * draw.uniform(1), 1e6 * torch.ones(()))
    sound = torch.minimum(torch.maximum(sound, -limit), limit)
    low, high = surroundings.level_dbfs
    return sound * _gain(low + (high - low) * draw.uniform())[:, None]


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square().mean(1) + spectrum.imag.square().mean(1) + 1e-12


def _ratio(rate: Tensor, m: dict[str, Tensor]) -> Tensor:
    return (rate / m["rate_hz"][:, 0])[:, None]


def _gain(db: Tensor) -> Tensor:
    return 10 ** (db / 20)
