"""Real stator currents and the bench on them, with made-up recordings in their place."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from bench.signal_data import CurrentRecording, absent, read_currents, stator_currents
from bench.signals import LEARNT_EVERY, SCORED_EVERY, automatic, cut, measured


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


def made_up(count=3, points=400):
    """Healthy recordings, and ones in which phase b is weaker."""
    found = []
    for state, level in (("HLT", 0), ("A0_B1_C0", 10), ("A0_B4_C0", 40)):
        for number in range(1, count + 1):
            rng = np.random.default_rng([level, number])
            time = np.arange(points) / 1000 + rng.uniform(0, 1)
            phases = np.sin(2 * np.pi * (60 * time - np.arange(3)[:, None] / 3))
            phases[1] *= 1 - level / 100
            values = (phases + 0.01 * rng.standard_normal(phases.shape)).astype(np.float32)
            found.append(CurrentRecording(state, number, level, "phase_b" if level else "", values))
    return found


def test_windows_to_score_begin_at_other_angles_of_the_supply():
    found = cut(made_up()[0], SCORED_EVERY)
    assert found.shape == (3, 4, 200)
    assert not found[:, 3].any()
    assert SCORED_EVERY % 50
    assert LEARNT_EVERY % 50


def test_an_engine_is_measured_on_recordings_that_were_left_out():
    result = measured("signal_pca", made_up())
    assert result.auc == {10: 1.0, 40: 1.0}
    assert result.windows_per_second > 0


def test_auto_is_one_of_the_engines_for_signals():
    assert automatic(made_up()) == "signal_spectrum"
