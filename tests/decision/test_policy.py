"""Threshold policies: what is asked, what the normals bear, and that nothing is passed over in silence."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alp_assets.decision.persistence import alarm_rate
from alp_assets.decision.policy import set_threshold
from alp_assets.decision.threshold import conformal_threshold, threshold_from
from alp_assets.params import DecisionParams

POLICIES = ("alarms_per_day", "quantile", "gamma", "conformal")
BEYOND = ("persistence", "extrapolate")


def _params(policy="alarms_per_day", **others):
    return DecisionParams(policy=policy, **others)


def _scores(n, seed=0):
    return np.random.default_rng([seed, n]).normal(size=n)


def test_one_alarm_a_day_of_ten_normals_takes_several_clips():
    scores = _scores(10)
    found = set_threshold({"target": scores}, _params())
    assert found.asked == pytest.approx(1 / 8_640)
    assert found.promised == pytest.approx(1 / 11)
    assert found.value == pytest.approx(scores.max())
    assert (found.persistence, found.supported, found.extrapolated) == ((5, 6), True, False)
    assert found.alarms_per_day == pytest.approx(8_640 * alarm_rate(1 / 11, (5, 6)))
    assert found.alarms_per_day <= 1
    for words in ("10 target normals support no rate under 9.1%", "5 of 6 clips in a row (60 s)", "independent"):
        assert words in found.note


def test_with_enough_normals_a_clip_is_enough():
    found = set_threshold({"target": _scores(8_639)}, _params())
    assert (found.persistence, found.supported, found.note) == (None, True, "")
    assert found.alarms_per_day == pytest.approx(1)


def test_who_listens_less_may_ring_oftener():
    seldom = set_threshold({"target": _scores(200)}, _params(duty_cycle=0.01))
    assert (seldom.asked, seldom.clips_per_day) == (pytest.approx(1 / 86.4), pytest.approx(86.4))
    assert (seldom.persistence, seldom.supported) == (None, True)
    assert seldom.alarms_per_day == pytest.approx(1)
    assert seldom.value < set_threshold({"target": _scores(200)}, _params()).value


def test_more_alarms_than_clips_are_held_at_the_median():
    found = set_threshold({"target": _scores(9)}, _params(duty_cycle=1e-4))
    assert found.asked == 0.5
    assert found.value == pytest.approx(np.median(_scores(9)))
    assert found.note == (
        "1 false alarm a day is more than every second of 0.86 clips a day: the threshold is the one that every "
        "second normal clip may be above. Expected: about 0.43 false alarms a day."
    )
    many = set_threshold({"target": _scores(9)}, _params(alarms_per_day=100_000))
    assert "100000 false alarms a day are more than every second of 8,640 clips a day" in many.note
    assert set_threshold({"target": _scores(9)}, _params(alarms_per_day=4_320)).note == ""


@pytest.mark.parametrize("n", [2, 3])
def test_where_not_even_all_clips_would_do_the_tail_is_marked(n):
    scores = _scores(n)
    found = set_threshold({"target": scores}, _params())
    assert found.persistence == (6, 6)
    assert (found.supported, found.extrapolated) == (False, True)
    assert found.value >= scores.max()
    assert found.alarms_per_day == pytest.approx(1)
    assert "extrapolated" in found.note


@pytest.mark.parametrize("beyond", BEYOND)
def test_a_tail_below_what_was_heard_is_no_extrapolation(beyond):
    """One outlier among three: the highest score stands, and promises only what three normals bear."""
    rate = 8_640 * 0.2 if beyond == "extrapolate" else 1.0
    scores = {"target": np.array([0.0, 0.1, 10.0])}
    found = set_threshold(scores, _params(beyond_support=beyond, alarms_per_day=rate))
    assert (found.value, found.extrapolated, found.supported) == (10, False, False)
    assert found.promised == pytest.approx(1 / 4)
    assert found.alarms_per_day == pytest.approx(8_640 * alarm_rate(1 / 4, found.persistence))
    assert "a fitted tail puts the threshold below the highest normal heard, which stands for 25.0%" in found.note
    assert "more than was asked for" in found.note
    for words in ("extrapolated", "too much alike", "beyond every"):
        assert words not in found.note


def test_extrapolated_is_said_of_the_threshold_that_stands():
    """The target alone would be extrapolated, but the source's own threshold lies higher."""
    params = _params(beyond_support="extrapolate", alarms_per_day=8_640 * 0.1)
    scores = {"source": 50 + _scores(200), "target": _scores(3)}
    found = set_threshold(scores, params)
    alone = set_threshold({"target": scores["target"]}, params)
    assert alone.extrapolated
    assert found.by_domain["target"] == alone.value > scores["target"].max()
    assert (found.value, found.extrapolated) == (found.by_domain["source"], False)
    assert found.value < scores["source"].max()
    assert "For target alone it would be extrapolated" in found.note
    assert "beyond every" not in found.note


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    beyond=st.sampled_from(BEYOND),
    target=st.lists(st.floats(0, 9), min_size=1, max_size=12),
    source=st.lists(st.floats(0, 9), max_size=12),
)
def test_what_is_extrapolated_lies_beyond_every_normal_of_its_domain(policy, beyond, target, source):
    scores = {"target": np.array(target), "source": np.array(source)}
    found = set_threshold(scores, _params(policy, beyond_support=beyond))
    name = max(found.by_domain, key=lambda domain: found.by_domain[domain])
    assert not found.extrapolated or found.value > scores[name].max()
    assert ("beyond every" in found.note) == found.extrapolated


