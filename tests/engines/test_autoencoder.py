"""Engine L2: reconstruction error of normal spectrograms, in both variants."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.nn import functional

from alp_assets.engines import autoencoder
from alp_assets.engines.autoencoder import Autoencoder
from alp_assets.engines.base import Normals
from alp_assets.errors import TooFewNormals
from alp_assets.params import AutoencoderParams

VARIANTS = ("mean", "frames")
TIME = 13


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Few steps, so that the tests take seconds; what they say holds for any number."""
    monkeypatch.setattr(autoencoder, "_LEAST_STEPS", 15)


def _engine(variant="mean", **others):
    return Autoencoder(AutoencoderParams(variant=variant, epochs=1, learning_rate=3e-3, **others))


def spectrograms(n, seed=0, shift=0.0, bands=128):
    """Spectrograms (n, bands, 13) in dB: one machine, a little louder or softer in each recording."""
    rng = np.random.default_rng(seed)
    shape = -60 + 10 * np.sin(np.arange(bands) / 9)[None, :, None]
    level = rng.normal(0, 1, (n, 1, 1)) + rng.normal(0, 0.5, (n, bands, 1)) + rng.normal(0, 2, (n, bands, TIME))
    return (shape + level + shift).astype(np.float16)


def normals(n=8, seed=0):
    return Normals(spectrograms(n, seed), np.array((["source", "target"] * n)[:n]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_farther_from_normal_the_higher(variant):
    model = _engine(variant).fit(normals())
    away = np.stack([spectrograms(1, seed=9, shift=shift)[0] for shift in (0, 6, 12, 24, 48)])
    assert (np.diff(model.score(away)) > 0).all()
    assert model.score(spectrograms(20, seed=7)).max() < model.score(away[2:]).min()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tone_in_a_few_bands_is_heard(variant):
    model = _engine(variant).fit(normals())
    test = spectrograms(20, seed=3)
    test[10:, 40:44] += 25
    scores = model.score(test)
    assert scores[10:].min() > scores[:10].max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_learns_what_normal_is(variant, monkeypatch):
    """What all bands do together passes the bottleneck, once there were steps enough."""

    def swelling(n, seed):
        swell = np.random.default_rng(seed + 100).normal(0, 8, (n, 1, TIME))
        return (spectrograms(n, seed) + swell).astype(np.float16)

    known = Normals(swelling(8, seed=0), np.full(8, "target"))
    errors = []
    for steps in (1, 150):
        monkeypatch.setattr(autoencoder, "_LEAST_STEPS", steps)
        errors.append(_engine(variant).fit(known).score(swelling(10, seed=5)).mean())
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize(("variant", "count"), [("mean", 1_000), ("frames", 200)])
def test_a_clip_alone_and_in_a_batch_scores_the_same_bit_for_bit(variant, count):
    model = _engine(variant).fit(normals())
    batch = np.concatenate([spectrograms(count - 5, seed=3), spectrograms(5, seed=4, shift=30)])
    together = model.score(batch)
    assert together.shape == (count,)
    assert len(np.unique(together)) == count
    alone = np.concatenate([model.score(batch[i : i + 1]) for i in range(0, count, 7)])
    np.testing.assert_array_equal(alone, together[::7])
    np.testing.assert_array_equal(model.score(batch[::-5]), together[::-5])
    np.testing.assert_array_equal(model.score(np.asfortranarray(batch[:50])), together[:50])


def test_a_score_does_not_hang_on_the_other_clips():
    model = _engine().fit(normals())
    batch = spectrograms(10, seed=3)
    before = model.score(batch)
    batch[1:] += 100
    assert model.score(batch)[0] == before[0]
    assert model.score(batch[:0]).shape == (0,)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_and_nothing_else_does(variant):
    engine = _engine(variant)
    state = torch.random.get_rng_state()
    first = engine.fit(normals()).tensors()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(5)
    with ThreadPoolExecutor(3) as pool:
        others = list(pool.map(lambda _: engine.fit(normals()).tensors(), range(3)))
    for other in others:
        assert first.keys() == other.keys()
        for name, value in first.items():
            assert value.tobytes() == other[name].tobytes()
    reseeded = _engine(variant, seed=1).fit(normals()).tensors()
    assert reseeded["weight.0"].tobytes() != first["weight.0"].tobytes()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_read_back_scores_the_same(variant):
    model = _engine(variant).fit(normals())
    settings = json.loads(json.dumps(model.settings))
    back = Autoencoder(AutoencoderParams()).restore(model.tensors(), settings)
    test = spectrograms(5, seed=2)
    np.testing.assert_array_equal(back.score(test), model.score(test))
    assert back.settings == model.settings


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_that_is_given_is_changed(variant):
    given_normals, untouched = normals(3), normals(3)
    engine = _engine(variant)
    engine.fit(given_normals).score(given_normals.embeddings)
    engine.calibrate(given_normals)
    np.testing.assert_array_equal(given_normals.embeddings, untouched.embeddings)


def test_spectrograms_on_disk_do(tmp_path):
    place = tmp_path / "frames.npy"
    np.save(place, spectrograms(6))
    on_disk = np.load(place, mmap_mode="r")
    model = _engine().fit(Normals(on_disk, np.full(6, "target")))
    in_memory = _engine().fit(Normals(spectrograms(6), np.full(6, "target")))
    np.testing.assert_array_equal(model.score(on_disk), in_memory.score(spectrograms(6)))


@pytest.mark.parametrize(("count", "words"), [(0, "0 normal clips,"), (1, "1 normal clip,")])
def test_fewer_than_two_normals_are_refused_in_words(count, words):
    for work in (_engine().fit, _engine().calibrate):
        with pytest.raises(TooFewNormals, match=words):
            work(normals(count))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [2, 3])
def test_two_and_three_normals_work(variant, count):
    model, calibration = _engine(variant).fit(normals(count)), _engine(variant).calibrate(normals(count))
    found = model.score(np.concatenate([spectrograms(10, seed=5), spectrograms(10, seed=5, shift=40)]))
    assert np.isfinite(found).all()
    assert np.isfinite(calibration).all()
    assert calibration.shape == (count,)
    assert found[10:].min() > found[:10].max()
    assert found[10:].min() > calibration.max()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [2, 4])
