"""The modulus of Park's vector: still for a balanced motor, rippling for one that is not."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.signals.park import park_modulus

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
