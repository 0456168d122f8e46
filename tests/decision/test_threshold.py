"""Alarm thresholds: the promise that they make, and whether it is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from alp_assets.decision.threshold import clopper_pearson, conformal_threshold


def _scores(n):
    """1 to n, not in order."""
    return np.random.default_rng(n).permutation(np.arange(1.0, n + 1))


@pytest.mark.parametrize(
    ("n", "rate", "value", "promised", "supported"),
    [
        pytest.param(9, 0.1, 9, 0.1, True, id="rank ceil(10 x 0.9) = 9"),
        pytest.param(10, 0.1, 10, 0.1, True, id="rank ceil(11 x 0.9) = 10"),
        pytest.param(19, 0.1, 18, 0.1, True, id="rank ceil(20 x 0.9) = 18"),
        pytest.param(99, 0.1, 90, 0.1, True, id="rank ceil(100 x 0.9) = 90"),
        pytest.param(99, 0.01, 99, 0.01, True, id="rank ceil(100 x 0.99) = 99"),
        pytest.param(3, 0.5, 2, 0.5, True, id="rank ceil(4 x 0.5) = 2"),
        pytest.param(124, 0.176, 103, 0.176, True, id="rank 125 x 0.824 = 103, which floats make more"),
        pytest.param(8, 0.1, 8, 1 / 9, False, id="8 support 1/9"),
        pytest.param(3, 0.1, 3, 1 / 4, False, id="3 support 1/4"),
        pytest.param(1, 0.1, 1, 1 / 2, False, id="1 supports 1/2"),
        pytest.param(98, 0.01, 98, 1 / 99, False, id="98 support 1/99"),
    ],
)
def test_the_order_statistic_by_hand(n, rate, value, promised, supported):
    found = conformal_threshold({"target": _scores(n)}, rate)
    assert found.value == value
    assert found.promised == pytest.approx(promised)
    assert (found.asked, found.supported, found.normals) == (rate, supported, {"target": n})
    assert bool(found.note) is not supported


def test_what_too_few_normals_support_is_said_in_words():
    note = conformal_threshold({"source": _scores(50), "target": _scores(4)}, 0.1).note
    assert "4 target normals support no rate under 20.0%" in note
    assert "needs 9 normals of each domain" in note
    assert "source" not in note
    both = conformal_threshold({"source": _scores(3), "target": _scores(4)}, 0.1)
    assert "3 source normals and 4 target normals support no rate under 25.0%" in both.note


def test_of_two_domains_the_higher_threshold_stands():
    low, high = _scores(19), _scores(9) + 100
    found = conformal_threshold({"source": low, "target": high}, 0.1)
    assert found.value == 109
    assert found.supported
    assert conformal_threshold({"source": high, "target": low}, 0.1).value == 109


def test_a_weak_domain_weakens_the_promise_even_when_it_does_not_set_the_threshold():
    found = conformal_threshold({"source": _scores(99) + 100, "target": _scores(3)}, 0.1)
    assert (found.value, found.promised, found.supported) == (190, 0.25, False)


def test_a_domain_without_normals_counts_for_nothing():
    found = conformal_threshold({"source": np.zeros(0), "target": _scores(9)}, 0.1)
    assert (found.value, found.supported, found.normals) == (9, True, {"target": 9})


@pytest.mark.parametrize("nothing", [{}, {"source": np.zeros(0), "target": np.zeros(0)}])
def test_no_scores_at_all_are_an_error(nothing):
    with pytest.raises(ValueError, match="no calibration scores"):
        conformal_threshold(nothing, 0.1)


@given(thousandth=st.integers(1, 999), fewer=st.integers(1, 3))
def test_the_number_of_normals_that_a_promise_needs_is_the_least(thousandth, fewer):
    rate = thousandth / 1_000
    needed = math.ceil(1_000 / thousandth) - 1
    enough = max(needed, 1)
    assert conformal_threshold({"target": _scores(enough)}, rate).supported
    if needed - fewer >= 1:
        short = conformal_threshold({"target": _scores(needed - fewer)}, rate)
        assert not short.supported
        assert f"needs {needed} normals" in short.note


@given(n=st.integers(1, 200), thousandth=st.integers(1, 999))
def test_a_new_normal_rings_no_oftener_than_promised(n, thousandth):
    """Of n + 1 exchangeable scores without ties, n + 1 - value lie above the rank that was taken."""
    found = conformal_threshold({"target": _scores(n)}, thousandth / 1_000)
    assert (n + 1 - found.value) / (n + 1) <= found.promised + 1e-9
    if found.supported and found.value > 1:
        assert (n + 2 - found.value) / (n + 1) > found.promised - 1e-9


@pytest.mark.parametrize(("n", "rate"), [(9, 0.1), (10, 0.1), (30, 0.1), (30, 0.05), (100, 0.01), (5, 0.1)])
def test_false_alarms_over_many_draws_keep_the_promise(n, rate):
    rng = np.random.default_rng(n)
    alarms = []
    for _ in range(2_000):
        found = conformal_threshold({"target": rng.gamma(2, size=n)}, rate)
        alarms.append(np.mean(rng.gamma(2, size=200) > found.value))
    assert 0.5 * found.promised < np.mean(alarms) < found.promised + 0.01


def test_every_domain_keeps_the_promise():
    rng = np.random.default_rng(0)
    alarms = {"source": [], "target": []}
    for _ in range(1_000):
        found = conformal_threshold({"source": rng.normal(0, 1, 200), "target": rng.normal(2, 1, 9)}, 0.1)
        alarms["source"].append(np.mean(rng.normal(0, 1, 200) > found.value))
        alarms["target"].append(np.mean(rng.normal(2, 1, 200) > found.value))
    assert np.mean(alarms["source"]) < np.mean(alarms["target"]) < 0.112


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (0, 10), (1, 10), (5, 10), (10, 10), (37, 1_000)])
def test_the_interval_is_that_of_scipy(hits, trials, confidence):
    expected = binomtest(hits, trials).proportion_ci(confidence, method="exact")
    assert clopper_pearson(hits, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_no_trials_nothing_is_known():
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)


def test_clips_of_few_recordings_support_no_rate():
    scores = {"target": np.arange(30.0)}
    assert conformal_threshold(scores, 0.1).supported
    cut = conformal_threshold(scores, 0.1, {"target": 3})
    assert not cut.supported
    assert cut.promised == 0.25
    assert cut.value == 29.0
    assert "3 target normals" in cut.note
