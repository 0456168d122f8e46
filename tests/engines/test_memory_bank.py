"""Engine B: higher is more anomalous, nothing of the test clips enters, few normals suffice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alp_assets.engines.base import Normals
from alp_assets.engines.crossval import MAX_FOLDS, cross_validated_scores
from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.errors import TooFewNormals
from alp_assets.params import MemoryBankParams

MODES = ("fused", "genrep", "density")


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def _engine(k=1, mode="fused"):
    return MemoryBank(MemoryBankParams(k=k, mode=mode))


def _of(values, domain="target"):
    return Normals(np.asarray(values, np.float32), np.full(len(values), domain))


@pytest.mark.parametrize("k", [1, 3])
def test_the_farther_from_normal_the_higher(normals, embeddings, k, mode):
    model = _engine(k, mode).fit(normals())
    shifts = np.array([0, 1, 2, 5, 20, 100], np.float32)
    away = embeddings(1, seed=9) + shifts[:, None, None] * np.where(np.arange(37) % 2, 1, -1)
    assert (np.diff(model.score(away)) > 0).all()  # not along what sets the domains apart: that counts little
    assert model.score(embeddings(50, seed=7)).max() < model.score(away[3:]).min()


@pytest.mark.parametrize("k", [1, 4])
def test_a_clip_alone_and_in_a_batch_of_a_thousand_scores_the_same_bit_for_bit(normals, embeddings, k, mode):
    model = _engine(k, mode).fit(normals(40, 9))
    batch = np.concatenate([embeddings(995, seed=3), 50 * embeddings(5, seed=4)])
    together = model.score(batch)
    assert together.shape == (1_000,)
    assert len(np.unique(together)) == 1_000
    alone = np.concatenate([model.score(batch[i : i + 1]) for i in range(0, 1_000, 7)])
    np.testing.assert_array_equal(alone, together[::7])
    np.testing.assert_array_equal(model.score(batch[::-1]), together[::-1])
    np.testing.assert_array_equal(model.score(np.asfortranarray(batch)), together)


def test_a_score_does_not_hang_on_the_other_clips(normals, embeddings, mode):
    model = _engine(mode=mode).fit(normals())
    batch = embeddings(10, seed=3)
    before = model.score(batch)
    batch[1:] += 1_000
    assert model.score(batch)[0] == before[0]
    assert model.score(batch[:0]).shape == (0,)


def test_fitting_twice_gives_the_same_model(normals, mode):
    engine = _engine(3, mode)
    first, second = engine.fit(normals()).tensors(), engine.fit(normals()).tensors()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.tobytes() == second[name].tobytes()
    assert engine.fit(normals()).settings == engine.fit(normals()).settings
    np.testing.assert_array_equal(engine.calibrate(normals()), engine.calibrate(normals()))


def test_fitting_and_scoring_leave_the_normals_as_they_were(normals, mode):
    given_normals, untouched = normals(), normals()
    model = _engine(mode=mode).fit(given_normals)
    _engine(mode=mode).calibrate(given_normals)
    model.score(given_normals.embeddings)
    model.explain(given_normals.embeddings)
    np.testing.assert_array_equal(given_normals.embeddings, untouched.embeddings)


@pytest.mark.parametrize(("count", "words"), [(0, "0 normal clips,"), (1, "1 normal clip,")])
def test_fewer_than_two_normals_are_refused_in_words(embeddings, count, words, mode):
    for work in (_engine(mode=mode).fit, _engine(mode=mode).calibrate):
        with pytest.raises(TooFewNormals, match=words) as caught:
            work(_of(embeddings(count)))
        assert "at least 2" in str(caught.value)
        assert "Send more normal recordings" in str(caught.value)


@pytest.mark.parametrize(
    "domains", [["target"] * 2, ["source"] * 3, ["source", "target"], ["source"] * 2 + ["target"]]
)
def test_two_and_three_normals_work(embeddings, domains, mode):
    few = Normals(embeddings(len(domains)), np.array(domains))
    model, calibration = _engine(mode=mode).fit(few), _engine(mode=mode).calibrate(few)
    found = model.score(np.concatenate([embeddings(20, seed=5), embeddings(20, seed=5) + 30]))
    assert np.isfinite(found).all()
    assert np.isfinite(calibration).all()
    assert calibration.shape == (len(domains),)
    assert found[20:].min() > found[:20].max()
    assert found[20:].min() > calibration.max()


def test_two_normals_calibrate_as_usual(embeddings, mode):
    first, second = _engine(mode=mode).calibrate(_of(embeddings(2)))
    assert first == second == (1 if mode == "density" else 0)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_identical_copies_as_normals_are_finite(embeddings, count, mode):
    copies = _of(np.repeat(embeddings(1), count, axis=0))
    model, calibration = _engine(mode=mode).fit(copies), _engine(mode=mode).calibrate(copies)
    assert np.isfinite(calibration).all()
    same, other = model.score(np.concatenate([embeddings(1), embeddings(1, seed=2)]))
    assert np.isfinite([same, other]).all()
    assert other > same


def test_a_feature_that_never_changes_does_not_rule_the_score(embeddings):
    values = embeddings(10)
    values[:, 0, 0] = -120
    model = _engine().fit(_of(values))
    test = embeddings(20, seed=1)
    test[:, 0, 0] = -120
    nudged = test.copy()
    nudged[:, 0, 0] += 0.1
    np.testing.assert_allclose(model.score(nudged), model.score(test), atol=0.1)


def test_features_count_by_their_own_spread():
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(0, 100, 50), *rng.normal(0, 1, (9, 50))], axis=1)
    model = _engine().fit(_of(values))
    wide, narrow = np.zeros((2, 10), np.float32)
    wide[0], narrow[1] = 20, 20
    assert model.score(narrow[None]) > model.score(wide[None]) + 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_normals_that_are_not_finite_are_refused(embeddings, bad):
    values = embeddings(5)
    values[3, 1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        _of(values)


def test_every_normal_needs_its_domain(embeddings):
    with pytest.raises(ValueError, match="5 embeddings but 4 domains"):
        Normals(embeddings(5), np.full(4, "source"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_clip_that_is_not_finite_does_not_pass_for_normal(normals, embeddings, bad, mode):
    test = embeddings(2)
    test[0, 0, 0] = bad
    model = _engine(mode=mode).fit(normals())
    score, other = model.score(test)
    assert np.isnan(score)
    assert model.explain(test)[0].map is None
    assert np.isfinite(other)


def test_the_closer_domain_decides(normals, embeddings, mode):
    model = _engine(mode=mode).fit(normals(20, 10))
    assert set(model.banks) == {"source", "target"}
    alone = {name: replace(model, banks={name: bank}) for name, bank in model.banks.items()}
    test = np.concatenate([embeddings(10, seed=5), embeddings(10, seed=6, centre=-50)])
    by_domain = np.stack([alone["source"].score(test), alone["target"].score(test)])
    np.testing.assert_array_equal(model.score(test), by_domain.min(axis=0))
    assert (by_domain.argmin(axis=0) == [0] * 10 + [1] * 10).all()


def test_new_conditions_are_normal_once_a_few_are_known(normals, embeddings):
    test = embeddings(10, seed=8, centre=-50)
    source_only = _engine().fit(_of(embeddings(20), "source"))
    both = _engine().fit(normals(20, 5))
    assert source_only.score(test).min() > 10
    assert both.score(test).max() < 5


@pytest.mark.parametrize(
    ("source", "target", "bank"), [(1, 5, "target"), (5, 1, "source"), (0, 4, "target"), (1, 1, "source")]
)
def test_a_lone_clip_of_a_domain_joins_the_other_bank(normals, source, target, bank, mode):
    model = _engine(mode=mode).fit(normals(source, target))
    assert {name: len(found.memory) for name, found in model.banks.items()} == {bank: source + target}


def test_a_lone_clip_that_joined_is_remembered(normals, mode):
    joined = normals(1, 5)
    model = _engine(mode=mode).fit(joined)
    assert model.score(joined.embeddings[:1]) < model.usual


@pytest.mark.parametrize("k", [5, 100])
def test_more_neighbours_than_clips_means_all_of_them(normals, embeddings, k, mode):
    few = normals(2, 3)
    test = embeddings(4, seed=3)
    assert np.isfinite(_engine(k, mode).calibrate(few)).all()
    model = _engine(k, mode).fit(few)
    assert model.settings["k"] == k
    np.testing.assert_array_equal(model.score(test), replace(model, k=1_000).score(test))


def test_a_model_read_back_scores_the_same_bit_for_bit(normals, embeddings, mode):
    engine = _engine(2, mode)
    model = engine.fit(normals())
    settings_ = json.loads(json.dumps(model.settings))
    again = engine.restore(model.tensors(), settings_)
    test = embeddings(30, seed=4)
    np.testing.assert_array_equal(again.score(test), model.score(test))
    assert again.settings == model.settings


@pytest.mark.parametrize("shape", [(7,), (1, 50), (12, 8), (3, 4, 5)])
def test_embeddings_of_any_shape_will_do(shape, mode):
    values = np.random.default_rng(0).normal(size=(12, *shape)).astype(np.float32)
    model = _engine(mode=mode).fit(_of(values[:10]))
    far = model.score(values + 10)
    assert np.isfinite(model.score(values)).all()
    assert far.min() > model.score(values).max()


def test_a_silent_clip_is_far_from_a_running_machine(normals, mode):
    model = _engine(mode=mode).fit(normals())
    silent, running = np.full((1, 3, 37), -120, np.float32), normals(seed=5).embeddings
    silent[:, 1:] = 0
    assert np.isfinite(model.score(silent)).all()
    assert model.score(silent) > model.score(running).max() + 1


class TestCalibration:
    """Scores of normals by models that had not seen them."""

    def test_a_strange_normal_stands_out_in_its_own_calibration(self, embeddings):
        for count, ahead in ((12, 10), (6, 1)):
            values = embeddings(count)
            values[4] += 50
            calibration = _engine().calibrate(_of(values))
            assert calibration.argmax() == 4
            assert calibration[4] > np.delete(calibration, 4).max() + ahead

    def test_it_is_leave_one_out(self, normals, mode):
        given_normals = normals(7, 4)
        calibration = _engine(mode=mode).calibrate(given_normals)
        for i in range(len(given_normals)):
            others = np.arange(len(given_normals)) != i
            model = _engine(mode=mode).fit(
                Normals(given_normals.embeddings[others], given_normals.domains[others])
            )
            assert calibration[i] == model.score(given_normals.embeddings[i : i + 1])[0]

    def test_it_is_not_the_score_of_clips_that_were_seen(self, normals):
        given_normals = normals(10, 5)
        seen = _engine().fit(given_normals).score(given_normals.embeddings)
        assert (_engine().calibrate(given_normals) > seen + 1).all()

    def test_it_looks_like_the_scores_of_new_normals(self, embeddings):
        values = embeddings(60)
        calibration = _engine().calibrate(_of(values[:30]))
        new = _engine().fit(_of(values[:30])).score(values[30:])
        assert calibration.mean() == pytest.approx(new.mean(), abs=0.5)

    def test_many_normals_are_held_out_in_folds_that_share_the_domains(self):
        fitted = []

        class Recorder:
            min_normals = 2

            def fit(self, normals):
                fitted.append(normals)
                return self

            def score(self, embeddings):
                held_out.append(embeddings[:, 0])
                return embeddings[:, 0]

        held_out = []
        values = np.arange(67, dtype=np.float32)[:, None]
        domains = np.array(["source", "target"] * 20 + ["source"] * 27)
        scores = cross_validated_scores(Recorder(), Normals(values, domains))
        np.testing.assert_array_equal(scores, values[:, 0])
        assert len(fitted) == MAX_FOLDS
        assert sorted(np.concatenate(held_out)) == list(range(67))
        for learnt, left in zip(fitted, held_out, strict=True):
            assert not set(learnt.embeddings[:, 0]) & set(left)
            assert len(learnt) + len(left) == 67
            assert (domains[left.astype(int)] == "target").sum() == 1

    def test_of_very_many_normals_a_drawn_share_is_held_out(self):
        class Counter:
            min_normals = 2

            def fit(self, normals):
                kept.append(set(normals.embeddings[:, 0].tolist()))
                return self

            def score(self, embeddings):
                held_out.append(embeddings[:, 0])
                return embeddings[:, 0]

        kept, held_out = [], []
        values = np.arange(90, dtype=np.float32)[:, None]
        recordings = np.array([str(i // 3) for i in range(90)])
        domains = np.array(["source"] * 75 + ["target"] * 15)
        normals = Normals(values, domains, recordings)
        scores = cross_validated_scores(Counter(), normals, 4, most_clips=20, seed=3)
        known = np.isfinite(scores)
        np.testing.assert_array_equal(scores[known], values[known, 0])
        assert known[75:].all()
        assert 18 <= known[:75].sum() <= 20
        assert set(recordings[known]) & set(recordings[~known]) == set()
        assert len(held_out) == 4
        for learnt, left in zip(kept, held_out, strict=True):
            assert learnt == set(values[:, 0].tolist()) - set(left.tolist())
        again = cross_validated_scores(Counter(), normals, 4, most_clips=20, seed=3)
        np.testing.assert_array_equal(scores, again)

    @settings(deadline=None, max_examples=25)
    @given(
        domains=st.lists(st.sampled_from(["source", "target"]), min_size=2, max_size=12),
        k=st.integers(1, 4),
        seed=st.integers(0, 1_000),
        mode=st.sampled_from(MODES),
    )
    def test_any_mix_of_domains_gives_finite_scores(self, domains, k, seed, mode):
        values = np.random.default_rng(seed).normal(-60, 3, (len(domains), 12)).astype(np.float32)
        given_normals = Normals(values, np.array(domains))
        calibration = _engine(k, mode).calibrate(given_normals)
        assert calibration.shape == (len(domains),)
        assert np.isfinite(calibration).all()
        assert np.isfinite(_engine(k, mode).fit(given_normals).score(values)).all()


class TestRecordings:
    """Clips of one recording are nearly copies: none may vouch for another."""

    @staticmethod
    def normals(recordings: int, clips: int, seed: int = 0) -> Normals:
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(recordings, 1, 16)) * 10
        embeddings = (centres + 0.01 * rng.normal(size=(recordings, clips, 16))).reshape(-1, 16)
        names = np.repeat(np.arange(recordings), clips).astype(str)
        return Normals(embeddings.astype(np.float32), np.full(len(names), "target"), names)

    def test_a_clip_of_a_new_recording_is_as_usual_as_the_calibration_says(self):
        engine = MemoryBank(MemoryBankParams())
        normals = self.normals(8, 5)
        calibration = engine.calibrate(normals)
        new = engine.fit(normals).score(self.normals(30, 1, seed=1).embeddings)
        assert np.mean(new > calibration.max()) < 0.5
        blind = Normals(normals.embeddings, normals.domains)
        fooled = engine.calibrate(blind)
        assert np.mean(engine.fit(blind).score(self.normals(30, 1, seed=1).embeddings) > fooled.max()) == 1.0

    def test_clips_of_a_single_recording_still_give_a_model(self, mode):
        engine = _engine(mode=mode)
        assert np.isfinite(engine.calibrate(self.normals(1, 6))).all()

    def test_two_recordings_of_which_one_is_a_single_clip(self, mode):
        normals = self.normals(2, 4).chosen(np.array([True] * 4 + [True] + [False] * 3))
        assert np.isfinite(_engine(mode=mode).calibrate(normals)).all()


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 10])
def test_few_normals_of_a_steady_machine_promise_about_what_they_keep(count):
    """Of exchangeable clips one in n + 1 lies above the highest of n; a steady machine's are all alike."""
    rng = np.random.default_rng(7)
    clips = rng.normal(size=(60, 32, 6)).astype(np.float32)
    above = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(60)
        few = _of(clips[order[:count]])
        calibration = _engine().calibrate(few)
        above.append((_engine().fit(few).score(clips[order[count:]]) > calibration.max()).mean())
    assert np.mean(above) < 1.5 / (count + 1)
