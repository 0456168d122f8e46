"""Engine C: conditions teach the encoder, prototypes of few normals suffice, unfit metadata is told in words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from alp_assets.engines.base import Normals
from alp_assets.engines.episodic.episodes import COLUMNS
from alp_assets.engines.meta_prototype import MetaPrototype
from alp_assets.errors import EngineUnfit, TooFewNormals
from alp_assets.params import MetaPrototypeParams

BANDS, TIME = 16, 41


def _engine(**values):
    """From random weights, which take frames of any scale."""
    return MetaPrototype(MetaPrototypeParams(**{"start": "random", "episodes": 15, "embedding_dim": 16, **values}))


def _frames(speeds, seed=0, level=-60.0, off=0.0):
    """Log-mel frames (n, bands, time) in dB of a tone that moves with its speed; ``off`` lifts two bands."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(level, 2.0, (len(speeds), BANDS, TIME))
    for clip, speed in zip(frames, speeds, strict=True):
        clip[4 + 3 * int(speed)] += 12
        clip += rng.normal(0, 0.5)
    frames[:, 1:3] += off
    return frames.astype(np.float16)


def _normals(source=8, target=4, *, extra=None, section="00", seed=0):
    speeds = np.array(["1", "2"] * source)[:source]
    new = np.array(["2", "3"] * target)[:target]
    frames = np.concatenate([_frames(speeds, seed), _frames(new, seed + 1, level=-55.0)])
    said = np.concatenate([speeds, new])
    conditions = {name: np.full(len(said), "") for name in COLUMNS}
    conditions |= {"section_id": np.full(len(said), section), "speed_level": said}
    domains = np.array(["source"] * source + ["target"] * target, dtype="<U6")
    return Normals(frames, domains, conditions=conditions, extra=extra)


def _other_sections(count=8):
    first, second = (_normals(count, 0, section=name, seed=seed) for name, seed in (("01", 20), ("02", 30)))
    return Normals(
        np.concatenate([first.embeddings, second.embeddings]),
        np.concatenate([first.domains, second.domains]),
        conditions={name: np.concatenate([first.conditions[name], second.conditions[name]]) for name in COLUMNS},
    )


@pytest.fixture(scope="module")
def normals():
    return _normals()


@pytest.fixture(scope="module")
def model(normals):
    return _engine().fit(normals)


@pytest.mark.parametrize("score", ["distance", "nll"])
def test_the_farther_from_normal_the_higher(normals, score):
    model = _engine(score=score).fit(normals)
    away = np.concatenate([_frames(["1"], seed=9, off=off) for off in (0, 10, 20, 40)])
    found = model.score(away)
    assert (np.diff(found) > 0).all()
    assert model.score(_frames(["1", "2"] * 10, seed=7)).max() < found[2]


@pytest.mark.parametrize("score", ["distance", "nll"])
def test_new_conditions_are_normal_once_a_few_are_known(score):
    test = _frames(["2", "3"] * 5, seed=8, level=-55.0)
    blind, adapted = _engine(score=score).fit(_normals(12, 0)), _engine(score=score).fit(_normals(12, 4))
    strange = adapted.score(_frames(["3"] * 5, seed=8, level=-55.0, off=25))
    assert adapted.score(test).max() < blind.score(test).min()
    assert adapted.score(test).max() < strange.min()


def test_episodes_teach_what_the_conditions_are(normals):
    """Clips of a speed lie nearer together, against the whole spread, in the trained embedding."""

    def apart(episodes):
        model = _engine(episodes=episodes, learning_rate=0.003).fit(normals)
        clips = _frames(["1", "2"] * 10, seed=5)
        places = model.embed(clips)
        first, second = places[::2], places[1::2]
        within = np.sqrt(np.concatenate([first - first.mean(0), second - second.mean(0)]).var(0).sum())
        return np.linalg.norm(first.mean(0) - second.mean(0)) / within

    assert apart(40) > 1.3 * apart(1)


