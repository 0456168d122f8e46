"""Promises against what happens, on made-up embeddings."""

import numpy as np
import pytest

from bench.thresholds import POLICIES, summed, tried


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(90, 3, 4)).astype(np.float32)
    embeddings[60:] += 4
    normal = np.arange(90) < 60
    return [draw for seed in range(3) for draw in tried(embeddings, normal, "0", seed, 20)]


def test_every_policy_is_tried_on_what_was_not_known(draws):
    assert [draw.policy for draw in draws[: len(POLICIES)]] == list(POLICIES)
    assert {(draw.known, draw.normals, draw.anomalies) for draw in draws} == {(20, 40, 30)}


def test_a_line_is_the_mean_over_draws_with_the_interval_of_all_counts(draws):
    chosen = [draw for draw in draws if draw.policy == "quantile"]
    row = summed(chosen)
    assert row["promised"] == pytest.approx(0.1)
    assert row["observed"] == pytest.approx(sum(draw.false_alarms for draw in chosen) / 120)
    assert row["low"] <= row["observed"] <= row["high"]
    assert row["observed"] < 0.3 < 0.9 < row["detected"]
