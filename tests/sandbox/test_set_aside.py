"""A recording over which the decoder breaks is set aside with its reason, and the rest of the package goes on."""

from __future__ import annotations

import dataclasses
import io

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from alp_assets.audio import decode
from alp_assets.audio.decode import decoded, open_recording
from alp_assets.errors import AudioUnreadable, DecodingStopped
from alp_assets.params import Params, with_overrides
from alp_assets.signals import decode as signal_decode
from alp_assets.signals.decode import decoded_signal
from alp_assets.signals.read import read_signal
from alp_assets.signals.recording import SignalUnreadable
from alp_assets.stages.clips import clips, read_clips
from alp_assets.stages.diagnosis import Heard, RecordingUnusable
from alp_assets.stages.quality import quality_problems, read_quality
from tests.packages import FAST, audio, hum, row, run_through, table, zipped
from tests.packages import receive as received

LIMITS = Params().quality
BREAKING = with_overrides(FAST, {"quality.decode_seconds": 3.0, "quality.decode_memory_mb": 256})
MARKS = {"hang": "decoding_too_long", "crash": "decoding_broke", "eat": "decoding_memory"}


def marked(how, seed=0):
    """A recording over which the decoder of ``broken_decoder`` does something."""
    return audio(hum(seed)) + b"!" + how.encode().ljust(7, b"\0")


@pytest.fixture
def broken_decoder(monkeypatch):
    monkeypatch.setattr(decode, "_JOB", "tests.sandbox.brittle:serve")


def test_recordings_that_break_the_decoder_are_set_aside_and_the_rest_goes_on(tmp_path, broken_decoder):
    files = {f"audio/{number}.wav": audio(hum(number)) for number in range(3)}
    files |= {f"audio/{how}.wav": marked(how, 10 + place) for place, how in enumerate(MARKS)}
    rows = [row(name, split="train", label="normal") for name in files]
    folder = received(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    summaries = run_through(folder, until="clips", params=BREAKING)

    found = read_quality(folder).set_index("recording")
    for how in MARKS:
        assert found.loc[f"audio/{how}.wav", "verdict"] == "set aside"
    assert (found.loc[[f"audio/{number}.wav" for number in range(3)], "verdict"] == "ok").all()
    told = {problem.file: problem.code for problem in quality_problems(folder) if problem.severity == "error"}
    assert told == {f"audio/{how}.wav": code for how, code in MARKS.items()}
    assert "3 s" in found.loc["audio/hang.wav", "reasons"]
    assert summaries["quality"].passed
    assert len(read_clips(folder)) == 3


def test_a_stage_that_cuts_clips_names_the_file_over_which_the_decoder_broke(tmp_path, monkeypatch):
    files = {"audio/1.wav": marked("crash")}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row("audio/1.wav")])})
    folder = received(tmp_path, archive)
    run_through(folder, until="quality")
    monkeypatch.setattr(decode, "_JOB", "tests.sandbox.brittle:serve")
    with pytest.raises(DecodingStopped, match=r"^audio/1\.wav: .*SIGSEGV"):
        clips(folder, BREAKING)


def test_a_recording_to_diagnose_that_breaks_the_decoder_is_unusable(tmp_path, broken_decoder):
    path = tmp_path / "a.wav"
    path.write_bytes(marked("crash"))
    with pytest.raises(RecordingUnusable) as caught:
        Heard(path, BREAKING)
    assert [problem.code for problem in caught.value.problems] == ["decoding_broke"]