def test_a_clip_alone_and_in_a_batch_of_a_thousand_scores_the_same_bit_for_bit(model):
    batch = _frames(["1", "2", "3", "1"] * 250, seed=3)
    together = model.score(batch)
    assert together.shape == (1_000,)
    assert together.dtype == np.float64
    alone = np.concatenate([model.score(batch[i : i + 1]) for i in range(0, 1_000, 7)])
    np.testing.assert_array_equal(alone, together[::7])
    np.testing.assert_array_equal(model.score(batch[::-7]), together[::-7])
    np.testing.assert_array_equal(model.score(np.asfortranarray(batch[:50])), together[:50])
    np.testing.assert_array_equal(model.score(batch[:50].astype(np.float32)), together[:50])
    assert model.score(batch[:0]).shape == (0,)
    likelihood = replace(model, score_kind="nll")
    np.testing.assert_array_equal(likelihood.score(batch[4:5]), likelihood.score(batch[:50])[4:5])


@pytest.mark.parametrize("reptile", [False, True])
def test_fitting_twice_gives_the_same_model_whatever_torch_drew_before(normals, reptile):
    import torch

    engine = _engine(reptile=reptile)
    first = engine.fit(normals)
    torch.rand(100)
    second = engine.fit(normals)
    assert first.settings == second.settings
    assert first.tensors().keys() == second.tensors().keys()
    for name, value in first.tensors().items():
        assert value.tobytes() == second.tensors()[name].tobytes(), name


def test_torch_keeps_its_own_state(normals):
    import torch

    before = torch.get_rng_state(), torch.get_num_threads()
    _engine().fit(normals)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_another_seed_and_the_outer_loop_make_other_models(normals, model):
    test = _frames(["1", "2"], seed=3)
    assert (_engine(seed=1).fit(normals).score(test) != model.score(test)).all()
    reptile = _engine(reptile=True).fit(normals)
    assert (reptile.score(test) != model.score(test)).all()
    assert reptile.score(_frames(["1"], seed=3, off=40)).min() > reptile.score(test).max()


@pytest.mark.parametrize("score", ["distance", "nll"])
def test_a_model_comes_back_as_it_was(normals, score, tmp_path):
    from safetensors.numpy import load_file

    from alp_assets.engines.base import MODEL_FILE, write_tensors

    engine = _engine(score=score)
    model = engine.fit(normals)
    write_tensors(tmp_path, model)
    loaded = engine.restore(load_file(tmp_path / MODEL_FILE), json.loads(json.dumps(model.settings)))
    test = _frames(["1", "2", "3"] * 3, seed=3)
    np.testing.assert_array_equal(loaded.score(test), model.score(test))
    assert loaded.settings == model.settings
    assert model.settings["conditions"] == ["speed_level"]


def test_fitting_leaves_the_normals_as_they_were():
    extra = _other_sections()
    given, untouched = _normals(extra=extra), _normals(extra=_other_sections())
    model = _engine(episodes=3).fit(given)
    _engine(episodes=3).calibrate(given)
    model.score(given.embeddings)
    np.testing.assert_array_equal(given.embeddings, untouched.embeddings)
    np.testing.assert_array_equal(given.extra.embeddings, untouched.extra.embeddings)


def test_frames_may_be_a_memory_mapped_file(normals, model, tmp_path):
    np.save(tmp_path / "frames.npy", normals.embeddings)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    from_file = _engine().fit(Normals(mapped, normals.domains, conditions=normals.conditions))
    np.testing.assert_array_equal(from_file.score(mapped), model.score(normals.embeddings))


@pytest.mark.parametrize(("count", "words"), [(0, "0 normal clips,"), (1, "1 normal clip,")])
def test_fewer_than_two_normals_are_refused_in_words(count, words):
    for work in (_engine().fit, _engine().calibrate):
        with pytest.raises(TooFewNormals, match=words):
            work(_normals(0, count, extra=_other_sections()))


@pytest.mark.parametrize("target", [2, 3])
@pytest.mark.parametrize("score", ["distance", "nll"])
def test_two_and_three_target_normals_work_with_enough_to_learn_from(target, score):
    few = _normals(10, target)
    engine = _engine(score=score, episodes=5)
    model, calibration = engine.fit(few), engine.calibrate(few)
    assert {name: found["clips"] for name, found in model.settings["domains"].items()} == {
        "source": 10,
        "target": target,
    }
    assert calibration.shape == (10 + target,)
    assert np.isfinite(calibration).all()
    assert np.isfinite(model.score(_frames(["3"] * 3, seed=4))).all()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("score", ["distance", "nll"])
