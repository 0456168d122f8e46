"""Noise mixed into sound: at the level that was asked for, and the same every time."""

import numpy as np
import pytest

from alp_assets.audio.mixing import mix_at_snr


@pytest.fixture
def sound():
    return np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(0, 0.3, 10_000).astype(np.float32)


def rms(samples):
    return np.sqrt(np.mean(samples.astype(np.float64) ** 2))


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 5.0, 20.0])
@pytest.mark.parametrize("offset", [0, 9_999, 123_456])
def test_the_noise_that_was_added_has_the_level(sound, noise, snr_db, offset):
    mixed = mix_at_snr(sound, noise, snr_db, offset)
    assert mixed.dtype == np.float32
    assert mixed.shape == sound.shape
    assert 20 * np.log10(rms(sound) / rms(mixed - sound)) == pytest.approx(snr_db, abs=0.01)


def test_short_noise_goes_round_and_long_noise_is_cut(sound):
    short = np.array([1.0, -1.0, 2.0], np.float32)
    added = mix_at_snr(sound, short, 0.0, offset=1) - sound
    ratio = added[:6] / added[0]
    np.testing.assert_allclose(ratio, [1, -2, -1, 1, -2, -1], rtol=1e-4)
    long = np.concatenate([np.ones(16_000), np.full(5, 1e6)]).astype(np.float32)
    assert np.ptp(mix_at_snr(sound, long, 0.0) - sound) < 1e-6


def test_the_offset_decides(sound, noise):
    np.testing.assert_array_equal(mix_at_snr(sound, noise, 5.0, 7), mix_at_snr(sound, noise, 5.0, 7))
    assert (mix_at_snr(sound, noise, 5.0, 7) != mix_at_snr(sound, noise, 5.0, 8)).any()


def test_what_was_given_stays(sound, noise):
    before = sound.copy(), noise.copy()
    mix_at_snr(sound, noise, 5.0)
    np.testing.assert_array_equal(sound, before[0])
    np.testing.assert_array_equal(noise, before[1])


def test_loud_sound_is_not_clipped(noise):
    loud = np.full(1_000, 0.9, np.float32)
    assert mix_at_snr(loud, noise, 0.0).max() > 1


@pytest.mark.parametrize("length", [0, 5, 16_000])
def test_silent_noise_leaves_the_sound_as_it_is(sound, length):
    np.testing.assert_array_equal(mix_at_snr(sound, np.zeros(length, np.float32), 5.0), sound)


def test_the_level_is_that_of_the_noise_that_is_used(sound, noise):
    half_silent = np.concatenate([noise, np.zeros(16_000, np.float32)])
    assert 20 * np.log10(rms(sound) / rms(mix_at_snr(sound, half_silent, 5.0) - sound)) == pytest.approx(
        5, abs=0.01
    )
    np.testing.assert_array_equal(mix_at_snr(sound, half_silent, 5.0, offset=10_000), sound)


@pytest.mark.parametrize("length", [0, 100])
def test_silence_stays_silent(noise, length):
    silent = np.zeros(length, np.float32)
    mixed = mix_at_snr(silent, noise, 5.0)
    np.testing.assert_array_equal(mixed, silent)
    assert mixed is not silent
