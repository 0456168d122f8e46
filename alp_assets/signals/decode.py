"""Reading a signal recording in a process that may break, hang or run out of memory over a stranger's file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from alp_assets.audio.decode import limits_of
from alp_assets.params import QualityParams
from alp_assets.sandbox.line import ARENA_BYTES, Refusal
from alp_assets.sandbox.workers import Served, served
from alp_assets.signals.read import read_signal
from alp_assets.signals.recording import MOST_POINTS, Clock, SignalRecording, SignalUnreadable, Spikes
from schemas.problems import Problem

_JOB = "alp_assets.signals.decode:serve"


def decoded_signal(stream: BinaryIO, name: str, limits: QualityParams, **stated: Any) -> SignalRecording:
    """What ``read_signal`` gives, read in a process with limits of time and memory.

    ``stream`` is a file on disk or ``BytesIO``, ``stated`` what the table says, as ``read_signal`` takes it.

    Raises:
        SignalUnreadable: why it cannot be used, and what to do.
        DecodingStopped: reading took too long or too much memory, or broke.
    """
    source = stream.getbuffer() if isinstance(stream, io.BytesIO) else stream
    try:
        with served(_JOB, source, {"name": name, "stated": stated}, limits_of(limits)) as found:
            try:
                return _received(found)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise found.broken(error) from error
    except Refusal as refusal:
        raise SignalUnreadable(str(refusal.values["code"]), **refusal.values["values"]) from None


def serve(stream: BinaryIO, request: dict[str, Any]) -> Iterator[Any]:
    """The decoder's work on a recording: all that is known of it, then its values in pieces."""
    try:
        recording = read_signal(stream, request["name"], **request["stated"])
    except SignalUnreadable as error:
        raise Refusal({"code": error.problem.code, "values": dict(error.problem.values)}) from error
    yield {
        "shape": recording.values.shape,
        "container": recording.container,
        "names": recording.names,
        "roles": recording.roles,
        "sample_rate_hz": float(recording.sample_rate_hz),
        "non_finite": recording.non_finite,
        "clock": asdict(recording.clock) if recording.clock else None,
        "spikes": asdict(recording.spikes),
        "warnings": [[item.code, dict(item.values)] for item in recording.warnings],
    }
    flat = np.ascontiguousarray(recording.values, np.float32).reshape(-1)
    most = ARENA_BYTES // flat.itemsize
    for start in range(0, flat.size, most):
        yield flat[start : start + most]


def prepare() -> None:
    """Import what reserves memory or takes long: it counts for no recording."""
    import h5py  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow as pa
    import pyarrow.parquet
    import scipy.io  # noqa: F401
    import soundfile  # noqa: F401

    pa.array([1.0])  # its allocator reserves a GiB when it is first used


def _received(found: Served) -> SignalRecording:
    channels, points = (int(size) for size in found.head["shape"])
    if min(channels, points) < 1 or channels * points > MOST_POINTS:
        raise ValueError(f"{channels} channels of {points} points")
    values = np.empty(channels * points, np.float32)
    at = 0
    for data in found.buffers():
        piece = np.frombuffer(data, np.float32)
        values[at : at + piece.size] = piece
        at += piece.size
    if at != values.size:
        raise ValueError(f"{at} of {values.size} values")
    return _recording(found.head, values.reshape(channels, points))


def _recording(head: dict[str, Any], values: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> SignalRecording:
    return SignalRecording(
        container=str(head["container"]),
        names=tuple(map(str, head["names"])),
        roles=tuple(map(str, head["roles"])),
        sample_rate_hz=float(head["sample_rate_hz"]),
        values=values,
        non_finite=tuple(map(int, head["non_finite"])),
        clock=Clock(**head["clock"]) if head["clock"] else None,
        spikes=Spikes(**head["spikes"]),
        warnings=tuple(Problem("warning", code, found) for code, found in head["warnings"]),
    )