def test_two_and_three_normals_in_all_live_on_the_other_sections(count, score):
    few = _normals(0, count, extra=_other_sections())
    engine = _engine(score=score, episodes=5)
    model, calibration = engine.fit(few), engine.calibrate(few)
    assert calibration.shape == (count,)
    assert np.isfinite(calibration).all()
    near, far = model.score(np.concatenate([few.embeddings[:1], _frames(["3"], off=60)]))
    assert calibration.max() < far
    assert near < far


def test_two_normals_are_compared_to_each_other():
    few = _normals(0, 2, extra=_other_sections())
    np.testing.assert_allclose(_engine(episodes=5).calibrate(few), 0, atol=1e-9)


@pytest.mark.parametrize("copies", [2, 12])
def test_identical_copies_as_normals_are_finite(copies):
    same = _normals(0, copies, extra=_other_sections())
    same = Normals(
        np.repeat(same.embeddings[:1], copies, 0), same.domains, conditions=same.conditions, extra=same.extra
    )
    engine = _engine(episodes=5)
    assert np.isfinite(engine.calibrate(same)).all()
    near, far = engine.fit(same).score(np.concatenate([same.embeddings[:1], _frames(["3"], off=20)]))
    assert np.isfinite([near, far]).all()
    assert far > near


def test_a_silent_clip_is_far_from_normal(model):
    silent = np.full((1, BANDS, TIME), -120, np.float16)
    assert model.score(silent)[0] > model.score(_frames(["1", "2"] * 10, seed=7)).max()


