"""Columns and matrices of numbers as channels: which of them is time, which way round they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.signals.clock import is_time
from alp_assets.signals.headers import column_kind
from alp_assets.signals.recording import MOST_POINTS, SignalUnreadable, Table

_MOST_CHANNELS = 64
_LOOKED_AT = 1000


def table_of_columns(
    container: str, columns: Mapping[str, npt.NDArray[Any]], rate_hz: float | None = None
) -> Table:
    """A table of named columns (n,), of which one may be the time.

    Raises:
        SignalUnreadable: there is nothing in them, or what is no number.
    """
    time: npt.NDArray[np.float64] | None = None
    known = True
    rows: dict[str, npt.NDArray[np.float32]] = {}
    for name, values in columns.items():
        _check_numbers(values, name)
        kind, factor, unit_known = column_kind(name)
        rises = is_time(values[:_LOOKED_AT].astype(np.float64))
        if not kind and rises:
            kind = "index" if _is_count(values) else "time"
        if kind == "time" and time is None:
            with np.errstate(invalid="ignore", over="ignore"):
                time, known = values.astype(np.float64) * factor, unit_known
        elif kind != "index" or not rises:
            rows[name] = _single(values, factor)
    if not rows or not len(next(iter(rows.values()))):
        raise SignalUnreadable("signal_no_numbers")
    return Table(
        container,
        tuple(rows),
        np.stack(list(rows.values())),
        time=time,
        time_unit_known=known,
        rate_hz=rate_hz,
    )


def table_of_matrix(container: str, array: npt.NDArray[Any], rate_hz: float | None = None) -> Table:
    """A table of an array (n,), (n, channels) or (channels, n): the longer way is time.

    Raises:
        SignalUnreadable: it has another shape, holds no numbers, or too many channels.
    """
    _check_numbers(array, "CH1")
    if array.ndim > 2:
        array = np.squeeze(array)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise SignalUnreadable("signal_shape", shape=" × ".join(map(str, array.shape)) or "1")
    if array.shape[0] > array.shape[1]:
        array = array.T
    if array.shape[0] > _MOST_CHANNELS:
        raise SignalUnreadable("signal_too_many_columns", count=array.shape[0], most=_MOST_CHANNELS)
    if not array.size:
        raise SignalUnreadable("signal_no_numbers")
    time = None
    if len(array) > 1 and is_time(array[0, :_LOOKED_AT].astype(np.float64)):
        first, array = array[0].astype(np.float64), array[1:]
        time = None if _is_count(first) else first
    names = tuple(f"CH{number}" for number in range(1, len(array) + 1))
    values = np.stack([_single(row, 1.0) for row in array])
    return Table(container, names, values, named=False, time=time, time_unit_known=False, rate_hz=rate_hz)


def _is_count(values: npt.NDArray[Any]) -> bool:
    return bool((np.diff(values[:_LOOKED_AT]) == 1).all())


def _check_numbers(values: npt.NDArray[Any], name: str) -> None:
    if values.dtype.kind not in "iuf":
        raise SignalUnreadable("signal_column_no_numbers", channel=name, kind=str(values.dtype))
    if values.size > MOST_POINTS:
        raise SignalUnreadable("signal_too_long", most=MOST_POINTS)


def _single(values: npt.NDArray[Any], factor: float) -> npt.NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.ascontiguousarray(values, np.float32)
        return found if factor == 1.0 else found * np.float32(factor)
