"""What was agreed: met, not met, or beyond what these labels can show."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from alp_assets.decision.kpi import MOST_CLIPS, areas, verdict
from alp_assets.decision.policy import set_threshold
from alp_assets.decision.threshold import clopper_pearson
from alp_assets.params import DecisionParams, KpiParams

THRESHOLD = set_threshold({"target": np.arange(20.0)}, DecisionParams(policy="quantile"))


def _judge(measure, target, normal=(), anomalous=(), *, threshold=THRESHOLD, confidence=0.95):
    """Of scores; a clip is above from 1.0 up."""
    scores = np.array([*normal, *anomalous], float)
    labels = np.array(["normal"] * len(normal) + ["anomaly"] * len(anomalous), dtype="<U7")
    decisions = np.where(scores >= 1, "anomaly", "normal")
    return verdict(KpiParams(measure=measure, target=target), confidence, scores, labels, decisions, threshold)


def _apart(n, m, by, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(size=m) + by


@settings(deadline=None, max_examples=60)
@given(
    normal=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    anomalous=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    seed=st.integers(0, 9),
)
def test_the_areas_of_weightings_are_those_of_scikit_learn(normal, anomalous, seed):
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(normal), np.full(len(normal), 1 / len(normal)), 3).astype(float)
    others = rng.multinomial(len(anomalous), np.full(len(anomalous), 1 / len(anomalous)), 3).astype(float)
    labels, scores = [0] * len(normal) + [1] * len(anomalous), [*normal, *anomalous]
    for share, max_fpr in ((1.0, None), (0.1, 0.1)):
        found = areas(np.array(normal, float), np.array(anomalous, float), share, weights, others)
        for row in range(3):
            sample = [*weights[row], *others[row]]
            expected = roc_auc_score(labels, scores, sample_weight=sample, max_fpr=max_fpr)
            assert found[row] == pytest.approx(expected)


def test_far_above_and_far_below_the_target():
    good = _judge("auc", 0.8, *_apart(100, 100, 3))
    assert good.status == "met"
    assert good.low >= 0.8
    assert good.more_clips is None
    assert good.text.endswith("at least 0.8 was agreed: met.")
    assert "100 normal and 100 anomalous test clips" in good.text
    bad = _judge("auc", 0.95, *_apart(100, 100, 0.5))
    assert (bad.status, bad.more_clips) == ("not met", None)
    assert bad.high < 0.95


@pytest.mark.parametrize("measure", ["auc", "pauc"])
def test_ten_perfect_clips_do_not_show_a_perfect_model(measure):
    found = _judge(measure, 0.95, *_apart(10, 10, 50))
    assert (found.status, found.value, found.high) == ("cannot be shown", 1.0, pytest.approx(1))
    assert 0.5 < found.low < 0.9
    assert found.more_clips["normal"] > 0
    assert found.more_clips["anomaly"] > 0
    assert "neither show nor refute" in found.text


def test_what_was_asked_for_settles_it():
    found = _judge("auc", 0.95, *_apart(10, 14, 50))
    normals, anomalies = 10 + found.more_clips["normal"], 14 + found.more_clips["anomaly"]
    assert normals == anomalies
    assert _judge("auc", 0.95, *_apart(normals, anomalies, 50)).status == "met"
    assert _judge("auc", 0.95, *_apart(normals - 2, anomalies - 2, 50)).status == "cannot be shown"


def test_it_says_which_way_more_clips_would_settle_it():
    perfect = _judge("auc", 0.95, *_apart(10, 10, 50))
    assert "would show that it is met if the figure stayed" in perfect.text
    half = _judge("recall", 0.9, [], [2.0] * 4 + [0.0])
    assert half.status == "cannot be shown"
    assert "would show that it is not met if the figure stayed" in half.text
    seldom = _judge("alarms_per_day", 100, [0.0] * 50, [])
    assert seldom.status == "cannot be shown"
    assert "would show that it is met if" in seldom.text


def test_the_scarcer_label_is_asked_for():
    found = _judge("auc", 0.95, *_apart(400, 5, 50))
    assert list(found.more_clips) == ["anomaly"]


def test_the_interval_of_the_auc_holds_the_truth():
    """The percentile bootstrap alone would miss it in more than every tenth draw."""
    truth = 0.95
    hits = []
    for seed in range(60):
        found = _judge("auc", 0.5, *_apart(12, 12, np.sqrt(2) * norm.ppf(truth), seed))
        hits.append(found.low <= truth <= found.high)
    assert np.mean(hits) >= 0.95


def test_anomalies_that_are_all_or_nothing_widen_the_interval():
    """Twenty anomalies of two sorts are twenty tosses of a coin, whatever the formula for smooth scores says."""
    found = _judge("auc", 0.9, [0.0] * 20, [-1.0] * 10 + [1.0] * 10)
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((6 / 20, 14 / 20))


def test_an_auc_at_its_target_is_never_settled():
    found = _judge("auc", 0.5, [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0])
    assert (found.status, found.value, found.more_clips) == ("cannot be shown", 0.5, None)
    assert f"{MOST_CLIPS:,}" in found.text


def test_recall_is_the_share_of_anomalies_above_the_threshold():
    anomalous = [2.0] * 45 + [0.0] * 5
    found = _judge("recall", 0.7, [9.0, 9.0], anomalous)
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == pytest.approx(clopper_pearson(45, 50, 0.95))
    assert found.status == "met"
    assert _judge("recall", 0.99, [], anomalous).status == "not met"
    unsure = _judge("recall", 0.85, [], anomalous)
    assert unsure.status == "cannot be shown"
    total = 50 + unsure.more_clips["anomaly"]
    assert clopper_pearson(0.9 * total, total, 0.95)[0] >= 0.85
    assert clopper_pearson(0.9 * (total - 1), total - 1, 0.95)[0] < 0.85
    assert f"{unsure.more_clips['anomaly']:,} more anomalous" in unsure.text


def test_alarms_a_day_come_from_unseen_normals():
    normal = [2.0] + [0.0] * 19
    found = _judge("alarms_per_day", 100, normal)
    assert found.value == pytest.approx(8_640 / 20)
    low, high = clopper_pearson(1, 20, 0.95)
    assert (found.low, found.high) == pytest.approx((8_640 * low, 8_640 * high))
    assert (found.status, list(found.more_clips)) == ("cannot be shown", ["normal"])
    assert _judge("alarms_per_day", 3_000, normal).status == "met"
    assert _judge("alarms_per_day", 5, normal).status == "not met"


def test_alarms_a_day_count_persistence_and_the_duty_cycle():
    normal = [2.0] + [0.0] * 199
    calibration = {"target": np.arange(20.0)}
    several = set_threshold(calibration, DecisionParams())
    assert several.persistence == (4, 6)
    found = _judge("alarms_per_day", 1, normal, threshold=several)
    assert found.status == "met"
    seldom = set_threshold(calibration, DecisionParams(duty_cycle=0.5))
    halved = _judge("alarms_per_day", 1, normal, threshold=seldom)
    assert halved.value == pytest.approx(found.value / 2)


def test_a_clean_month_of_few_clips_is_no_proof():
    found = _judge("alarms_per_day", 1, [0.0] * 30)
    assert (found.status, found.value, found.low) == ("cannot be shown", 0, 0)
    assert found.more_clips["normal"] > 30_000


@pytest.mark.parametrize(
    ("measure", "target", "normal", "anomalous", "labels"),
    [
        ("auc", 0.95, [], [], ["normal", "anomaly"]),
        ("auc", 0.95, [], [1.0], ["normal", "anomaly"]),
        ("pauc", 0.9, [0.0] * 3, [], ["normal", "anomaly"]),
        ("recall", 0.9, [0.0], [], ["anomaly"]),
        ("alarms_per_day", 1, [], [2.0], ["normal"]),
    ],
)
def test_without_labels_it_says_what_it_would_take(measure, target, normal, anomalous, labels):
    found = _judge(measure, target, normal, anomalous)
    assert (found.status, found.value, found.low, found.high) == ("cannot be shown", None, None, None)
    assert list(found.more_clips) == labels
    assert all(count > 0 for count in found.more_clips.values())
    assert "no test clip is labelled" in found.text
    assert "would be needed" in found.text


def test_the_least_for_a_recall_is_that_of_no_miss():
    least = _judge("recall", 0.9).more_clips["anomaly"]
    assert _judge("recall", 0.9, [], [2.0] * least).status == "met"
    assert _judge("recall", 0.9, [], [2.0] * (least - 1)).status == "cannot be shown"


@pytest.mark.parametrize("measure", ["auc", "pauc", "recall", "alarms_per_day"])
def test_clips_without_label_or_score_do_not_count(measure):
    normal, anomalous = _apart(30, 30, 2)
    plain = _judge(measure, 0.5, normal, anomalous)
    scores = np.array([*normal, *anomalous, 9.0, -9.0, np.nan, np.nan])
    labels = np.array(["normal"] * 30 + ["anomaly"] * 30 + ["unknown", "unknown", "normal", "anomaly"])
    decisions = np.where(np.nan_to_num(scores, nan=9.0) >= 1, "anomaly", "normal")
    kpi = KpiParams(measure=measure, target=0.5)
    assert verdict(kpi, 0.95, scores, labels, decisions, THRESHOLD) == plain


def test_it_is_the_same_every_time_and_json():
    normal, anomalous = _apart(30, 30, 2)
    found = _judge("pauc", 0.7, normal, anomalous)
    assert found == _judge("pauc", 0.7, normal, anomalous)
    assert json.loads(json.dumps(asdict(found)))["measure"] == "pauc"


def test_more_confidence_is_a_wider_interval():
    normal, anomalous = _apart(30, 30, 2)
    for measure in ("auc", "pauc", "recall", "alarms_per_day"):
        narrow = _judge(measure, 0.5, normal, anomalous, confidence=0.8)
        wide = _judge(measure, 0.5, normal, anomalous, confidence=0.99)
        assert wide.low < narrow.low <= narrow.value <= narrow.high < wide.high


def test_what_can_never_be_shown_is_refused():
    with pytest.raises(ValidationError, match="choose one below 1"):
        KpiParams(measure="recall", target=1.0)
    assert KpiParams(measure="alarms_per_day", target=2.0).target == 2.0
