from __future__ import annotations

import io
from contextlib import contextmanager
from functools import partialmethod

import numpy as np
import pytest
import soundfile as sf

from alp_assets.audio.decode import Recording, open_recording


@pytest.fixture
def encoded():
    """Samples (n,) or (n, channels) as the bytes of an audio file."""

    def encode(samples, rate=16_000, form="WAV", subtype=None):
        stream = io.BytesIO()
        sf.write(stream, samples, rate, format=form, subtype=subtype)
        return stream.getvalue()

    return encode


@pytest.fixture
def opened():
    """The bytes of an audio file as an open recording."""

    @contextmanager
    def open_bytes(data):
        with open_recording(io.BytesIO(data)) as recording:
            yield recording

    return open_bytes


@pytest.fixture
def in_blocks_of(monkeypatch):
    """Make every recording deliver blocks of so many frames."""
    whole = Recording.blocks

    def change(frames):
        monkeypatch.setattr(Recording, "blocks", partialmethod(whole, frames))

    return change


@pytest.fixture
def tone():
    """A sine as float32 (n,)."""

    def make(frequency, seconds, rate=16_000, amplitude=0.5):
        time = np.arange(round(seconds * rate)) / rate
        return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)

    return make


@pytest.fixture
def noise():
    """White Gaussian noise as float32 (n,), the same for the same seed."""

    def make(samples, deviation=0.1, seed=0):
        return np.random.default_rng(seed).normal(0, deviation, samples).astype(np.float32)

    return make
