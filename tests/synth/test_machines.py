from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.components import Blows, Cavitation, Component, Flow, Hum, Mesh
from alp_assets.synth.machines import LOADS, SPEEDS, Machine, build_machine
from alp_assets.synth.recipes import RECIPES
from alp_assets.synth.shapes import Signal, gain_db, rms
from schemas.machines import MACHINE_TYPE_NAMES

RATE = 16_000
N = 8 * RATE


def run(machine_type: str, section: int = 0, recording: int = 0, speed: float = 1.0, load: float = 1.0) -> Signal:
    return heard(build_machine(machine_type, np.random.default_rng(section)), recording, speed, load)


def heard(machine: Machine, recording: int = 0, speed: float = 1.0, load: float = 1.0) -> Signal:
    return machine.sound(np.random.default_rng(1000 + recording), N, RATE, speed, load)


def steady(machine_type: str, section: int, *kinds: type) -> Machine:
    """A machine whose speed does not waver, with its tones and those of its parts that are of some kinds."""
    machine = build_machine(machine_type, np.random.default_rng(section))
    parts = tuple(part for part in machine.parts if isinstance(part, kinds))
    return replace(machine, recipe=replace(machine.recipe, waver=0.0), parts=parts)


def silent_but(machine: Machine) -> Machine:
    """The machine without the harmonics of its shaft."""
    return replace(machine, families=())


def the(kind: type[Component], machine: Machine):
    return next(part for part in machine.parts if isinstance(part, kind))


def power_spectrum(signal: Signal) -> Signal:
    return np.abs(np.fft.rfft(np.asarray(signal, np.float64) * np.hanning(len(signal)))) ** 2


def envelope_spectrum(signal: Signal) -> Signal:
    """Power of how the loudness goes up and down."""
    loudness = np.asarray(signal, np.float64) ** 2
    return power_spectrum(loudness - loudness.mean())


def stands_out(power: Signal, hz: float, around_hz: float = 8.0) -> float:
    """The line at a frequency over the median of what lies around it, in dB."""
    grid = np.arange(len(power)) * RATE / N
    line = power[np.abs(grid - hz) < 0.4].max()
    floor = np.median(power[(np.abs(grid - hz) < around_hz) & (np.abs(grid - hz) > 0.6)])
    return float(10.0 * np.log10(line / floor))


