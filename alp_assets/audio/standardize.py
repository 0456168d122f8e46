"""The standard form: mono, 16 kHz, 10 s, PCM16. Loudness is kept as it was recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alp_assets.audio.beyond import Beyond, BeyondMeter
from alp_assets.audio.decode import FloatArray, Recording, pick_channel

SAMPLE_RATE = 16_000
CLIP_SECONDS = 10
CLIP_SAMPLES = SAMPLE_RATE * CLIP_SECONDS


@dataclass(frozen=True)
class StandardClip:
    """One clip: int16 samples (160000,), of which the first ``valid_samples`` are recorded sound.

    ``db_8_10k`` and ``db_above_10k`` are what the original held there (dBFS), NaN where its sample rate did
    not reach so far.
    """

    offset_s: float
    samples: npt.NDArray[np.int16]
    valid_samples: int
    db_8_10k: float = math.nan
    db_above_10k: float = math.nan

    @property
    def sound(self) -> FloatArray:
        """The recorded part as float32 (valid_samples,), full scale 1.0."""
        return self.samples[: self.valid_samples].astype(np.float32) / np.float32(32_768)


def standard_clips(recording: Recording, channel: int | str, min_seconds: float) -> Iterator[StandardClip]:
    """Resample, cut and pad a recording.

    A recording is cut into whole clips from its start; what remains is padded with zeros when it has
    at least ``min_seconds``, else left out.
    """
    meter = BeyondMeter(recording.info.sample_rate_hz, CLIP_SECONDS)
    pending = np.zeros(0, np.float32)
    index = 0
    for piece in _resampled(recording, channel, meter):
        pending = np.concatenate([pending, piece]) if pending.size else piece
        while pending.size >= CLIP_SAMPLES:
            yield _clip(index, pending[:CLIP_SAMPLES], meter.take())
            pending = pending[CLIP_SAMPLES:]
            index += 1
    if pending.size >= min_seconds * SAMPLE_RATE:
        yield _clip(index, pending, meter.take())


def write_clip(path: Path, clip: StandardClip) -> None:
    """Write a clip as a PCM16 WAV."""
    import soundfile as sf

    sf.write(path, clip.samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")


def read_clip(path: Path, valid_samples: int = CLIP_SAMPLES) -> FloatArray:
    """The recorded part of a standard clip as float32 (valid_samples,), full scale 1.0."""
    import soundfile as sf

    samples, _ = sf.read(path, frames=valid_samples, dtype="float32")
    return np.asarray(samples, np.float32)


def _clip(index: int, recorded: FloatArray, beyond: Beyond) -> StandardClip:
    samples = np.zeros(CLIP_SAMPLES, np.int16)
    samples[: recorded.size] = _to_pcm16(recorded)
    return StandardClip(
        index * float(CLIP_SECONDS), samples, int(recorded.size), beyond.db_8_10k, beyond.db_above_10k
    )


def _resampled(recording: Recording, channel: int | str, meter: BeyondMeter) -> Iterator[FloatArray]:
    """The samples at 16 kHz, block by block; the meter hears the original ones first."""
    import soxr

    rate = recording.info.sample_rate_hz
    if rate == SAMPLE_RATE:
        for block in recording.blocks():
            yield pick_channel(block, channel)
        return
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in recording.blocks():
        samples = pick_channel(block, channel)
        meter.add(samples)
        yield stream.resample_chunk(samples, last=False)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _to_pcm16(samples: FloatArray) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)
