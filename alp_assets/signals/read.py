"""Reading a signal recording: any of the formats, from a stream, into channels with roles and a rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.signals.binary import read_npy, read_parquet, read_wav
from alp_assets.signals.clock import agree, in_unit_of, read_clock
from alp_assets.signals.matlab import read_mat
from alp_assets.signals.recording import Clock, SignalRecording, SignalUnreadable, Spikes, Table
from alp_assets.signals.roles import choose
from alp_assets.signals.text import read_text
from schemas.problems import Problem

BEYOND_SENSE = 1e10
"""No ampere, volt, tesla or count of a converter is larger than this; instruments write 9.9e37 for an overflow."""

SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".asc", ".npy", ".parquet", ".mat", ".wav")
"""Endings of the names of files that hold signals. What the bytes are decides how they are read."""

MODALITIES = ("current", "flux", "vibration")

_MAGIC: tuple[tuple[bytes, Callable[[BinaryIO], Table]], ...] = (
    (b"\x93NUMPY", read_npy),
    (b"PAR1", read_parquet),
    (b"RIFF", read_wav),
    (b"RF64", read_wav),
    (b"MATLAB ", read_mat),
    (b"\x89HDF", read_mat),
)
_OTHERS = (
    (b"PK\x03\x04", "signal_is_archive"),
    (b"\xd0\xcf\x11\xe0", "signal_is_archive"),
    (b"\x80\x03", "signal_is_pickle"),
    (b"\x80\x04", "signal_is_pickle"),
    (b"\x80\x05", "signal_is_pickle"),
)


def read_signal(
    stream: BinaryIO,
    name: str,
    *,
    modality: str = "current",
    sample_rate_hz: float | None = None,
    channels: str = "",
) -> SignalRecording:
    """Read a recording. Text takes memory for its channels, three times that for its time, and a block.

    Args:
        stream: its bytes; seekable, from the beginning.
        name: of the file; its ending decides only where the bytes could be either.
        modality: ``current``, ``flux`` or ``vibration``.
        sample_rate_hz: as the table states it. Where the file has a time column, that one holds.
        channels: what each channel is, as the table states it, see ``roles.choose``.

    Raises:
        SignalUnreadable: why it cannot be used, and what to do.
    """
    table = _opened(stream, name)
    chosen = choose(table.names, table.named, channels, modality)
    values = (
        table.values[list(chosen.places)] if chosen.places != tuple(range(len(table.values))) else table.values
    )
    names = tuple(table.names[place] for place in chosen.places)
    if values.shape[1] < 2:
        raise SignalUnreadable("signal_no_numbers")
    spikes = _without_spikes(values, names, table.first_row)
    rate, clock, warnings = _rate(table, sample_rate_hz)
    return SignalRecording(
        container=table.container,
        names=names,
        roles=chosen.roles,
        sample_rate_hz=rate,
        values=values,
        non_finite=tuple(int(row.size - np.count_nonzero(np.isfinite(row))) for row in values),
        clock=clock,
        spikes=spikes,
        warnings=(*chosen.warnings, *warnings),
    )


def _opened(stream: BinaryIO, name: str) -> Table:
    head = stream.read(16)
    stream.seek(0)
    if not head:
        raise SignalUnreadable("signal_empty")
    for magic, code in _OTHERS:
        if head.startswith(magic):
            raise SignalUnreadable(code)
    reader = next((reader for magic, reader in _MAGIC if head.startswith(magic)), None)
    if reader is None:
        reader = read_mat if name.lower().endswith(".mat") else read_text
    try:
        return reader(stream)
    except MemoryError as error:
        raise SignalUnreadable("signal_no_memory") from error


def _without_spikes(values: npt.NDArray[np.float32], names: tuple[str, ...], first_row: int) -> Spikes:
    """Make numbers beyond sense NaN, in place, and say how many and where the first is."""
    count, first = 0, Spikes()
    for name, row in zip(names, values, strict=True):
        with np.errstate(invalid="ignore"):
            beyond = np.flatnonzero(np.isfinite(row) & (np.abs(row) > BEYOND_SENSE))
        if not beyond.size:
            continue
        at = int(beyond[0])
        if not count or first_row + at < first.row:
            first = Spikes(0, name, first_row + at, float(row[at]))
        count += int(beyond.size)
        row[beyond] = np.nan
    return replace(first, count=count)


def _rate(table: Table, stated: float | None) -> tuple[float, Clock | None, tuple[Problem, ...]]:
    """The sample rate: by the time column, else as the table states it, else as the file says."""
    if stated is not None and not (np.isfinite(stated) and stated > 0):
        raise SignalUnreadable("signal_rate_impossible", rate=stated)
    if table.time is None:
        rate = stated or table.rate_hz
        if rate is None:
            raise SignalUnreadable("signal_rate_missing")
        if stated and table.rate_hz and not agree(stated, table.rate_hz):
            found = {"stated": stated, "found": table.rate_hz}
            return table.rate_hz, None, (Problem("warning", "signal_rate_differs", found),)
        return rate, None, ()
    clock = read_clock(table.time, table.first_row)
    known = stated or table.rate_hz
    if known and not table.time_unit_known:
        factor = in_unit_of(clock.rate_hz, known)
        if factor:
            clock = replace(clock, rate_hz=clock.rate_hz * factor)
    if known and not agree(clock.rate_hz, known):
        found = {"stated": known, "found": clock.rate_hz}
        return clock.rate_hz, clock, (Problem("warning", "signal_rate_differs", found),)
    return (known if known and clock.coarse else clock.rate_hz), clock, ()
