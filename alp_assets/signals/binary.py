"""Numbers from NPY, Parquet and WAV."""

from __future__ import annotations

import io
import math
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import open_recording
from alp_assets.errors import AudioUnreadable
from alp_assets.signals.columns import table_of_columns, table_of_matrix
from alp_assets.signals.recording import MOST_POINTS, FloatArray, SignalUnreadable, Table

_ROWS = 1 << 18


def read_npy(stream: BinaryIO) -> Table:
    """Read an array of one or two dimensions, or a structured one with a field for each channel.

    Raises:
        SignalUnreadable: it is damaged, holds Python objects, text or complex numbers, or has another shape.
    """
    shape, kind = _npy_header(stream)
    if kind.hasobject:
        raise SignalUnreadable("signal_objects")
    points = math.prod(shape) * max(1, len(kind.names or ()))
    here = stream.tell()
    there = stream.seek(0, io.SEEK_END) - here
    if math.prod(shape) * kind.itemsize > there:
        raise SignalUnreadable("signal_cut_short", container="NPY")
    if points > MOST_POINTS:
        raise SignalUnreadable("signal_too_long", most=MOST_POINTS)
    stream.seek(0)
    try:
        array: npt.NDArray[Any] = np.load(stream, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise SignalUnreadable("signal_damaged", container="NPY", detail=str(error)) from error
    if array.dtype.names:
        return table_of_columns("NPY", {name: _one_channel(array, name) for name in array.dtype.names})
    return table_of_matrix("NPY", array)


def _one_channel(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """A field of a structured array (n,), which is a number for each point."""
    values = array[name]
    if values.size != array.size or max(array.shape, default=1) != array.size:
        raise SignalUnreadable("signal_shape", shape=" × ".join(map(str, values.shape)))
    return values.reshape(-1)


def _npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    reader: Any = np.lib.format
    try:
        version = reader.read_magic(stream)
        read = reader.read_array_header_1_0 if version == (1, 0) else reader.read_array_header_2_0
        shape, _, kind = read(stream)
    except Exception as error:  # NumPy reads the header as a piece of Python, which fails in many ways
        raise SignalUnreadable("signal_damaged", container="NPY", detail=str(error)) from error
    return shape, kind


def read_parquet(stream: BinaryIO) -> Table:
    """Read a table with a column for each channel.

    Raises:
        SignalUnreadable: it is damaged, or a column holds something else than numbers or times.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        names = list(file.schema_arrow.names)
        if file.metadata.num_rows * len(names) > MOST_POINTS:
            raise SignalUnreadable("signal_too_long", most=MOST_POINTS)
        found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
        for batch in file.iter_batches(batch_size=_ROWS):
            for name, column in zip(names, batch.columns, strict=True):
                found[name].append(_numbers(name, column))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SignalUnreadable("signal_damaged", container="Parquet", detail=str(error)) from error
    if not found or not all(found.values()):
        raise SignalUnreadable("signal_no_numbers")
    return table_of_columns("Parquet", {name: np.concatenate(parts) for name, parts in found.items()})


def _numbers(name: str, column: Any) -> npt.NDArray[Any]:
    """A column as numbers; moments become seconds and are the only ones kept in double precision."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        ticks: npt.NDArray[np.float64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False) / per_second
        return ticks
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SignalUnreadable("signal_column_no_numbers", channel=name, kind=str(kind))
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def read_wav(stream: BinaryIO) -> Table:
    """Read a WAV file; its numbers are parts of full scale.

    Raises:
        SignalUnreadable: it cannot be decoded.
    """
    blocks: list[FloatArray] = []
    points = 0
    try:
        with open_recording(stream) as recording:
            info = recording.info
            if info.truncated:
                raise SignalUnreadable("signal_cut_short", container=info.container)
            for block in recording.blocks():
                points += block.size
                if points > MOST_POINTS:
                    raise SignalUnreadable("signal_too_long", most=MOST_POINTS)
                blocks.append(block)
    except AudioUnreadable as error:
        raise SignalUnreadable("signal_damaged", container="WAV", detail=str(error)) from error
    if not blocks:
        raise SignalUnreadable("signal_no_numbers")
    values = np.ascontiguousarray(np.concatenate(blocks).T)
    names = tuple(f"CH{number}" for number in range(1, len(values) + 1))
    return Table(info.container, names, values, named=False, rate_hz=float(info.sample_rate_hz))
