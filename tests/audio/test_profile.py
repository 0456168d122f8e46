"""The spectral profile, and steps of the gain inside a recording."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.audio.profile import BANDS, PROFILE_SIZE, ProfileMeter


def metered(sound, rate=16_000, block=1 << 20):
    meter = ProfileMeter(rate)
    for start in range(0, sound.size, block):
        meter.add(sound[start : start + block].astype(np.float32))
    return meter


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_bands_add_up_to_the_sound(tone, rate):
    level = metered(tone(1_000, 3, rate, 0.5), rate).profile()[:BANDS]
    assert 10 * np.log10((10 ** (level / 10)).sum()) == pytest.approx(10 * np.log10(0.125), abs=0.2)


def test_a_sound_has_the_same_profile_at_every_rate(tone):
    low, high = (metered(tone(700, 4, rate), rate).profile()[:BANDS] for rate in (16_000, 48_000))
    assert np.abs(low - high)[high > -60].max() < 0.5


def test_gain_moves_all_levels_and_no_deviation(noise):
    sound = noise(64_000)
    loud, quiet = metered(sound).profile(), metered(0.1 * sound).profile()
    np.testing.assert_allclose(loud[:BANDS] - quiet[:BANDS], 20, atol=0.01)
    np.testing.assert_allclose(loud[BANDS:], quiet[BANDS:], atol=0.01)


def test_bands_that_the_rate_lacks_are_missing(noise):
    profile = metered(noise(32_000), 8_000).profile()
    missing = np.isnan(profile[:BANDS])
    assert missing.any()
    assert not missing[:40].any()
    np.testing.assert_array_equal(missing, np.isnan(profile[BANDS:]))


def test_blocks_do_not_matter(noise):
    sound = noise(80_000)
    np.testing.assert_allclose(metered(sound).profile(), metered(sound, block=777).profile(), atol=1e-4)
    assert metered(sound).gain_step() == pytest.approx(metered(sound, block=777).gain_step(), abs=1e-4)


def test_nothing_has_no_profile_and_a_moment_has_one():
    assert np.isnan(metered(np.zeros(0)).profile()).all()
    assert np.isfinite(metered(np.full(10, 0.1)).profile()).all()
    assert metered(np.zeros(32_000)).profile().shape == (PROFILE_SIZE,)


@pytest.mark.parametrize("size_db", [6.0, -9.0])
def test_a_step_of_the_gain_has_its_size_and_one_shape(noise, size_db):
    sound = noise(160_000)
    sound[70_000:] *= 10 ** (size_db / 20)
    step = metered(sound).gain_step()
    assert step.size_db == pytest.approx(size_db, abs=0.4)
    assert step.shape_db < 1
    assert step.unrest_db < 1


def test_another_sound_changes_the_shape(noise):
    sound = noise(160_000)
    sound[80_000:] = np.convolve(sound, np.ones(6) / 2, mode="same")[80_000:]
    assert metered(sound).gain_step().shape_db > 3


def test_a_steady_sound_has_no_step_and_a_short_one_none(noise):
    assert abs(metered(noise(160_000)).gain_step().size_db) < 0.5
    assert metered(noise(32_000)).gain_step() == (0, 0, 0)
