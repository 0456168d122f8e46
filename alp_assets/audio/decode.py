"""Opening recordings: what format the bytes really are, and their samples block by block.

``open_recording`` decodes in this process; ``decoded`` leaves it to another one, which may break, hang or run out
of memory over a stranger's file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.errors import AudioUnreadable
from alp_assets.sandbox.line import Refusal
from alp_assets.sandbox.workers import Limits, Served, served
from alp_assets.sandbox.workers import warm as warm_workers

if TYPE_CHECKING:
    import soundfile as sf

    from alp_assets.params import QualityParams

FloatArray = npt.NDArray[np.float32]

BLOCK_SAMPLES = 1 << 20
"""Samples read at a time: 11 s of stereo at 48 kHz, so that a recording of hours needs no more memory."""

_JOB = "alp_assets.audio.decode:serve"

_UNKNOWN_FRAMES = 1 << 48

_TO_THE_END = 0xFFFF_FFFF
_UNKNOWN_SIZES = frozenset({0, 0x7FFF_0000, 0x7FFF_F000, 0x7FFF_FF00, 0x7FFF_FFFF, 0x8000_0000})
"""Data sizes that GStreamer, SoX and arecord write when they cannot go back to the header."""


@dataclass(frozen=True)
class AudioInfo:
    """What a recording says of itself, and how much of it is there."""

    container: str
    subtype: str
    sample_rate_hz: int
    channels: int
    frames: int
    declared_frames: int

    @property
    def duration_s(self) -> float:
        """Seconds of audio that can be read."""
        return self.frames / self.sample_rate_hz

    @property
    def truncated(self) -> bool:
        """Whether the file ends before its header says."""
        return self.frames < self.declared_frames


class Recording:
    """An open recording. ``blocks`` may be gone through once."""

    def __init__(self, info: AudioInfo, read: Callable[[int], Iterator[FloatArray]]) -> None:
        self.info = info
        self._read = read

    def blocks(self, frames: int = 0) -> Iterator[FloatArray]:
        """Samples as float32 (frames, channels), full scale 1.0; by default ``BLOCK_SAMPLES`` at a time."""
        yield from self._read(frames or max(1, BLOCK_SAMPLES // self.info.channels))


@contextmanager
def decoded(stream: BinaryIO, limits: QualityParams) -> Iterator[Recording]:
    """Open any audio that libsndfile reads, in a process with limits of time and memory.

    ``stream`` is a file on disk or ``BytesIO``. ``blocks`` are as long as they come by default.

    Raises:
        AudioUnreadable: in words why it can't be opened, also while its blocks are read.
        DecodingStopped: decoding took too long or too much memory, or broke.
    """
    source = stream.getbuffer() if isinstance(stream, io.BytesIO) else stream
    try:
        with served(_JOB, source, {}, limits_of(limits)) as found:
            info = _told(found)
            yield Recording(info, lambda _: _received(found, info.channels))
    except Refusal as refusal:
        raise AudioUnreadable(str(refusal.values["why"])) from None


def limits_of(params: QualityParams) -> Limits:
    """The limits of decoding by the parameters."""
    return Limits(params.decode_seconds, params.decode_memory_mb)


def warm(params: QualityParams, count: int) -> None:
    """Start so many decoders of sound in the background."""
    warm_workers(_JOB, limits_of(params), count)


def serve(stream: BinaryIO, _: dict[str, Any]) -> Iterator[Any]:
    """The decoder's work on a recording: what it says of itself, then its blocks of samples."""
    try:
        with open_recording(stream) as recording:
            yield asdict(recording.info)
            for block in recording.blocks():
                yield np.ascontiguousarray(block)
    except AudioUnreadable as error:
        raise Refusal({"why": str(error)}) from error


def prepare() -> None:
    """Import what the first recording would have to wait for."""
    import soundfile  # noqa: F401


def _told(found: Served) -> AudioInfo:
    names, head = ("sample_rate_hz", "channels", "frames", "declared_frames"), found.head
    try:
        rate, channels, frames, declared = (int(head[name]) for name in names)
        info = AudioInfo(str(head["container"]), str(head["subtype"]), rate, channels, frames, declared)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise found.broken(error) from error
    if min(rate, channels) < 1 or min(frames, declared) < 0:
        raise found.broken(info)
    return info


def _received(found: Served, channels: int) -> Iterator[FloatArray]:
    for data in found.buffers():
        if len(data) % (4 * channels):
            raise found.broken(len(data))
        yield np.frombuffer(data, np.float32).reshape(-1, channels)


