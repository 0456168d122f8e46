"""A tail that goes on where the scores end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alp_assets.decision.tail import tail_value

ONE_A_DAY = 1 / 8_640


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 60])
def test_the_rate_is_kept_on_average_where_the_tail_is_exponential(n):
    rng = np.random.default_rng(n)
    rate = 0.3 / (n + 1)
    above = np.mean([np.exp(-tail_value(rng.exponential(size=n), rate)) for _ in range(3_000)])
    assert 0.6 * rate < above < 1.2 * rate


@pytest.mark.parametrize("draw", ["normal", "gamma", "lognormal", "student"])
def test_one_a_day_is_no_more_than_a_few_a_day(draw):
    from scipy import stats

    family = {
        "normal": stats.norm(),
        "gamma": stats.gamma(2),
        "lognormal": stats.lognorm(0.5),
        "student": stats.t(5),
    }
    rng = np.random.default_rng(0)
    values = [tail_value(family[draw].rvs(20, random_state=rng), ONE_A_DAY) for _ in range(300)]
    assert family[draw].sf(values).mean() < 3 * ONE_A_DAY


@given(
    scores=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40),
    rates=st.tuples(st.floats(1e-6, 0.4), st.floats(1e-6, 0.4)),
)
def test_the_rarer_the_higher(scores, rates):
    rare, often = (tail_value(np.array(scores), rate) for rate in sorted(rates))
    if rare is not None:
        assert np.isfinite(rare)
        assert rare >= often


def test_it_does_not_hang_on_the_units_of_an_engine():
    scores = np.random.default_rng(1).normal(size=12)
    assert tail_value(10 * scores - 7, 0.01) == pytest.approx(10 * tail_value(scores, 0.01) - 7)


def test_at_the_rate_that_two_scores_bear_it_is_the_higher_of_them():
    assert tail_value(np.array([1.0, 4.0]), 1 / 3) == pytest.approx(4)


def test_the_heavier_tail_reaches_farther():
    spaced = np.linspace(0, 1, 400)
    assert tail_value(np.expm1(6 * spaced), 1e-4) / np.expm1(6) > tail_value(spaced, 1e-4)


def test_clips_of_few_recordings_know_less_of_the_tail():
    scores = np.random.default_rng(2).normal(size=30)
    assert tail_value(scores, 1e-3, 3) > tail_value(scores, 1e-3)


@pytest.mark.parametrize(
    ("scores", "recordings"),
    [([1.0], None), ([2.0] * 9, None), ([1.0, 2.0, 3.0], 1)],
    ids=["one score", "all alike", "clips of one recording"],
)
def test_of_nothing_no_tail_is_made(scores, recordings):
    assert tail_value(np.array(scores), 0.01, recordings) is None
