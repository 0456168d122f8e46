"""Families of lines, and the rotation that recordings agree on."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.audio.envelope import ENVELOPE_HZ, LOW_HZ
from alp_assets.audio.lines import estimated_shaft, families, fault_lines, prominence, shaft_lines


def _low(*clips, deviation=1.0):
    """Low-frequency spectra (n, 391) of noise with lines 20 dB high, where each clip names them."""
    spectra = np.random.default_rng(0).normal(-80, deviation, (len(clips), LOW_HZ.size))
    for row, clip in enumerate(clips):
        for hz in clip:
            spectra[row, np.argmin(np.abs(LOW_HZ - hz))] += 20
    return spectra


def test_a_line_stands_out_from_a_sloping_background():
    slope = np.linspace(-20, -60, ENVELOPE_HZ.size)[None]
    with_line = slope.copy()
    with_line[0, 100] += 12
    assert prominence(with_line)[0, 100] == pytest.approx(12, abs=0.1)
    assert np.abs(np.delete(prominence(with_line)[0], 100)).max() < 2


def test_a_line_with_its_multiple_is_a_stronger_family_than_one_alone():
    lines = np.zeros((1, ENVELOPE_HZ.size))
    at = {hz: hz - int(ENVELOPE_HZ[0]) for hz in (60, 121, 90)}
    for place in at.values():
        lines[0, place] = 10
    found = families(lines)[0]
    assert found[at[60]] == 10
    assert found[at[90]] == 5
    assert found.argmax() == at[60]


def test_a_line_without_room_for_a_multiple_counts_alone():
    lines = np.zeros((1, ENVELOPE_HZ.size))
    lines[0, -1] = 8
    assert families(lines)[0, -1] == 8


def test_fault_lines_are_the_given_ones_with_slip_or_all_that_are_usual():
    assert ENVELOPE_HZ[fault_lines([])].tolist() == list(range(20, 251))
    assert ENVELOPE_HZ[fault_lines([10.2, 100.0])].tolist() == [10, 11, 98, 99, 100, 101, 102]
    assert fault_lines([4_000.0]).size == 0


def test_shaft_lines_are_narrow_where_the_frequency_is_given():
    assert LOW_HZ[shaft_lines(25.0, True)].tolist() == [24.5, 25.0, 25.5]
    assert LOW_HZ[shaft_lines(25.0, False)][[0, -1]].tolist() == [20.0, 30.0]
    assert shaft_lines(1_000.0, True).size == 0


def test_the_rotation_is_what_most_recordings_show():
    assert estimated_shaft(_low([24.5, 49], [24.5, 73.5], [24.5, 49])) == 24.5
    assert estimated_shaft(_low([21, 42], [24.5, 49], [28, 56])) == 24.5


@pytest.mark.parametrize(
    "clips",
    [
        [[], [], []],
        [[24.5], [24.5], [24.5]],
        [[50, 100], [50, 100], [50, 100]],
        [[60, 120], [60, 120], [60, 120]],
        [[12, 24], [24.5, 49], [65, 130]],
        [[24.5, 49], [], []],
    ],
    ids=["noise", "no multiple", "50 Hz hum", "60 Hz hum", "no agreement", "one of three"],
)
def test_no_rotation_is_better_than_a_wrong_one(clips):
    assert estimated_shaft(_low(*clips)) == 0
