"""Text files as instruments, loggers and people write them."""

from __future__ import annotations

import io

import numpy as np
import pytest

from alp_assets.signals.read import read_signal
from alp_assets.signals.recording import SignalRecording, SignalUnreadable

RATE = 1000.0
N = 200
T = np.arange(N) / RATE
PHASES = np.stack([3 * np.cos(2 * np.pi * 50 * T - k * 2 * np.pi / 3) for k in range(3)])


def lines(columns, separator=",", decimal=".", digits=6):
    rows = [
        separator.join(f"{value:.{digits}f}".replace(".", decimal) for value in row)
        for row in zip(*columns, strict=True)
    ]
    return "\n".join(rows) + "\n"


def quoted(text):
    return "".join('"' + line.replace(",", '","') + '"\n' for line in text.splitlines())


def read(text, name="a.csv", **stated) -> SignalRecording:
    data = text if isinstance(text, bytes) else text.encode()
    return read_signal(io.BytesIO(data), name, **stated)


def refused(text, **stated) -> SignalUnreadable:
    with pytest.raises(SignalUnreadable) as caught:
        read(text, **stated)
    return caught.value


TEKTRONIX = """Model,MSO54
Firmware Version,1.30.2
Waveform Type,ANALOG
Horizontal Units,s
Sample Interval,1.000E-03
Record Length,200
Probe Attenuation,1,1,1
Vertical Units,A,A,A
Label,,,

TIME,CH1,CH2,CH3
"""
RIGOL = "X,CH1,CH2,CH3,Start,Increment\nSequence,Volt,Volt,Volt,-1.0e-1,1.0e-03\n"
KEYSIGHT = "x-axis,1,2,3\nsecond,Ampere,Ampere,Ampere\n"
YOKOGAWA = """"Model","DL850"
"BlockNumber",1
"TraceName","CH1","CH2","CH3"
"BlockSize",200,200,200
"VUnit","A","A","A"
"SampleRate",1000,1000,1000
"HResolution",1.0e-03,1.0e-03,1.0e-03
"HUnit","s","s","s"

"""
KOREAN = "측정 일지,,,\n설비,3호기 모터,,\n시간(ms),R상 전류(A),S상 전류(A),T상 전류(A)\n"


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        pytest.param(TEKTRONIX + lines([T, *PHASES]), {}, id="Tektronix"),
        pytest.param(RIGOL + lines([np.arange(N), *PHASES]), {}, id="Rigol"),
        pytest.param(KEYSIGHT + lines([T, *PHASES]), {}, id="Keysight"),
        pytest.param(YOKOGAWA + lines(PHASES), {}, id="Yokogawa"),
        pytest.param(KOREAN + lines([T * 1000, *PHASES]), {}, id="Korean header, milliseconds"),
        pytest.param((KOREAN + lines([T * 1000, *PHASES])).encode("cp949"), {}, id="CP949"),
        pytest.param((KOREAN + lines([T * 1000, *PHASES])).encode("utf-16"), {}, id="UTF-16"),
        pytest.param("Zeit (s);Ia (A);Ib (A);Ic (A)\n" + lines([T, *PHASES], ";", ","), {}, id="decimal commas"),
        pytest.param("t\tia\tib\tic\r\n" + lines([T, *PHASES], "\t").replace("\n", "\r\n"), {}, id="tabs"),
        pytest.param(lines(PHASES), {"sample_rate_hz": RATE}, id="numbers alone"),
        pytest.param("  " + lines(PHASES, "   ").replace("\n", "\n  "), {"sample_rate_hz": RATE}, id="spaces"),
        pytest.param(lines([T, *PHASES]), {}, id="time without a header"),
        pytest.param(lines([T, *PHASES]).replace("\n", ",\n"), {}, id="a comma at every end"),
        pytest.param("time,a,b,c\ns,mA,mA,mA\n" + lines([T, *(1000 * PHASES)]), {}, id="a row of units"),
        pytest.param("# Sampling frequency: 1 kHz\nU,V,W\n" + lines(PHASES), {}, id="rate in a comment"),
        pytest.param("\ufeffindex,a,b,c\n" + lines([np.arange(N), *PHASES]), {"sample_rate_hz": RATE}, id="index"),
        pytest.param(quoted("time,a,b,c\n" + lines([T, *PHASES])), {}, id="all in quotes"),
        pytest.param(("time,a,b,c\n" + lines([T, *PHASES])).replace("\n", "\r"), {}, id="ends of old Macs"),
        pytest.param("time,a,b,c\n" + lines([T, *PHASES]).replace("\n", "\n\n"), {}, id="empty lines between"),
    ],
)  # fmt: skip
def test_every_dialect_gives_the_same_phases(text, stated):
    found = read(text, **stated)
    assert found.roles == ("phase_a", "phase_b", "phase_c")
    assert found.sample_rate_hz == pytest.approx(RATE, rel=1e-3)
    assert found.values.shape == (3, N)
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, PHASES, atol=2e-6)
    assert found.non_finite == (0, 0, 0)


