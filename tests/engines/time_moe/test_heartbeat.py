"""The heartbeat: profile, hybrid score, threshold, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from alp_assets.engines.time_moe.checkpoint import MetricsLog
from alp_assets.engines.time_moe.config import HORIZONS
from alp_assets.engines.time_moe.heartbeat import Heartbeat, Interval, Looked, best_threshold
from alp_assets.engines.time_moe.scoring import HybridRule, Measured, fit_profile, measure
from alp_assets.engines.time_moe.training import Data, Schedule, Trainer
from alp_assets.signals.windows import ArraySeries, WindowPlan

SHORT = Schedule(steps=4, batch=2, accumulation=1, learning_rate=1e-3, precision="float32")


def trainer_of(network, folder=None, after=None):
    values = np.random.default_rng(0).normal(0, 1, (2, 200)).astype(np.float32)
    plan = WindowPlan(np.full(2, 200), window=96, stride=48)
    return Trainer(network(), Data(ArraySeries(values), plan), SHORT, folder, after)


def looked(count=8, seed=1, anomalous=None, far=0.0):
    windows = np.random.default_rng(seed).normal(0, 1, (count, 96)).astype(np.float32)
    if anomalous is not None:
        windows[anomalous] += far
    return Looked(windows, np.zeros(count, np.intp), anomalous)


class TestThreshold:
    def test_it_is_the_one_of_the_highest_f_half(self):
        rng = np.random.default_rng(0)
        for seed in range(20):
            anomalous = rng.random(40) < 0.4
            scores = np.round(rng.normal(anomalous * 1.5, 1), 1)
            found = best_threshold(scores, anomalous)
            best = 0.0
            for cut in np.concatenate([[scores.min() - 1], scores]):
                hits, alarms = (scores > cut)[anomalous].sum(), (scores > cut)[~anomalous].sum()
                if hits:
                    precision, recall = hits / (hits + alarms), hits / anomalous.sum()
                    best = max(best, 1.25 * precision * recall / (0.25 * precision + recall))
            assert found.f_half == pytest.approx(best), seed
            above = scores > found.threshold
            assert found.precision == pytest.approx(anomalous[above].mean())
            assert found.recall == pytest.approx(above[anomalous].mean())

    def test_it_lies_between_what_it_parts(self):
        found = best_threshold(np.array([1.0, 2.0, 5.0, 6.0]), np.array([False, False, True, True]))
        assert found.threshold == 3.5
        assert found.f_half == found.f1 == 1

    @pytest.mark.parametrize("anomalous", [[True, True], [False, False]])
    def test_one_kind_of_scores_is_refused(self, anomalous):
        with pytest.raises(ValueError, match="normal and anomalous"):
            best_threshold(np.array([1.0, 2.0]), np.array(anomalous))


class TestHybrid:
    def measured(self, count=200, seed=0, error=0.1, shift=0.0):
        rng = np.random.default_rng(seed)
        states = rng.normal(2, [1, 0.1, 3], (count, 3)) + np.array([0, shift, 0])
        return Measured(np.full((count, 4), error), states, np.zeros((count, 5)))

    groups = np.zeros(200, np.intp)

    def test_it_is_the_weighed_error_and_a_tenth_of_the_distance(self):
        rule = HybridRule(weights=(1, 0, 0, 1), distance="euclidean", relative=False)
        profile = fit_profile(self.measured(), self.groups, rule)
        found = Measured(np.array([[1.0, 9, 9, 3]]), profile.centre + np.array([0, 4, 3]), np.zeros((1, 5)))
        assert profile.hybrid(found, np.zeros(1, np.intp), rule)[0] == pytest.approx(2 + 0.1 * 5)

    def test_relative_scores_of_normals_are_about_1(self):
        rule = HybridRule()
        profile = fit_profile(self.measured(), self.groups, rule)
        scores = profile.hybrid(self.measured(seed=1), self.groups, rule)
        assert scores.mean() == pytest.approx(1.1, abs=0.03)

    def test_mahalanobis_counts_a_direction_by_its_spread(self):
        rule = HybridRule()
        profile = fit_profile(self.measured(), self.groups, rule)
        still, moved = (profile.hybrid(self.measured(seed=1, shift=by), self.groups, rule) for by in (0, 3.0))
        assert moved.min() > still.max()

    @pytest.mark.parametrize("kind", ["mahalanobis", "euclidean", "cosine"])
    def test_what_lies_at_the_centre_has_no_distance(self, kind):
        profile = fit_profile(self.measured(), self.groups, HybridRule(distance=kind))
        assert profile.distance(profile.centre, np.zeros(1, np.intp), kind)[0] == pytest.approx(0, abs=1e-9)
        assert profile.distance(profile.centre * np.array([1, 5, -1]), np.zeros(1, np.intp), kind)[0] > 0

    def test_identical_windows_make_a_finite_profile(self):
        same = Measured(np.zeros((5, 4)), np.ones((5, 3)), np.zeros((5, 5)))
        rule = HybridRule()
        profile = fit_profile(same, np.zeros(5, np.intp), rule)
        away = Measured(np.ones((1, 4)), np.full((1, 3), 2.0), np.zeros((1, 5)))
        assert np.isfinite(profile.hybrid(same, np.zeros(5, np.intp), rule)).all()
        assert np.isfinite(profile.hybrid(away, np.zeros(1, np.intp), rule)).all()


def test_errors_are_those_of_the_forecasts(network):
    import torch

    windows = looked(3).windows
    model = network()
    found = measure(model, windows, skip=10, shares=HybridRule().shares)
    with torch.no_grad():
        output = model(torch.from_numpy(windows))
    for place, horizon in enumerate(HORIZONS):
        square = [
            np.mean((output.forecasts[place][0, point].numpy() - windows[0, point + 1 : point + 1 + horizon]) ** 2)
            for point in range(10, 96 - horizon)
        ]
        assert found.errors[0, place] == pytest.approx(np.mean(square), rel=1e-4)
    np.testing.assert_allclose(found.states[0], output.hidden[0, 10:].mean(dim=0).numpy(), atol=1e-5)
    assert found.course.shape == (3, 96)
    assert (found.course[:, :10] == 0).all()


def test_it_beats_by_steps_and_by_time(network):
    steps, never = [], []
    beat = Heartbeat(
        Interval(steps=2), looked(), looked(seed=2), context=8, on_beat=lambda b: steps.append(b.step)
    )
    trainer_of(network, after=beat).run()
    trainer_of(network, after=replace(beat, interval=Interval(), on_beat=never.append)).run()
    assert steps == [2, 4]
    assert never == []
    often = []
    trainer_of(network, after=replace(beat, interval=Interval(seconds=1e-9), on_beat=often.append)).run()
    assert [b.step for b in often] == [1, 2, 3, 4]


def test_labels_give_the_threshold_and_bend_the_loss_where_f1_is_low(network):
    anomalous = np.arange(8) % 2 == 0
    for far, factor in ((0.0, 0.98), (50.0, 1.0)):
        trainer = trainer_of(network)
        found = Heartbeat(Interval(), looked(), looked(8, 3, anomalous, far), context=8).beat(trainer)
        assert found.basis == "labels"
        assert (found.found.f1 < 0.95) == (factor < 1)
        assert trainer.state.huber_delta == pytest.approx(SHORT.huber_delta * factor)
        assert found.huber_delta == trainer.state.huber_delta


@pytest.mark.parametrize("anomalous", [None, np.zeros(8, np.bool_)])
def test_without_labels_a_policy_for_normals_sets_the_threshold(network, anomalous):
    trainer = trainer_of(network)
    found = Heartbeat(Interval(), looked(), looked(8, 3, anomalous), context=8).beat(trainer)
    assert found.basis == "alarms_per_day"
    assert found.found is None
    assert found.note
    assert trainer.state.huber_delta == SHORT.huber_delta


def test_anomalies_alone_are_no_validation(network):
    with pytest.raises(ValueError, match="all anomalous"):
        Heartbeat(Interval(), looked(), looked(8, 3, np.ones(8, np.bool_)), context=8).beat(trainer_of(network))


def test_a_beat_leaves_a_line_and_a_checkpoint_with_its_figure(network, tmp_path):
    anomalous = np.arange(8) % 2 == 0
    beat = Heartbeat(Interval(steps=4), looked(), looked(8, 3, anomalous, 50.0), context=8, folder=tmp_path)
    trainer = trainer_of(network, tmp_path, beat)
    trainer.run()
    path = tmp_path / "beat-0000004-f1-1.0000.safetensors"
    tensors = load_file(path)
    assert {"profile.centre", "profile.precision", "network.norm.weight"} <= tensors.keys()
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["found"]["f1"] == 1
    (line,) = [row for row in MetricsLog(tmp_path).rows() if row["kind"] == "beat"]
    assert line["checkpoint"] == path.name
    assert line["threshold"] == card["threshold"]
    assert np.sum(line["expert_usage"]) == pytest.approx(2, abs=1e-4)


def test_without_labels_the_figure_is_the_loss(network, tmp_path):
    beat = Heartbeat(Interval(steps=4), looked(), looked(seed=3), context=8, folder=tmp_path)
    trainer = trainer_of(network, tmp_path, beat)
    trainer.run()
    assert (tmp_path / f"beat-0000004-loss-{trainer.state.loss:.4f}.safetensors").is_file()
