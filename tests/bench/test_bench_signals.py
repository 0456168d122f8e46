"""The archive of real stator currents, from a made-up one in its form."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from bench.signal_data import absent, read_currents, stator_currents


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_REAL_DATA", str(tmp_path))
    folder = tmp_path / "itsc-current"
    folder.mkdir()
    with zipfile.ZipFile(folder / "Cropped_Signals_SF.zip", "w") as archive:
        for state in ("HLT", "A0_B3_C0", "A1_B0_C0"):
            for number in (1, 2):
                rows = "\n".join(f"{number},{point / 10},-1.5" for point in range(4))
                archive.writestr(f"Cropped_Signals_SF/SC_{state}/SC_{state}_{number:03d}.csv", rows)
        archive.writestr("Cropped_Signals_SF/.DS_Store", "x")
        archive.writestr("__MACOSX/Cropped_Signals_SF/SC_HLT/._SC_HLT_001.csv", "x")
    return tmp_path


def test_recordings_have_level_and_phase_by_their_state(shared):
    found = read_currents(stator_currents())
    assert [(one.name, one.level, one.phase) for one in found] == [
        ("HLT_001", 0, ""),
        ("HLT_002", 0, ""),
        ("A1_B0_C0_001", 10, "phase_a"),
        ("A1_B0_C0_002", 10, "phase_a"),
        ("A0_B3_C0_001", 30, "phase_b"),
        ("A0_B3_C0_002", 30, "phase_b"),
    ]
    np.testing.assert_allclose(found[1].values, [[2] * 4, [0, 0.1, 0.2, 0.3], [-1.5] * 4], rtol=1e-6)


def test_where_they_are_not_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_REAL_DATA", str(tmp_path))
    assert stator_currents() is None
    assert str(tmp_path) in absent()
