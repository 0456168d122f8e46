"""A threshold on labelled scores in place of one on normals."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.decision.labelled import on_labels
from alp_assets.decision.policy import set_threshold
from alp_assets.params import DecisionParams

NORMALS = {"source": np.arange(10) / 10, "target": np.arange(20) / 10}


@pytest.fixture
def fitted():
    return set_threshold(NORMALS, DecisionParams())


def test_it_parts_the_labelled_scores_and_says_what_normals_bear_at_it(fitted):
    found = on_labels(fitted, NORMALS, np.array([0.5, 1.0, 1.45, 1.65]), np.array([False, False, True, True]))
    assert found.value == pytest.approx(1.225)
    assert found.policy == "labels"
    # 7 of the 20 scores of the target are above it, none of the source's.
    assert found.promised == pytest.approx(8 / 21)
    assert found.alarms_per_day == pytest.approx(found.clips_per_day * 8 / 21)
    assert (found.persistence, found.extrapolated, found.supported) == (None, False, True)
    assert set(found.by_domain.values()) == {found.value}
    assert "2 normal and 2 anomalous clips" in found.note
    assert "more than was asked for" in found.note
    assert (found.asked, found.normals) == (fitted.asked, fitted.normals)


def test_even_a_far_threshold_promises_no_less_than_its_normals_can_show(fitted):
    found = on_labels(fitted, NORMALS, np.array([1.0, 90.0]), np.array([False, True]))
    assert found.promised == pytest.approx(1 / 11)


def test_a_domain_without_normals_says_nothing():
    normals = {"source": np.zeros(0), "target": NORMALS["target"]}
    fitted = set_threshold(normals, DecisionParams())
    found = on_labels(fitted, normals, np.array([1.0, 3.0]), np.array([False, True]))
    assert found.promised == pytest.approx(1 / 21)
    assert set(found.by_domain) == {"target"}


def test_one_kind_of_labels_sets_no_threshold(fitted):
    with pytest.raises(ValueError, match="normal and anomalous"):
        on_labels(fitted, NORMALS, np.array([1.0, 2.0]), np.array([True, True]))
