"""Figures of merit against cases worked by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from alp_assets.decision.metrics import evaluate, harmonic_mean

FIGURES = ("auc", "auc_source", "auc_target", "pauc", "harmonic_mean")


def _evaluate(rows):
    """Rows of (score, label, domain)."""
    scores, labels, domains = zip(*rows, strict=True)
    return evaluate(np.array(scores, float), np.array(labels), np.array(domains))


def test_by_hand():
    found = _evaluate(
        [
            (1, "normal", "source"),
            (4, "normal", "source"),
            (2, "normal", "target"),
            (6, "normal", "target"),
            (5, "anomaly", "source"),
            (3, "anomaly", "target"),
        ]
    )
    assert found.auc == pytest.approx((2 + 1 + 2 + 0) / 8)
    assert found.auc_source == pytest.approx((2 + 1) / 4)
    assert found.auc_target == pytest.approx((2 + 0) / 4)
    assert (found.normals, found.anomalies, found.note) == (4, 2, "")


def test_a_domain_is_its_normals_against_the_anomalies_of_both():
    normals = [
        (1, "normal", "source"),
        (2, "normal", "source"),
        (10, "normal", "target"),
        (11, "normal", "target"),
    ]
    found = _evaluate([*normals, (5, "anomaly", "source"), (6, "anomaly", "source")])
    assert (found.auc_source, found.auc_target, found.auc) == (1, 0, 0.5)


def test_the_partial_auc_of_chance_is_one_half_and_of_the_perfect_one():
    rng = np.random.default_rng(0)
    labels = np.array(["normal", "anomaly"] * 4_000)
    domains = np.array(["source", "source", "target", "target"] * 2_000)
    chance = evaluate(rng.random(8_000), labels, domains)
    assert chance.pauc == pytest.approx(0.5, abs=0.02)
    assert chance.auc == pytest.approx(0.5, abs=0.02)
    perfect = evaluate((labels == "anomaly").astype(float), labels, domains)
    assert [getattr(perfect, name) for name in FIGURES] == [1] * 5


def test_the_partial_auc_by_hand():
    """Twenty normals; one anomaly above all, one above 18 of them: the area up to 0.1 is half of it."""
    rows = [(float(i), "normal", "source" if i % 2 else "target") for i in range(20)]
    found = _evaluate([*rows, (50, "anomaly", "source"), (17.5, "anomaly", "target")])
    area, least, most = 0.1 * 0.5, 0.1**2 / 2, 0.1
    assert found.pauc == pytest.approx(0.5 * (1 + (area - least) / (most - least)))


def test_all_figures_of_one_table_by_hand():
    """Ten normals: the highest alone lies within a false-positive rate of 0.1, so the area there is its own."""
    normals = [(float(i), "normal", "source" if i < 6 else "target") for i in range(10)]
    found = _evaluate([*normals, (9.5, "anomaly", "source"), (8.5, "anomaly", "target")])
    assert found.auc_source == 1
    assert found.auc_target == pytest.approx((4 + 3) / 8)
    assert found.auc == pytest.approx((10 + 9) / 20)
    area, least, most = 0.1 * 0.5, 0.1**2 / 2, 0.1
    pauc = 0.5 * (1 + (area - least) / (most - least))
    assert found.pauc == pytest.approx(pauc)
    assert found.harmonic_mean == pytest.approx(3 / (1 + 8 / 7 + 1 / pauc))


def test_a_tie_is_half_a_win():
    rows = [(1, "normal", "source"), (2, "normal", "target"), (2, "anomaly", "source"), (1, "anomaly", "target")]
    found = _evaluate(rows)
    assert found.auc == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert found.auc_source == pytest.approx((1 + 0.5) / 2)
    assert found.auc_target == pytest.approx((0.5 + 0) / 2)
    alike = _evaluate([(7, label, domain) for _, label, domain in rows])
    assert [getattr(alike, name) for name in FIGURES] == pytest.approx([0.5] * 5)


def test_the_domain_of_an_anomaly_does_not_matter():
    rng = np.random.default_rng(2)
    labels = rng.choice(["normal", "anomaly"], 100)
    domains = rng.choice(["source", "target"], 100)
    scores = rng.random(100) + (labels == "anomaly")
    swapped = np.where(labels == "anomaly", np.where(domains == "source", "target", "source"), domains)
    assert evaluate(scores, labels, swapped) == evaluate(scores, labels, domains)


def test_the_partial_auc_is_over_the_normals_of_both_domains():
    """The loud target normals fill the first tenth, so that no anomaly is found there."""
    source = [(float(i), "normal", "source") for i in range(27)]
    target = [(100.0 + i, "normal", "target") for i in range(3)]
    found = _evaluate([*source, *target, (50, "anomaly", "source"), (60, "anomaly", "target")])
    assert found.pauc == pytest.approx(0.5 * (1 + (0 - 0.005) / (0.1 - 0.005)))
    assert (found.auc_source, found.auc_target) == (1, 0)
    assert found.harmonic_mean == 0


def test_only_the_order_of_the_scores_counts():
    rng = np.random.default_rng(3)
    labels, domains = rng.choice(["normal", "anomaly"], 80), rng.choice(["source", "target"], 80)
    scores = rng.normal(size=80)
    assert evaluate(np.exp(3 * scores) - 100, labels, domains) == evaluate(scores, labels, domains)
    found, reversed_ = evaluate(scores, labels, domains), evaluate(-scores, labels, domains)
    assert reversed_.auc == pytest.approx(1 - found.auc)
    assert reversed_.auc_target == pytest.approx(1 - found.auc_target)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from(["normal", "anomaly", "unknown"]),
            st.sampled_from(["source", "target"]),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_every_figure_is_that_of_scikit_learn(rows):
    found = _evaluate(rows)
    scores, labels, domains = (np.array(column) for column in zip(*rows, strict=True))
    known = labels != "unknown"
    if len(set(labels[known])) < 2:
        assert [getattr(found, name) for name in FIGURES] == [None] * 5
        assert found.note
        return
    anomaly = labels == "anomaly"
    assert found.auc == pytest.approx(roc_auc_score(anomaly[known], scores[known]))
    assert found.pauc == pytest.approx(roc_auc_score(anomaly[known], scores[known], max_fpr=0.1))
    for name in ("source", "target"):
        chosen = anomaly | ((labels == "normal") & (domains == name))
        value = getattr(found, f"auc_{name}")
        if anomaly[chosen].all():
            assert value is None
            assert name in found.note
        else:
            assert value == pytest.approx(roc_auc_score(anomaly[chosen], scores[chosen]))


def test_clips_without_a_label_do_not_count():
    rows = [(1, "normal", "source"), (2, "normal", "target"), (3, "anomaly", "target")]
    assert _evaluate([*rows, (99, "unknown", "source"), (-99, "unknown", "target")]) == _evaluate(rows)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["normal", "normal"], "no test clip is labelled anomaly"),
        (["anomaly", "unknown"], "no test clip is labelled normal"),
        (["unknown", "unknown"], "labelled normal or anomaly"),
        ([], "labelled normal or anomaly"),
    ],
)
def test_without_labels_there_is_no_figure_and_the_note_says_why(labels, words):
    found = evaluate(np.arange(len(labels), dtype=float), np.array(labels, "<U7"), np.full(len(labels), "target"))
    assert [getattr(found, name) for name in FIGURES] == [None] * 5
    assert words in found.note
    assert (found.normals, found.anomalies) == (labels.count("normal"), labels.count("anomaly"))


def test_without_normals_of_a_domain_the_others_stand():
    found = _evaluate([(1, "normal", "target"), (3, "normal", "target"), (2, "anomaly", "target")])
    assert (found.auc, found.auc_source, found.auc_target) == (0.5, None, 0.5)
    assert found.harmonic_mean == pytest.approx(2 / (1 / 0.5 + 1 / found.pauc))
    assert "normals of domain source" in found.note


def test_the_harmonic_mean_is_over_the_three_official_figures():
    rng = np.random.default_rng(1)
    labels = rng.choice(["normal", "anomaly"], 200)
    found = evaluate(rng.random(200) + (labels == "anomaly"), labels, rng.choice(["source", "target"], 200))
    parts = [found.auc_source, found.auc_target, found.pauc]
    assert found.harmonic_mean == pytest.approx(3 / sum(1 / value for value in parts))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([0.5], 0.5), ([1, 0.5], 2 / 3), ([0.9, 0.0, 0.8], 0.0), ([0.6, 0.6, 0.6], 0.6)],
)
def test_harmonic_mean(values, expected):
    assert harmonic_mean(values) == (None if expected is None else pytest.approx(expected))
