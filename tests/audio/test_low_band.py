"""Hum of the mains, and gusts and thumps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alp_assets.audio.low_band import LowBandMeter

PROMINENCE_DB = 10.0


def heard(sound, rate, block=1 << 20):
    meter = LowBandMeter(rate, PROMINENCE_DB)
    for start in range(0, sound.size, block):
        meter.add(sound[start : start + block].astype(np.float32))
    meter.finish()
    return meter


def lines(rate, seconds, *parts):
    time = np.arange(round(seconds * rate)) / rate
    return sum(size * np.sin(2 * np.pi * hz * time + hz) for hz, size in parts)


@pytest.mark.parametrize("mains", [50, 60])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_hum_is_found_with_its_power(noise, mains, rate):
    parts = [(mains * (1 + 4e-4), 0.02), (3 * mains, 0.01), (5 * mains, 0.01)]
    found = heard(noise(6 * rate, 0.02) + lines(rate, 6, *parts), rate).hum()
    assert found.mains_hz == mains
    assert 10 * math.log10(found.power / (0.02**2 + 2 * 0.01**2) * 2) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(60, 0.02)],
        [(120, 0.02), (240, 0.02), (360, 0.01), (480, 0.01)],
        [(60, 0.02), (120, 0.02), (240, 0.02), (360, 0.01)],
        [(59.2, 0.02), (118.4, 0.01), (177.6, 0.01), (296, 0.01)],
        [(30 * k, 0.02) for k in range(1, 11)],
        [(20 * k, 0.02) for k in range(1, 16)],
    ],
    ids=["noise", "one line", "magnetised", "even", "slips", "turns at half", "turns at a third"],
)
def test_a_machines_own_lines_are_no_hum(noise, parts):
    assert heard(noise(96_000, 0.02) + lines(16_000, 6, *parts), 16_000).hum() == (0, 0.0)


def gusty(noise, *, gust):
    sound = noise(160_000, 0.01).astype(np.float64)
    time = np.arange(16_000) / 16_000
    sound[40_000:56_000] += gust * np.sin(2 * np.pi * 20 * time) * np.sin(np.pi * time) ** 2
    return sound


def test_a_gust_stands_above_the_usual_and_its_level_is_known(noise):
    calm, gust = (heard(gusty(noise, gust=size), 16_000).gusts() for size in (0.0, 0.1))
    assert calm.above_db < 7
    assert gust.above_db > 20
    assert 10 * math.log10(gust.power) == pytest.approx(20 * math.log10(0.1 / math.sqrt(2)), abs=2)


def test_a_short_thump_is_found_and_a_beat_is_not(noise):
    sound = noise(160_000, 0.01).astype(np.float64)
    sound[80_000:81_600] += 0.1 * np.sin(2 * np.pi * 25 * np.arange(1_600) / 16_000)
    assert heard(sound, 16_000).gusts().above_db > 10
    beat = noise(160_000, 0.01) + lines(16_000, 10, (24.5, 0.05), (25.2, 0.05))
    assert heard(beat, 16_000).gusts().above_db < 6


def test_blocks_do_not_matter(noise):
    sound = gusty(noise, gust=0.05) + lines(16_000, 10, (50, 0.02), (100, 0.01), (150, 0.01))
    whole, pieces = heard(sound, 16_000), heard(sound, 16_000, block=1_237)
    assert pieces.hum() == pytest.approx(whole.hum(), rel=1e-4)
    assert pieces.gusts() == pytest.approx(whole.gusts(), rel=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 7, 16_000])
def test_what_is_too_short_has_neither(noise, samples):
    meter = heard(noise(samples), 16_000)
    assert meter.hum() == (0, 0.0)
    assert meter.gusts().above_db < 10