@contextmanager
def open_recording(stream: BinaryIO) -> Iterator[Recording]:
    """Open any audio that libsndfile reads. ``AudioUnreadable`` says in words why it can't be."""
    import soundfile as sf

    head = stream.read(4096)
    stream.seek(0)
    if not head:
        raise AudioUnreadable("the file is empty")
    if head[:4] in (b"RIFF", b"RF64") and _wav_sample_rate(head) == 0:
        raise AudioUnreadable("the header gives a sample rate of 0 Hz")
    try:
        file = sf.SoundFile(_with_sound_to_the_end(stream, head))
    except (RuntimeError, OSError, TypeError, ValueError) as error:
        raise AudioUnreadable(f"this is not audio that can be read{_looks_like(head)}") from error
    with file:
        frames = declared = int(file.frames)
        if frames > _UNKNOWN_FRAMES:
            # libsndfile can neither seek in such a file nor tell where it ends
            raise AudioUnreadable("its header does not say how long it is, as when it was recorded into a pipe")
        if file.samplerate <= 0 or file.channels <= 0:
            raise AudioUnreadable(f"the header gives {file.samplerate} Hz and {file.channels} channels")
        if file.format in ("WAV", "WAVEX"):
            declared = _declared_frames(head, file)
        yield Recording(
            AudioInfo(
                container="WAV" if file.format == "WAVEX" else file.format,
                subtype=file.subtype,
                sample_rate_hz=file.samplerate,
                channels=file.channels,
                frames=frames,
                declared_frames=max(declared, frames),
            ),
            partial(_blocks, file),
        )


def pick_channel(block: FloatArray, channel: int | str) -> FloatArray:
    """One microphone of a block (frames, channels), or the mean of all where ``"average"`` asks for it."""
    if channel == "average":
        return np.ascontiguousarray(block.mean(axis=1, dtype=np.float32))
    return np.ascontiguousarray(block[:, int(channel) - 1])


def _blocks(file: sf.SoundFile, frames: int) -> Iterator[FloatArray]:
    while True:
        try:
            block = file.read(frames, dtype="float32", always_2d=True)
        except (RuntimeError, OSError) as error:
            raise AudioUnreadable(f"cannot be decoded ({error})") from error
        if not len(block):
            return
        yield block


def _looks_like(head: bytes) -> str:
    if head.startswith(b"PK"):
        return ": it is a zip or Office file"
    if head.startswith(b"%PDF"):
        return ": it is a PDF"
    if b"ftyp" in head[:16]:
        return ": it is an MP4 or M4A file"
    if head[:4] == b"RIFF":
        return ": its WAV header is damaged or incomplete"
    printable = sum(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head)
    return ": it is text" if printable > 0.95 * len(head) else ""


def _chunks(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, offset of the content, declared size) of the RIFF chunks that begin within ``head``."""
    position = 12
    while position + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, position)
        yield name, position + 8, size
        position += 8 + size + size % 2


def _wav_sample_rate(head: bytes) -> int | None:
    for name, start, size in _chunks(head):
        if name == b"fmt " and size >= 16 and start + 8 <= len(head):
            rate: int = struct.unpack_from("<I", head, start + 4)[0]
            return rate
    return None


def _declared_frames(head: bytes, file: sf.SoundFile) -> int:
    """Frames by the size of the data chunk; that of a recorder which streams says nothing."""
    frame_bytes = 0
    for name, start, size in _chunks(head):
        if name == b"fmt " and start + 14 <= len(head):
            frame_bytes = struct.unpack_from("<H", head, start + 12)[0]
        if name == b"data":
            known = frame_bytes and size < 0xFFFF_FF00 and size not in _UNKNOWN_SIZES
            return int(size // frame_bytes if known else file.frames)
    return int(file.frames)


def _with_sound_to_the_end(stream: BinaryIO, head: bytes) -> BinaryIO | _OtherHead:
    """The stream, with the size that libsndfile follows to the end where a WAV was never finished.

    A recorder that loses power leaves a data size of 0, and a size of the whole file that ends there or
    says nothing; libsndfile would find no samples in it.
    """
    if head[:4] != b"RIFF" or len(head) < 12:
        return stream
    (whole,) = struct.unpack_from("<I", head, 4)
    for name, start, size in _chunks(head):
        if name == b"data" and size == 0 and (whole + 8 <= start or whole == _TO_THE_END):
            return _OtherHead(stream, head[: start - 4] + struct.pack("<I", _TO_THE_END))
        if name == b"data":
            break
    return stream


class _OtherHead:
    """A file that reads as if it began with other bytes."""

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        self._stream = stream
        self._head = head
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes from where the file stands."""
        position = self.tell()
        data = self._stream.read(size)
        changed = self._head[position : position + len(data)]
        return changed + data[len(changed) :]
