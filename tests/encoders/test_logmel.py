"""The log-mel encoder: what an embedding holds, and that nothing but the recorded sound shapes it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf

from alp_assets.audio.decode import open_recording
from alp_assets.audio.features import log_mel
from alp_assets.audio.standardize import read_clip, standard_clips, write_clip
from alp_assets.encoders.catalog import make_encoder
from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.params import EmbeddingParams, LogmelParams

MEAN, DEVIATION, UPPER = range(3)


@pytest.fixture
def encoder():
    return LogmelEncoder(LogmelParams())


def _noise(seconds, seed=0, deviation=0.05):
    return np.random.default_rng(seed).normal(0, deviation, round(seconds * 16_000)).astype(np.float32)


def test_an_embedding_has_three_statistics_a_band():
    encoder = LogmelEncoder(LogmelParams(n_mels=32))
    assert encoder.shape == (3, 32)
    found = encoder.encode([_noise(1), _noise(2), _noise(10)])
    assert found.shape == (3, 3, 32)
    assert found.dtype == np.float32


def test_the_statistics_are_those_over_time(encoder):
    sound = _noise(10)
    bands = log_mel(sound, encoder.params)
    (found,) = encoder.encode([sound])
    np.testing.assert_allclose(found[MEAN], bands.mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(found[DEVIATION], bands.std(axis=1), atol=1e-3)
    ranks = (bands <= found[UPPER][:, None]).mean(axis=1)
    np.testing.assert_allclose(ranks, 0.95, atol=0.01)


def test_padding_never_shapes_an_embedding(encoder, tmp_path):
    stream = io.BytesIO()
    sf.write(stream, _noise(14.3), 16_000, format="WAV", subtype="PCM_16")
    stream.seek(0)
    with open_recording(stream) as recording:
        clip = list(standard_clips(recording, 1, 1.0))[1]
    write_clip(tmp_path / "clip.wav", clip)
    unpadded = sf.read(io.BytesIO(stream.getvalue()), dtype="float32")[0][160_000:]
    assert clip.valid_samples == unpadded.size < 160_000
    expected = encoder.encode([unpadded])
    np.testing.assert_array_equal(encoder.encode([read_clip(tmp_path / "clip.wav", clip.valid_samples)]), expected)
    np.testing.assert_array_equal(encoder.encode([clip.sound]), expected)
    assert np.abs(encoder.encode([read_clip(tmp_path / "clip.wav")]) - expected).max() > 10


def test_length_hardly_matters(encoder):
    short, long = encoder.encode([_noise(5), _noise(10)])
    np.testing.assert_allclose(short, long, atol=3)


def test_6_db_louder_raises_levels_and_nothing_else(encoder):
    sound = _noise(3)
    quiet, loud = encoder.encode([sound, 2 * sound])
    np.testing.assert_allclose((loud - quiet)[[MEAN, UPPER]], 6.0206, atol=1e-3)
    np.testing.assert_allclose(loud[DEVIATION], quiet[DEVIATION], atol=1e-3)


def test_a_clip_alone_and_among_others_is_the_same_bit_for_bit(encoder):
    clips = [_noise(seconds, seed) for seed, seconds in enumerate([10, 1.7, 10, 3, 0.1, 10, 5, 10])]
    together = encoder.encode(clips)
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(encoder.encode([clip])[0], together[i])


@pytest.mark.parametrize("samples", [0, 100, 2_048, 160_000])
def test_silence_is_finite(encoder, samples):
    (found,) = encoder.encode([np.zeros(samples, np.float32)])
    np.testing.assert_array_equal(found[MEAN], -120)
    np.testing.assert_array_equal(found[DEVIATION], 0)


def test_a_click_shows_in_the_spread_more_than_in_the_mean(encoder):
    calm = _noise(10, deviation=0.001)
    clicking = calm.copy()
    clicking[8_000::16_000] += 0.5
    plain, changed = encoder.encode([calm, clicking])
    rise = changed - plain
    assert rise[UPPER].mean() > 10
    assert rise[DEVIATION].mean() > rise[MEAN].mean() > 0


def test_settings_name_all_that_decides_the_values():
    params = LogmelParams(n_mels=64, hop_length=256)
    encoder = make_encoder(EmbeddingParams(logmel=params))
    assert encoder.name == "logmel"
    assert encoder.settings == {
        "n_mels": 64,
        "n_fft": 2_048,
        "hop_length": 256,
        "fmin_hz": 0.0,
        "fmax_hz": 8_000.0,
        "upper_quantile": 0.95,
    }
