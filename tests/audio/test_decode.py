"""Opening recordings: what the bytes really are, and all of their samples."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import soundfile as sf

from alp_assets.audio.decode import open_recording, pick_channel
from alp_assets.errors import AudioUnreadable


def _samples(data, frames=None):
    with open_recording(io.BytesIO(data)) as recording:
        blocks = recording.blocks() if frames is None else recording.blocks(frames)
        return np.concatenate([np.zeros((0, recording.info.channels), np.float32), *blocks])


def _info(data):
    with open_recording(io.BytesIO(data)) as recording:
        return recording.info


def _with_sizes(wav, riff, data):
    """A WAV whose header gives these sizes of the whole file and of its samples."""
    changed = bytearray(wav)
    struct.pack_into("<I", changed, 4, riff)
    struct.pack_into("<I", changed, changed.index(b"data") + 4, data)
    return bytes(changed)


@pytest.mark.parametrize(
    ("form", "subtype", "rate", "channels", "container", "step"),
    [
        ("WAV", "PCM_16", 16_000, 1, "WAV", 2**-15),
        ("WAV", "PCM_16", 44_100, 2, "WAV", 2**-15),
        ("WAV", "PCM_24", 192_000, 8, "WAV", 2**-23),
        ("WAV", "PCM_32", 48_000, 1, "WAV", 2**-23),
        ("WAV", "FLOAT", 48_000, 8, "WAV", 1e-9),
        ("WAV", "PCM_U8", 8_000, 1, "WAV", 2**-7),
        ("WAVEX", "PCM_24", 48_000, 4, "WAV", 2**-23),
        ("RF64", "PCM_16", 16_000, 1, "RF64", 2**-15),
        ("W64", "PCM_24", 16_000, 1, "W64", 2**-23),
        ("FLAC", "PCM_16", 48_000, 2, "FLAC", 2**-15),
        ("FLAC", "PCM_24", 96_000, 1, "FLAC", 2**-23),
        ("AIFF", "PCM_16", 44_100, 1, "AIFF", 2**-15),
    ],
)
def test_every_lossless_format_gives_back_its_samples(
    encoded, noise, form, subtype, rate, channels, container, step
):
    sent = noise(3_000 * channels).reshape(-1, channels)
    data = encoded(sent, rate, form, subtype)
    info = _info(data)
    assert (info.container, info.subtype) == (container, subtype)
    assert (info.sample_rate_hz, info.channels, info.frames) == (rate, channels, 3_000)
    assert info.duration_s == 3_000 / rate
    assert not info.truncated
    np.testing.assert_allclose(_samples(data), sent, rtol=0, atol=1.01 * step)


def test_ogg_is_read_and_named(encoded, tone):
    data = encoded(tone(1_000, 1.0), form="OGG")
    assert _info(data).container == "OGG"
    samples = _samples(data)[:, 0]
    assert samples.size == 16_000
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_an_mp3_named_wav_is_told_by_its_bytes(encoded, tone):
    data = encoded(tone(1_000, 1.0), form="MP3")
    info = _info(data)
    assert (info.container, info.subtype) == ("MP3", "MPEG_LAYER_III")


def test_samples_that_are_not_numbers_come_through(encoded, noise):
    sent = noise(1_000)
    sent[[3, 500]] = np.nan
    sent[900] = np.inf
    found = _samples(encoded(sent, subtype="FLOAT"))[:, 0]
    np.testing.assert_array_equal(found, sent)


@pytest.mark.parametrize("frames", [1, 7, 999, 1_000, 1_001, 100_000])
def test_blocks_of_any_size_add_up_to_the_same_samples(encoded, noise, frames):
    data = encoded(noise(2_000).reshape(-1, 2), subtype="PCM_16")
    np.testing.assert_array_equal(_samples(data, frames), _samples(data))


def test_blocks_are_never_longer_than_asked(encoded, noise, opened):
    with opened(encoded(noise(2_500))) as recording:
        assert [len(block) for block in recording.blocks(1_000)] == [1_000, 1_000, 500]


def test_memory_does_not_grow_with_length(tmp_path):
    def peak(seconds):
        path = tmp_path / f"{seconds}.wav"
        sf.write(path, np.zeros(seconds * 16_000, np.int16), 16_000)
        with path.open("rb") as stream, open_recording(stream) as recording:
            tracemalloc.start()
            for _ in recording.blocks():
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    peak(1)
    short, long = peak(140), peak(350)
    assert long < 1.2 * short < 350 * 16_000 * 4


def test_a_wav_cut_off_in_copying_is_truncated(encoded, noise):
    data = encoded(noise(4_000), subtype="PCM_16")
    info = _info(data[: len(data) - 2 * 3_000])
    assert (info.frames, info.declared_frames) == (1_000, 4_000)
    assert info.truncated
    assert info.duration_s == 1_000 / 16_000
    assert len(_samples(data[: len(data) - 2 * 3_000])) == 1_000


def test_chunks_before_the_samples_do_not_hide_a_truncation(encoded, noise):
    data = encoded(noise(4_000), subtype="PCM_16")
    at = data.index(b"data")
    data = data[:at] + b"LIST" + struct.pack("<I", 5) + b"INFOx\0" + data[at:]
    assert _info(data).declared_frames == 4_000
    assert not _info(data).truncated
    assert _info(data[:-2_000]).truncated


def test_bytes_after_the_samples_are_neither_sound_nor_a_truncation(encoded, noise):
    data = encoded(noise(4_000), subtype="PCM_16") + b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert not _info(data).truncated
    assert len(_samples(data)) == 4_000


STREAMED = [
    pytest.param(0, 0, id="header never finished"),
    pytest.param(36, 0, id="header of an empty file, never finished"),
    pytest.param(0xFFFF_FFFF, 0, id="whole unknown, samples zero"),
    pytest.param(0xFFFF_FFFF, 0xFFFF_FFFF, id="largest"),
    pytest.param(0xFFFF_FFFF, 0xFFFF_FFFF - 44, id="largest less the header"),
    pytest.param(0x7FFF_F024, 0x7FFF_F000, id="sox"),
    pytest.param(0x7FFF_0024, 0x7FFF_0000, id="gstreamer"),
    pytest.param(0x7FFF_FF24, 0x7FFF_FF00, id="arecord"),
    pytest.param(0x8000_0024, 0x8000_0000, id="arecord without end"),
]


@pytest.mark.parametrize(("riff", "size"), STREAMED)
def test_a_streamed_wav_that_does_not_know_its_size_is_whole(encoded, noise, riff, size):
    whole = encoded(noise(4_000), subtype="PCM_16")
    data = _with_sizes(whole, riff, size)
    info = _info(data)
    assert (info.container, info.frames, info.truncated) == ("WAV", 4_000, False)
    np.testing.assert_array_equal(_samples(data, 333), _samples(whole))


def test_samples_that_look_like_a_chunk_do_not_declare_a_length(encoded, noise):
    whole = encoded(noise(4_000), subtype="PCM_16")
    start = whole.index(b"data") + 8
    data = bytearray(_with_sizes(whole, 0, 0))
    data[start : start + 8] = b"data" + struct.pack("<I", 1_000_000)
    assert not _info(bytes(data)).truncated


def test_a_wav_without_samples_opens_and_is_empty(encoded):
    data = encoded(np.zeros(0, np.float32))
    assert (_info(data).frames, _info(data).duration_s, _info(data).truncated) == (0, 0.0, False)
    assert len(_samples(data)) == 0


def test_notes_after_no_samples_are_not_taken_for_sound(encoded):
    data = encoded(np.zeros(0, np.float32)) + b"LIST" + struct.pack("<I", 400) + bytes(400)
    data = _with_sizes(data, len(data) - 8, 0)
    assert _info(data).frames == 0


def _zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("audio/fan.wav", b"RIFF")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"time,value\n0,0.1\n" * 50, "it is text", id="text"),
        pytest.param(_zip(), "zip or Office", id="zip"),
        pytest.param(b"%PDF-1.7\n" + bytes(range(256)), "PDF", id="pdf"),
        pytest.param(b"\0\0\0\x18ftypM4A " + bytes(200), "M4A", id="m4a"),
        pytest.param(b"RIFF\x24\0\0\0WAVE", "header is damaged or incomplete", id="riff alone"),
        pytest.param(bytes(1_000), "not audio that can be read", id="zeros"),
    ],
)
def test_what_is_no_audio_is_refused_in_words(data, words):
    with pytest.raises(AudioUnreadable, match=words):
        _info(data)


@pytest.mark.parametrize("form", ["WAV", "RF64"])
def test_a_sample_rate_of_zero_is_refused(encoded, noise, form):
    data = bytearray(encoded(noise(1_000), form=form, subtype="PCM_16"))
    struct.pack_into("<I", data, data.index(b"fmt ") + 12, 0)
    with pytest.raises(AudioUnreadable, match="0 Hz"):
        _info(bytes(data))


def test_a_flac_cut_off_is_never_read_as_whole(encoded, noise):
    data = encoded(noise(40_000), form="FLAC")
    with pytest.raises(AudioUnreadable):
        _samples(data[: len(data) // 2], 10_000)


def test_damage_within_a_flac_is_unreadable(encoded, noise):
    data = bytearray(encoded(noise(40_000), form="FLAC"))
    middle = len(data) // 2
    data[middle : middle + 4_000] = bytes(4_000)
    with pytest.raises(AudioUnreadable, match="cannot be decoded"):
        _samples(bytes(data))


def test_channels_are_counted_from_one():
    block = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(pick_channel(block, 1), block[:, 0])
    np.testing.assert_array_equal(pick_channel(block, 3), block[:, 2])
    np.testing.assert_array_equal(pick_channel(block, "average"), [1, 4, 7, 10])
    assert pick_channel(block, "average").dtype == np.float32


def test_flac_that_does_not_say_its_length_is_refused_in_words(encoded, noise):
    """As written to a pipe: STREAMINFO has 36 bits for the total, all zero."""
    data = bytearray(encoded(noise(50_000), form="FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    with pytest.raises(AudioUnreadable, match="does not say how long"), open_recording(io.BytesIO(bytes(data))):
        pass
