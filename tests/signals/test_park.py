"""The modulus of Park's vector: still for a balanced motor, rippling for one that is not."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.signals.park import park_modulus, park_swing, swing_lines, turns_evenly

RATE = 2000.0
T = np.arange(4000) / RATE


def phases(amplitudes=(3.0, 3.0, 3.0), begin=0.0):
    angles = 2 * np.pi * 60 * T + begin - 2 * np.pi / 3 * np.arange(3)[:, None]
    return (np.array(amplitudes)[:, None] * np.cos(angles)).astype(np.float32)


def test_a_balanced_motor_stands_still_at_any_load():
    for load in (1.0, 50.0):
        assert np.abs(park_modulus(load * phases())).max() < 1e-5


def test_imbalance_ripples_at_twice_the_supply_whatever_the_recording_begins_with():
    found = park_modulus(phases((3, 3, 2.4)))
    spectrum = np.abs(np.fft.rfft(found))
    assert np.fft.rfftfreq(len(T), 1 / RATE)[spectrum[1:].argmax() + 1] == pytest.approx(120)
    assert found.std() == pytest.approx(park_modulus(phases((3, 3, 2.4), begin=1.0)).std(), rel=1e-3)
    assert found.std() > 1.8 * park_modulus(phases((3, 3, 2.7))).std()


def test_a_sideband_is_at_its_distance_from_the_supply():
    slow = 0.1 * np.cos(2 * np.pi * 57 * T - 2 * np.pi / 3 * np.arange(3)[:, None])
    spectrum = np.abs(np.fft.rfft(park_modulus(phases() + slow.astype(np.float32))))
    assert np.fft.rfftfreq(len(T), 1 / RATE)[spectrum[1:].argmax() + 1] == pytest.approx(3)


def test_nothing_measured_is_zeros_and_batches_are_each_by_itself():
    batch = np.stack([phases((3, 3, 2)), np.zeros((3, len(T)), np.float32)])
    found = park_modulus(batch)
    assert found.shape == (2, len(T))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], park_modulus(batch[0]))
    assert not found[1].any()


def test_the_swing_is_modulus_and_what_an_even_turn_leaves_of_the_angle():
    np.testing.assert_allclose(park_swing(phases()), 0.0, atol=1e-4)
    slow = 0.05 * np.sin(2 * np.pi * 25 * T)
    angles = 2 * np.pi * 60 * T + slow - 2 * np.pi / 3 * np.arange(3)[:, None]
    modulus, angle = park_swing(3 * np.cos(angles))
    assert np.abs(modulus).max() < 1e-9
    np.testing.assert_allclose(angle, slow, atol=2e-3)
    assert np.isfinite(park_swing(np.zeros((3, 64)))).all()


def test_lines_of_a_swing_stand_at_parts_of_the_mains():
    swing = np.stack([0.1 * np.cos(2 * np.pi * 120 * T), 0.02 * np.cos(2 * np.pi * 15 * T)])
    found = swing_lines(swing, 60 / RATE, periods=12, count=96)
    assert found.shape == (2, 96)
    assert (found.argmax(axis=1) + 1).tolist() == [24, 3]  # twelfths of 60 Hz: 120 Hz and 15 Hz
    np.testing.assert_allclose(np.exp(found.max(axis=1)), [0.1, 0.02], atol=2e-3)
    short = swing_lines(swing[:, :150], 60 / RATE, periods=4, count=32)
    assert (short.argmax(axis=1) + 1)[0] == 8


@pytest.mark.parametrize(
    ("lines", "phases_of_one"),
    [
        ([1, np.exp(-2j * np.pi / 3), np.exp(2j * np.pi / 3)], True),
        ([1, np.exp(2j * np.pi / 3), np.exp(-2j * np.pi / 3)], True),  # two phases swapped
        ([1, 0.9 * np.exp(-2.2j), 1.1 * np.exp(2j)], True),
        ([1, 1, 1], False),
        ([1, 1, np.exp(2j * np.pi / 3)], False),  # one cable twice
        ([1, np.exp(-2j * np.pi / 3), 0], False),
        ([1, 0.2j, 0.1], False),
        ([0, 0, 0], False),
    ],
)
def test_phases_of_one_supply_are_told_from_other_channels(lines, phases_of_one):
    assert turns_evenly(np.array(lines, complex)) is phases_of_one