def test_five_columns_without_a_header_are_time_phases_and_flux():
    flux = np.sin(2 * np.pi * 50 * T)
    found = read(lines([T, *PHASES, flux]))
    assert found.roles == ("phase_a", "phase_b", "phase_c", "flux")
    assert found.sample_rate_hz == pytest.approx(RATE)
    assert [item.code for item in found.warnings] == ["signal_roles_assumed"]


def test_five_channels_without_a_header_need_their_roles():
    five = [*PHASES, *PHASES[:2]]
    assert refused(lines(five), sample_rate_hz=RATE).problem.code == "signal_roles_unknown"
    found = read(lines(five), sample_rate_hz=RATE, channels="none,phase_a,phase_b,phase_c,flux")
    np.testing.assert_allclose(found.values[0], PHASES[1], atol=1e-6)


def test_the_oldest_tektronix_form_has_its_settings_beside_the_numbers():
    settings = [
        "Record Length,200",
        "Sample Interval,1.0e-3",
        "Trigger Point,100",
        "",
        "",
        "",
        "Source,CH1",
        "Vertical Units,V",
    ]
    rows = [
        f"{(settings[k] if k < len(settings) and settings[k] else ',')},,{time:.6f},{value:.6f},"
        for k, (time, value) in enumerate(zip(T, PHASES[0], strict=True))
    ]
    found = read("\n".join(rows))
    assert found.sample_rate_hz == pytest.approx(RATE)
    np.testing.assert_allclose(found.values[0], PHASES[0], atol=1e-6)


def test_a_long_file_is_read_in_blocks_and_gives_the_same(monkeypatch):
    text = "time,a,b,c\n" + lines([T, *PHASES])
    whole = read(text)
    monkeypatch.setattr("alp_assets.signals.text._BLOCK", 500)
    monkeypatch.setattr("alp_assets.signals.text.HEAD_BYTES", 600)
    np.testing.assert_array_equal(read(text).values, whole.values)


def test_what_was_not_measured_is_missing_and_no_error():
    text = "time,a,b,c\n" + lines([T, *PHASES])
    rows = text.splitlines()
    for number, cells in ((5, "0.004000,,NaN,-"), (6, "0.005000,inf,-Inf,1.#QNAN"), (7, "0.006000,N/A,null,1")):
        rows[number] = cells
    found = read("\n".join(rows))
    assert found.non_finite == (3, 3, 2)
    assert np.isposinf(found.values[0, 5])
    assert np.isneginf(found.values[1, 5])
    assert found.values.shape == (3, N)


def test_moments_of_a_logger_are_times():
    stamps = [
        f"2025-03-04 23:59:59.{900 + k:03d}" if k < 100 else f"2025-03-05 00:00:00.{k - 100:03d}" for k in range(N)
    ]
    rows = [f"{stamp},{a:.6f},{b:.6f},{c:.6f}" for stamp, a, b, c in zip(stamps, *PHASES, strict=True)]
    assert read("일시,a,b,c\n" + "\n".join(rows)).sample_rate_hz == pytest.approx(RATE, rel=1e-3)
    apart = [row.replace(" ", ",") for row in rows]
    found = read("날짜,시간,a,b,c\n" + "\n".join(apart))
    assert (found.roles, found.sample_rate_hz) == (
        ("phase_a", "phase_b", "phase_c"),
        pytest.approx(RATE, rel=1e-3),
    )
    of_day = [row.partition(" ")[2] for row in rows]
    assert read("시각,a,b,c\n" + "\n".join(of_day)).sample_rate_hz == pytest.approx(RATE, rel=1e-3)


def test_text_among_the_numbers_is_named_with_its_place():
    rows = ("time,a,b,c\n" + lines([T, *PHASES])).splitlines()
    rows[41] = "0.040000,1.0,ERROR,2.0"
    error = refused("\n".join(rows))
    assert (error.problem.code, error.problem.values["row"], error.problem.values["channel"]) == (
        "signal_text_in_numbers",
        42,
        "b",
    )
    assert "Row 42 has 'ERROR'" in str(error)


