"""Engine A: higher is more anomalous, the map says where, and what must be unseen is unseen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alp_assets.engines import patch_memory
from alp_assets.engines.base import Engine, Normals
from alp_assets.engines.patch_memory import PatchMemory, support_rows
from alp_assets.errors import TooFewNormals
from alp_assets.params import PatchMemoryParams

SHAPE = (2, 4, 9, 11)
MODES = ("bandwise", "faithful")


def patches(n, seed=0, spread=0.3, shape=SHAPE):
    """Clips of a machine: each layer, band and step of time has a direction of its own, and varies."""
    usual = np.random.default_rng(99).normal(size=shape)
    return (usual + spread * np.random.default_rng(seed).normal(size=(n, *shape))).astype(np.float32)


def engine(mode="bandwise", **params):
    return PatchMemory(PatchMemoryParams(mode=mode, **params))


def of(values, domain="target", recordings=None, extra=None):
    names = np.arange(len(values)).astype(str) if recordings is None else np.array(recordings)
    return Normals(values, np.full(len(values), domain), names, extra=extra)


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def test_it_is_an_engine():
    found: Engine = engine()
    assert (found.name, found.letter, found.view, found.encoder) == ("patch_memory", "A", "patches", "")
    assert found.extras == "noise_mixed"
    assert found.max_normals >= 64
    assert engine(support=200).max_normals == 200


def test_the_farther_from_normal_the_higher(mode):
    model = engine(mode).fit(of(patches(8)))
    away = np.random.default_rng(5).normal(size=SHAPE)
    shifts = np.array([0, 0.25, 0.5, 1, 2])[:, None, None, None, None]
    found = model.score((patches(1, seed=9) + shifts * away).astype(np.float32))
    assert (np.diff(found) > 0).all()
    assert model.score(patches(20, seed=7)).max() < found[3]


def test_a_faithful_score_by_hand():
    """Two layers, one band, two steps: one less the largest cosine, mean over layers, the larger half."""
    values = np.zeros((2, 2, 1, 2, 2), np.float32)
    values[..., 0] = 1
    test = np.array([[[[[3, 0], [3, 4]]], [[[0, 5], [-2, 0]]]]], np.float32)
    model = engine("faithful", upper_share=0.5).fit(of(values))
    (evidence,) = model.explain(test)
    np.testing.assert_allclose(evidence.map, [[(0 + 1) / 2, (0.4 + 2) / 2]], atol=1e-3)
    assert model.score(test)[0] == pytest.approx(1.2, abs=1e-3)


def test_the_loudness_of_a_patch_does_not_count(mode):
    model = engine(mode).fit(of(patches(5)))
    test = patches(3, seed=4)
    np.testing.assert_allclose(model.score(8 * test), model.score(test), rtol=1e-5)


def test_the_map_shows_where_it_is(mode):
    model = engine(mode).fit(of(patches(8)))
    test = patches(1, seed=3)
    test[0, :, 2, 4] = np.random.default_rng(1).normal(size=(2, 11))
    (evidence,) = model.explain(test)
    assert evidence.map.shape == SHAPE[1:3]
    assert evidence.map.dtype == np.float32
    assert np.unravel_index(evidence.map.argmax(), evidence.map.shape) == (2, 4)


def test_a_score_is_the_mean_of_the_upper_tail_of_its_map(mode):
    model = engine(mode, upper_share=0.25).fit(of(patches(5)))
    test = patches(4, seed=2)
    tails = [np.sort(item.map.ravel())[-9:].mean(dtype=np.float64) for item in model.explain(test)]
    np.testing.assert_allclose(model.score(test), tails, rtol=1e-9)


def test_a_band_that_always_varies_does_not_rule_the_improved_score():
    def clips(n, seed):
        values = patches(n, seed, spread=0.05)
        values[:, :, 0] = np.random.default_rng(seed + 50).normal(size=(n, 2, 9, 11))
        return values

    test = clips(20, 3)
    test[10:, :, 2] += 0.5 * np.random.default_rng(4).normal(size=(10, 2, 9, 11))
    told_apart = {}
    for mode in MODES:
        found = engine(mode).fit(of(clips(8, 1))).score(test)
        told_apart[mode] = found[10:].min() > found[:10].max()
    assert told_apart == {"bandwise": True, "faithful": False}


def test_a_sound_that_moved_to_another_band_is_only_strange_to_the_improved_score():
    usual = patches(8)
    moved = usual[:1, :, ::-1]
    by_mode = {mode: engine(mode).fit(of(usual)).explain(moved)[0].map.max() for mode in MODES}
    assert by_mode["faithful"] < 0.01
    assert by_mode["bandwise"] > 2


@pytest.mark.parametrize("precision", [np.float16, np.float32])
def test_a_clip_alone_and_in_a_batch_of_a_thousand_scores_the_same_bit_for_bit(mode, precision):
    model = engine(mode).fit(of(patches(3).astype(precision)))
    batch = patches(1_000, seed=3).astype(precision)
    together = model.score(batch)
    assert together.shape == (1_000,)
    assert len(np.unique(together)) == 1_000
    alone = np.concatenate([model.score(batch[i : i + 1]) for i in range(0, 1_000, 13)])
    np.testing.assert_array_equal(alone, together[::13])
    np.testing.assert_array_equal(model.score(batch[::-1]), together[::-1])
    np.testing.assert_array_equal(model.score(np.asfortranarray(batch)), together)


def test_no_clips_have_no_scores(mode):
    model = engine(mode).fit(of(patches(3)))
    assert model.score(patches(0)).shape == (0,)
    assert model.explain(patches(0)) == []


def test_half_precision_changes_little(mode):
    test = patches(10, seed=2)
    found = engine(mode).fit(of(patches(6))).score(test)
    half = engine(mode).fit(of(patches(6).astype(np.float16))).score(test.astype(np.float16))
    np.testing.assert_allclose(half, found, rtol=0.01)


def test_a_memory_map_is_read_as_it_is(mode, tmp_path):
    np.save(tmp_path / "values.npy", patches(12).astype(np.float16))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    whole = np.array(mapped)
    np.testing.assert_array_equal(engine(mode).calibrate(of(mapped)), engine(mode).calibrate(of(whole)))
    model = engine(mode).fit(of(mapped))
    np.testing.assert_array_equal(model.score(mapped), engine(mode).fit(of(whole)).score(whole))


@pytest.mark.parametrize("most", [30, 100_000])
def test_a_model_read_back_scores_the_same_bit_for_bit(mode, most):
    made = engine(mode, memory_patches=most).fit(of(patches(6)))
    kept = {name: np.copy(value) for name, value in made.tensors().items()}
    back = engine().restore(kept, json.loads(json.dumps(made.settings)))
    test = patches(10, seed=2)
    np.testing.assert_array_equal(back.score(test), made.score(test))
    assert back.settings == made.settings
    for one, other in zip(back.explain(test), made.explain(test), strict=True):
        np.testing.assert_array_equal(one.map, other.map)


def test_the_same_normals_give_the_same_model(mode):
    params = {"memory_patches": 40, "projection": 4}
    first, second = (engine(mode, **params).fit(of(patches(6))).tensors() for _ in range(2))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.tobytes() == second[name].tobytes()
    calibrations = [engine(mode, **params).calibrate(of(patches(6))) for _ in range(2)]
    np.testing.assert_array_equal(*calibrations)


def test_nothing_that_was_given_is_changed(mode):
    values, test, copies = patches(6), patches(3, seed=1), patches(4, seed=2)
    extra = of(copies, recordings=["0", "1", "2", "3"])
    engine(mode).fit(of(values, extra=extra)).score(test)
    engine(mode).calibrate(of(values, extra=extra))
    np.testing.assert_array_equal(values, patches(6))
    np.testing.assert_array_equal(test, patches(3, seed=1))
    np.testing.assert_array_equal(copies, patches(4, seed=2))


@pytest.mark.parametrize(("count", "words"), [(0, "0 normal clips,"), (1, "1 normal clip,")])
def test_fewer_than_two_normals_are_refused_in_words(count, words):
    for work in (engine().fit, engine().calibrate):
        with pytest.raises(TooFewNormals, match=words) as caught:
            work(of(patches(count)))
        assert "at least 2" in str(caught.value)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("recordings", ["own", "one"])
def test_two_and_three_normals_work(mode, count, recordings):
    few = of(patches(count), recordings=None if recordings == "own" else ["a"] * count)
    calibration = engine(mode).calibrate(few)
    found = engine(mode).fit(few).score(np.concatenate([patches(9, seed=3), patches(9, seed=3)[:, :, ::-1, ::-1]]))
    assert np.isfinite(found).all()
    assert np.isfinite(calibration).all()
    assert calibration.shape == (count,)
    if mode == "bandwise":
        assert found[9:].min() > max(found[:9].max(), calibration.max())


@pytest.mark.parametrize("count", [2, 3, 7])
def test_identical_copies_as_normals_are_finite(mode, count):
    copies = of(np.repeat(patches(1), count, axis=0))
    assert np.isfinite(engine(mode).calibrate(copies)).all()
    same, other = engine(mode).fit(copies).score(np.concatenate([patches(1), patches(1, seed=2)]))
    assert np.isfinite([same, other]).all()
    assert other > same


class TestSilence:
    """A silent patch has no direction: it is like other silence and unlike sound."""

    def test_silent_normals_and_silent_clips_are_finite(self, mode):
        silent, sound = np.zeros((3, *SHAPE), np.float32), patches(3)
        for values in (silent, np.concatenate([silent[:1], sound]), sound):
            model = engine(mode).fit(of(values))
            assert np.isfinite(model.score(np.concatenate([silent, sound]))).all()
            assert np.isfinite(engine(mode).calibrate(of(values))).all()

    def test_known_silence_is_normal_and_unknown_silence_is_not(self, mode):
        values, test = patches(6), patches(2, seed=5)
        test[1] = 0
        sound, silence = engine(mode).fit(of(values)).score(test)
        assert silence > 2 * sound
        values[2] = 0
        sound, silence = engine(mode).fit(of(values)).score(test)
        assert silence < sound

    def test_a_band_that_is_always_silent_does_not_rule_the_score(self, mode):
        values, test = patches(6), patches(2, seed=5)
        values[:, :, 3], test[:, :, 3] = 0, 0
        (evidence, _) = engine(mode).fit(of(values)).explain(test)
        np.testing.assert_allclose(evidence.map[3], 0, atol=1e-3)

    def test_rounding_around_silence_has_no_direction(self, mode):
        values, test = patches(6), patches(2, seed=5)
        noise = np.random.default_rng(0)
        values[:, :, 3] = 1e-6 * noise.normal(size=(6, 2, 9, 11))
        test[:, :, 3] = 1e-6 * noise.normal(size=(2, 2, 9, 11))
        (evidence, _) = engine(mode).fit(of(values)).explain(test)
        np.testing.assert_allclose(evidence.map[3], 0, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("error")
def test_a_clip_that_is_not_finite_does_not_pass_for_normal(mode, bad):
    test = patches(2, seed=1)
    test[0, 1, 2, 3, 4] = bad
    score, other = engine(mode).fit(of(patches(4))).score(test)
    assert np.isnan(score)
    assert np.isfinite(other)


def test_patches_of_any_size_are_finite(mode):
    model = engine(mode).fit(of(60_000 * np.sign(patches(4)).astype(np.float16)))
    assert np.isfinite(model.score(patches(3, seed=1) * np.array([1e-4, 1, 1e4])[:, None, None, None, None])).all()


class TestSupport:
    """Which normals fill the memory."""

    def test_target_comes_first_and_source_fills_up(self):
        domains = np.array(["source"] * 20 + ["target"] * 4)
        rows = support_rows(domains, np.arange(24).astype(str), 10)
        assert len(rows) == 10
        assert (np.diff(rows) > 0).all()
        assert set(rows[-4:]) == {20, 21, 22, 23}
        assert set(rows[:6]) == {0, 4, 8, 11, 15, 19}

    def test_too_many_are_thinned_out_evenly_over_recordings(self):
        recordings = np.array(list("aabbbbccccccdddd"))
        rows = support_rows(np.full(16, "target"), recordings, 4)
        assert set(recordings[rows]) == {"a", "b", "c", "d"}

    def test_there_are_two_recordings_if_there_are_two(self):
        domains = np.array(["target"] * 12 + ["source"] * 3)
        recordings = np.array(["long"] * 12 + ["p", "q", "r"])
        assert len(set(recordings[support_rows(domains, recordings, 10)])) == 2

    @pytest.mark.parametrize("most", [2, 5, 30])
    def test_all_are_taken_where_there_is_room(self, most):
        rows = support_rows(np.array(["source", "target"]), np.array(["0", "1"]), most)
        np.testing.assert_array_equal(rows, [0, 1])

    def test_no_clip_beyond_the_support_is_in_the_memory(self, mode):
        values = patches(9)
        model = engine(mode, support=4, upper_share=1).fit(of(values))
        known = support_rows(np.full(9, "target"), np.arange(9).astype(str), 4)
        found = model.score(values)
        assert found[known].max() < 0.01 * np.delete(found, known).min() + 1e-3
        assert len(model.keys) == 4 * np.prod(SHAPE[:3])


class TestCoreset:
    """The memory has a bound."""

    @pytest.mark.parametrize("most", [1, 8, 50, 143])
    def test_no_layer_holds_more_than_its_bound(self, mode, most):
        model = engine(mode, memory_patches=most).fit(of(patches(4)))
        assert len(model.keys) <= SHAPE[0] * max(most, 4 * model.bounds.shape[1])
        assert len(model.keys) < 4 * np.prod(SHAPE[:3])
        assert np.isfinite(model.score(patches(3, seed=2))).all()

    def test_what_repeats_is_kept_once(self, mode):
        values = np.tile(patches(4), (1, 1, 1, 4, 1))
        values += 0.003 * np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
        full, half = (engine(mode, memory_patches=most).fit(of(values)) for most in (576, 288))
        test = np.concatenate([patches(10, seed=1, spread=spread) for spread in (0.2, 0.3, 0.5, 0.8)])
        assert len(half.keys) == len(full.keys) // 2
        assert np.corrcoef(full.score(test), half.score(test))[0, 1] > 0.995


class TestCalibration:
    """Scores of normals by memories that do not hold them."""

    def test_it_is_leave_one_out(self, mode):
        values = patches(7)
        calibration = engine(mode).calibrate(of(values))
        for i in range(7):
            model = engine(mode).fit(of(np.delete(values, i, axis=0)))
            assert calibration[i] == model.score(values[i : i + 1])[0]

    def test_it_leaves_out_the_whole_recording_and_its_copies(self, mode):
        values, names = patches(8), np.array(list("aabbbccd"))
        extra = of(patches(6, seed=3), recordings=list("abcdzz"))
        normals = of(values, recordings=names, extra=extra)
        calibration = engine(mode).calibrate(normals)
        for i in range(8):
            model = engine(mode).fit(normals.chosen(names != names[i]))
            assert calibration[i] == model.score(values[i : i + 1])[0]

    def test_normals_beyond_the_support_are_scored_by_the_model_itself(self, mode):
        values = patches(12)
        small = engine(mode, support=5)
        known = support_rows(np.full(12, "target"), np.arange(12).astype(str), 5)
        unseen = np.setdiff1d(np.arange(12), known)
        found, calibration = small.fit(of(values)).score(values), small.calibrate(of(values))
        np.testing.assert_array_equal(calibration[unseen], found[unseen])
        assert (calibration[known] > found[known]).all()

    def test_a_sibling_beyond_the_support_is_not_vouched_for(self, mode):
        values, names = patches(6), list("aaaabc")
        values[1] = values[0]
        calibration = engine(mode, support=3, upper_share=1).calibrate(of(values, recordings=names))
        np.testing.assert_array_equal(calibration[0], calibration[1])
        assert calibration[1] > 0.01

    def test_a_strange_normal_stands_out(self, mode):
        values = patches(8)
        values[4] = patches(1, seed=20, spread=3)
        calibration = engine(mode).calibrate(of(values))
        assert calibration.argmax() == 4
        assert calibration[4] > 1.5 * np.delete(calibration, 4).max()

    def test_it_looks_like_the_scores_of_new_normals(self, mode):
        calibration = engine(mode).calibrate(of(patches(10)))
        new = engine(mode).fit(of(patches(10))).score(patches(40, seed=1))
        assert calibration.mean() == pytest.approx(new.mean(), rel=0.1)
        assert calibration.mean() > new.mean() - new.std()

    def test_a_domain_of_one_recording_is_judged_by_the_other(self, mode):
        values = patches(14)
        domains = np.array(["target"] * 12 + ["source"] * 2)
        normals = Normals(values, domains, np.array(["long"] * 12 + ["p", "q"]))
        assert np.isfinite(engine(mode).calibrate(normals)).all()

    def test_copies_of_a_single_recording_vouch_for_none_of_its_clips(self, mode):
        values = patches(4)
        extra = of(values.copy(), recordings=["a"] * 4)
        calibrations = [
            engine(mode).calibrate(of(values, recordings=["a"] * 4, extra=copies)) for copies in (extra, None)
        ]
        np.testing.assert_array_equal(*calibrations)
        assert calibrations[0].min() > 0.01


class TestCopies:
    """Noise-mixed copies of the support make noise normal."""

    def test_noise_that_was_mixed_in_is_known(self, mode):
        noise = 2 * np.random.default_rng(8).normal(size=SHAPE).astype(np.float32)
        values, test = patches(5), patches(5, seed=2) + noise
        extra = of(values + noise, recordings=np.arange(5).astype(str))
        for recordings in (None, ["a"] * 5):
            copies = extra if recordings is None else of(extra.embeddings, recordings=recordings)
            with_copies = engine(mode).fit(of(values, recordings=recordings, extra=copies))
            without = engine(mode).fit(of(values, recordings=recordings))
            assert with_copies.score(test).max() < 0.5 * without.score(test).min()

    def test_copies_of_others_than_the_support_stay_out(self, mode):
        values = patches(5)
        foreign = of(patches(3, seed=4), recordings=["x", "y", "z"])
        test = foreign.embeddings
        with_copies, without = (engine(mode).fit(of(values, extra=extra)).score(test) for extra in (foreign, None))
        np.testing.assert_array_equal(with_copies, without)


def test_bfloat16_finds_nearly_the_same_neighbours(mode, monkeypatch):
    test = patches(10, seed=2)
    exact = engine(mode).fit(of(patches(6))).score(test)
    monkeypatch.setattr(patch_memory, "_has_bfloat16", lambda: True)
    model = engine(mode).fit(of(patches(6)))
    found = model.score(test)
    np.testing.assert_allclose(found, exact, rtol=2e-3)
    np.testing.assert_array_equal(np.concatenate([model.score(test[i : i + 1]) for i in range(10)]), found)
    test[0, 0, 0, 0, 0] = np.nan
    assert np.isnan(model.score(test)).tolist() == [True] + [False] * 9