def test_silent_clips_as_normals_are_finite():
    frames = np.full((12, BANDS, TIME), -120, np.float16)
    silent = Normals(frames, _normals().domains, conditions=_normals().conditions)
    engine = _engine(episodes=5)
    assert np.isfinite(engine.calibrate(silent)).all()
    found = engine.fit(silent).score(np.concatenate([frames[:1], _frames(["1"])]))
    assert found[1] > found[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("score", ["distance", "nll"])
def test_a_clip_that_is_not_finite_does_not_pass_for_normal(normals, bad, score):
    test = _frames(["1", "2"], seed=3)
    test[0, 3, 5] = bad
    found, other = _engine(score=score, episodes=2).fit(normals).score(test)
    assert np.isnan(found)
    assert np.isfinite(other)


@pytest.mark.parametrize("time", [1, 3, 5])
def test_very_short_frames_do(time):
    whole = _normals()
    short = Normals(whole.embeddings[:, :, :time], whole.domains, conditions=whole.conditions)
    assert np.isfinite(_engine(episodes=2).fit(short).score(short.embeddings)).all()


class TestRefusal:
    """Metadata that carries nothing."""

    def test_one_value_everywhere_is_refused_with_a_reason_for_every_column(self):
        whole = _normals()
        said = {
            **whole.conditions,
            "speed_level": np.full(12, "2"),
            "noise_id": np.array(["a", "b", "c"] + [""] * 9),
        }
        for work in (_engine().fit, _engine().calibrate):
            with pytest.raises(EngineUnfit) as caught:
                work(Normals(whole.embeddings, whole.domains, conditions=said))
            words = str(caught.value)
            assert "section_id: one value everywhere ('00')" in words
            assert "speed_level: one value everywhere ('2')" in words
            assert "load_level: no normal says it" in words
            assert "noise_id: 3 of 12 normals say it" in words
            assert "mic_position_id: no normal says it" in words
            assert "at least 4 normal clips each" in words
            assert "models.engine" in words

    def test_no_conditions_at_all(self):
        whole = _normals()
        with pytest.raises(EngineUnfit, match="speed_level: no normal says it"):
            _engine().fit(Normals(whole.embeddings, whole.domains))

    def test_it_is_not_for_want_of_normals(self):
        whole = _normals()
        with pytest.raises(EngineUnfit) as caught:
            _engine().fit(Normals(whole.embeddings, whole.domains))
        assert not isinstance(caught.value, TooFewNormals)

    def test_values_of_a_single_recording_each_cannot_be_held_out(self):
        whole = _normals(8, 0)
        named = Normals(whole.embeddings, whole.domains, whole.conditions["speed_level"], whole.conditions)
        for work in (_engine().fit, _engine().calibrate):
            with pytest.raises(EngineUnfit, match="clips of two recordings are needed"):
                work(named)

    def test_training_that_runs_away_is_no_model(self):
        params = _engine().params.model_copy(update={"learning_rate": 1e30})
        with pytest.raises(EngineUnfit, match="learning_rate"):
            MetaPrototype(params).fit(_normals())


class TestCalibration:
    """Scores of normals by models, encoder and all, that had not seen them."""

    def test_a_strange_normal_stands_out_in_its_own_calibration(self):
        whole = _normals(12, 4)
        frames = whole.embeddings.copy()
        frames[5, 1:3] += 40
        strange = Normals(frames, whole.domains, conditions=whole.conditions)
        engine = _engine(episodes=5)
        calibration = engine.calibrate(strange)
        assert calibration.argmax() == 5
        assert calibration[5] > engine.fit(strange).score(frames)[5]

    def test_no_fold_learns_from_a_recording_that_it_scores(self, monkeypatch):
        whole = _normals(8, 4)
        recordings = np.repeat(np.arange(6), 2).astype(np.str_)
        paired = Normals(whole.embeddings, whole.domains, recordings, whole.conditions)
        learnt = []
        fit = MetaPrototype._fit
        monkeypatch.setattr(
            MetaPrototype, "_fit", lambda self, given, *rest: learnt.append(given) or fit(self, given, *rest)
        )
        _engine(episodes=2, k_shot=1).calibrate(paired)
        assert len(learnt) == 4
        for given in learnt:
            assert len(given) < 12
            counts = np.unique(given.recordings, return_counts=True)[1]
            assert (counts == 2).all()

    def test_values_that_are_just_enough_still_are_with_a_fold_left_out(self):
        """Three shots need four clips of a value; a fold leaves fewer."""
        tight = _normals(8, 0)
        assert np.isfinite(_engine(episodes=2).calibrate(tight)).all()

    def test_values_of_two_recordings_each_are_held_out_one_by_one(self):
        """In four folds, the fifth recording shares one with the first, and nothing is left of their value."""
        whole = _normals(12, 0)
        order = np.argsort(whole.conditions["speed_level"], kind="stable")
        recordings = np.empty(12, "<U1")
        recordings[order] = list("aaaeeebbbccc")
        recordings[order[-1]] = "d"
        by_name = np.argsort(recordings, kind="stable")
        told = {name: values[by_name] for name, values in whole.conditions.items()}
        named = Normals(whole.embeddings[by_name], whole.domains[by_name], recordings[by_name], told)
        assert np.isfinite(_engine(episodes=2).calibrate(named)).all()

    def test_calibrating_twice_gives_the_same(self, normals):
        engine = _engine(episodes=3)
        np.testing.assert_array_equal(engine.calibrate(normals), engine.calibrate(normals))


def _whole(frames):
    """Frames at the scale of ALP's own encoder: 128 bands of ten seconds."""
    return np.tile(np.repeat(frames, 8, axis=1), (1, 1, 8))[:, :, :309]


def _whole_normals(normals):
    extra = _whole_normals(normals.extra) if normals.extra is not None else None
    return Normals(_whole(normals.embeddings), normals.domains, normals.recordings, normals.conditions, extra)


class TestPretrained:
    """The start from the frozen convolutions of ALP's own encoder, which is the default."""

    @pytest.fixture(scope="class")
    def known(self):
        return _whole_normals(_normals(8, 3))

    @pytest.fixture(scope="class")
    def engine(self):
        return MetaPrototype(MetaPrototypeParams(episodes=6, embedding_dim=16))

    @pytest.fixture(scope="class")
    def model(self, engine, known):
        return engine.fit(known)

    def test_the_farther_from_normal_the_higher(self, model):
        away = _whole(np.concatenate([_frames(["1"], seed=9, off=off) for off in (0, 10, 20, 40)]))
        assert (np.diff(model.score(away)) > 0).all()

    def test_a_clip_alone_and_in_a_batch_scores_the_same_bit_for_bit(self, model):
        batch = _whole(_frames(["1", "2", "3"], seed=3))
        together = model.score(batch)
        np.testing.assert_array_equal([model.score(clip[None])[0] for clip in batch], together)
        np.testing.assert_array_equal(model.score(np.asfortranarray(batch)), together)

    def test_fitting_twice_gives_the_same_and_leaves_torch_as_it_was(self, engine, model, known):
        import torch

        torch.rand(3)
        before = torch.get_rng_state()
        again = engine.fit(known)
        assert torch.equal(torch.get_rng_state(), before)
        for name, value in model.tensors().items():
            assert value.tobytes() == again.tensors()[name].tobytes(), name

    def test_a_model_carries_its_trunk_and_comes_back_bit_for_bit(self, engine, model, tmp_path, monkeypatch):
        from safetensors.numpy import load_file

        from alp_assets.engines.base import MODEL_FILE, write_tensors
        from alp_assets.engines.episodic.trunk import Trunk

        write_tensors(tmp_path, model)
        assert (tmp_path / MODEL_FILE).stat().st_size < 2e6
        monkeypatch.setattr(Trunk, "shipped", None)
        loaded = engine.restore(load_file(tmp_path / MODEL_FILE), json.loads(json.dumps(model.settings)))
        test = _whole(_frames(["1", "2", "3"], seed=3))
        np.testing.assert_array_equal(loaded.score(test), model.score(test))

    def test_training_changes_the_maps_and_leaves_the_trunk(self, model, known):
        longer = MetaPrototype(MetaPrototypeParams(episodes=7, embedding_dim=16)).fit(known).tensors()
        changed = {name for name, value in model.tensors().items() if (value != longer[name]).any()}
        assert {"encoder.head", "encoder.direct"} <= changed
        assert not any(name.startswith("trunk.") or name.endswith(("_centre", "_spread")) for name in changed)

    def test_reptile_and_other_sections_work_too(self):
        few = _whole_normals(_normals(0, 3, extra=_other_sections(4)))
        engine = MetaPrototype(MetaPrototypeParams(episodes=5, embedding_dim=16, reptile=True))
        assert np.isfinite(engine.fit(few).score(few.embeddings)).all()

    def test_calibration_is_finite(self, known):
        engine = MetaPrototype(MetaPrototypeParams(episodes=1, embedding_dim=16))
        assert np.isfinite(engine.calibrate(known)).all()

    def test_silent_clips_as_normals_are_finite(self, known, engine):
        frames = np.full_like(known.embeddings, -120)
        silent = Normals(frames, known.domains, conditions=known.conditions)
        found = engine.fit(silent).score(np.concatenate([frames[:1], known.embeddings[:1]]))
        assert np.isfinite(found).all()
        assert found[1] > found[0]

    def test_a_clip_that_is_not_finite_gets_no_score(self, model, known):
        bad = known.embeddings[:2].copy()
        bad[0, 3, 5] = np.nan
        assert np.isnan(model.score(bad)).tolist() == [True, False]

    @pytest.mark.parametrize("cut", [np.s_[:, :64], np.s_[:, :, :100]])
    def test_frames_of_another_scale_are_refused_in_words(self, engine, known, cut):
        other = Normals(known.embeddings[cut], known.domains, conditions=known.conditions)
        for work in (engine.fit, engine.calibrate):
            with pytest.raises(EngineUnfit, match=r"128 mel bands.*models\.meta_prototype\.start to random"):
                work(other)

    def test_a_model_of_before_trunks_is_read(self, normals):
        engine = _engine()
        model = engine.fit(normals)
        settings = {name: value for name, value in model.settings.items() if name != "trunk"}
        loaded = engine.restore(model.tensors(), settings)
        np.testing.assert_array_equal(loaded.score(normals.embeddings), model.score(normals.embeddings))