def test_identical_copies_as_normals_are_finite(variant, count):
    copies = Normals(np.repeat(spectrograms(1), count, axis=0), np.full(count, "target"))
    same, other = _engine(variant).fit(copies).score(np.concatenate([spectrograms(1), spectrograms(1, shift=20)]))
    assert np.isfinite(_engine(variant).calibrate(copies)).all()
    assert np.isfinite([same, other]).all()
    assert other > same


@pytest.mark.parametrize("variant", VARIANTS)
def test_silence_is_far_from_normal_and_may_be_normal(variant):
    silence = np.full((4, 128, TIME), -120, np.float16)
    model = _engine(variant).fit(normals())
    assert np.isfinite(model.score(silence)).all()
    assert model.score(silence).min() > model.score(spectrograms(20, seed=2)).max()
    quiet = _engine(variant).fit(Normals(silence, np.full(4, "target")))
    assert quiet.score(spectrograms(1))[0] > quiet.score(silence)[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clip_that_is_not_finite_does_not_pass_for_normal(variant):
    test = spectrograms(2)
    test[0, 3, 4] = np.nan
    score, other = _engine(variant).fit(normals()).score(test)
    assert np.isnan(score)
    assert np.isfinite(other)


def test_normals_that_are_not_finite_are_refused():
    values = spectrograms(5)
    values[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        Normals(values, np.full(5, "target"))


class TestMean:
    """What the small network sees: 64 bands, averaged over time, from 0 to 1 over the normals."""

    def test_neighbouring_bands_are_merged_in_power(self):
        clip = np.full((128, 3), -60.0)
        clip[0], clip[1] = -50, -40
        seen = autoencoder._vectors(clip, "mean")
        assert seen.shape == (1, 64)
        assert seen[0, 0] == pytest.approx(10 * np.log10(1e-5 + 1e-4))
        assert seen[0, 1] == pytest.approx(-60 + 10 * np.log10(2))

    def test_decibels_are_averaged_over_time(self):
        clip = np.full((2, 2), -60.0)
        clip[:, 1] = -40
        assert autoencoder._vectors(clip, "mean")[0, 0] == pytest.approx(-50 + 10 * np.log10(2))

    def test_an_odd_number_of_bands_does(self):
        odd = Normals(spectrograms(4, bands=33), np.full(4, "target"))
        model = _engine().fit(odd)
        assert model.centre.shape == (17,)
        assert np.isfinite(model.score(odd.embeddings)).all()

    def test_the_normals_fill_zero_to_one(self):
        model = _engine().fit(normals(6))
        seen = np.concatenate([autoencoder._vectors(clip, "mean") for clip in normals(6).embeddings])
        scaled = (seen - model.centre) / model.scale
        np.testing.assert_allclose(scaled.min(axis=0), 0, atol=1e-5)
        assert np.median(scaled.max(axis=0)) == pytest.approx(1, abs=1e-5)

    def test_a_band_that_hardly_changes_does_not_rule_the_score(self):
        values = spectrograms(8)
        values[:, :2] = -120
        model = _engine().fit(Normals(values, np.full(8, "target")))
        nudged = values.copy()
        nudged[:, :2] += 0.5
        np.testing.assert_allclose(model.score(nudged), model.score(values), atol=0.1)

    def test_the_network_narrows_to_sixteen(self):
        shapes = [weight.shape for weight, _ in _engine().fit(normals(3)).layers]
        assert shapes == [(128, 64), (64, 128), (16, 64), (64, 16), (128, 64), (64, 128)]


class TestFrames:
    """The field's baseline."""

    def test_five_neighbouring_frames_are_one_vector(self):
        clip = np.arange(128 * TIME, dtype=float).reshape(128, TIME)
        seen = autoencoder._vectors(clip, "frames")
        assert seen.shape == (TIME - 4, 640)
        np.testing.assert_array_equal(seen[2], clip[:, 2:7].T.ravel())

    def test_the_network_is_the_baselines(self):
        shapes = [weight.shape for weight, _ in _engine("frames").fit(normals(2)).layers]
        middle = [(128, 128)] * 3 + [(8, 128), (128, 8)] + [(128, 128)] * 3
        assert shapes == [(128, 640), *middle, (640, 128)]

    def test_folding_the_normalisation_changes_nothing(self):
        generator = torch.Generator().manual_seed(0)
        network = autoencoder._Network((6, 5, 4, 6), True, generator)
        values = torch.rand((30, 6), generator=generator) * 3
        for _ in range(20):
            network.forward(values)
        with torch.no_grad():
            for gain, shift in network.gain:
                gain.uniform_(0.5, 2, generator=generator)
                shift.uniform_(-1, 1, generator=generator)
            expected = values
            for index, (weight, bias) in enumerate(network.linear):
                expected = functional.linear(expected, weight, bias)
                if index < 2:
                    parts = (*network.running[index], *network.gain[index])
                    expected = functional.relu(functional.batch_norm(expected, *parts, eps=1e-3))
        found = values.numpy()
        for index, (weight, bias) in enumerate(network.folded()):
            found = found @ weight.T + bias
            found = np.maximum(found, 0) if index < 2 else found
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)

    def test_of_many_frames_some_of_every_clip_are_learnt_from(self, monkeypatch):
        monkeypatch.setattr(autoencoder, "_MOST_VECTORS", 24)
        clips = spectrograms(8)
        clips += np.arange(8, dtype=np.float16)[:, None, None] * 100
        material = _engine("frames")._material(clips)
        assert material.shape == (24, 640)
        assert len(np.unique(material, axis=0)) == 24
        origin = np.round((material.mean(axis=1) + 60) / 100).astype(int)
        assert np.bincount(origin).tolist() == [3] * 8

    def test_a_sound_is_found_at_its_band_and_time(self):
        model = _engine("frames").fit(normals())
        test = spectrograms(1, seed=2)
        test[0, 100:104, 9:11] += 40
        (evidence,) = model.explain(test)
        assert evidence.map.shape == (128, TIME)
        band, moment = np.unravel_index(evidence.map.argmax(), evidence.map.shape)
        assert 100 <= band < 104
        assert 9 <= moment < 11


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_evidence_is_the_error_of_every_band(variant):
    model = _engine(variant).fit(normals())
    test = spectrograms(2, seed=2)
    test[0, 60:64] += 30
    evidence = model.explain(test)
    assert len(evidence) == 2
    bands = evidence[0].map.mean(axis=1)
    assert bands.argmax() in range(60, 64) if variant == "frames" else bands.argmax() in (30, 31)
    if variant == "mean":
        assert bands.mean() == pytest.approx(model.score(test)[0], rel=1e-4)


class TestCalibration:
    """Scores of normals by networks that had not seen them."""

    def test_a_strange_normal_stands_out_in_its_own_calibration(self):
        values = spectrograms(7)
        values[4] += 40
        calibration = _engine().calibrate(Normals(values, np.full(7, "target")))
        assert calibration.argmax() == 4
        assert calibration[4] > 5 * np.delete(calibration, 4).max()

    def test_siblings_of_a_recording_are_not_learnt_from(self):
        names = np.array(["a", "a", "b", "c", "d", "e"])
        whole = Normals(spectrograms(6), np.full(6, "target"), names)
        calibration = _engine().calibrate(whole)
        model = _engine().fit(whole.chosen(names != "a"))
        np.testing.assert_array_equal(calibration[:2], model.score(whole.embeddings[:2]))

    def test_at_most_five_networks_are_trained(self, monkeypatch):
        trained = []
        fit = Autoencoder.fit
        monkeypatch.setattr(Autoencoder, "fit", lambda self, n: trained.append(len(n)) or fit(self, n))
        assert np.isfinite(_engine().calibrate(normals(12))).all()
        assert len(trained) == 5
        assert min(trained) >= 9

    def test_of_two_each_is_scored_by_a_network_of_the_other(self):
        pair = normals(2)
        calibration = _engine().calibrate(pair)
        seen = _engine().fit(pair).score(pair.embeddings)
        assert (calibration > seen).all()


def test_few_clips_get_their_least_steps_and_many_their_epochs(monkeypatch):
    monkeypatch.setattr(autoencoder, "_LEAST_STEPS", 30)
    assert _engine().fit(normals(4)).steps == 30
    many = Autoencoder(AutoencoderParams(epochs=20)).fit(normals(40))
    assert many.steps == 20 * 2