def test_the_note_tells_one_rate_and_that_it_is_more_than_was_asked():
    found = set_threshold({"target": np.full(2, 3.0)}, _params())
    assert found.persistence == (6, 6)
    assert "which 33.3% of normal clips may be" in found.note
    assert "22." not in found.note
    assert found.note.endswith("Expected: about 12 false alarms a day, more than was asked for.")


def test_one_alarm_is_one_alarm():
    found = set_threshold({"target": _scores(10)}, _params(beyond_support="extrapolate"))
    assert found.note.endswith("Expected: about 1 false alarm a day.")
    assert "more than was asked for" not in found.note


def test_extrapolation_is_marked_and_beyond_the_highest():
    scores = _scores(10)
    found = set_threshold({"target": scores}, _params(beyond_support="extrapolate"))
    assert (found.persistence, found.supported, found.extrapolated) == (None, False, True)
    assert found.value > scores.max()
    assert found.promised == found.asked
    assert "The threshold for target is extrapolated" in found.note


@pytest.mark.parametrize("policy", ["quantile", "gamma"])
def test_rates_that_few_normals_cannot_bear(policy):
    scores = {"target": _scores(5)}
    several = set_threshold(scores, _params(policy))
    assert several.persistence == (3, 6)
    assert several.promised == pytest.approx(1 / 6)
    if policy == "quantile":
        assert several.value == pytest.approx(scores["target"].max())
    assert alarm_rate(several.promised, several.persistence) <= 0.1
    beyond = set_threshold(scores, _params(policy, beyond_support="extrapolate"))
    assert (beyond.persistence, beyond.extrapolated, beyond.supported) == (None, True, False)
    assert beyond.value >= several.value


def test_the_conformal_policy_is_the_conformal_threshold_and_no_more():
    for n, rate in ((5, 0.1), (19, 0.1), (99, 0.01)):
        scores = {"target": _scores(n), "source": _scores(2 * n)}
        found = set_threshold(scores, _params("conformal", false_alarm_rate=rate))
        plain = conformal_threshold(scores, rate)
        assert (found.value, found.promised, found.supported) == (plain.value, plain.promised, plain.supported)
        assert found.by_domain == plain.by_domain
        assert plain.note.rstrip(".") in found.note
        assert found.persistence is None


@pytest.mark.parametrize(("policy", "n"), [("quantile", 10), ("quantile", 20), ("gamma", 20), ("conformal", 20)])
def test_new_normals_ring_about_as_often_as_promised(policy, n):
    rng = np.random.default_rng(n)
    values = [set_threshold({"target": rng.gamma(4, size=n)}, _params(policy)).value for _ in range(600)]
    observed = np.mean([(rng.gamma(4, size=300) > value).mean() for value in values])
    assert 0.07 < observed < (0.105 if policy == "conformal" else 0.13)


def test_one_alarm_a_day_is_right_on_average():
    """Promises of single clips are multiplied by k-of-n, so they must not be too small."""
    rng = np.random.default_rng(3)
    params = _params(alarms_per_day=864, duty_cycle=1.0)
    values = [set_threshold({"target": rng.gamma(4, size=15)}, params).value for _ in range(1_000)]
    observed = np.mean([(rng.gamma(4, size=300) > value).mean() for value in values])
    assert observed == pytest.approx(0.1, abs=0.012)


