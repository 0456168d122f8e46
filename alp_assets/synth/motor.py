"""The currents and the stray flux of a three-phase induction motor, healthy or with a fault, from parameters.

Supply and rotor give each phase its lines; a fault adds those that the literature looks for (Nandi, Toliyat, Li,
IEEE Trans. Energy Conversion 20(4), 2005): broken bars at (1 ± 2ks) f, eccentricity and unbalance at f ± k f_r,
bearings at f ± m f_v, shorted turns as a negative sequence with third harmonics. Amplitudes are in amperes, the
flux in volts of its coil.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FAULTS = ("broken_bar", "inter_turn", "eccentricity", "bearing", "imbalance")
"""The kinds of faults."""

_HARMONICS = ((5, 0.012), (7, 0.008), (11, 0.004), (13, 0.003))
_SATURATION = 0.006  # third harmonic of a healthy motor
_RESIDUAL = 0.003  # negative sequence of its own, and of the clamps
_FLUX_V = 0.05  # of the coil for an ampere at the supply frequency
_TURN = 2 * np.pi / 3


@dataclass(frozen=True)
class Motor:
    """One physical motor.

    Args:
        rated_a: amplitude of its rated current.
        no_load: share of it that flows without load.
        pole_pairs: half the number of poles.
        rated_slip: at rated load.
        bars: of the rotor.
        bearing_orders: characteristic frequencies of its bearings for a turn of the shaft (BPFO, BPFI).
        own_imbalance: what its windings differ by, complex, as a share of the current.
        harmonics: its own factors of the usual harmonics.
        coil: phase of the coil outside against phase a, and its factor.
    """

    rated_a: float
    no_load: float
    pole_pairs: int
    rated_slip: float
    bars: int
    bearing_orders: tuple[float, float]
    own_imbalance: complex
    harmonics: tuple[float, ...]
    coil: complex


@dataclass(frozen=True)
class Duty:
    """What the motor runs under: supply frequency in Hz, load (1 is rated), negative sequence of the supply."""

    mains_hz: float = 60.0
    load: float = 0.8
    imbalance: float = 0.01
    noise: float = 0.004


@dataclass(frozen=True)
class Fault:
    """A kind of ``FAULTS`` and how far it has gone: 0 is nothing, 1 shortly before the motor stops.

    ``phase`` is where a short between turns is: 0, 1 or 2.
    """

    kind: str
    level: float
    phase: int = 0


def build_motor(rng: np.random.Generator) -> Motor:
    """Draw one motor."""
    return Motor(
        rated_a=float(rng.uniform(4.0, 20.0)),
        no_load=float(rng.uniform(0.3, 0.45)),
        pole_pairs=int(rng.choice([1, 2, 3])),
        rated_slip=float(rng.uniform(0.02, 0.045)),
        bars=int(rng.choice([28, 34, 40, 44])),
        bearing_orders=(float(rng.uniform(3.0, 3.7)), float(rng.uniform(4.9, 5.6))),
        own_imbalance=complex(_RESIDUAL * rng.normal(), _RESIDUAL * rng.normal()),
        harmonics=tuple(rng.uniform(0.6, 1.4, len(_HARMONICS)).tolist()),
        coil=complex(rng.uniform(0.7, 1.3) * np.exp(1j * rng.uniform(0, 2 * np.pi))),
    )


def run_motor(
    motor: Motor, rng: np.random.Generator, points: int, rate: float, duty: Duty, fault: Fault | None = None
) -> npt.NDArray[np.float32]:
    """Let a motor run: currents of phase a, b and c (A) and the voltage of the flux coil (V), (4, points).

    Args:
        motor: which one.
        rng: what differs from recording to recording: phase of the supply, waver of frequency and load, noise.
        points: of each channel.
        rate: points a second.
        duty: what it runs under.
        fault: what is wrong with it, if anything.

    Raises:
        ValueError: the fault is none of ``FAULTS``, its level is not from 0 to 1, or its phase not 0, 1 or 2.
    """
    if fault and (fault.kind not in FAULTS or not 0 <= fault.level <= 1 or fault.phase not in (0, 1, 2)):
        raise ValueError(f"{fault}: the kind is one of {', '.join(FAULTS)}, the level 0 to 1, the phase 0, 1 or 2")
    run = _Run(motor, rng, points, rate, duty)
    phases = run.healthy()
    extra = run.faulty(fault) if fault else np.zeros_like(phases)
    amplitude = np.abs(phases).max()
    currents = phases + extra + duty.noise * amplitude / 3 * rng.normal(size=phases.shape)
    return np.concatenate([currents, run.flux(phases, extra)[None]]).astype(np.float32)


class _Run:
    """One recording: the angles of supply and rotor at every point, and the lines on them."""

    def __init__(self, motor: Motor, rng: np.random.Generator, points: int, rate: float, duty: Duty) -> None:
        self.motor, self.rng, self.rate = motor, rng, rate
        self.mains_hz = duty.mains_hz * (1 + 2e-4 * rng.normal())
        self.load = duty.load * (1 + 0.02 * rng.normal())
        self.slip = motor.rated_slip * self.load
        self.rotor_hz = self.mains_hz * (1 - self.slip) / motor.pole_pairs
        self.amplitude = motor.rated_a * float(np.hypot(motor.no_load, (1 - motor.no_load) * self.load))
        self.supply = duty.imbalance * np.exp(1j * rng.uniform(0, 2 * np.pi))
        self.time = np.arange(points) / rate
        wander = np.cumsum(rng.normal(size=points)) * 2e-3 / np.sqrt(rate)
        self.angle = 2 * np.pi * self.mains_hz * self.time + rng.uniform(0, 2 * np.pi) + wander

    def healthy(self) -> FloatArray:
        """The currents (3, n) of the motor as it was delivered."""
        load_swing = 0.004 * np.cos(2 * np.pi * self.rotor_hz * self.time + self._any_phase())
        found = self._sequence(self.amplitude * (1 + load_swing), 1)
        found += self._negative(self.supply + self.motor.own_imbalance)
        for (order, share), own in zip(_HARMONICS, self.motor.harmonics, strict=True):
            if self._fits(order * self.mains_hz):
                found += self._sequence(share * own * self.amplitude, order, direction=1 if order % 6 == 1 else -1)
        if self._fits(3 * self.mains_hz):
            found += self._sequence(_SATURATION * self.amplitude, 3, direction=0)
        for sign in (-1, 1):
            slot_hz = self.motor.bars * self.rotor_hz + sign * self.mains_hz
            found += self._line(slot_hz, 0.003 * self.amplitude * self.load, direction=sign)
        return found

    def faulty(self, fault: Fault) -> FloatArray:
        """What a fault adds to the currents (3, n)."""
        made: FloatArray = getattr(self, f"_{fault.kind}")(fault)
        return made

    def flux(self, phases: FloatArray, extra: FloatArray) -> FloatArray:
        """The voltage of a coil beside the housing (n,): stray flux changes with the currents, faults most."""
        weights = [abs(self.motor.coil) * np.cos(np.angle(self.motor.coil) - k * _TURN) for k in range(3)]
        linked = np.tensordot(weights, phases + 3 * extra, 1)
        voltage: FloatArray = _FLUX_V * np.gradient(linked) * self.rate / (2 * np.pi * self.mains_hz)
        return voltage + 0.004 * _FLUX_V * self.amplitude * self.rng.normal(size=len(voltage))

    def _broken_bar(self, fault: Fault) -> FloatArray:
        """Sidebands at (1 - 2ks) f, and weaker at (1 + 2ks) f through the ripple of the speed."""
        found = np.zeros((3, len(self.time)))
        depth = 0.06 * fault.level * self.load * self.amplitude
        for order in (1, 2, 3):
            away = 2 * order * self.slip * self.mains_hz
            found += self._line(self.mains_hz - away, depth / order**2, direction=1)
            found += self._line(self.mains_hz + away, 0.6 * depth / order**2, direction=1)
        return found

    def _inter_turn(self, fault: Fault) -> FloatArray:
        """More current in one phase, which is a negative sequence of a third of it, and third harmonics."""
        size = 0.5 * fault.level * self.amplitude
        found = np.zeros((3, len(self.time)))
        found[fault.phase] += size * np.cos(self.angle - fault.phase * _TURN - 0.4)
        if self._fits(3 * self.mains_hz):
            found += self._sequence(0.03 * fault.level * self.amplitude, 3, direction=1)
        return found

    def _eccentricity(self, fault: Fault) -> FloatArray:
        """The air gap varies with the turn: f ± k f_r, and about the slot harmonics."""
        found = np.zeros((3, len(self.time)))
        depth = 0.03 * fault.level * self.amplitude
        for order in (1, 2):
            for sign in (-1, 1):
                found += self._line(self.mains_hz + sign * order * self.rotor_hz, depth / order, direction=1)
        slot_hz = self.motor.bars * self.rotor_hz + self.mains_hz
        for sign in (-1, 1):
            found += self._line(slot_hz + sign * self.rotor_hz, 0.3 * depth, direction=1)
        return found

    def _bearing(self, fault: Fault) -> FloatArray:
        """Each ball that rolls over the spot swings the torque: f ± m f_v, blurred, as balls slip."""
        found = np.zeros((3, len(self.time)))
        for order, share in zip(self.motor.bearing_orders, (1.0, 0.5), strict=True):
            blur = 0.3 * np.cumsum(self.rng.normal(size=len(self.time))) / np.sqrt(self.rate)
            for m in (1, 2, 3):
                away = m * order * self.rotor_hz
                depth = 0.02 * share * fault.level * self.amplitude / m
                found += self._line(self.mains_hz - away, depth, direction=1, blur=m * blur)
                found += self._line(self.mains_hz + away, depth, direction=1, blur=m * blur)
        return found

    def _imbalance(self, fault: Fault) -> FloatArray:
        """A rotor out of balance swings torque and speed once a turn: the currents' phase is modulated."""
        swing = 0.08 * fault.level * np.sin(2 * np.pi * self.rotor_hz * self.time + self._any_phase())
        angles = self.angle - _TURN * np.arange(3)[:, None]
        found: FloatArray = self.amplitude * (np.cos(angles + swing) - np.cos(angles))
        return found

    def _sequence(self, amplitude: float | FloatArray, order: int, direction: int = 1) -> FloatArray:
        """A harmonic of the supply in all phases, turning with them (1), against them (-1) or in step (0)."""
        shifts = direction * _TURN * np.arange(3)[:, None]
        own = 0.0 if order == 1 else order
        found: FloatArray = amplitude * np.cos(order * self.angle + own - shifts)
        return found

    def _negative(self, share: complex) -> FloatArray:
        """A system of the supply frequency that turns backwards, a complex share of the current."""
        angle = self.angle + np.angle(share) + _TURN * np.arange(3)[:, None]
        found: FloatArray = abs(share) * self.amplitude * np.cos(angle)
        return found

    def _line(self, hz: float, amplitude: float, direction: int, blur: float | FloatArray = 0.0) -> FloatArray:
        """A line that is no harmonic of the supply; one below 0 Hz turns the other way."""
        if not self._fits(abs(hz)):
            return np.zeros((3, len(self.time)))
        shifts = direction * _TURN * np.arange(3)[:, None]
        angle = 2 * np.pi * hz * self.time + self._any_phase() + blur
        found: FloatArray = amplitude * np.cos(angle - shifts)
        return found

    def _fits(self, hz: float) -> bool:
        return hz < 0.45 * self.rate

    def _any_phase(self) -> float:
        return float(self.rng.uniform(0, 2 * np.pi))
