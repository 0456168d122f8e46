from __future__ import annotations

import numpy as np
import pytest

from alp_assets.synth.shapes import (
    FLAT,
    Clock,
    Signal,
    Slope,
    noise,
    one_turn,
    place,
    rms,
    wavering_cycles,
)

RATE = 16_000


def power_spectrum(signal: Signal) -> Signal:
    return np.abs(np.fft.rfft(np.asarray(signal, np.float64) * np.hanning(len(signal)))) ** 2


def test_a_table_of_one_turn_read_by_a_clock_is_the_sum_of_its_harmonics():
    cycles = np.linspace(0.0, 7.3, 5000)
    read = Clock.of(cycles).read(one_turn({1: 1.0, 45: 0.5j}))
    expected = np.cos(2 * np.pi * cycles) - 0.5 * np.sin(2 * np.pi * 45 * cycles)
    assert np.abs(read - expected).max() < 1e-4


def test_a_steady_clock_turns_at_its_rate_for_as_long_as_it_runs():
    table = one_turn({1: 1.0})
    steady = Clock.steady(60 * RATE, RATE, 59.7, 0.25).read(table)
    assert np.abs(steady - Clock.of(np.arange(60 * RATE) * 59.7 / RATE + 0.25).read(table)).max() < 1e-2
    assert Clock.steady(RATE, RATE, 0.0, 0.0).read(table) == pytest.approx(1.0)


def test_wavering_cycles_go_on_and_waver_by_as_much_as_asked():
    cycles = wavering_cycles(np.random.default_rng(0), 200 * RATE, RATE, 30.0, 0.01)
    speed_hz = np.diff(cycles) * RATE
    assert cycles.shape == (200 * RATE,)
    assert np.abs(np.diff(speed_hz)).max() < 0.01
    assert speed_hz.mean() == pytest.approx(30.0, rel=0.005)
    assert 0.006 < speed_hz.std() / 30.0 < 0.011


@pytest.mark.parametrize("n", [16_000, 15_991, 100, 1])
def test_noise_has_the_length_asked_for(n):
    assert noise(np.random.default_rng(0), n, RATE, FLAT).shape == (n,)


@pytest.mark.parametrize("slope", [0.0, -3.0, -6.0])
def test_coloured_noise_has_rms_one_and_falls_as_asked(slope):
    sound = noise(np.random.default_rng(0), 10 * RATE, RATE, Slope(slope, 20.0, 20_000.0))
    power = power_spectrum(sound)
    hz = np.arange(len(power)) / 10.0
    octave = [10 * np.log10(power[(hz > low) & (hz < 2 * low)].mean()) for low in (500, 1000, 2000)]
    assert sound.dtype == np.float32
    assert rms(sound) == pytest.approx(1.0, abs=0.1)
    assert np.diff(octave) == pytest.approx([slope, slope], abs=1.0)


def test_noise_is_gaussian_and_as_loud_where_its_blocks_meet():
    sounds = np.array([noise(np.random.default_rng(k), 2 * RATE, RATE, FLAT) for k in range(60)])
    flat = sounds.ravel()
    assert np.mean(flat**4) / np.mean(flat**2) ** 2 == pytest.approx(3.0, abs=0.05)
    assert np.mean(flat**3) == pytest.approx(0.0, abs=0.02)
    levels = np.sqrt(np.mean(sounds.reshape(60, -1, 200) ** 2, axis=(0, 2)))
    assert np.abs(levels - 1.0).max() < 0.05


def test_places_overlap_and_are_cut_off_at_the_end():
    placed = place(10, np.array([1.0, 2.0, 3.0]), np.array([0, 1, 8]), np.array([1.0, 10.0, 100.0]))
    assert placed.tolist() == [1, 12, 23, 30, 0, 0, 0, 0, 100, 200]


@pytest.mark.parametrize("length", [5, 299, 301, 900])
def test_long_and_short_copies_are_placed_alike(length):
    rng = np.random.default_rng(0)
    kernel, starts, gains = rng.random(length), rng.integers(0, 1000, 40), rng.random(40)
    expected = np.zeros(1000 + length)
    for start, gain in zip(starts, gains, strict=True):
        expected[start : start + length] += gain * kernel
    assert place(1000, kernel, starts, gains) == pytest.approx(expected[:1000])
