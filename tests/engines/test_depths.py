"""Engine B on an encoder of several depths: each weighed by how steady it is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alp_assets.engines.banks.depths import DepthsModel
from alp_assets.engines.base import Normals
from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.params import MemoryBankParams

ENGINE = MemoryBank(MemoryBankParams())


def _normals(source=12, target=6, seed=0, moved=(0.0, 0.0)):
    """Embeddings (n, 2, 8, 4); ``moved`` is how far the target domain lies from the source, by depth."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (source + target, 2, 8, 4)).astype(np.float32)
    for depth, away in enumerate(moved):
        values[source:, depth] += away
    return Normals(values, np.array(["source"] * source + ["target"] * target))


def _clips(seed=9, **away):
    values = np.random.default_rng(seed).normal(0, 1, (30, 2, 8, 4)).astype(np.float32)
    for depth, shift in away.items():
        values[:, int(depth[-1])] += np.where(np.arange(4) % 2, shift, -shift)
    return values


@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_odd_in_any_depth_scores_higher(depth):
    model = ENGINE.fit(_normals(source=0, target=10))
    assert isinstance(model, DepthsModel)
    odd = model.score(_clips(**{f"depth{depth}": 6.0}))
    assert odd.min() > np.median(model.score(_clips()))
    assert odd.mean() > model.score(_clips(**{f"depth{depth}": 3.0})).mean()


def test_in_one_domain_the_first_depth_counts_most():
    assert ENGINE.fit(_normals(source=0, target=8)).weights == pytest.approx((0.9, 0.1))


@pytest.mark.parametrize("steady", [0, 1])
def test_a_depth_that_the_new_conditions_moved_counts_less(steady):
    moved = [6.0, 6.0]
    moved[steady] = 0.0
    weights = ENGINE.fit(_normals(moved=tuple(moved))).weights
    assert weights[steady] > 0.95
    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize(("source", "target"), [(0, 2), (2, 1), (0, 3), (3, 3), (30, 30)])
def test_calibration_gives_every_normal_a_finite_score(source, target):
    normals = _normals(source, target)
    assert np.isfinite(ENGINE.calibrate(normals)).all()
    assert np.isfinite(ENGINE.fit(normals).score(_clips())).all()


def test_identical_normals_give_finite_scores():
    values = np.repeat(_normals(0, 1).embeddings, 4, axis=0)
    model = ENGINE.fit(Normals(values, np.array(["source", "source", "target", "target"])))
    assert np.isfinite(model.score(_clips())).all()


def test_alone_and_in_a_batch_the_score_is_the_same_and_a_round_trip_keeps_it():
    model = ENGINE.fit(_normals())
    clips = _clips()
    together = model.score(clips)
    np.testing.assert_array_equal([model.score(clip[None])[0] for clip in clips], together)
    again = ENGINE.restore(model.tensors(), json.loads(json.dumps(model.settings)))
    np.testing.assert_array_equal(again.score(clips), together)
    assert again.settings == model.settings


def test_a_clip_that_cannot_be_compared_has_no_score_and_the_evidence_is_of_the_first_depth():
    model = ENGINE.fit(_normals())
    clips = _clips()[:2]
    clips[0, 1, 0, 0] = np.nan
    scores = model.score(clips)
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1])
    assert model.explain(clips)[1].map.shape == (8, 1)
