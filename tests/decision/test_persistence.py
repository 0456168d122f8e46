"""k of n clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from alp_assets.decision.persistence import alarm_rate, alarms, clip_rate, fewest_of

RULES = st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))


@given(rate=st.floats(0.001, 0.999), rule=RULES)
def test_the_share_of_alarms_is_binomial(rate, rule):
    assert alarm_rate(rate, rule) == pytest.approx(binom.sf(rule[0] - 1, rule[1], rate))


@given(rate=st.floats(0.01, 0.9), rule=RULES)
def test_there_and_back(rate, rule):
    assert clip_rate(alarm_rate(rate, rule), rule) == pytest.approx(rate, rel=1e-6)


def test_without_a_rule_every_clip_is_an_alarm():
    assert alarm_rate(0.3, None) == clip_rate(0.3, None) == 0.3
    np.testing.assert_array_equal(alarms(np.array([True, False]), None), [True, False])


@pytest.mark.parametrize(
    ("normals", "rule"), [(2, None), (3, None), (4, (6, 6)), (10, (5, 6)), (20, (4, 6)), (1_000, (2, 6))]
)
def test_the_fewest_clips_that_will_do(normals, rule):
    rate, wanted = 1 / (normals + 1), 1 / 8_640
    assert fewest_of(6, wanted, rate) == rule
    if rule:
        assert alarm_rate(rate, rule) <= wanted < alarm_rate(rate, (rule[0] - 1, 6))


def test_an_alarm_is_on_while_k_of_the_last_n_are_above():
    above = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    on = alarms(above, (2, 3))
    np.testing.assert_array_equal(on, [0, 1, 1, 1, 0, 0, 0, 1, 1, 1])


@given(above=st.lists(st.booleans(), max_size=40), rule=RULES)
def test_it_counts_the_last_n(above, rule):
    k, n = rule
    expected = [sum(above[max(0, end - n + 1) : end + 1]) >= k for end in range(len(above))]
    np.testing.assert_array_equal(alarms(np.array(above, bool), rule), expected)


def test_independent_clips_ring_as_often_as_said():
    above = np.random.default_rng(0).random(200_000) < 0.2
    assert alarms(above, (3, 6)).mean() == pytest.approx(alarm_rate(0.2, (3, 6)), rel=0.05)
