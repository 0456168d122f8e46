"""The standard form of a clip: what is kept, what is cut, what is padded."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from alp_assets.audio.standardize import CLIP_SAMPLES, SAMPLE_RATE, read_clip, standard_clips, write_clip

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]


@pytest.fixture
def cut(encoded, opened):
    """The standard clips of samples that went through an audio file."""

    def run(samples, rate=SAMPLE_RATE, channel=1, min_seconds=1.0, subtype="FLOAT"):
        with opened(encoded(samples, rate, subtype=subtype)) as recording:
            return list(standard_clips(recording, channel, min_seconds))

    return run


@pytest.mark.parametrize("rate", RATES)
def test_ten_seconds_at_any_rate_are_one_whole_clip(cut, noise, rate):
    (clip,) = cut(noise(10 * rate), rate, min_seconds=0.001)
    assert clip.samples.dtype == np.int16
    assert clip.samples.shape == (160_000,)
    assert (clip.offset_s, clip.valid_samples) == (0, CLIP_SAMPLES)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_longer_recording_is_cut_and_its_remainder_padded(cut, noise, rate):
    clips = cut(noise(25 * rate), rate)
    assert [clip.offset_s for clip in clips] == [0, 10, 20]
    assert [clip.valid_samples for clip in clips] == [160_000, 160_000, 80_000]
    assert all(clip.samples.shape == (CLIP_SAMPLES,) for clip in clips)
    assert not clips[2].samples[80_000:].any()
    assert np.count_nonzero(clips[2].samples[:80_000]) > 79_000


def test_clips_follow_each_other_without_gap_or_overlap(cut, noise):
    sound = np.round(noise(25 * SAMPLE_RATE) * 2**15) / 2**15
    joined = np.concatenate([clip.sound for clip in cut(sound)])
    np.testing.assert_array_equal(joined, sound.astype(np.float32))


def test_sound_stays_where_it_was_when_resampled(cut):
    sound = np.zeros(25 * 48_000)
    sound[21 * 48_000] = 1.0
    clips = cut(sound, 48_000)
    assert not clips[0].samples[:150_000].any()
    assert not clips[1].samples[:150_000].any()
    assert int(np.argmax(clips[2].samples)) == SAMPLE_RATE


@pytest.mark.parametrize("block", [100, 4_096, 50_001])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_clips_do_not_hang_on_the_size_of_blocks(cut, noise, in_blocks_of, rate, block):
    sound = noise(12 * rate)
    whole = cut(sound, rate)
    in_blocks_of(block)
    parts = cut(sound, rate)
    assert [clip.valid_samples for clip in parts] == [clip.valid_samples for clip in whole]
    for part, clip in zip(parts, whole, strict=True):
        assert np.abs(part.samples.astype(int) - clip.samples).max() <= 1


@pytest.mark.parametrize(
    ("seconds", "min_seconds", "valid"),
    [
        (10.5, 1.0, [160_000]),
        (11.0, 1.0, [160_000, 16_000]),
        (10.5, 0.5, [160_000, 8_000]),
        (0.9, 1.0, []),
        (3.0, 1.0, [48_000]),
        (10.0, 10.0, [160_000]),
        (0.0, 1.0, []),
    ],
)
def test_a_remainder_under_the_least_length_is_left_out(cut, noise, seconds, min_seconds, valid):
    clips = cut(noise(round(seconds * SAMPLE_RATE)), min_seconds=min_seconds)
    assert [clip.valid_samples for clip in clips] == valid


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_chosen_microphone_is_used(cut, tone, rate):
    near, far = tone(500, 2.0, rate, 0.5), tone(500, 2.0, rate, 0.1)
    both = np.stack([near, far], axis=1)
    middle = slice(2_000, 28_000)
    for channel, amplitude in ((1, 0.5), (2, 0.1), ("average", 0.3)):
        (clip,) = cut(both, rate, channel)
        assert clip.sound[middle].max() == pytest.approx(amplitude, rel=0.01)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("amplitude", [0.9, 0.01])
def test_loudness_is_kept(cut, tone, rate, amplitude):
    (clip,) = cut(tone(1_000, 2.0, rate, amplitude), rate)
    rms = np.sqrt(np.mean(clip.sound[4_000:-4_000].astype(np.float64) ** 2))
    assert 20 * np.log10(rms / (amplitude / np.sqrt(2))) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_pitch(cut, tone, rate):
    (clip,) = cut(tone(1_000, 4.0, rate), rate)
    spectrum = np.abs(np.fft.rfft(clip.sound * np.hanning(clip.valid_samples)))
    frequency = np.fft.rfftfreq(clip.valid_samples, 1 / SAMPLE_RATE)
    assert frequency[spectrum.argmax()] == pytest.approx(1_000, abs=0.5)
    beside = spectrum[np.abs(frequency - 1_000) > 20].max()
    assert 20 * np.log10(beside / spectrum.max()) < -70


@pytest.mark.parametrize("rate", [44_100, 48_000, 192_000])
def test_what_lies_above_8_khz_does_not_fold_down(cut, tone, rate):
    (clip,) = cut(tone(10_000, 2.0, rate), rate)
    assert np.abs(clip.sound[2_000:-2_000]).max() < 1e-3


def test_what_is_over_full_scale_is_clipped_not_wrapped(cut):
    (clip,) = cut(np.tile([1.5, -1.5], 10_000))
    assert (clip.samples[:20_000:2] == 32_767).all()
    assert (clip.samples[1:20_000:2] == -32_768).all()


def test_16_bit_samples_come_through_unchanged(cut):
    sound = np.arange(-32_768, 32_768, dtype=np.int16)
    (clip,) = cut(sound, subtype="PCM_16")
    np.testing.assert_array_equal(clip.samples[: sound.size], sound)


def test_a_clip_survives_its_file(cut, noise, tmp_path):
    clips = cut(noise(13 * SAMPLE_RATE))
    for clip in clips:
        path = tmp_path / "clip.wav"
        write_clip(path, clip)
        info = sf.info(path)
        assert (info.samplerate, info.channels, info.frames) == (16_000, 1, 160_000)
        assert (info.format, info.subtype) == ("WAV", "PCM_16")
        found = read_clip(path, clip.valid_samples)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, clip.sound)
    assert read_clip(path).shape == (CLIP_SAMPLES,)


def test_the_same_clip_is_the_same_file(cut, noise, tmp_path):
    for name in ("a.wav", "b.wav"):
        (clip,) = cut(noise(10 * SAMPLE_RATE))
        write_clip(tmp_path / name, clip)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
