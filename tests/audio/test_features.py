"""Log-mel spectrograms against sounds whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.audio.features import log_mel
from alp_assets.params import LogmelParams

PARAMS = LogmelParams()


def _centres(params):
    from librosa import mel_frequencies

    return mel_frequencies(params.n_mels + 2, fmin=params.fmin_hz, fmax=params.fmax_hz)[1:-1]


@pytest.mark.parametrize(
    ("samples", "frames"), [(160_000, 309), (16_000, 28), (2_048, 1), (2_559, 1), (2_560, 2), (500, 1), (0, 1)]
)
def test_frames_lie_wholly_inside_the_samples(noise, samples, frames):
    assert log_mel(noise(samples), PARAMS).shape == (128, frames)


@pytest.mark.parametrize(
    "params", [PARAMS, LogmelParams(n_mels=40, n_fft=1_024, fmin_hz=50, fmax_hz=4_000)], ids=["default", "other"]
)
def test_the_filters_are_those_of_librosa(noise, params):
    from librosa.filters import mel

    filters = mel(
        sr=16_000, n_fft=params.n_fft, n_mels=params.n_mels, fmin=params.fmin_hz, fmax=params.fmax_hz, norm=None
    )
    sound = noise(params.n_fft)
    window = np.hanning(params.n_fft + 1)[:-1]
    power = 2 * np.abs(np.fft.rfft(sound * window)) ** 2 / (params.n_fft * np.sum(window**2))
    np.testing.assert_allclose(log_mel(sound, params)[:, 0], 10 * np.log10(filters @ power), atol=0.01)


@pytest.mark.parametrize("frequency", [150, 440, 1_000, 3_000, 7_000])
def test_a_tone_lights_the_band_it_is_in(tone, frequency):
    bands = log_mel(tone(frequency, 2.0), PARAMS).mean(axis=1)
    centres = _centres(PARAMS)
    assert bands.argmax() in np.argsort(np.abs(centres - frequency))[:2]
    far = np.abs(np.log2(centres / frequency)) > 0.5
    assert bands[far].max() < bands.max() - 50


def test_bands_follow_the_limits(tone):
    params = LogmelParams(n_mels=40, fmin_hz=500, fmax_hz=4_000)
    inside, below, above = (log_mel(tone(f, 1.0), params).max() for f in (1_000, 100, 7_000))
    assert inside > max(below, above) + 60


@pytest.mark.parametrize("amplitude", [1.0, 0.1])
def test_the_bands_together_hold_the_power_of_a_tone(tone, amplitude):
    bands = 10 ** (log_mel(tone(1_000, 2.0, amplitude=amplitude), PARAMS) / 10)
    assert 10 * np.log10(bands.sum(axis=0).mean()) == pytest.approx(10 * np.log10(amplitude**2 / 2), abs=0.2)


def test_the_bands_together_hold_the_power_of_noise(noise):
    bands = 10 ** (log_mel(noise(160_000, 0.1), PARAMS) / 10)
    assert 10 * np.log10(bands.sum(axis=0).mean()) == pytest.approx(-20, abs=0.3)


def test_twice_as_loud_is_6_db_more(noise):
    sound = noise(16_000, 0.01)
    np.testing.assert_allclose(log_mel(2 * sound, PARAMS) - log_mel(sound, PARAMS), 6.0206, atol=1e-3)


def test_silence_lies_on_the_floor(tone):
    np.testing.assert_array_equal(log_mel(np.zeros(16_000, np.float32), PARAMS), -120)
    assert (log_mel(tone(1_000, 1.0, amplitude=1e-4), PARAMS) >= -120).all()
