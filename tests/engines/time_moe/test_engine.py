"""Engine S1 beyond what all engines for signals do."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.torch import save_file

from alp_assets.engines.time_moe import engine as module
from alp_assets.engines.time_moe.checkpoint import METRICS_FILE
from alp_assets.engines.time_moe.engine import Labelled, TimeMoe
from alp_assets.engines.time_moe.schedules import SCHEDULES
from alp_assets.engines.time_moe.series import (
    ChannelScale,
    RecordedSeries,
    fit_scale,
    over_time,
    upper_mean,
    windows_of,
)
from alp_assets.errors import EngineUnfit, WeightsMissing
from alp_assets.signal_params import TimeMoeParams
from tests.engines.time_moe.currents import currents, normals_of


def quick(**others):
    return TimeMoeParams(**{"size": "tiny", "window": 96, "steps": 3, "batch": 2, "context": 8, **others})


def test_the_card_tells_of_experts_and_errors():
    training = TimeMoe(quick()).fit(normals_of(currents(3, points=300))).settings["training"]
    assert np.array(training["expert_usage"]).shape == (2, 8)
    assert np.array(training["error_by_channel_and_horizon"]).shape == (3, 4)
    assert training["collapsed_experts"] == []
    assert training["steps"] == 3


def test_sizes_bring_their_schedules_and_parameters_go_before():
    assert TimeMoe(TimeMoeParams(size="base"))._schedule() == SCHEDULES["base"]
    assert SCHEDULES["base"].batch * SCHEDULES["base"].accumulation == 128
    assert SCHEDULES["base"].learning_rate == 1e-4
    asked = TimeMoe(TimeMoeParams(size="small", steps=7, learning_rate=0.5))._schedule()
    assert (asked.steps, asked.learning_rate, asked.batch) == (7, 0.5, SCHEDULES["small"].batch)


def test_a_folder_gets_the_training_and_beats_are_told(tmp_path):
    beats = []
    params = quick(heartbeat_hours=1e-9)
    TimeMoe(params, tmp_path, beats.append).fit(normals_of(currents(3, points=300)))
    assert [beat.step for beat in beats] == [1, 2, 3]
    assert (tmp_path / METRICS_FILE).is_file()
    assert len(list(tmp_path.glob("beat-*.safetensors"))) == 3


def test_labelled_recordings_of_the_customer_set_the_threshold():
    beats = []
    test = np.concatenate([currents(3, 5, points=300), currents(3, 6, points=300, ripple=5)])
    validation = Labelled(test, np.arange(6) >= 3)
    TimeMoe(quick(heartbeat_hours=1e-9), None, beats.append, validation).fit(normals_of(currents(3, points=300)))
    assert {beat.basis for beat in beats} == {"labels"}
    assert beats[-1].found.f1 > 0.9


def test_a_training_in_a_folder_goes_on(tmp_path):
    known = normals_of(currents(3, points=300))
    first = TimeMoe(quick(), tmp_path).fit(known)
    again = TimeMoe(quick(), tmp_path).fit(known)
    test = currents(2, seed=3, points=300)
    np.testing.assert_array_equal(first.score(test), again.score(test))


def test_calibration_trains_a_few_times_and_shorter(monkeypatch):
    steps = []
    fit = TimeMoe.fit

    def counted(self, normals):
        model = fit(self, normals)
        steps.append((model.training["steps"], len(normals)))
        return model

    monkeypatch.setattr(module.TimeMoe, "fit", counted)
    found = TimeMoe(quick(steps=4, calibration_folds=2)).calibrate(normals_of(currents(6, points=300)))
    assert steps == [(2, 3), (2, 3)]
    assert np.isfinite(found).all()


def test_many_recordings_leave_some_to_tell_when_to_stop():
    known = normals_of(currents(20, points=100))
    engine = TimeMoe(quick())
    data = engine._data(known, fit_scale(known.embeddings, "section"), 96)
    assert len(data.source.lengths) == 18 * 3
    assert data.validation.shape == (2 * 3 * 2, 96)
    few = known.chosen(np.arange(20) < 5)
    assert engine._data(few, fit_scale(few.embeddings, "section"), 96).validation is None


def test_published_weights_are_loaded_or_missed_in_words(tmp_path):
    with pytest.raises(WeightsMissing, match="no such file"):
        TimeMoe(quick(weights=str(tmp_path / "none.safetensors"))).fit(normals_of(currents(2, points=300)))
    import torch

    save_file({"model.norm.weight": torch.full((32,), 2.0)}, tmp_path / "model.safetensors")
    network = TimeMoe(quick(weights=str(tmp_path)))._network()
    assert (network.norm.weight == 2).all()


def test_recordings_shorter_than_a_window_are_one_window():
    model = TimeMoe(quick(window=2048)).fit(normals_of(currents(3, points=150)))
    assert model.window == 150
    assert np.isfinite(model.score(currents(2, seed=2, points=80))).all()
    with pytest.raises(EngineUnfit, match="20 points"):
        TimeMoe(quick()).fit(normals_of(currents(3, points=20)))


def test_own_scale_makes_amplitude_tell_nothing():
    model = TimeMoe(quick(scaling="recording")).fit(normals_of(currents(3, points=300)))
    test = currents(3, seed=4, points=300)
    np.testing.assert_allclose(model.score(test), model.score(4 * test), rtol=1e-3)


def test_a_training_that_runs_away_is_told(monkeypatch):
    engine = TimeMoe(quick())
    network = engine._network

    def broken():
        found = network()
        found.norm.weight.data.fill_(float("nan"))
        return found

    monkeypatch.setattr(engine, "_network", broken)
    with pytest.raises(EngineUnfit, match="learning_rate"):
        engine.fit(normals_of(currents(2, points=300)))


class TestSeries:
    def test_series_are_read_as_recordings_are_scaled(self):
        values = currents(4, points=50)
        for scaling in ("section", "recording"):
            scale = fit_scale(values, scaling)
            source = RecordedSeries(values, scale)
            assert source.lengths.tolist() == [50] * 12
            np.testing.assert_array_equal(source.read(7, 10, 20), scale.of(values[2])[1, 10:30])

    def test_scale_is_of_all_normals(self):
        values = currents(4, points=50) * np.array([1, 5, 0])[:, None] + 3
        scale = fit_scale(values, "section")
        np.testing.assert_allclose(scale.centre, values.mean(axis=(0, 2)), rtol=1e-5)
        np.testing.assert_allclose(scale.spread, values.std(axis=(0, 2)), rtol=1e-4)
        assert scale.channels.tolist() == [0, 1]

    def test_nothing_infinite_comes_out(self):
        scale = ChannelScale(np.zeros(2), np.ones(2), "section")
        assert np.isfinite(scale.of(np.array([[np.nan, np.inf, 1e38], [0, -np.inf, 1]], np.float32))).all()

    def test_windows_cover_all_series(self):
        series = np.arange(46, dtype=np.float32).reshape(2, 23)
        cut, rows, starts = windows_of(series, 10)
        assert cut.shape == (6, 10)
        for window, row, start in zip(cut, rows, starts, strict=True):
            np.testing.assert_array_equal(window, series[row, start : start + 10])
        np.testing.assert_allclose(over_time(cut, rows, starts, 23, 23), series)

    def test_the_upper_mean_is_of_one_at_least(self):
        assert upper_mean(np.array([1.0, 5.0, 3.0, 2.0]), 0.5) == 4
        assert upper_mean(np.array([1.0, 5.0, 3.0]), 0.01) == 5
