"""Engine L1's forest: scikit-learn's scores without its pickle, and the promises of every engine."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Sklearn
from sklearn.preprocessing import StandardScaler

from alp_assets.audio.descriptors import LAYOUT
from alp_assets.audio.envelope import ENVELOPE_HZ, LOW_HZ
from alp_assets.engines.base import Evidence, Normals
from alp_assets.engines.isolation_forest import IsolationForest
from alp_assets.errors import TooFewNormals
from alp_assets.params import IsolationForestParams

STATISTICS = LAYOUT.statistics.stop
WITHOUT_EVIDENCE = Evidence()


def _engine(**params):
    return IsolationForest(IsolationForestParams(**{"trees": 10, **params}))


def _clips(n, seed=0, shift=0.0):
    """Descriptors (n, 1, d) with statistics of different scales and nothing odd in what the rules read."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((n, LAYOUT.size))
    scales = np.geomspace(0.01, 1_000, STATISTICS)
    vectors[:, LAYOUT.statistics] = scales * (rng.normal(size=(n, STATISTICS)) + 5 + shift)
    vectors[:, LAYOUT.level] = rng.normal(-30, 0.3, n)
    vectors[:, LAYOUT.resonance] = rng.normal(-10, 0.3, n)
    vectors[:, LAYOUT.above_10k] = rng.normal(-70, 0.3, n)
    vectors[:, LAYOUT.has_above_10k] = 1
    vectors[:, LAYOUT.envelope] = rng.normal(-40, 1, (n, ENVELOPE_HZ.size))
    vectors[:, LAYOUT.low] = rng.normal(-70, 1, (n, LOW_HZ.size))
    return vectors.astype(np.float32)[:, None]


def _normals(n, seed=0):
    return Normals(_clips(n, seed), np.full(n, "target"))


@pytest.mark.parametrize(("count", "trees"), [(2, 5), (3, 20), (10, 100), (400, 30)])
def test_scores_are_those_of_scikit_learn(count, trees):
    normals, test = _normals(count), np.concatenate([_clips(60, 1), _clips(60, 2, shift=3)])
    scaler = StandardScaler().fit(normals.embeddings[:, 0, LAYOUT.statistics].astype(np.float64))
    scaled = [
        scaler.transform(part[:, 0, LAYOUT.statistics].astype(np.float64)) for part in (normals.embeddings, test)
    ]
    theirs = Sklearn(n_estimators=trees, contamination=0.01, random_state=7).fit(scaled[0])
    model = _engine(trees=trees, seed=7).fit(normals)
    np.testing.assert_allclose(model.score(test), -theirs.score_samples(scaled[1]), rtol=1e-12)
    assert model.settings["offset"] == pytest.approx(theirs.offset_, abs=1e-12)
    assert model.settings["max_samples"] == min(256, count)


def test_the_farther_from_normal_the_higher():
    model = _engine(trees=60).fit(_normals(60))
    away = np.stack([_clips(30, 3, shift).mean(axis=0) for shift in (0, 0.5, 1, 1.5, 2)])
    assert (np.diff(model.score(away)) > 0).all()
    assert model.score(_clips(50, 4)).max() < model.score(_clips(50, 4, shift=3)).min()


def test_what_the_rules_read_does_not_alter_the_score():
    model, test = _engine().fit(_normals(20)), _clips(5, 1)
    odd = test.copy()
    odd[:, 0, STATISTICS:] += 30
    np.testing.assert_array_equal(model.score(odd), model.score(test))
    assert all(evidence.findings for evidence in model.explain(odd))


def test_a_clip_alone_and_in_a_batch_of_a_thousand_scores_the_same_bit_for_bit():
    model = _engine().fit(_normals(40))
    batch = np.concatenate([_clips(1_020, 3), _clips(10, 4, shift=4)])
    together = model.score(batch)
    alone = np.concatenate([model.score(batch[i : i + 1]) for i in range(0, 1_030, 7)])
    np.testing.assert_array_equal(alone, together[::7])
    np.testing.assert_array_equal(model.score(batch[::-1]), together[::-1])
    np.testing.assert_array_equal(model.score(np.asfortranarray(batch)), together)
    assert model.score(batch[:0]).shape == (0,)


def test_evidence_does_not_hang_on_the_other_clips():
    model = _engine().fit(_normals(20))
    batch = _clips(20, 3)
    batch[::2, 0, LAYOUT.level] += 12
    together = model.explain(batch)
    assert [bool(item.findings) for item in together[:4]] == [True, False, True, False]
    assert [model.explain(batch[i : i + 1])[0] for i in range(20)] == together
    assert model.explain(batch[:0]) == []


