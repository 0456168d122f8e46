"""Pretraining: the contrast, going on after a cut, weights with a card, and `alp pretrain`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.encoders.alp_conv import CARD_FILE, WEIGHTS_FILE, AlpConvEncoder
from alp_assets.encoders.base import Sound
from alp_assets.encoders.pretraining import training
from alp_assets.encoders.pretraining.card import PROBE, Result, add_results, write_weights
from alp_assets.encoders.pretraining.config import PretrainConfig, read_config
from alp_assets.encoders.pretraining.training import contrast, log_of, new_network, train
from alp_assets.encoders.pretraining.views import level_of, mixed_at, paired_views
from alp_assets.errors import ParameterError, WeightsMissing

TINY = PretrainConfig(rounds=2, steps=3, machines=8, renderings=2, batch=4, crop=32, channels=2, width=768)


@pytest.fixture(autouse=True)
def small_probe(monkeypatch):
    monkeypatch.setattr("alp_assets.encoders.pretraining.probes._MACHINES", 2)


@pytest.fixture
def pool():
    return np.random.default_rng(0).normal(-60, 8, (8, 2, 3, 128, 40)).astype(np.float16)


def _weights(network):
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def test_the_contrast_is_low_where_partners_are_alike_and_high_where_they_are_not():
    one = torch.eye(6)
    loss, hit = contrast(torch.cat([one, one]), 0.1)
    assert hit == 1
    wrong, missed = contrast(torch.cat([one, one.roll(1, 0)]), 0.1)
    assert missed == 0
    assert loss < 0.1 < wrong


def test_views_of_a_pair_are_of_one_machine(pool):
    levels = np.arange(8)[:, None, None, None, None]
    flat = np.zeros_like(pool) - 10 * levels.astype(np.float16)  # a machine is known by its level
    plain = TINY.model_copy(update={"noisy": 0.0, "equaliser_db": 0.0, "batch": 8, "floor_db": (90.0, 90.0)})
    views = paired_views(flat, plain, np.random.default_rng(0), torch.device("cpu"))
    assert views.shape == (16, 128, 32)
    np.testing.assert_allclose(level_of(views[:8]).numpy(), level_of(views[8:]).numpy(), atol=1e-3)
    assert len(np.unique(level_of(views[:8]).numpy().round())) == 8


def test_noise_is_mixed_in_at_its_ratio(pool):
    sound, noise = (torch.from_numpy(pool[i, 0, 0].astype(np.float32))[None] for i in range(2))
    loud = mixed_at(sound, noise, torch.full((1, 1, 1), -20.0))
    assert float(level_of(loud) - level_of(sound)) == pytest.approx(20.04, abs=0.05)
    faint = mixed_at(sound, noise, torch.full((1, 1, 1), 60.0))
    torch.testing.assert_close(faint, sound, atol=0.5, rtol=0)


def test_a_training_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    whole = _weights(train(TINY, tmp_path / "whole"))

    class Cut(Exception):
        pass

    def cut(row):
        raise Cut

    with pytest.raises(Cut):
        train(TINY, tmp_path / "cut", tell=cut)
    resumed = _weights(train(TINY, tmp_path / "cut"))
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    assert [row["round"] for row in log_of(tmp_path / "cut")] == [1, 2]


def test_a_folder_of_another_configuration_is_refused(tmp_path):
    train(TINY, tmp_path)
    with pytest.raises(ParameterError, match="another configuration"):
        train(TINY.model_copy(update={"seed": 1}), tmp_path)


def test_training_lowers_the_loss(tmp_path):
    config = TINY.model_copy(
        update={"rounds": 1, "steps": 40, "machines": 16, "batch": 16, "channels": 4, "noisy": 0.0}
    )
    losses = []
    monkey = training.contrast

    def noted(*args):
        found = monkey(*args)
        losses.append(float(found[0].detach()))
        return found

    training.contrast = noted
    try:
        train(config, tmp_path)
    finally:
        training.contrast = monkey
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


def test_the_command_writes_weights_that_the_encoder_loads(tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(
        "rounds = 1\nsteps = 2\nmachines = 8\nrenderings = 2\nbatch = 4\ncrop = 32\nchannels = 2\n", "utf-8"
    )
    out = tmp_path / "out"
    command = ["pretrain", "--out", str(out), "--config", str(file), "--seed", "3", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    card = json.loads((out / CARD_FILE).read_text("utf-8"))
    assert card["recipe"]["seed"] == 3
    assert card["steps"] == 2
    assert card["bytes"] == (out / WEIGHTS_FILE).stat().st_size
    told = {(row["data"], row["condition"], row["method"]): row["auc"] for row in card["results"]}
    assert told[PROBE, "0 dB", "learned"] == card["log"][-1]["probe"]["learned, 0 dB"]
    assert len(told) == len(card["log"][-1]["probe"])
    encoder = AlpConvEncoder(out)
    sound = Sound(np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32))
    assert encoder.encode([sound], ["pooled"])["pooled"].shape == (1, 2, 128, 6)


def test_results_on_recordings_are_added_to_a_card_and_replaced_when_measured_again(tmp_path):
    log = [{"probe": {"learned, clean": 0.7}}]
    write_weights(new_network(TINY), TINY, log, tmp_path)
    file = tmp_path / CARD_FILE
    add_results(
        file, [Result("motors", "clean", "alp_conv", 0.8, 10), Result("motors", "clean", "alp_conv", 0.7, 3)]
    )
    add_results(file, [Result("motors", "clean", "alp_conv", 0.9, 10)])
    card = json.loads(file.read_text("utf-8"))
    assert [(row["data"], row["normals"], row["auc"]) for row in card["results"]] == [
        (PROBE, None, 0.7),
        ("motors", 10, 0.9),
        ("motors", 3, 0.7),
    ]
    assert AlpConvEncoder(tmp_path).card == card


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"encoder": "other"}', None])
def test_results_are_not_added_to_what_is_no_card(tmp_path, text):
    file = tmp_path / "card.json"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(WeightsMissing, match=r"card\.json"):
        add_results(file, [Result("motors", "clean", "alp_conv", 0.8)])


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_configurations_that_alp_comes_with_can_be_used(name):
    assert read_config(name).total_steps > 0


@pytest.mark.parametrize(
    ("text", "told"),
    [("rounds = 0\nsteps = 1\nmachines = 8\nbatch = 4\n", "rounds"), ("speed = 1\n", "speed"), ("=", "--config")],
)
def test_a_configuration_that_cannot_be_used_is_refused_by_name(tmp_path, text, told):
    file = tmp_path / "bad.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ParameterError, match=told):
        read_config(str(file))


def test_a_missing_configuration_is_told():
    with pytest.raises(ParameterError, match="no such file"):
        read_config("tpu")
