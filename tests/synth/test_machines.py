from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.machines import LOADS, RECIPES, SPEEDS, build_machine
from alp_assets.synth.shapes import Signal, Slope, at_angle, filtered, gain_db, noise, one_turn, rms, turn_share
from schemas.machines import MACHINE_TYPE_NAMES

RATE = 16_000
N = 4 * RATE


def run(machine_type: str, section: int = 0, recording: int = 0, speed: float = 1.0, load: float = 1.0) -> Signal:
    machine = build_machine(machine_type, np.random.default_rng(section))
    return machine.sound(np.random.default_rng(1000 + recording), N, RATE, speed, load)


def power_spectrum(signal: Signal) -> Signal:
    return np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2


def envelope_peak_to_mean(signal: Signal) -> float:
    frames = np.sqrt(np.mean(signal[: len(signal) // 160 * 160].reshape(-1, 160) ** 2, axis=1))
    return float(frames.max() / frames.mean())


def test_recipes_are_of_known_machine_types():
    assert len(RECIPES) >= 3
    assert set(RECIPES) <= set(MACHINE_TYPE_NAMES)


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


@pytest.mark.parametrize("machine_type", ["fan", "pump"])
def test_the_strongest_tone_is_a_harmonic_of_the_shaft_and_moves_with_the_speed(machine_type):
    machine = replace(build_machine(machine_type, np.random.default_rng(3)), flows=())
    for speed in SPEEDS.values():
        sound = machine.sound(np.random.default_rng(0), N, RATE, speed)
        peak_hz = float(np.argmax(power_spectrum(sound))) * RATE / N
        multiple = peak_hz / (machine.cycle_hz * speed)
        assert round(multiple) >= 1
        assert multiple == pytest.approx(round(multiple), rel=0.015)


def test_a_fan_sounds_at_its_blade_pass_frequency():
    machine = build_machine("fan", np.random.default_rng(5))
    order = machine.families[1].order
    power = power_spectrum(machine.sound(np.random.default_rng(0), N, RATE))
    hz = np.arange(len(power)) * RATE / N
    blade_hz = order * machine.cycle_hz
    at_blade = power[np.abs(hz - blade_hz) < 0.02 * blade_hz].max()
    assert at_blade > 30 * np.median(power[np.abs(hz - blade_hz) < 0.4 * blade_hz])


def test_a_valve_switches_where_a_fan_runs_evenly():
    assert envelope_peak_to_mean(run("valve")) > 1.5 * envelope_peak_to_mean(run("fan"))


@pytest.mark.parametrize("machine_type", RECIPES)
def test_faster_and_more_loaded_is_louder(machine_type):
    def level(speed: float, load: float) -> float:
        return float(np.mean([gain_db(rms(run(machine_type, 0, k, speed, load))) for k in range(6)]))

    assert level(SPEEDS["high"], 1.0) > level(SPEEDS["low"], 1.0) + 0.5
    assert level(1.0, LOADS["full"]) > level(1.0, LOADS["light"]) + 0.5


def test_an_unknown_type_names_those_available():
    with pytest.raises(ParameterError, match=r"'toaster'.*fan, pump, valve"):
        build_machine("toaster", np.random.default_rng(0))


def test_no_tone_lies_above_what_the_sample_rate_holds():
    """Harmonics of 230 Hz folded back at 4 kHz would lie 50 Hz beside the true ones."""
    machine = build_machine("pump", np.random.default_rng(0))
    machine = replace(machine, recipe=replace(machine.recipe, slip=0.0), flows=(), cycle_hz=230.0)
    power = power_spectrum(machine.sound(np.random.default_rng(0), N, 8000))
    hz = np.arange(len(power)) * 8000 / N
    beside = np.abs(hz / 230.0 - np.round(hz / 230.0)) > 0.15
    assert power[beside].max() < 1e-5 * power.max()


def test_a_table_of_one_turn_is_the_sum_of_its_harmonics():
    cycles = np.linspace(0.0, 7.3, 5000)
    read = at_angle(one_turn({1: 1.0, 45: 0.5j}), turn_share(cycles))
    expected = np.cos(2 * np.pi * cycles) - 0.5 * np.sin(2 * np.pi * 45 * cycles)
    assert np.abs(read - expected).max() < 2e-5


@pytest.mark.parametrize("n", [1, 319, 2560, 40_001])
def test_filtering_by_blocks_is_convolution(n):
    rng = np.random.default_rng(n)
    signal, taps = rng.standard_normal(n), rng.standard_normal(320)
    assert np.allclose(filtered(signal, taps), np.convolve(signal, taps)[:n], atol=1e-9)


@pytest.mark.parametrize("n", [16_000, 15_991])
def test_coloured_noise_has_rms_one_and_falls_as_asked(n):
    sound = noise(np.random.default_rng(0), n, RATE, Slope(-6.0, 20.0, 20_000.0))
    power = power_spectrum(sound)
    hz = np.arange(len(power)) * RATE / n
    octave = [10 * np.log10(power[(hz > low) & (hz < 2 * low)].mean()) for low in (500, 1000, 2000)]
    assert rms(sound) == pytest.approx(1.0)
    assert np.diff(octave) == pytest.approx([-6.0, -6.0], abs=1.0)
