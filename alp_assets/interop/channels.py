"""One microphone of a recording with several, as a recording of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from alp_assets.errors import AudioUnreadable

_BLOCK_FRAMES = 1 << 16
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MOST_BYTES = 0xFFFF_FFFF - 36


@dataclass(frozen=True)
class _Wav:
    """Where the samples of a WAV lie and how they are written; ``size`` is in bytes and of whole frames."""

    form: int
    channels: int
    sample_rate_hz: int
    width: int
    start: int
    size: int


def one_channel(path: Path, channel: int) -> Iterator[bytes]:
    """The bytes of a mono WAV with the samples of one channel (counted from 1), untouched, block by block.

    Raises:
        AudioUnreadable: it is no WAV of plain samples, or has no such channel.
    """
    with path.open("rb") as stream:
        wav = _read_head(stream)
        if channel > wav.channels:
            raise AudioUnreadable(f"it has {wav.channels} channel(s), and channel {channel} was asked for")
        yield _mono_head(wav)
        stream.seek(wav.start)
        frame = wav.channels * wav.width
        for offset in range(0, wav.size, _BLOCK_FRAMES * frame):
            block = stream.read(min(_BLOCK_FRAMES * frame, wav.size - offset))
            samples = np.frombuffer(block, np.uint8).reshape(-1, wav.channels, wav.width)
            yield samples[:, channel - 1].tobytes()


def _read_head(stream: BinaryIO) -> _Wav:
    head = stream.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise AudioUnreadable("it is no WAV, so its channels cannot be taken apart")
    end = stream.seek(0, 2)
    form = b""
    position = 12
    while position + 8 <= end:
        stream.seek(position)
        name, size = struct.unpack("<4sI", stream.read(8))
        if name == b"fmt ":
            form = stream.read(min(size, 40))
        elif name == b"data" and len(form) >= 16:
            return _wav(form, position + 8, min(size, end - position - 8))
        position += 8 + size + size % 2
    raise AudioUnreadable("its WAV header is damaged or incomplete")


def _wav(form: bytes, start: int, size: int) -> _Wav:
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", form)
    if tag == _EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack_from("<H", form, 24)
    if tag not in (_PCM, _FLOAT) or not channels or bits % 8 or align != channels * bits // 8 or not align:
        raise AudioUnreadable("its samples are packed, so its channels cannot be taken apart")
    return _Wav(tag, channels, rate, bits // 8, start, size - size % align)


def _mono_head(wav: _Wav) -> bytes:
    size = wav.size // wav.channels
    if size > _MOST_BYTES:
        raise AudioUnreadable("it is too long for a WAV")
    byte_rate = wav.sample_rate_hz * wav.width
    form = struct.pack("<HHIIHH", wav.form, 1, wav.sample_rate_hz, byte_rate, wav.width, 8 * wav.width)
    sizes = struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", len(form))
    return sizes + form + struct.pack("<4sI", b"data", size)
