"""Recordings as arrays, tables, MATLAB files and sound files."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.io
import soundfile

from alp_assets.signals.read import read_signal
from alp_assets.signals.recording import SignalUnreadable

RATE = 2000.0
N = 500
T = np.arange(N) / RATE
PHASES = np.stack([3 * np.cos(2 * np.pi * 50 * T - k * 2 * np.pi / 3) for k in range(3)])
NAMED = dict(zip(("Ia", "Ib", "Ic"), PHASES, strict=True))


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def parquet(**columns):
    stream = io.BytesIO()
    pd.DataFrame(columns).to_parquet(stream)
    return stream.getvalue()


def mat(**variables):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables)
    return stream.getvalue()


def wav(values, rate=int(RATE)):
    stream = io.BytesIO()
    soundfile.write(stream, values, rate, format="WAV", subtype="FLOAT")
    return stream.getvalue()


def read(data, name="a.bin", **stated):
    return read_signal(io.BytesIO(data), name, **stated)


def refused(data, **stated):
    with pytest.raises(SignalUnreadable) as caught:
        read(data, **stated)
    return caught.value


STAMPS = pd.Timestamp("2025-03-04 09:00") + pd.to_timedelta(T, unit="s")
STRUCTURED = np.rec.fromarrays([T, *PHASES], names="time,Ia,Ib,Ic")


@pytest.mark.parametrize(
    ("data", "stated"),
    [
        pytest.param(npy(PHASES.T), {"sample_rate_hz": RATE}, id="NPY, points by channels"),
        pytest.param(npy(PHASES.astype(np.float32)), {"sample_rate_hz": RATE}, id="NPY, channels by points"),
        pytest.param(npy(np.asfortranarray(PHASES.T)), {"sample_rate_hz": RATE}, id="NPY in the order of Fortran"),
        pytest.param(npy(np.vstack([T, PHASES]).T), {}, id="NPY with time"),
        pytest.param(npy(np.asarray(STRUCTURED)), {}, id="NPY with fields"),
        pytest.param(parquet(**NAMED), {"sample_rate_hz": RATE}, id="Parquet"),
        pytest.param(parquet(time=T, **NAMED), {}, id="Parquet with time"),
        pytest.param(parquet(timestamp=STAMPS, **NAMED), {}, id="Parquet with moments"),
        pytest.param(mat(fs=RATE, **NAMED), {}, id="MAT with vectors"),
        pytest.param(mat(t=T, **NAMED), {}, id="MAT with time"),
        pytest.param(mat(data={"Fs": RATE, **NAMED}), {}, id="MAT with a struct"),
        pytest.param(mat(X=PHASES.T, t=T), {}, id="MAT with a matrix and time"),
        pytest.param(mat(X=PHASES.T), {"sample_rate_hz": RATE}, id="MAT with a matrix"),
        pytest.param(wav(PHASES.T / 4), {}, id="WAV"),
    ],
)
def test_every_format_gives_the_same_phases(data, stated):
    found = read(data, **stated)
    assert found.roles == ("phase_a", "phase_b", "phase_c")
    assert found.sample_rate_hz == pytest.approx(RATE)
    scale = 0.25 if found.container == "WAV" else 1.0
    np.testing.assert_allclose(found.values, scale * PHASES, atol=1e-6)
    assert found.duration_s == pytest.approx(N / RATE)


def test_matlab_7_3_reads():
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, values in {"Ia": PHASES[0], "Ib": PHASES[1], "Ic": PHASES[2]}.items():
            file.create_dataset(name, data=values[None]).attrs["MATLAB_class"] = np.bytes_("double")
        file.create_dataset("fs", data=[[RATE]]).attrs["MATLAB_class"] = np.bytes_("double")
        file.create_dataset("name", data=np.array([[72], [105]], np.uint16)).attrs["MATLAB_class"] = np.bytes_(
            "char"
        )
    found = read(stream.getvalue())
    assert found.names == ("Ia", "Ib", "Ic")
    np.testing.assert_allclose(found.values, PHASES, atol=1e-6)


class Opened:
    """What a pickle could run."""

    def __reduce__(self):
        return (pytest.fail, ("a file has run a program",))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (npy(np.array([Opened()], object), allow_pickle=True), "signal_objects"),
        (pickle.dumps(Opened()), "signal_is_pickle"),
        (npy(PHASES)[:-100], "signal_cut_short"),
        (npy(PHASES)[:20], "signal_damaged"),
        (npy(np.zeros((2, 3, 4))), "signal_shape"),
        (npy(np.zeros(300, [("t", float), ("Ia", float, 4)])), "signal_shape"),
        (npy(np.zeros((300, 4), [("t", float), ("Ia", float)])), "signal_shape"),
        (npy(np.zeros((100, 200))), "signal_too_many_columns"),
        (npy(np.zeros((0, 3))), "signal_no_numbers"),
        (npy(np.zeros(100, complex)), "signal_column_no_numbers"),
        (npy(np.array(["a", "b"])), "signal_column_no_numbers"),
        (npy(PHASES), "signal_rate_missing"),
        (parquet(Ia=PHASES[0], note=["x"] * N), "signal_column_no_numbers"),
        (parquet(Ia=PHASES[0])[:-20], "signal_damaged"),
        (mat(fs=RATE), "signal_no_numbers"),
        (mat(X=PHASES.T, Y=PHASES.T), "signal_many_matrices"),
        (mat(**NAMED)[:200], "signal_damaged"),
        (wav(PHASES.T)[:-400], "signal_cut_short"),
        (b"RIFF and then nothing", "signal_damaged"),
    ],
)
def test_what_is_no_recording_is_refused(data, code):
    assert refused(data).problem.code == code


def test_a_header_that_promises_too_much_takes_no_memory():
    data = npy(np.zeros((3, 4)))
    huge = data.replace(b"(3, 4)", b"(3, 4444444444444)").replace(b" " * 13 + b"\n", b"\n", 1)
    assert refused(huge).problem.code in ("signal_cut_short", "signal_damaged")


def test_a_recording_longer_than_any_may_be_is_refused(monkeypatch):
    for module in ("binary", "columns", "matlab", "text"):
        monkeypatch.setattr(f"alp_assets.signals.{module}.MOST_POINTS", 1000)
    text = "\n".join(f"{a},{b},{c}" for a, b, c in PHASES.T).encode()
    for data in (npy(PHASES), parquet(**NAMED), mat(**NAMED), wav(PHASES.T), text):
        assert refused(data, sample_rate_hz=RATE).problem.code == "signal_too_long"


def test_nulls_of_parquet_are_missing_values():
    values = pd.array([1.0, None, 3.0] * 100, dtype="Float64")
    found = read(parquet(flux=values), modality="flux", sample_rate_hz=RATE)
    assert found.non_finite == (100,)
    assert found.roles == ("flux",)


def test_the_rate_of_a_sound_file_holds_against_the_table():
    found = read(wav(PHASES.T), sample_rate_hz=44_100)
    assert found.sample_rate_hz == RATE
    assert [item.code for item in found.warnings] == ["signal_roles_assumed", "signal_rate_differs"]
