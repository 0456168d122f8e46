"""The log-mel encoder: what an embedding holds, and that nothing but the recorded sound shapes it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf

from alp_assets.audio.decode import open_recording
from alp_assets.audio.features import log_mel
from alp_assets.audio.standardize import read_clip, standard_clips, write_clip
from alp_assets.encoders.base import Sound
from alp_assets.encoders.catalog import make_encoder
from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.params import EmbeddingParams, LogmelParams

MEAN, DEVIATION, LOWEST, LOW, HIGH, HIGHEST = range(6)
LEVELS = [MEAN, LOWEST, LOW, HIGH, HIGHEST]


@pytest.fixture
def encoder():
    return LogmelEncoder(LogmelParams())


def _pooled(encoder, sounds):
    return encoder.encode([Sound(sound) for sound in sounds], ["pooled"])["pooled"]


def _noise(seconds, seed=0, deviation=0.05):
    return np.random.default_rng(seed).normal(0, deviation, round(seconds * 16_000)).astype(np.float32)


def test_every_view_has_the_shape_that_the_encoder_tells():
    encoder = LogmelEncoder(LogmelParams(n_mels=32))
    assert encoder.views == {"pooled": (32, 6), "frames": (32, 309), "patches": (1, 3, 37, 256)}
    found = encoder.encode([Sound(_noise(seconds)) for seconds in (1, 2, 10)], list(encoder.views))
    assert {view: values.shape for view, values in found.items()} == {
        view: (3, *shape) for view, shape in encoder.views.items()
    }
    assert all(values.dtype == np.float32 for values in found.values())


def test_nothing_to_encode_gives_nothing(encoder):
    assert encoder.encode([], ["frames"])["frames"].shape == (0, 128, 309)


def test_frames_are_the_spectrogram_and_a_short_one_goes_round(encoder):
    whole, short = _noise(10), _noise(4)
    found = encoder.encode([Sound(whole), Sound(short)], ["frames"])["frames"]
    np.testing.assert_array_equal(found[0], log_mel(whole, encoder.params))
    bands = log_mel(short, encoder.params)
    count = bands.shape[1]
    np.testing.assert_array_equal(found[1][:, :count], bands)
    np.testing.assert_array_equal(found[1][:, count : 2 * count], bands)


def test_patches_are_squares_of_the_spectrogram_less_the_level(encoder):
    sound = _noise(10)
    found = encoder.encode([Sound(sound), Sound(4 * sound)], ["patches"])["patches"]
    bands = log_mel(sound, encoder.params)
    expected = (bands - bands.mean())[8:24, 16:32].reshape(-1)
    np.testing.assert_allclose(found[0, 0, 1, 2], expected, atol=1e-4)
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)


def test_fewer_bands_than_a_patch_has_offer_no_patches():
    assert set(LogmelEncoder(LogmelParams(n_mels=12)).views) == {"pooled", "frames"}


def test_the_statistics_are_those_over_time(encoder):
    sound = _noise(10)
    bands = log_mel(sound, encoder.params)
    (found,) = _pooled(encoder, [sound])
    np.testing.assert_allclose(found[:, MEAN], bands.mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(found[:, DEVIATION], bands.std(axis=1), atol=1e-3)
    for place, share in zip((LOWEST, LOW, HIGH, HIGHEST), encoder.params.quantiles, strict=True):
        ranks = (bands <= found[:, [place]]).mean(axis=1)
        np.testing.assert_allclose(ranks, share, atol=0.01)


def test_padding_never_shapes_an_embedding(encoder, tmp_path):
    stream = io.BytesIO()
    sf.write(stream, _noise(14.3), 16_000, format="WAV", subtype="PCM_16")
    stream.seek(0)
    with open_recording(stream) as recording:
        clip = list(standard_clips(recording, 1, 1.0))[1]
    write_clip(tmp_path / "clip.wav", clip)
    unpadded = sf.read(io.BytesIO(stream.getvalue()), dtype="float32")[0][160_000:]
    assert clip.valid_samples == unpadded.size < 160_000
    expected = _pooled(encoder, [unpadded])
    np.testing.assert_array_equal(
        _pooled(encoder, [read_clip(tmp_path / "clip.wav", clip.valid_samples)]), expected
    )
    np.testing.assert_array_equal(_pooled(encoder, [clip.sound]), expected)
    assert np.abs(_pooled(encoder, [read_clip(tmp_path / "clip.wav")]) - expected).max() > 10


def test_length_hardly_matters(encoder):
    short, long = _pooled(encoder, [_noise(5), _noise(10)])
    np.testing.assert_allclose(short, long, atol=3)


def test_6_db_louder_raises_levels_and_nothing_else(encoder):
    sound = _noise(3)
    quiet, loud = _pooled(encoder, [sound, 2 * sound])
    np.testing.assert_allclose((loud - quiet)[:, LEVELS], 6.0206, atol=1e-3)
    np.testing.assert_allclose(loud[:, DEVIATION], quiet[:, DEVIATION], atol=1e-3)


def test_a_clip_alone_and_among_others_is_the_same_bit_for_bit(encoder):
    clips = [_noise(seconds, seed) for seed, seconds in enumerate([10, 1.7, 10, 3, 0.1, 10, 5, 10])]
    together = _pooled(encoder, clips)
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(_pooled(encoder, [clip])[0], together[i])


@pytest.mark.parametrize("samples", [0, 100, 2_048, 160_000])
def test_silence_is_finite(encoder, samples):
    (found,) = _pooled(encoder, [np.zeros(samples, np.float32)])
    np.testing.assert_array_equal(found[:, MEAN], -120)
    np.testing.assert_array_equal(found[:, DEVIATION], 0)


def test_a_click_shows_in_the_spread_more_than_in_the_mean(encoder):
    calm = _noise(10, deviation=0.001)
    clicking = calm.copy()
    clicking[8_000::16_000] += 0.5
    plain, changed = _pooled(encoder, [calm, clicking])
    rise = changed - plain
    assert rise[:, HIGHEST].mean() > 10
    assert rise[:, DEVIATION].mean() > rise[:, MEAN].mean() > 0


def test_settings_name_all_that_decides_the_values(tmp_path):
    params = LogmelParams(n_mels=64, hop_length=256)
    encoder = make_encoder("logmel", EmbeddingParams(logmel=params), tmp_path)
    assert encoder.name == "logmel"
    assert encoder.settings == {
        "n_mels": 64,
        "n_fft": 2_048,
        "hop_length": 256,
        "fmin_hz": 0.0,
        "fmax_hz": 8_000.0,
        "quantiles": [0.01, 0.05, 0.95, 0.99],
    }
