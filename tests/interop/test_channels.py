"""Taking one microphone out of a recording leaves its samples as they were."""

import io

import numpy as np
import pytest
import soundfile as sf

from alp_assets.errors import AudioUnreadable
from alp_assets.interop.channels import one_channel


def written(path, samples, **options):
    sf.write(path, samples, 16_000, **options)
    return path


def taken(path, channel, dtype):
    return sf.read(io.BytesIO(b"".join(one_channel(path, channel))), dtype=dtype, always_2d=True)


@pytest.mark.parametrize(
    ("subtype", "dtype"),
    [("PCM_16", "int16"), ("PCM_24", "int32"), ("PCM_32", "int32"), ("FLOAT", "float32"), ("DOUBLE", "float64")],
)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_every_sample_is_that_of_the_channel(tmp_path, subtype, dtype, form):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (150_001, 3))
    path = written(tmp_path / "three.wav", samples, subtype=subtype, format=form)
    for channel in (1, 3):
        found, rate = taken(path, channel, dtype)
        assert rate == 16_000
        np.testing.assert_array_equal(found, sf.read(path, dtype=dtype)[0][:, [channel - 1]])


def test_chunks_before_and_behind_the_samples_do_no_harm(tmp_path):
    path = written(tmp_path / "two.wav", np.arange(8, dtype=np.int16).reshape(-1, 2))
    data = path.read_bytes()
    path.write_bytes(data[:12] + b"junk\x03\0\0\0abc\0" + data[12:] + b"LIST\x04\0\0\0abcd")
    assert taken(path, 2, "int16")[0].ravel().tolist() == [1, 3, 5, 7]


def test_a_recording_that_ends_early_gives_the_frames_that_are_whole(tmp_path):
    path = written(tmp_path / "two.wav", np.arange(8, dtype=np.int16).reshape(-1, 2))
    path.write_bytes(path.read_bytes()[:-3])
    assert taken(path, 1, "int16")[0].ravel().tolist() == [0, 2, 4]


@pytest.mark.parametrize("options", [{"format": "FLAC"}, {"format": "WAV", "subtype": "IMA_ADPCM"}])
def test_what_is_no_plain_wav_is_refused(tmp_path, options):
    path = written(tmp_path / "x.wav", np.zeros((4096, 2)), **options)
    with pytest.raises(AudioUnreadable, match="cannot be taken apart"):
        list(one_channel(path, 1))


def test_so_are_a_channel_that_is_not_there_and_a_damaged_header(tmp_path):
    path = written(tmp_path / "x.wav", np.zeros((100, 2)))
    with pytest.raises(AudioUnreadable, match="2 channel"):
        list(one_channel(path, 3))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(AudioUnreadable, match="damaged"):
        list(one_channel(path, 1))
