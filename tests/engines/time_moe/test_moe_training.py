"""Training: it learns, it stops, and a killed one goes on bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from alp_assets.engines.time_moe.checkpoint import METRICS_FILE, STATE_FILE, MetricsLog
from alp_assets.engines.time_moe.heartbeat import Heartbeat, Interval, Looked
from alp_assets.engines.time_moe.model import new_network
from alp_assets.engines.time_moe.training import Data, Schedule, Trainer
from alp_assets.engines.time_moe.usage import ExpertUsage
from alp_assets.errors import ModelCorrupt, ParameterError
from alp_assets.signals.windows import ArraySeries, WindowPlan
from tests.engines.time_moe.conftest import SMALLEST

SHORT = Schedule(
    steps=10,
    batch=2,
    accumulation=2,
    learning_rate=5e-3,
    warm_up=3,
    balance_warm_up=4,
    evaluate_every=4,
    save_every=3,
    precision="float32",
)


class Killed(Exception):
    """Stands for a kill."""


def series(count=4, points=300, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(points) * 0.06 + rng.uniform(0, 1, (count, 1))
    return (np.sin(2 * np.pi * time) + rng.normal(0, 0.05, (count, points))).astype(np.float32)


def data(held_out=False):
    values = series()
    plan = WindowPlan(np.full(4, 300), window=96, stride=48, seed=7)
    return Data(ArraySeries(values), plan, series(3, 96, seed=9) if held_out else None)


def weights(trainer):
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def kill_at(step):
    def after(trainer):
        if trainer.state.step == step:
            raise Killed

    return after


def rows(folder):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in MetricsLog(folder).rows()]


def test_it_learns(network):
    trainer = Trainer(network(), data(), replace(SHORT, steps=40))
    losses = []
    while not trainer.done:
        trainer.step()
        losses.append(trainer.state.loss)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize("killed_at", [1, 5, 9])
@pytest.mark.parametrize("held_out", [False, True])
def test_a_killed_training_ends_as_an_undisturbed_one(network, tmp_path, killed_at, held_out):
    whole = Trainer(network(), data(held_out), SHORT, tmp_path / "whole")
    whole.run()
    with pytest.raises(Killed):
        Trainer(network(), data(held_out), SHORT, tmp_path / "cut", kill_at(killed_at)).run()
    again = Trainer(network(seed=5), data(held_out), SHORT, tmp_path / "cut")
    assert again.state.step == (killed_at - 1) // 3 * 3
    if again.state.step == 0:
        again.network.load_state_dict(network().state_dict())
    again.run()
    assert_same(weights(whole), weights(again))
    assert (again.feed.epoch, again.feed.position) == (whole.feed.epoch, whole.feed.position)
    assert again.usage.state == whole.usage.state
    assert replace(again.state, seconds=0) == replace(whole.state, seconds=0)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    first, second = (json.loads((tmp_path / name / STATE_FILE).read_text()) for name in ("whole", "cut"))
    assert_same(load_file(tmp_path / "whole" / first["tensors"]), load_file(tmp_path / "cut" / second["tensors"]))


def test_heartbeats_go_on_too(network, tmp_path):
    looked = Looked(series(6, 96, seed=4), np.zeros(6, np.intp), np.arange(6) % 2 == 0)

    def run(folder, kill=0):
        beat = Heartbeat(Interval(steps=2), looked, looked, folder=folder, context=8)

        def after(trainer):
            beat(trainer)
            kill_at(kill)(trainer)

        trainer = Trainer(network(), data(), SHORT, folder, after)
        trainer.run()
        return trainer

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "cut", kill=7)
    again = run(tmp_path / "cut")
    assert whole.state.huber_delta == again.state.huber_delta < SHORT.huber_delta
    assert_same(weights(whole), weights(again))

    def beats(folder):
        return sorted(path.name for path in folder.glob("beat-*"))

    assert beats(tmp_path / "cut") == beats(tmp_path / "whole")
    assert len(beats(tmp_path / "cut")) == 10


def test_the_seed_decides_and_the_shared_generators_do_not(network):
    found = []
    for _ in range(2):
        torch.rand(3)
        np.random.rand(3)
        trainer = Trainer(network(), data(), replace(SHORT, steps=3))
        trainer.run()
        found.append(weights(trainer))
    assert_same(*found)


def test_a_folder_of_another_training_is_refused(network, tmp_path):
    Trainer(network(), data(), replace(SHORT, steps=1), tmp_path).run()
    with pytest.raises(ParameterError, match="another configuration"):
        Trainer(network(), data(), replace(SHORT, steps=1, learning_rate=1e-4), tmp_path)


def test_a_damaged_state_is_told(network, tmp_path):
    Trainer(network(), data(), replace(SHORT, steps=1), tmp_path).run()
    kept = next(tmp_path.glob("*.safetensors"))
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(ModelCorrupt, match="Delete the folder"):
        Trainer(network(), data(), replace(SHORT, steps=1), tmp_path)


def test_only_safetensors_and_json_are_left(network, tmp_path):
    Trainer(network(), data(), SHORT, tmp_path).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        METRICS_FILE,
        "state-10.safetensors",
        STATE_FILE,
    ]


def test_the_log_is_on_disk_at_once(network, tmp_path):
    seen = []
    trainer = Trainer(network(), data(), replace(SHORT, steps=3), tmp_path, lambda _: seen.append(rows(tmp_path)))
    trainer.run()
    assert [len(item) for item in seen] == [1, 2, 3]
    row = seen[0][0]
    assert row["kind"] == "step"
    assert np.sum(row["experts"]) == 2 * 2 * 2 * 2 * 96
    assert {"loss", "balance", "gradient", "rate"} <= row.keys()


def test_it_stops_where_nothing_gets_better(network):
    still = replace(SHORT, steps=500, learning_rate=1e-12, evaluate_every=1, patience=3)
    trainer = Trainer(network(), data(held_out=True), still)
    trainer.run()
    assert trainer.state.step <= 6


def test_the_best_weights_stay(network):
    trainer = Trainer(network(), data(held_out=True), replace(SHORT, steps=8, evaluate_every=1))
    trainer.run()
    assert trainer.best
    found = trainer._validation_loss(trainer.data.validation)
    assert found == pytest.approx(trainer.state.best_loss, rel=1e-3)


def test_gradients_are_clipped(network):
    tight = replace(SHORT, steps=1, largest_gradient=1e-3)
    trainer = Trainer(network(), data(), tight)
    trainer.step()
    norm = torch.stack([value.grad.norm() for value in trainer.network.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_accumulated_batches_are_one_large_one(network):
    plain = replace(SHORT, steps=1, balance=0.0)
    small, large = (
        Trainer(network(), data(), replace(plain, batch=batch, accumulation=4 // batch)) for batch in (1, 4)
    )
    for trainer in (small, large):
        trainer.step()
    for (name, one), two in zip(small.network.named_parameters(), large.network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_the_rates_rise_linearly():
    plan = Schedule(steps=1_000)
    assert plan.batch * plan.accumulation == 128
    assert plan.learning_rate == 1e-4
    assert plan.rate(0) == pytest.approx(1e-6, rel=1e-3)
    assert plan.rate(49) == pytest.approx(0.5e-4, rel=0.01)
    assert plan.rate(999) == pytest.approx(1e-5, rel=0.01)
    assert plan.balance_at(0) == 0
    assert plan.balance_at(250) == pytest.approx(0.01)
    assert plan.balance_at(900) == 0.02


def test_bfloat16_trains_too(network):
    trainer = Trainer(network(), data(), replace(SHORT, steps=2, precision="bfloat16"))
    trainer.run()
    assert np.isfinite(trainer.state.loss)
    assert trainer.network.heads[0].dtype == torch.float32


def test_eight_bits_are_left_where_there_is_no_gpu(network):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    trainer = Trainer(network(), data(), replace(SHORT, eight_bit=True))
    assert type(trainer.optimizer) is torch.optim.AdamW


class TestUsage:
    def test_shares_are_of_all_steps(self):
        usage = ExpertUsage(window=3)
        usage.add(np.array([[30, 10], [20, 20]]))
        usage.add(np.array([[40, 0], [20, 20]]))
        assert usage.shares == [[0.875, 0.125], [0.5, 0.5]]

    def test_an_expert_has_collapsed_when_idle_for_a_window_of_steps(self):
        usage = ExpertUsage(window=3)
        idle, used = np.array([[999, 1], [500, 500]]), np.array([[980, 20], [500, 500]])
        for counts in (idle, idle, used, idle, idle):
            usage.add(counts)
            assert usage.collapsed == []
        usage.add(idle)
        assert usage.collapsed == [(0, 1)]

    def test_a_collapse_is_reported_while_training(self, network):
        model = network()
        with torch.no_grad():
            for layer in model.layers:
                layer.before_experts.weight.zero_()
        quick = replace(SHORT, steps=3, collapse_window=3, learning_rate=1e-12, balance=0)
        trainer = Trainer(model, data(), quick)
        trainer.run()
        assert len(trainer.usage.collapsed) == 12


_TRAIN = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.engines.time_moe.conftest import SMALLEST
from tests.engines.time_moe.test_moe_training import SHORT, data
from alp_assets.engines.time_moe.model import new_network
from alp_assets.engines.time_moe.model import new_network
from alp_assets.engines.time_moe.training import Trainer

def after(trainer):
    if trainer.state.step == int(sys.argv[2]):
        os.kill(os.getpid(), 9)

network = new_network(SMALLEST, torch.Generator().manual_seed(0))
Trainer(network, data(), SHORT, Path(sys.argv[1]), after).run()
"""


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_bit_for_bit(tmp_path):
    killed = subprocess.run([sys.executable, "-c", _TRAIN, str(tmp_path / "cut"), "8"], check=False)
    assert killed.returncode == -9
    for folder in ("cut", "whole"):
        network = new_network(SMALLEST, torch.Generator().manual_seed(0))
        Trainer(network, data(), SHORT, tmp_path / folder).run()
    first, second = (load_file(tmp_path / name / "state-10.safetensors") for name in ("whole", "cut"))
    assert_same(first, second)
