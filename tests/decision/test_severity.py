"""Severity: one scale for every engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alp_assets.decision.severity import severity, state
from alp_assets.params import DecisionParams

CALIBRATION = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
MEDIAN, THRESHOLD = 3.0, 8.0


@pytest.mark.parametrize(
    ("score", "expected"),
    [(-100, 0), (MEDIAN, 0), (5.5, 100 * (1 - 2**-0.5)), (THRESHOLD, 50), (13, 75), (18, 87.5), (23, 93.75)],
)
def test_the_scale_by_hand(score, expected):
    assert severity(np.array([score]), CALIBRATION, THRESHOLD)[0] == pytest.approx(expected)


@given(
    scores=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=30),
    calibration=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    above=st.floats(0, 1e6),
)
def test_it_is_bounded_and_never_falls_with_the_score(scores, calibration, above):
    calibration = np.array(calibration)
    found = severity(np.sort(scores), calibration, float(np.median(calibration)) + above)
    assert ((found >= 0) & (found <= 100)).all()
    assert (np.diff(found) >= 0).all()


@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_it_does_not_hang_on_the_units_of_an_engine(scale, offset):
    scores = np.array([0.0, 3, 4, 8, 9, 30])
    plain = severity(scores, CALIBRATION, THRESHOLD)
    changed = severity(scores * scale + offset, CALIBRATION * scale + offset, THRESHOLD * scale + offset)
    np.testing.assert_allclose(changed, plain, atol=1e-6)


def test_only_what_rings_is_above_50():
    scores = np.array([THRESHOLD, np.nextafter(THRESHOLD, 9), 7.9])
    np.testing.assert_array_equal(severity(scores, CALIBRATION, THRESHOLD) > 50, [False, True, False])


def test_calibration_scores_that_are_all_alike():
    found = severity(np.array([1.0, 2.0, 2.1]), np.full(3, 2.0), 2.0)
    assert found[0] == found[1] == 0
    assert found[2] == pytest.approx(100)


@pytest.mark.parametrize("threshold", [2.0, 3.0], ids=["below the median", "at the median"])
def test_a_threshold_that_is_not_above_the_median(threshold):
    found = severity(np.array([0.5, 1.0, threshold, threshold + 0.1, 99]), CALIBRATION, threshold)
    assert found[0] == found[1] == 0
    assert found[2] == pytest.approx(50)
    assert 50 < found[3] < 60
    assert found[4] == pytest.approx(100)


def test_states_by_hand():
    grades = np.array([0, 49.99, 50, 50.01, 74.99, 75, 100, np.nan])
    expected = ["NORMAL", "NORMAL", "NORMAL", "WARNING", "WARNING", "CRITICAL", "CRITICAL", ""]
    assert state(grades, DecisionParams()).tolist() == expected
    assert state(grades, DecisionParams(critical_severity=60)).tolist()[4] == "CRITICAL"
    assert state(np.zeros(0), DecisionParams()).shape == (0,)


@given(scores=st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_what_rings_is_not_called_normal(scores):
    scores = np.array(scores)
    found = state(severity(scores, CALIBRATION, THRESHOLD), DecisionParams())
    clear = np.abs(scores - THRESHOLD) > 1e-9
    np.testing.assert_array_equal((found != "NORMAL")[clear], (scores > THRESHOLD)[clear])