def test_text_in_the_first_rows_is_no_header():
    rows = ("time,a,b,c\n" + lines([T, *PHASES])).splitlines()
    rows[3] = "0.002000,1.0,ERROR,2.0"
    rows[5] = "0.004000,1.0,ERROR,2.0"
    assert refused("\n".join(rows)).problem.values["row"] == 4


def test_the_halves_of_the_day_of_korean_excel_are_known():
    stamps = [f"2025-03-04 {'오전 11:59' if k < 60 else '오후 12:00'}:{k % 60:02d}" for k in range(120)]
    rows = [f"{stamp},{a:.6f}" for stamp, a in zip(stamps, PHASES[0], strict=False)]
    assert read("일시,Ia\n" + "\n".join(rows)).sample_rate_hz == pytest.approx(1.0)


@pytest.mark.parametrize("row", ["0.04,1.0,2.0", "0.04,1.0,2.0,3.0,4.0", "0.04"])
def test_a_row_of_another_width_is_named(row):
    rows = ("time,a,b,c\n" + lines([T, *PHASES])).splitlines()
    rows[41] = row
    error = refused("\n".join(rows))
    assert (error.problem.code, error.problem.values["row"]) == ("signal_columns_differ", 42)


def test_time_that_runs_backwards_is_named_with_its_row():
    time = T.copy()
    time[150] = time[100]
    error = refused("time,a,b,c\n" + lines([time, *PHASES]))
    assert (error.problem.code, error.problem.values["row"]) == ("signal_time_backwards", 152)


def test_numbers_beyond_sense_count_as_missing_and_the_first_is_named():
    rows = ("time,a,b,c\n" + lines([T, *PHASES])).splitlines()
    rows[31] = "0.030000,1.0,1e30,2.0"
    rows[51] = "0.050000,-9.9E+37,1.0,1e300"
    found = read("\n".join(rows))
    assert (found.spikes.count, found.spikes.channel, found.spikes.row) == (2, "b", 32)
    assert found.spikes.value == pytest.approx(1e30)
    assert found.non_finite == (1, 1, 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "signal_empty"),
        (b"time,a,b,c\n", "signal_no_numbers"),
        (b"hello\nworld\n", "signal_no_numbers"),
        (b"\x00\x01\x02\xff" * 100, "signal_not_text"),
        (b"PK\x03\x04 and more", "signal_is_archive"),
        (b"\x80\x04\x95 and more", "signal_is_pickle"),
        (b"1,2,3\n" * 50, "signal_rate_missing"),
        (b"time,a,b,c\n" + b"1,2,3,4\n" * 50, "signal_time_still"),
        (",".join(map(str, range(100))).encode() + b"\n", "signal_too_many_columns"),
    ],
)
def test_what_is_no_recording_is_refused(data, code):
    error = refused(data)
    assert error.problem.code == code
    assert len(str(error)) > 20


def test_the_time_column_holds_against_the_table():
    text = "time,a,b,c\n" + lines([T, *PHASES])
    found = read(text, sample_rate_hz=2000)
    assert found.sample_rate_hz == pytest.approx(RATE)
    assert [item.code for item in found.warnings] == ["signal_rate_differs"]
    assert refused(text, sample_rate_hz=-1).problem.code == "signal_rate_impossible"


def test_a_time_column_without_a_unit_is_in_that_which_fits_the_table():
    found = read("time,a,b,c\n" + lines([T * 1000, *PHASES]), sample_rate_hz=RATE)
    assert found.sample_rate_hz == pytest.approx(RATE)
    assert not found.warnings


def test_gaps_and_jitter_of_the_time_are_measured():
    keep = np.ones(N, bool)
    keep[100:110] = False
    time = T + np.random.default_rng(0).normal(0, 5e-5, N)
    found = read("time,a,b,c\n" + lines([time[keep], *PHASES[:, keep]], digits=9))
    assert (found.clock.gaps, found.clock.missing) == (1, 10)
    assert found.clock.jitter == pytest.approx(0.07, abs=0.02)
    assert found.sample_rate_hz == pytest.approx(RATE, rel=0.01)


def test_a_clock_with_too_few_digits_is_known_as_one():
    found = read("time,a,b,c\n" + lines([np.floor(T * 100) / 100, *PHASES]), sample_rate_hz=RATE)
    assert found.clock.coarse
    assert found.sample_rate_hz == RATE
