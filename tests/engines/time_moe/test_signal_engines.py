"""What every engine for signals does: Time-MoE and its controls."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from alp_assets.engines.base import Normals
from alp_assets.engines.signal_cnn import SignalCnn
from alp_assets.engines.signal_pca import SignalPca
from alp_assets.engines.signal_spectrum import SignalSpectrum
from alp_assets.engines.time_moe.engine import TimeMoe
from alp_assets.errors import EngineUnfit, ModelUnsuited, TooFewNormals
from alp_assets.signal_params import SignalCnnParams, SignalPcaParams, SignalSpectrumParams, TimeMoeParams
from tests.engines.time_moe.currents import currents, normals_of

ENGINES = {
    "time_moe": lambda: TimeMoe(TimeMoeParams(size="tiny", window=128, steps=12, batch=4, context=16)),
    "signal_pca": lambda: SignalPca(SignalPcaParams(window=64)),
    "signal_spectrum": lambda: SignalSpectrum(SignalSpectrumParams(window=200)),
    "signal_cnn": lambda: SignalCnn(SignalCnnParams(channels=8, layers=3, window=128, steps=60, batch=4)),
}
POINTS = 400


@pytest.fixture(scope="module", params=ENGINES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    torch.set_num_threads(1)
    return ENGINES[name]().fit(normals_of(currents(6, points=POINTS)))


def test_the_farther_from_normal_the_higher(model):
    normal = model.score(currents(6, seed=9, points=POINTS))
    changed = currents(6, seed=9, points=POINTS, ripple=1.0)
    assert model.score(changed).min() > normal.max()


def test_a_weaker_phase_is_seen(model):
    test = currents(6, seed=9, points=POINTS)
    normal = model.score(test)
    test[:, 1] *= 0.5
    assert model.score(test).min() > normal.max()


def test_a_dead_phase_is_no_easy_normal(model):
    test = currents(6, seed=9, points=POINTS)
    normal = model.score(test)
    test[:, 2] = 0
    assert model.score(test).min() > normal.max()


def test_a_recording_alone_and_in_a_batch_scores_the_same_bit_for_bit(model):
    batch = np.concatenate([currents(7, seed=3, points=POINTS), currents(3, seed=4, points=POINTS, ripple=1)])
    together = model.score(batch)
    assert together.shape == (10,)
    np.testing.assert_array_equal(np.concatenate([model.score(one[None]) for one in batch]), together)
    np.testing.assert_array_equal(model.score(batch[::-2]), together[::-2])
    assert model.score(batch[:0]).shape == (0,)


def test_a_model_read_back_scores_the_same(name, model):
    settings = json.loads(json.dumps(model.settings, allow_nan=False))
    back = ENGINES[name]().restore({key: value.copy() for key, value in model.tensors().items()}, settings)
    test = currents(3, seed=2, points=POINTS)
    np.testing.assert_array_equal(back.score(test), model.score(test))
    assert back.settings == model.settings
    for one, two in zip(back.explain(test), model.explain(test), strict=True):
        np.testing.assert_array_equal(one.map, two.map)


def test_the_seed_decides_and_nothing_else_does(name, model):
    state = torch.random.get_rng_state()
    again = ENGINES[name]().fit(normals_of(currents(6, points=POINTS))).tensors()
    assert torch.equal(torch.random.get_rng_state(), state)
    for key, value in model.tensors().items():
        assert value.tobytes() == again[key].tobytes(), key


def test_evidence_is_a_map_of_channels_over_time(model):
    (found,) = model.explain(currents(1, seed=2, points=POINTS))
    assert found.map.ndim == 2
    assert found.map.shape[0] == 3
    assert found.map.shape[1] <= 256
    assert np.isfinite(found.map).all()


@pytest.mark.parametrize("kind", ["zeros", "flat", "spike", "noise"])
def test_strange_recordings_get_a_number(model, kind):
    test = currents(1, seed=2, points=POINTS)
    if kind == "zeros":
        test[:] = 0
    elif kind == "flat":
        test[:] = 3
    elif kind == "spike":
        test[0, 1, 200] = 1e30
    else:
        test[:] = np.random.default_rng(0).normal(0, 100, test.shape)
    score = model.score(test)
    assert np.isfinite(score).all()
    assert score[0] > model.score(currents(4, seed=5, points=POINTS)).max()


def test_what_is_not_finite_does_not_pass_for_normal(model):
    test = currents(2, seed=2, points=POINTS)
    test[0, 1, 7] = np.nan
    score, other = model.score(test)
    assert np.isnan(score)
    assert np.isfinite(other)


@pytest.mark.parametrize("shape", [(1, 2, POINTS), (1, 3, 20)])
def test_other_channels_and_too_few_points_are_refused_in_words(model, shape):
    with pytest.raises(ModelUnsuited, match="3 channels and at least"):
        model.score(np.zeros(shape, np.float32))


@pytest.mark.parametrize(("count", "words"), [(0, "0 normal clips,"), (1, "1 normal clip,")])
def test_fewer_than_two_normals_are_refused_in_words(name, count, words):
    for work in (ENGINES[name]().fit, ENGINES[name]().calibrate):
        with pytest.raises(TooFewNormals, match=words):
            work(normals_of(currents(count, points=POINTS)))


@pytest.mark.parametrize("count", [2, 4])
def test_few_normals_calibrate(name, count):
    known = normals_of(currents(count, points=POINTS))
    found = ENGINES[name]().calibrate(known)
    assert found.shape == (count,)
    assert np.isfinite(found).all()


def test_identical_copies_as_normals_are_finite(name):
    copies = normals_of(np.repeat(currents(1, points=POINTS), 3, axis=0))
    score = ENGINES[name]().fit(copies).score(currents(2, seed=1, points=POINTS))
    assert np.isfinite(score).all()


def test_a_masked_channel_counts_nowhere(name):
    known = currents(4, points=POINTS)
    known[:, 2] = 0
    model = ENGINES[name]().fit(normals_of(known))
    test = currents(2, seed=3, points=POINTS)
    with_it = model.score(test)
    test[:, 2] = 0
    np.testing.assert_array_equal(model.score(test), with_it)
    assert (model.explain(test)[0].map[2] == 0).all()


def test_normals_without_any_signal_are_refused(name):
    with pytest.raises(EngineUnfit, match="Check the sensors"):
        ENGINES[name]().fit(normals_of(np.zeros((3, 3, POINTS), np.float32)))


def test_recordings_on_disk_do_and_nothing_is_changed(name, model, tmp_path):
    values = currents(6, points=POINTS)
    np.save(tmp_path / "series.npy", values)
    on_disk = np.load(tmp_path / "series.npy", mmap_mode="r")
    found = ENGINES[name]().fit(normals_of(on_disk))
    test = currents(2, seed=4, points=POINTS)
    np.testing.assert_array_equal(found.score(test), model.score(test))
    np.testing.assert_array_equal(on_disk, values)


def test_recordings_that_are_not_finite_are_no_normals():
    values = currents(3, points=POINTS)
    values[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        Normals(values, np.full(3, "target"))