def envelope_peak_to_mean(signal: Signal) -> float:
    frames = np.sqrt(np.mean(signal[: len(signal) // 160 * 160].reshape(-1, 160) ** 2, axis=1))
    return float(frames.max() / frames.mean())


def test_every_type_of_the_contract_can_be_synthesized():
    assert set(RECIPES) == set(MACHINE_TYPE_NAMES)


@pytest.mark.parametrize("machine_type", RECIPES)
def test_a_sound_has_the_right_length_and_a_realistic_level(machine_type):
    for section in range(5):
        sound = run(machine_type, section)
        assert sound.shape == (N,)
        assert np.isfinite(sound).all()
        assert -33.0 < gain_db(rms(sound)) < -23.0
        assert np.abs(sound).max() < 0.9


@pytest.mark.parametrize("machine_type", RECIPES)
def test_same_streams_same_sound_and_another_recording_another(machine_type):
    assert np.array_equal(run(machine_type), run(machine_type))
    assert not np.array_equal(run(machine_type), run(machine_type, recording=1))


@pytest.mark.parametrize("machine_type", RECIPES)
def test_sections_of_a_type_differ_from_each_other(machine_type):
    machines = [build_machine(machine_type, np.random.default_rng(section)) for section in range(6)]
    assert len({machine.cycle_hz for machine in machines}) == 6
    low, high = RECIPES[machine_type].cycle_hz
    assert all(low <= machine.cycle_hz <= high for machine in machines)


@pytest.mark.parametrize("machine_type", RECIPES)
def test_faster_and_more_loaded_is_louder(machine_type):
    def level(speed: float, load: float) -> float:
        return float(np.mean([gain_db(rms(run(machine_type, 0, k, speed, load))) for k in range(6)]))

    assert level(SPEEDS["high"], 1.0) > level(SPEEDS["low"], 1.0) + 0.5
    assert level(1.0, LOADS["heavy"]) > level(1.0, LOADS["light"]) + 0.5


@pytest.mark.parametrize("machine_type", ["fan", "pump", "bearing", "motor", "compressor", "gearbox"])
def test_the_shafts_harmonics_lie_at_multiples_of_its_speed_and_nowhere_else(machine_type):
    machine = steady(machine_type, 3)
    for speed in SPEEDS.values():
        power = power_spectrum(heard(machine, speed=speed))
        multiples = np.arange(len(power)) * RATE / N / machine.cycle_at(speed, 1.0)
        beside = np.abs(multiples - np.round(multiples)) * machine.cycle_at(speed, 1.0) > 2.5
        assert power[beside].sum() < 1e-3 * power.sum()


@pytest.mark.parametrize("machine_type", ["fan", "pump"])
def test_blades_and_vanes_sound_at_their_passing_frequency(machine_type):
    machine = steady(machine_type, 5, Flow, Hum, Cavitation)
    assert stands_out(power_spectrum(heard(machine)), machine.families[1].order * machine.cycle_hz) > 15.0


@pytest.mark.parametrize("machine_type", ["fan", "motor", "compressor"])
def test_a_loaded_shaft_slips_behind_the_hum_of_its_motor(machine_type):
    machine = steady(machine_type, 4, Hum)
    hum = the(Hum, machine)
    twice_supply = 2.0 * hum.pole_pairs * machine.cycle_hz / (1.0 - machine.slip)
    for load in LOADS.values():
        power = power_spectrum(heard(machine, load=load))
        assert stands_out(power, twice_supply) > 20.0
        assert stands_out(power, machine.cycle_at(1.0, load), around_hz=5.0) > 20.0
    assert machine.cycle_at(1.0, 1.25) < machine.cycle_at(1.0, 1.0) < machine.cycle_at(1.0, 0.7)


def test_the_hum_of_a_motor_swells_at_the_pole_pass_frequency():
    machine = silent_but(steady("motor", 2, Hum))
    supply_hz = the(Hum, machine).pole_pairs * machine.cycle_hz / (1.0 - machine.slip)
    power = power_spectrum(heard(machine))
    pole_pass_hz = 2.0 * machine.slip * supply_hz
    assert stands_out(power, 2.0 * supply_hz + pole_pass_hz, around_hz=1.5) > 20.0
    assert stands_out(power, 2.0 * supply_hz - pole_pass_hz, around_hz=1.5) > 20.0


def test_the_rotor_bars_of_a_motor_have_sidebands_at_twice_its_supply():
    machine = silent_but(steady("motor", 1, Hum))
    hum = the(Hum, machine)
    bars_hz = hum.slots * machine.cycle_hz
    apart_hz = 2.0 * hum.pole_pairs * machine.cycle_hz / (1.0 - machine.slip)
    power = power_spectrum(heard(machine))
    for line_hz in (bars_hz, bars_hz - apart_hz, bars_hz + apart_hz):
        assert stands_out(power, line_hz, around_hz=1.5) > 20.0


def test_gears_sound_at_the_mesh_frequency_with_sidebands_at_either_shaft():
    machine = silent_but(steady("gearbox", 2, Mesh))
    mesh = the(Mesh, machine)
    mesh_hz, wheel_hz = mesh.teeth * machine.cycle_hz, machine.cycle_hz * mesh.teeth / mesh.wheel_teeth
    power = power_spectrum(heard(machine))
    for apart_hz in (0.0, machine.cycle_hz, -machine.cycle_hz, wheel_hz, -wheel_hz):
        assert stands_out(power, mesh_hz + apart_hz, around_hz=4.0) > 20.0
    assert stands_out(power, mesh_hz + 0.37 * machine.cycle_hz, around_hz=1.5) < 15.0


def test_the_balls_of_a_bearing_strike_at_no_multiple_of_the_shaft_and_louder_under_load():
    machine = silent_but(steady("bearing", 6, Blows))
    impacts = the(Blows, machine)
    passing_hz = impacts.per_cycle * machine.cycle_hz
    power = envelope_spectrum(heard(machine))
    assert abs(impacts.per_cycle - round(impacts.per_cycle)) > 0.02
    for line_hz in (passing_hz, passing_hz + machine.cycle_hz, passing_hz - machine.cycle_hz):
        assert stands_out(power, line_hz, around_hz=5.0) > 10.0


def test_the_impacts_of_a_bearing_ring_at_its_resonance():
    machine = silent_but(steady("bearing", 6, Blows))
    power = power_spectrum(heard(machine))
    hz = np.arange(len(power)) * RATE / N
    centre_hz = float((hz * power).sum() / power.sum())
    assert centre_hz == pytest.approx(the(Blows, machine).ring_hz[0], rel=0.25)


def test_cavitation_is_high_noise_that_follows_the_vanes_and_grows_faster_than_the_pump():
    machine = silent_but(steady("pump", 7, Cavitation))
    cavitation = the(Cavitation, machine)
    sound = heard(machine)
    power = power_spectrum(sound)
    hz = np.arange(len(power)) * RATE / N
    assert power[hz > 1500.0].sum() > 0.8 * power.sum()
    assert stands_out(envelope_spectrum(sound), cavitation.vanes * machine.cycle_hz) > 6.0
    grown = [gain_db(rms(heard(machine, k, 1.2)) / rms(heard(machine, k, 0.85))) for k in range(6)]
    assert np.mean(grown) > machine.recipe.speed_db * np.log2(1.2 / 0.85) + 3.0


def test_the_gas_of_a_compressor_rushes_once_a_stroke():
    machine = silent_but(steady("compressor", 3, Flow, Blows))
    power = envelope_spectrum(heard(machine))
    assert stands_out(power, machine.cycle_hz, around_hz=4.0) > 15.0


def test_a_valve_is_open_for_part_of_its_cycle():
    machine = steady("valve", 3)
    machine = replace(machine, parts=tuple(p for p in build_parts(machine) if p.open_share < 1.0))
    frames = np.mean(heard(machine).reshape(-1, 160) ** 2, axis=1)
    open_share = float(np.mean(frames > 0.05 * frames.max()))
    assert open_share == pytest.approx(machine.parts[0].open_share, abs=0.05)


def build_parts(machine: Machine) -> list[Flow]:
    whole = build_machine(machine.machine_type, np.random.default_rng(3))
    return [part for part in whole.parts if isinstance(part, Flow)]


@pytest.mark.parametrize("machine_type", ["valve", "compressor"])
def test_strokes_and_switching_are_uneven_where_a_pump_runs_evenly(machine_type):
    uneven, even = (
        np.mean([envelope_peak_to_mean(run(name, section)) for section in range(4)])
        for name in (machine_type, "pump")
    )
    assert uneven > 1.25 * even


def test_an_unknown_type_names_those_available():
    with pytest.raises(ParameterError, match=r"'toaster'.*fan, pump, valve"):
        build_machine("toaster", np.random.default_rng(0))


def test_harmonics_of_the_shaft_that_the_sample_rate_cannot_hold_are_left_out():
    """Those of 230 Hz folded back at 4 kHz would lie 50 Hz beside the true ones."""
    machine = replace(steady("pump", 0), cycle_hz=230.0)
    power = power_spectrum(machine.sound(np.random.default_rng(0), N, 8000))
    multiples = np.arange(len(power)) * 8000 / N / 230.0
    assert power[np.abs(multiples - np.round(multiples)) > 0.15].max() < 1e-5 * power.max()


def test_harmonics_of_the_mesh_that_the_sample_rate_cannot_hold_are_left_out():
    machine = replace(silent_but(steady("gearbox", 0, Mesh)), cycle_hz=103.0)
    mesh_hz = the(Mesh, machine).teeth * 103.0
    power = power_spectrum(machine.sound(np.random.default_rng(0), N, 8000))
    hz = np.arange(len(power)) * 8000 / N
    assert mesh_hz < 3_600 < 2.0 * mesh_hz
    assert hz[power.argmax()] == pytest.approx(mesh_hz, abs=1.0)
    assert power[np.abs(hz - mesh_hz) > 5 * 103.0].max() < 1e-5 * power.max()