def test_fitting_twice_gives_the_same_model_and_another_seed_another():
    first, second = _engine().fit(_normals(20)), _engine().fit(_normals(20))
    assert first.settings == second.settings
    tensors = second.tensors()
    for name, value in first.tensors().items():
        assert value.tobytes() == tensors[name].tobytes()
    once, again = (_engine(trees=5).calibrate(_normals(20)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert (_engine(seed=1).fit(_normals(20)).score(_clips(9, 1)) != first.score(_clips(9, 1))).any()


def test_fitting_leaves_the_normals_as_they_were():
    given, untouched = _normals(12), _normals(12)
    model = _engine().fit(given)
    _engine(trees=5).calibrate(given)
    model.score(given.embeddings)
    model.explain(given.embeddings)
    np.testing.assert_array_equal(given.embeddings, untouched.embeddings)


def test_a_model_survives_its_files(tmp_path):
    from safetensors.numpy import load_file, save_file

    parameters = {"bearing_hz": {"bpfo": 87.0, "ftf": 10.0}, "shaft_hz": 24.5}
    domains = np.array(["source"] * 12 + ["target"] * 8)
    model = _engine(**parameters).fit(Normals(_clips(20), domains))
    save_file(model.tensors(), tmp_path / "model.safetensors")
    settings = json.loads(json.dumps(model.settings))
    again = IsolationForest(IsolationForestParams()).restore(load_file(tmp_path / "model.safetensors"), settings)
    test = np.concatenate([_clips(20, 5), _clips(20, 6, shift=2)])
    test[::3, 0, LAYOUT.level] += 9
    np.testing.assert_array_equal(again.score(test), model.score(test))
    assert again.explain(test) == model.explain(test)
    assert again.settings == model.settings
    assert all(value.dtype.kind in "if" for value in model.tensors().values())


@pytest.mark.parametrize(("count", "words"), [(0, "0 normal clips,"), (1, "1 normal clip,")])
def test_fewer_than_two_normals_are_refused_in_words(count, words):
    for work in (_engine().fit, _engine().calibrate):
        with pytest.raises(TooFewNormals, match=words) as caught:
            work(_normals(count))
        assert "at least 2" in str(caught.value)


@pytest.mark.parametrize(
    "domains", [["target"] * 2, ["source"] * 3, ["source", "target"], ["source"] * 2 + ["target"]]
)
def test_two_and_three_normals_work(domains):
    few = Normals(_clips(len(domains)), np.array(domains))
    model, calibration = _engine().fit(few), _engine().calibrate(few)
    test = np.concatenate([_clips(9, 5), _clips(9, 6, shift=30)])
    assert np.isfinite(model.score(test)).all()
    assert calibration.shape == (len(domains),)
    assert np.isfinite(calibration).all()
    assert len(model.explain(test)) == 18


@pytest.mark.parametrize("count", [2, 3, 7])
def test_identical_copies_as_normals_are_finite_and_ring_on_nothing(count):
    copies = Normals(np.repeat(_clips(1), count, axis=0), np.full(count, "target"))
    model = _engine().fit(copies)
    assert np.isfinite(_engine().calibrate(copies)).all()
    assert np.isfinite(model.score(_clips(9, 1))).all()
    assert model.explain(copies.embeddings) == [WITHOUT_EVIDENCE] * count


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_clip_that_is_not_finite_does_not_pass_for_normal(bad):
    test = _clips(2, 1)
    test[0, 0, 3] = bad
    score, other = _engine().fit(_normals(10)).score(test)
    assert np.isnan(score)
    assert np.isfinite(other)


def test_a_clip_of_which_nothing_is_known_breaks_no_rule():
    nothing = np.full_like(_clips(1), np.nan)
    assert _engine().fit(_normals(10)).explain(nothing) == [WITHOUT_EVIDENCE]


@pytest.fixture
def grown_on(monkeypatch):
    """The features (n, d) that each forest was grown on."""
    from alp_assets.engines import isolation_forest

    seen, grow = [], isolation_forest._grow
    monkeypatch.setattr(isolation_forest, "_grow", lambda *given: seen.append(given[0]) or grow(*given))
    return seen


def test_calibration_is_by_forests_that_had_not_seen_the_recording(grown_on):
    values, recordings = _clips(12), np.repeat(np.arange(4), 3).astype(str)
    calibration = _engine(trees=3).calibrate(Normals(values, np.full(12, "target"), recordings))
    features = values[:, 0, LAYOUT.statistics]
    seen = [{int(np.flatnonzero((features == row).all(axis=1))[0]) for row in rows} for rows in grown_on]
    assert seen == [set(range(12)) - set(range(3 * i, 3 * i + 3)) for i in range(4)]
    assert calibration.shape == (12,)


def test_at_most_ten_forests_are_grown_for_a_calibration(grown_on):
    _engine(trees=3).calibrate(_normals(45))
    assert len(grown_on) == 10


def test_calibration_looks_like_the_scores_of_new_normals():
    calibration = _engine().calibrate(_normals(60))
    new = _engine().fit(_normals(60)).score(_clips(60, 8))
    assert calibration.mean() == pytest.approx(new.mean(), abs=0.01)


def test_it_says_what_it_is():
    engine = _engine(max_normals=123)
    assert (engine.name, engine.letter) == ("isolation_forest", "L1")
    assert (engine.view, engine.encoder, engine.extras) == ("pooled", "descriptors", "")
    assert (engine.min_normals, engine.max_normals) == (2, 123)
