"""The synthetic motor: a fault puts its lines where theory has them, and a stronger one more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alp_assets.synth.motor import FAULTS, Duty, Fault, build_motor, run_motor

RATE, POINTS = 5000, 50_000
DUTY = Duty(mains_hz=60.0, load=0.9)
MOTOR = replace(build_motor(np.random.default_rng(1)), pole_pairs=2, rated_slip=0.03, bearing_orders=(3.3, 5.2))
SLIP = 0.03 * DUTY.load
ROTOR_HZ = 60 * (1 - SLIP) / 2
TURN = np.exp(2j * np.pi / 3)


def run(kind=None, level=0.5, phase=0, seed=0, duty=DUTY):
    fault = Fault(kind, level, phase) if kind else None
    return run_motor(MOTOR, np.random.default_rng(seed), POINTS, RATE, duty, fault).astype(float)


def near(values, hz, within=1.2):
    """The largest line near a frequency, relative to the supply's."""
    spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values))))
    axis = np.fft.rfftfreq(len(values), 1 / RATE)
    around = (axis > hz - within) & (axis < hz + within)
    return spectrum[around].max() / spectrum.max()


def negative_sequence(values, hz=60.0):
    window = np.hanning(POINTS) * np.exp(-2j * np.pi * hz * np.arange(POINTS) / RATE)
    a, b, c = values[:3] @ window
    return abs(a + TURN**2 * b + TURN * c) / abs(a + TURN * b + TURN**2 * c)


LINES = {
    "broken_bar": 60 * (1 - 2 * SLIP),
    "eccentricity": 60 + ROTOR_HZ,
    "bearing": 60 + 3.3 * ROTOR_HZ,
    "imbalance": 60 - ROTOR_HZ,
}


@pytest.mark.parametrize("kind", LINES)
def test_a_fault_has_its_sidebands_and_they_grow(kind):
    healthy, slight, severe = (near(values[0], LINES[kind]) for values in (run(), run(kind, 0.2), run(kind, 0.8)))
    assert healthy < 0.5 * slight < 0.25 * severe


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_shorted_turns_make_a_negative_sequence_and_load_their_phase(phase):
    slight, severe = run("inter_turn", 0.2, phase), run("inter_turn", 0.9, phase)
    assert negative_sequence(run()) < 0.5 * negative_sequence(slight) < 0.25 * negative_sequence(severe)
    assert severe[:3].std(axis=1).argmax() == phase


def test_a_healthy_motor_is_nearly_balanced_and_turns_forward():
    values = run()
    assert negative_sequence(values) < 0.04
    assert values.shape == (4, POINTS)
    crests = values[:3].std(axis=1)
    assert np.abs(crests / crests.mean() - 1).max() < 0.05


def test_more_load_is_more_current_and_more_slip():
    light, heavy = (run("broken_bar", 0.8, duty=replace(DUTY, load=load)) for load in (0.4, 1.1))
    assert heavy[0].std() > 1.3 * light[0].std()
    assert near(heavy[0], 60 * (1 - 2 * 0.03 * 1.1)) > near(light[0], 60 * (1 - 2 * 0.03 * 1.1))


def test_an_unbalanced_supply_is_seen():
    assert negative_sequence(run(duty=replace(DUTY, imbalance=0.05))) > 0.04


def test_the_flux_coil_sees_faults_more_than_the_phases_do():
    healthy, severe = run(), run("eccentricity", 0.8)
    line = LINES["eccentricity"]
    assert near(severe[3], line) > near(severe[0], line)
    assert near(healthy[3], line) < 0.5 * near(severe[3], line)


def test_the_same_seed_is_the_same_recording_and_another_is_another():
    np.testing.assert_array_equal(run("bearing"), run("bearing"))
    assert not np.array_equal(run("bearing"), run("bearing", seed=1))


def test_level_0_is_a_healthy_motor():
    for kind in FAULTS:
        found, healthy = run(kind, 0.0), run()
        assert abs(found[0].std() / healthy[0].std() - 1) < 0.02
        assert abs(negative_sequence(found) - negative_sequence(healthy)) < 0.01


def test_slow_sampling_has_no_lines_that_it_cannot_hold():
    values = run_motor(MOTOR, np.random.default_rng(0), 4000, 500, DUTY).astype(float)
    spectrum = np.abs(np.fft.rfft(values[0] * np.hanning(4000)))
    axis = np.fft.rfftfreq(4000, 1 / 500)
    assert spectrum[axis > 200].max() < 0.02 * spectrum.max()


@pytest.mark.parametrize("fault", [Fault("rust", 0.5), Fault("bearing", 1.5), Fault("inter_turn", 0.5, 3)])
def test_faults_that_do_not_exist_are_refused(fault):
    with pytest.raises(ValueError, match="broken_bar"):
        run_motor(MOTOR, np.random.default_rng(0), 1000, RATE, DUTY, fault)
