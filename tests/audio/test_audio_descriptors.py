"""Descriptors: every number where the layout says, and finite whatever the clip."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.audio.beyond import FLOOR_DB
from alp_assets.audio.descriptors import LAYOUT, MFCC, descriptors

CENTROID, BANDWIDTH, ROLLOFF, CROSSINGS = range(MFCC, MFCC + 4)


def test_the_layout_covers_the_vector_once():
    places = np.arange(LAYOUT.size)
    parts = [np.atleast_1d(places[part]) for part in LAYOUT[:-1]]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), places)


@pytest.mark.parametrize("amplitude", [0.5, 0.01])
def test_level_is_that_of_the_sound(tone, amplitude):
    found = descriptors(tone(1_000, 5.0, amplitude=amplitude))
    assert found[LAYOUT.level] == pytest.approx(10 * np.log10(amplitude**2 / 2), abs=0.01)


def test_spectral_statistics_of_a_tone(tone):
    found = descriptors(tone(1_000, 5.0))
    assert found[CENTROID] == pytest.approx(1_000, abs=10)
    assert found[BANDWIDTH] < 50
    assert found[ROLLOFF] == pytest.approx(1_000, abs=20)
    assert found[CROSSINGS] == pytest.approx(2_000 / 16_000, rel=0.02)


def test_spectral_statistics_of_white_noise(noise):
    found = descriptors(noise(160_000))
    assert found[CENTROID] == pytest.approx(4_000, rel=0.02)
    assert found[ROLLOFF] == pytest.approx(0.85 * 8_000, rel=0.02)
    assert found[CROSSINGS] == pytest.approx(0.5, rel=0.02)


def test_loudness_moves_the_first_coefficient_and_the_level_alone(noise):
    sound = noise(160_000)
    loud, quiet = descriptors(sound), descriptors(sound / 4)
    moved = np.flatnonzero(np.abs(loud - quiet)[: LAYOUT.low.start] > 0.05)
    assert set(moved) == {0, LAYOUT.level}
    assert loud[LAYOUT.level] - quiet[LAYOUT.level] == pytest.approx(12.04, abs=0.01)


def test_resonance_is_the_share_above_2_khz(tone):
    both = tone(500, 5.0, amplitude=0.1) + tone(5_000, 5.0, amplitude=0.1)
    assert descriptors(both)[LAYOUT.resonance] == pytest.approx(-3, abs=0.05)
    assert descriptors(tone(500, 5.0))[LAYOUT.resonance] == pytest.approx(-40, abs=1)
    assert descriptors(tone(5_000, 5.0))[LAYOUT.resonance] == pytest.approx(0, abs=0.05)


def test_resonance_counts_what_the_original_held_up_to_10_khz(tone):
    sound = tone(500, 5.0, amplitude=0.1)
    assert descriptors(sound, db_8_10k=-23.01)[LAYOUT.resonance] == pytest.approx(-3, abs=0.05)


def test_a_band_that_is_not_there_is_flagged(noise):
    sound = noise(16_000)
    with_band, without = descriptors(sound, -50.0, -62.5), descriptors(sound)
    assert (with_band[LAYOUT.above_10k], with_band[LAYOUT.has_above_10k]) == (-62.5, 1)
    assert (without[LAYOUT.above_10k], without[LAYOUT.has_above_10k]) == (FLOOR_DB, 0)


@pytest.mark.parametrize("samples", [1, 500, 16_000, 23_456, 160_000])
@pytest.mark.parametrize("deviation", [0.0, 1e-6, 0.3])
def test_short_and_silent_clips_are_finite(noise, samples, deviation):
    found = descriptors(noise(samples, deviation))
    assert found.shape == (LAYOUT.size,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
