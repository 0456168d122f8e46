"""MATLAB files of version 5 are looked through before SciPy reads them: whole ones pass, crafted ones do not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from alp_assets.signals.mat5 import Damaged, check_elements

VALUES = {
    "vector": np.arange(7.0),
    "matrix": np.arange(6, dtype="i2").reshape(2, 3),
    "scalar": 1 + 2j,
    "complex": np.array([1j, 2]),
    "text": "motor",
    "nothing": "",
    "struct": {"x": 1, "y": {"z": np.arange(3.0)}},
    "structs": np.rec.array([(1, 2.0), (3, 4.0)], dtype=[("u", "i4"), ("v", "f8")]),
    "cell": np.array([1, "a", {"q": 2}], object),
    "sparse": scipy.sparse.csc_matrix(np.eye(3)),
    "empty": np.zeros((0, 3)),
    "truth": np.array(True),
    "deep": np.zeros((2, 3, 4)),
    "a_name_that_is_longer_than_the_tag_has_room_for": 1.0,
}


def saved(**options):
    stream = io.BytesIO()
    scipy.io.savemat(stream, options.pop("values", VALUES), long_field_names="format" not in options, **options)
    return stream.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_whole_files_pass(packed):
    check_elements(io.BytesIO(saved(do_compression=packed)))


def test_what_is_not_of_version_5_is_left_to_the_reader():
    check_elements(io.BytesIO(saved(values={"x": np.eye(3)}, format="4")))
    check_elements(io.BytesIO(b""))


def test_every_file_that_scipy_can_read_passes():
    folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
    paths = sorted(folder.glob("*.mat"))
    if not paths:
        pytest.skip("SciPy is installed without its tests")
    for path in paths:
        try:
            scipy.io.loadmat(path)
        except Exception:  # those that are there to fail
            continue
        with path.open("rb") as stream:
            check_elements(stream)


def _packed(data):
    content = zlib.compress(data[128:])
    return data[:128] + struct.pack("<II", 15, len(content)) + content


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "place", [0, 8, 24, 32, 40, 48], ids=["variable", "flags", "class", "sizes", "dimensions", "name or data"]
)
def test_a_kind_that_does_not_exist_is_found(place, packed):
    data = bytearray(saved(values={"x": np.arange(300.0)}))
    for at in (place, place + 8):
        struct.pack_into("<H", data, 128 + at, 0xFFFF)
    with pytest.raises(Damaged):
        check_elements(io.BytesIO(_packed(bytes(data)) if packed else bytes(data)))


def test_a_variable_that_is_cut_short_or_lacks_a_part_is_found():
    data = saved(values={"x": np.array([1j, 2j])})
    for length in range(136, len(data) - 1, 8):
        with pytest.raises(Damaged):
            check_elements(io.BytesIO(data[:length]))
    without = bytearray(data[:-24])  # the imaginary part, and the size that says so
    struct.pack_into("<I", without, 132, len(without) - 136)
    with pytest.raises(Damaged):
        check_elements(io.BytesIO(bytes(without)))


def test_a_bomb_takes_no_memory():
    import tracemalloc

    inner = saved(values={"x": np.zeros(2_000_000)})
    data = _packed(inner)
    del inner
    tracemalloc.start()
    check_elements(io.BytesIO(data))
    assert tracemalloc.get_traced_memory()[1] < 6e6
    tracemalloc.stop()