def test_every_domain_keeps_the_promise_and_tells_its_own():
    rng = np.random.default_rng(1)
    alarms = []
    for _ in range(400):
        found = set_threshold(
            {"source": rng.normal(0, 1, 200), "target": rng.normal(2, 1, 19)}, _params("quantile")
        )
        assert found.value == max(found.by_domain.values()) == found.by_domain["target"]
        alarms.append((rng.normal(2, 1, 200) > found.value).mean())
    assert np.mean(alarms) < 0.13


def test_a_large_domain_does_not_hide_a_small_one():
    found = set_threshold({"source": _scores(990), "target": _scores(4)}, _params("quantile"))
    assert found.promised == pytest.approx(0.2)
    assert "4 target normals" in found.note
    assert "source" not in found.note
    assert found.normals == {"source": 990, "target": 4}


def test_clips_of_one_recording_are_one_witness():
    scores = {"target": _scores(40)}
    alone = set_threshold(scores, _params("quantile"))
    cut = set_threshold(scores, _params("quantile"), {"target": 4})
    assert alone.persistence is None
    assert cut.persistence is not None
    assert cut.promised == pytest.approx(0.2)
    assert cut.normals == {"target": 4}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize(
    "scores",
    [np.array([1.0, 2.0]), np.full(2, 3.0), np.full(30, -1.0), np.array([7.0]), -np.arange(12.0)],
    ids=["two", "two alike", "thirty alike", "one", "negative"],
)
def test_whatever_there_is_gives_a_threshold_and_words(policy, beyond, scores):
    before = scores.copy()
    found = set_threshold({"target": scores, "source": np.zeros(0)}, _params(policy, beyond_support=beyond))
    np.testing.assert_array_equal(scores, before)
    assert np.isfinite(found.value)
    assert 0 < found.promised < 1
    assert found.note or (found.supported and not found.extrapolated and found.persistence is None)
    assert not (found.supported and found.extrapolated)
    assert found.promised <= found.asked or found.persistence or not found.supported


def test_scores_that_are_all_alike_are_not_extrapolated():
    found = set_threshold({"target": np.full(3, 2.0)}, _params(beyond_support="extrapolate"))
    assert (found.value, found.extrapolated, found.supported) == (2.0, False, False)
    assert found.promised == pytest.approx(0.25)
    assert "too much alike" in found.note


@settings(max_examples=40, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    beyond=st.sampled_from(BEYOND),
    n=st.integers(2, 60),
    scale=st.floats(0.01, 100),
    offset=st.floats(-100, 100),
)
def test_it_does_not_hang_on_the_units_of_an_engine(policy, beyond, n, scale, offset):
    params = _params(policy, beyond_support=beyond)
    plain = set_threshold({"target": _scores(n)}, params)
    changed = set_threshold({"target": _scores(n) * scale + offset}, params)
    assert changed.value == pytest.approx(plain.value * scale + offset, rel=1e-4, abs=1e-3 * scale)
    assert changed.persistence == plain.persistence


@pytest.mark.parametrize("policy", POLICIES)
def test_the_less_is_asked_the_lower(policy):
    strict, lax = (
        set_threshold({"target": _scores(60)}, _params(policy, false_alarm_rate=rate, alarms_per_day=8_640 * rate))
        for rate in (0.05, 0.3)
    )
    assert lax.value < strict.value


def test_a_threshold_is_json_and_comes_back():
    found = set_threshold({"target": _scores(10), "source": _scores(30)}, _params())
    kept = json.loads(json.dumps({**asdict(found), "calibration": []}))
    assert threshold_from(kept) == found
    plain = conformal_threshold({"target": _scores(10)}, 0.1)
    assert threshold_from(json.loads(json.dumps(asdict(plain)))) == plain


def test_no_scores_at_all_are_an_error():
    with pytest.raises(ValueError, match="no calibration scores"):
        set_threshold({"target": np.zeros(0)}, _params())


def test_shorter_clips_are_more_in_a_day_so_each_may_ring_less_often():
    usual, short = (
        set_threshold({"target": _scores(200)}, _params(), clip_seconds=length) for length in (10, 0.5)
    )
    assert short.clips_per_day == pytest.approx(20 * usual.clips_per_day)
    assert short.asked == pytest.approx(usual.asked / 20)
    assert f"({0.5 * short.persistence[1]:.3g} s)" in short.note
