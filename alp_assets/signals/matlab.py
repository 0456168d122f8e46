"""Numbers from MATLAB files: version 5 and older through SciPy, version 7.3 through h5py.

Only arrays of numbers are read: neither objects nor functions of a file are touched.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.signals.columns import table_of_columns, table_of_matrix
from alp_assets.signals.headers import RATE_KEYS, STEP_KEYS, folded
from alp_assets.signals.mat5 import check_elements
from alp_assets.signals.recording import MOST_POINTS, SignalUnreadable, Table

_NUMERIC = frozenset(
    {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
)
_DEEPEST = 3

Arrays = dict[str, npt.NDArray[Any]]


def read_mat(stream: BinaryIO) -> Table:
    """Read a MATLAB file: a matrix, or a vector for each channel; also inside a struct.

    A scalar called ``fs`` or the like is the sample rate.

    Raises:
        SignalUnreadable: it is damaged or holds no signals.
    """
    start = stream.read(128)
    stream.seek(0)
    is_hdf5 = start.startswith((b"MATLAB 7.3", b"\x89HDF"))
    return _table(_hdf5(stream) if is_hdf5 else _version_5(stream))


def _version_5(stream: BinaryIO) -> Arrays:
    from scipy.io import loadmat, whosmat

    try:
        check_elements(stream)
        stream.seek(0)
        held = whosmat(stream)
        if sum(int(np.prod(shape, dtype=np.float64)) for _, shape, _ in held) > MOST_POINTS:
            raise SignalUnreadable("signal_too_long", most=MOST_POINTS)
        wanted = [name for name, _, kind in held if kind in _NUMERIC or kind == "struct"]
        stream.seek(0)
        found = loadmat(stream, variable_names=wanted, simplify_cells=True) if wanted else {}
    except (SignalUnreadable, MemoryError):
        raise
    except Exception as error:  # SciPy's reader fails in many ways on what is damaged
        raise SignalUnreadable("signal_damaged", container="MAT", detail=str(error)) from error
    return _flattened({name: value for name, value in found.items() if not name.startswith("__")})


def _flattened(values: Mapping[str, Any], depth: int = 0) -> Arrays:
    """The arrays of numbers, those inside structs by their field's name."""
    arrays: Arrays = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            if depth < _DEEPEST:
                arrays |= _flattened(value, depth + 1)
        elif np.asarray(value).dtype.kind in "iuf":
            arrays[name] = np.asarray(value)
    return arrays


def _hdf5(stream: BinaryIO) -> Arrays:
    import h5py

    arrays: Arrays = {}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and not path.startswith("#"):
            if item.size > MOST_POINTS:
                raise SignalUnreadable("signal_too_long", most=MOST_POINTS)
            if item.external or item.is_virtual:  # its numbers would come from any file of this machine
                raise SignalUnreadable("signal_damaged", container="MAT", detail="its numbers lie in another file")
            if "MATLAB_class" not in item.attrs or item.attrs["MATLAB_class"].decode() in _NUMERIC:
                arrays[path.rsplit("/", 1)[-1]] = np.asarray(item[()]).T

    try:
        with _opened_hdf5(stream) as file:
            file.visititems(visit)
    except (SignalUnreadable, MemoryError):
        raise
    except Exception as error:  # so does HDF5's
        raise SignalUnreadable("signal_damaged", container="MAT", detail=str(error)) from error
    return arrays


def _opened_hdf5(stream: BinaryIO) -> Any:
    """An HDF5 file of a stream, read by HDF5 itself: errors of Python's streams break it in the middle."""
    import h5py

    try:
        return h5py.File(f"/dev/fd/{stream.fileno()}", "r", locking=False)
    except io.UnsupportedOperation:
        image = stream.read()
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_file_image(image)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    return h5py.File(h5py.h5f.open(b"recording", h5py.h5f.ACC_RDONLY, fapl=access))


def _table(arrays: Arrays) -> Table:
    arrays = {name: np.squeeze(array) for name, array in arrays.items()}
    rate = _rate({name: float(array) for name, array in arrays.items() if array.ndim == 0})
    vectors = {name: array for name, array in arrays.items() if array.ndim == 1 and array.size > 1}
    matrices = {name: array for name, array in arrays.items() if array.ndim == 2}
    longest = max((array.size for array in vectors.values()), default=0)
    vectors = {name: array for name, array in vectors.items() if array.size == longest}
    large = {name: array for name, array in matrices.items() if max(array.shape) >= longest}
    if len(large) > 1:
        raise SignalUnreadable("signal_many_matrices", names=list(large))
    if large:
        matrix = next(iter(large.values()))
        time = [array for name, array in vectors.items() if array.size == max(matrix.shape)]
        table = table_of_matrix("MAT", matrix, rate)
        if table.time is None and len(time) == 1:
            with_time = table_of_columns("MAT", {"time": time[0], "value": time[0]})
            return Table("MAT", table.names, table.values, False, with_time.time, False, rate)
        return table
    if not vectors:
        raise SignalUnreadable("signal_no_numbers")
    return table_of_columns("MAT", vectors, rate)


def _rate(scalars: Mapping[str, float]) -> float | None:
    for name, value in scalars.items():
        if folded(name) in RATE_KEYS and value > 0:
            return value
        if folded(name) in STEP_KEYS and value > 0:
            return 1.0 / value
    return None