@pytest.mark.parametrize(
    ("form", "subtype", "channels"),
    [
        ("WAV", "PCM_16", 1),
        ("WAV", "DOUBLE", 3),
        ("RF64", "PCM_16", 1),
        ("FLAC", "PCM_24", 2),
        ("OGG", "VORBIS", 1),
        ("MP3", "MPEG_LAYER_III", 1),
        ("AIFF", "PCM_16", 1),
        ("CAF", "ALAC_16", 1),
        ("W64", "FLOAT", 2),
    ],
)
def test_samples_are_the_same_as_in_this_process(form, subtype, channels):
    sound = np.repeat(hum(1, seconds=40)[:, None], channels, 1)
    data = audio(sound, form=form, subtype=subtype)
    with decoded(io.BytesIO(data), LIMITS) as there, open_recording(io.BytesIO(data)) as here:
        assert there.info == here.info
        for one, other in zip(there.blocks(), here.blocks(), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_what_is_no_audio_is_refused_in_the_same_words(tmp_path):
    for data in (b"", b"PK\x03\x04", b"RIFF", b"%PDF", audio(hum(1))[:30], audio(hum(1), form="FLAC")[:900]):
        said = []
        for opened in (open_recording, lambda stream: decoded(stream, LIMITS)):
            try:
                with opened(io.BytesIO(data)) as recording:
                    list(recording.blocks())
            except AudioUnreadable as error:
                said.append((type(error), str(error)))
        assert len(said) == 2
        assert said[0] == said[1]


def _csv(points):
    return b"time,Ia,Ib\n" + b"".join(b"%g,%g,%g\n" % (k / 1e3, k % 7, k % 5) for k in range(points))


def _saved(save):
    save(stream := io.BytesIO())
    return stream.getvalue()


def _mat(stream):
    scipy.io.savemat(stream, {"fs": 1e3, "Ia": np.arange(300.0)}, do_compression=True)


def _new_mat(stream):
    with h5py.File(stream, "w") as file:
        file.create_dataset("Ia", data=np.arange(300.0), compression="gzip")


def _parquet(stream):
    columns = {name: np.arange(100_000.0) for name in ("Ia", "Ib", "Ic")}
    pq.write_table(pa.table(columns), stream, compression="zstd", row_group_size=10_000)


def _npy(stream):
    np.save(stream, np.random.default_rng(0).normal(size=(300, 2)))


SIGNALS = {
    "csv": (_csv(300), {}),
    "holes": (_csv(300).replace(b",3,", b",nan,"), {}),
    "mat": (_saved(_mat), {}),
    "mat 7.3": (_saved(_new_mat), {"sample_rate_hz": 1e3}),
    "parquet": (_saved(_parquet), {"sample_rate_hz": 1e3}),
    "npy": (_saved(_npy), {"sample_rate_hz": 1e3, "channels": "phase_a, phase_b"}),
    "wav": (audio(hum(1)), {"channels": "flux"}),
}


@pytest.mark.parametrize(("data", "stated"), SIGNALS.values(), ids=SIGNALS)
def test_signals_are_the_same_as_in_this_process(data, stated, tmp_path):
    here = read_signal(io.BytesIO(data), "a", **stated)
    path = tmp_path / "a"
    path.write_bytes(data)
    with path.open("rb") as stream:
        for source in (io.BytesIO(data), stream):
            there = decoded_signal(source, "a", LIMITS, **stated)
            for field in dataclasses.fields(here):
                one, other = getattr(there, field.name), getattr(here, field.name)
                if field.name == "values":
                    np.testing.assert_array_equal(one, other)
                elif field.name == "warnings":
                    assert [(item.code, dict(item.values)) for item in one] == [
                        (item.code, dict(item.values)) for item in other
                    ]
                else:
                    assert one == other, field.name


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"time,Ia\n1,x\n2,y\n3,z\n"])
def test_what_is_no_signal_is_refused_in_the_same_words(data):
    said = []
    for read in (
        lambda: read_signal(io.BytesIO(data), "a"),
        lambda: decoded_signal(io.BytesIO(data), "a", LIMITS),
    ):
        with pytest.raises(SignalUnreadable) as caught:
            read()
        said.append((caught.value.problem.code, str(caught.value)))
    assert said[0] == said[1]


def test_a_signal_over_which_the_reader_breaks_is_stopped(monkeypatch):
    monkeypatch.setattr(signal_decode, "_JOB", "tests.sandbox.jobs:misbehave")
    for how in (b"crash", b"well"):  # the latter sends what no reader of signals sends
        with pytest.raises(DecodingStopped):
            decoded_signal(io.BytesIO(how), "a", LIMITS)


def test_a_decoder_that_sends_what_no_decoder_sends_is_stopped(monkeypatch):
    monkeypatch.setattr(decode, "_JOB", "tests.sandbox.jobs:echo")
    with pytest.raises(DecodingStopped, match="nonsense"), decoded(io.BytesIO(b"x"), LIMITS):
        pass
