"""Which engine a section gets: the rules, their reasons, and what they need embedded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alp_assets.encoders.base import Feature
from alp_assets.engines.selection import Situation, choose_engine, features_needed
from alp_assets.params import SIGNAL_ENGINES, SOUND_ENGINES, ModelParams

COLUMNS = ("section_id", "speed_level", "load_level", "noise_id", "mic_position_id")


def situation(source=0, target=5, encoder="ast", **conditions):
    count = source + target
    silent = dict.fromkeys(COLUMNS, [""] * count)
    spoken = {name: np.array(values) for name, values in {**silent, **conditions}.items()}
    return Situation(source, target, encoder, spoken, np.arange(count).astype(str))


def speeds(count):
    return {"speed_level": [str(number % 2) for number in range(count)]}


def chosen(section, **params):
    return choose_engine(ModelParams(**params), "acme", "first", section)


def test_few_target_normals_and_little_source_get_patches_of_a_pretrained_encoder():
    choice = chosen(situation(source=20, target=9))
    assert (choice.engine.name, choice.feature) == ("patch_memory", Feature("ast", "patches"))
    assert "9 target and 20 source normals" in choice.reason


def test_without_weights_the_banks_stand_in_and_the_reason_says_how_to_get_them():
    choice = chosen(situation(source=20, target=9, encoder="logmel"))
    assert (choice.engine.name, choice.feature) == ("memory_bank", Feature("logmel", "pooled"))
    assert "alp weights add" in choice.reason


@pytest.mark.parametrize(
    ("source", "target", "words"), [(50, 3, "50 source"), (0, 10, "10 target"), (49, 10, "10 target")]
)
def test_with_normals_enough_the_banks_are_worth_filling(source, target, words):
    choice = chosen(situation(source=source, target=target))
    assert (choice.engine.name, choice.feature) == ("memory_bank", Feature("ast", "pooled"))
    assert f"from {words} normals on" in choice.reason


def test_every_threshold_of_the_rule_is_a_parameter():
    assert chosen(situation(target=4), selection={"few_target": 4}).engine.name == "memory_bank"
    assert chosen(situation(source=8, target=2), selection={"much_source": 8}).engine.name == "memory_bank"
    rich = situation(source=20, target=2, **speeds(22))
    assert chosen(rich, engine="auto+c").engine.name == "patch_memory"
    assert chosen(rich, engine="auto+c", selection={"much_source": 20}).engine.name == "meta_prototype"


def test_meta_prototype_is_offered_and_taken_only_on_request():
    rich = situation(source=60, target=5, **speeds(65))
    offered, taken = chosen(rich), chosen(rich, engine="auto+c")
    assert offered.engine.name == "memory_bank"
    assert "auto+c" in offered.reason
    assert (taken.engine.name, taken.feature) == ("meta_prototype", Feature("logmel", "frames"))
    assert "speed_level" in taken.reason


@pytest.mark.parametrize(
    "speed_level",
    [["1"] * 65, ["1", "2"] * 30 + [""] * 5],
    ids=["one value everywhere", "92 % complete"],
)
def test_poor_metadata_do_not_carry_meta_prototype_and_the_reason_says_so(speed_level):
    choice = chosen(situation(source=60, target=5, speed_level=speed_level), engine="auto+c")
    assert choice.engine.name == "memory_bank"
    assert "the metadata do not carry it" in choice.reason


@pytest.mark.parametrize("name", SOUND_ENGINES)
def test_an_engine_that_is_asked_for_is_taken_whatever_the_data(name):
    choice = chosen(situation(target=1), engine=name)
    assert choice.engine.name == name
    assert f"{name} was asked for" in choice.reason


SIGNALS = {"current": "signal_spectrum", "flux": "signal_spectrum", "vibration": "signal_spectrum"}


@pytest.mark.parametrize(("modality", "engine"), SIGNALS.items())
def test_few_normals_of_a_signal_get_the_engine_that_needs_no_training(modality, engine):
    choice = chosen(replace(situation(target=3), modality=modality))
    assert (choice.engine.name, choice.feature) == (engine, Feature("series", "frames"))
    assert modality in choice.reason


def test_time_moe_is_taken_from_so_many_normals_on_and_never_without_a_rule():
    many = replace(situation(source=300, target=5), modality="current")
    assert chosen(many).engine.name == "signal_spectrum"
    choice = chosen(many, selection={"much_signal": 305})
    assert choice.engine.name == "time_moe"
    assert "305" in choice.reason
    assert chosen(many, selection={"much_signal": 306}).engine.name == "signal_spectrum"


@pytest.mark.parametrize("name", SIGNAL_ENGINES)
def test_an_engine_for_signals_is_taken_for_signals_and_refused_for_sound(name):
    assert not chosen(replace(situation(), modality="current"), engine=name).problem
    assert "hold sound" in chosen(situation(), engine=name).problem


@pytest.mark.parametrize("name", SOUND_ENGINES)
def test_an_engine_for_sound_is_refused_for_signals_with_what_to_do(name):
    problem = chosen(replace(situation(), modality="vibration"), engine=name).problem
    assert "hold vibration" in problem
    assert "signal_spectrum" in problem
    assert "models.pins" in problem


def test_a_pin_of_the_package_stands_before_that_of_the_customer_and_both_before_the_parameter():
    pins = {"acme": "isolation_forest", "acme/first": "autoencoder", "other": "meta_prototype"}
    params = ModelParams(engine="memory_bank", pins=pins)
    assert choose_engine(params, "acme", "first", situation()).engine.name == "autoencoder"
    found = choose_engine(params, "acme", "second", situation())
    assert found.engine.name == "isolation_forest"
    assert "pinned for this customer" in found.reason
    assert choose_engine(params, "third", "first", situation()).engine.name == "memory_bank"


@pytest.mark.parametrize(
    ("encoder", "more", "expected"),
    [
        ("logmel", {}, {Feature("logmel", "pooled")}),
        ("ast", {}, {Feature("ast", "pooled"), Feature("ast", "patches")}),
        ("logmel", {"engine": "auto+c"}, {Feature("logmel", "pooled"), Feature("logmel", "frames")}),
        ("logmel", {"engine": "patch_memory"}, {Feature("logmel", "patches")}),
        (
            "logmel",
            {"second_opinions": ("isolation_forest", "autoencoder")},
            {Feature("logmel", "pooled"), Feature("descriptors", "pooled"), Feature("logmel", "frames")},
        ),
        ("ast", {"pins": {"acme": "autoencoder"}}, {Feature("logmel", "frames")}),
    ],
)
def test_only_what_may_be_needed_is_embedded(encoder, more, expected):
    assert set(features_needed(ModelParams(**more), "acme", "first", encoder)) == expected
