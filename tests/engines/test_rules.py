"""Rules: they name faults that are put into a machine's sound, and leave its normals alone."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from alp_assets.audio.descriptors import LAYOUT, descriptors
from alp_assets.engines.base import Normals
from alp_assets.engines.rules import (
    BEARING,
    CAUSES,
    IMBALANCE,
    LEVEL,
    RESONANCE,
    WEAR,
    check,
    fit_rules,
    restore_rules,
)
from alp_assets.synth.anomalies import add_anomaly
from alp_assets.synth.machines import build_machine
from alp_assets.synth.shapes import gain_of, noise, place, ringing, rms

RATE = 16_000
N = 5 * RATE
TRAIN, HELD_OUT = 12, 30


@cache
def _machine():
    return build_machine("fan", np.random.default_rng(100))


@cache
def _sound(index):
    """A healthy recording in some room noise; the same machine, another day."""
    rng = np.random.default_rng([101, index])
    sound = _machine().sound(rng, N, RATE)
    return sound + 0.1 * rms(sound) * noise(rng, N, RATE)


def _described(sound, seed=0, above=-60.0, gain=0.0):
    """Descriptors of a sound and of a high band, both made louder by ``gain`` dB."""
    high = above + np.random.default_rng([102, seed]).normal(0, 0.5)
    return descriptors((sound * gain_of(gain)).astype(np.float32), -55.0 + gain, high + gain)


@cache
def _healthy(index):
    return _described(_sound(index), index)


def _normals(indices=range(TRAIN)):
    vectors = np.stack([_healthy(i) for i in indices])[:, None]
    return Normals(vectors, np.full(len(vectors), "target"))


@cache
def _rules():
    return fit_rules(_normals(), {}, 0.0)


def _strikes(sound, hz, level_db, seed=0):
    """Blows ``hz`` times a second that ring a resonance at 3.5 kHz; level relative to the machine's."""
    rng = np.random.default_rng(seed)
    starts = np.arange(0, N, RATE / hz).astype(np.int64)
    train = place(N, ringing(rng, RATE, [3_500.0], 0.002), starts, rng.uniform(0.8, 1.2, len(starts)))
    return sound + train * (gain_of(level_db) * rms(sound) / rms(train))


def _causes(found):
    return {breach.cause for breach in found}


def test_held_out_normals_seldom_ring():
    """Of thirty new normals of a steady machine at most three get a warning, and none a critical finding."""
    found = [check(_rules(), _healthy(100 + i)) for i in range(HELD_OUT)]
    assert sum(bool(item) for item in found) <= 3
    assert not [breach for item in found for breach in item if breach.grade == "critical"]


@pytest.mark.parametrize("hz", [43, 87, 112])
def test_blows_are_found_at_their_frequency(hz):
    found = check(_rules(), _described(_strikes(_sound(200), hz, -12)))
    bearing = next(breach for breach in found if breach.cause == BEARING)
    assert bearing.grade == "critical"
    assert bearing.measured > bearing.limit
    assert float(re.search(r"at (\d+) Hz", bearing.unit)[1]) == pytest.approx(hz, abs=1)


def test_the_synthetic_bearing_rattle_is_a_bearing_fault():
    hits = 0
    for seed in range(10):
        rattle, _ = add_anomaly("bearing_rattle", _sound(300 + seed), RATE, np.random.default_rng(seed), -3.0)
        hits += BEARING in _causes(check(_rules(), _described(rattle, seed)))
    assert hits >= 6


def test_given_fault_frequencies_are_watched_and_others_are_not():
    rules = fit_rules(_normals(), {"bpfo": 87.0, "bpfi": 132.0}, 0.0)
    at_bpfo = check(rules, _described(_strikes(_sound(201), 87.6, -12)))
    assert next(breach.unit for breach in at_bpfo if breach.cause == BEARING) == "dB at 88 Hz (bpfo)"
    assert BEARING not in _causes(check(rules, _described(_strikes(_sound(201), 61, -12))))


def test_a_fault_that_the_normals_have_always_had_is_no_finding():
    worn = [_described(_strikes(_sound(i), 87, -12, seed=i), i) for i in range(TRAIN)]
    rules = fit_rules(Normals(np.stack(worn)[:, None], np.full(TRAIN, "target")), {}, 0.0)
    assert BEARING not in _causes(check(rules, _described(_strikes(_sound(202), 87, -12, seed=99))))


def test_a_fault_frequency_beyond_the_spectrum_is_no_rule():
    rules = fit_rules(_normals(), {"bpfi": 900.0}, 0.0)
    assert BEARING not in rules["target"].limits
    assert BEARING not in _causes(check(rules, _described(_strikes(_sound(203), 87, -6))))


@pytest.mark.parametrize("gain", [10.0, -10.0])
def test_a_louder_or_quieter_clip_is_a_level_change_and_nothing_else(gain):
    (found,) = check(_rules(), _described(_sound(204), 204, gain=gain))
    mean = _rules()["target"].limits[LEVEL].mean
    assert (found.cause, found.grade, found.unit) == (LEVEL, "critical", "dBFS")
    assert abs(found.measured - mean) > abs(found.limit - mean)
    assert np.sign(found.measured - found.limit) == np.sign(gain)


@pytest.mark.parametrize("shaft_hz", [0.0, _machine().cycle_hz], ids=["estimated", "given"])
def test_a_stronger_line_at_1x_is_imbalance(shaft_hz):
    rules = fit_rules(_normals(), {}, shaft_hz)
    shaft = rules["target"].frequencies.shaft_hz
    assert shaft == pytest.approx(_machine().cycle_hz, abs=0.5)
    sound = _sound(205)
    tone = np.sqrt(2) * rms(sound) * np.sin(2 * np.pi * _machine().cycle_hz * np.arange(N) / RATE)
    found = check(rules, _described(sound + tone))
    imbalance = next(breach for breach in found if breach.cause == IMBALANCE)
    assert imbalance.grade == "critical"
    assert float(re.search(r"at ([\d.]+) Hz", imbalance.unit)[1]) == pytest.approx(_machine().cycle_hz, abs=0.5)
    assert IMBALANCE not in _causes(check(rules, _healthy(105)))


def test_more_energy_from_2_to_10_khz_is_resonance():
    rattle = noise(np.random.default_rng(0), N, RATE)
    found = check(_rules(), _described(_sound(206) + 0.5 * rms(_sound(206)) * rattle))
    assert RESONANCE in _causes(found)


def test_more_energy_above_10_khz_is_early_wear():
    assert _causes(check(_rules(), _described(_sound(207), above=-48))) == {WEAR}


def test_without_the_high_band_its_rule_is_skipped():
    without = [descriptors(_sound(i).astype(np.float32)) for i in range(6)]
    rules = fit_rules(Normals(np.stack(without)[:, None], np.full(6, "target")), {}, 0.0)
    assert WEAR not in rules["target"].limits
    assert WEAR not in _causes(check(rules, _described(_sound(208), above=0.0)))
    assert WEAR not in _causes(check(_rules(), descriptors(_sound(208).astype(np.float32))))


def test_a_silent_clip_is_a_level_change():
    found = check(_rules(), _described(np.zeros(N)))
    assert found[0].cause == LEVEL
    assert found[0].measured == -120


def test_silent_normals_give_finite_rules():
    silent = Normals(np.repeat(_described(np.zeros(N))[None, None], 4, axis=0), np.full(4, "target"))
    rules = fit_rules(silent, {}, 0.0)
    assert np.isfinite(rules["target"].reference).all()
    assert LEVEL in _causes(check(rules, _healthy(0)))
    assert check(rules, silent.embeddings[0, 0]) == ()


def test_limits_are_two_and_three_deviations_from_the_mean():
    limits = _rules()["target"].limits[LEVEL]
    levels = _normals().embeddings[:, 0, LAYOUT.level].astype(np.float64)
    assert limits.mean == pytest.approx(levels.mean())
    assert limits.deviation == pytest.approx(max(levels.std(ddof=1), 1.0) * np.sqrt(1 + 1 / TRAIN))
    clip = _healthy(0).copy()
    for deviations, grade in ((1.9, None), (2.1, "warning"), (2.9, "warning"), (3.1, "critical")):
        clip[LAYOUT.level] = limits.mean - deviations * limits.deviation
        grades = [breach.grade for breach in check(_rules(), clip) if breach.cause == LEVEL]
        assert grades == ([grade] if grade else [])


def test_copies_as_normals_have_the_least_deviation():
    copies = Normals(np.repeat(_healthy(0)[None, None], 5, axis=0), np.full(5, "target"))
    rules = fit_rules(copies, {}, 0.0)
    assert rules["target"].limits[LEVEL].deviation == pytest.approx(np.sqrt(1.2))
    assert check(rules, _healthy(0)) == ()


@pytest.mark.parametrize("recordings", [["a", "b"], ["a", "a", "a", "b"]])
def test_fewer_than_three_recordings_have_fixed_limits(recordings):
    few = _normals(range(len(recordings)))
    rules = fit_rules(Normals(few.embeddings, few.domains, np.array(recordings)), {}, 0.0)
    assert {limits.deviation for limits in rules["target"].limits.values()} == {3.0}


def test_a_clip_is_judged_by_the_domain_that_it_is_closest_to():
    quiet = [_described(_sound(i), i, gain=-20) for i in range(5)]
    vectors = np.concatenate([_normals().embeddings, np.stack(quiet)[:, None]])
    rules = fit_rules(Normals(vectors, np.array(["source"] * TRAIN + ["target"] * 5)), {}, 0.0)
    assert LEVEL not in _causes(check(rules, _healthy(110)))
    assert LEVEL not in _causes(check(rules, _described(_sound(209), gain=-20)))
    between = _described(_sound(209), gain=-12)
    found = next(breach for breach in check(rules, between) if breach.cause == LEVEL)
    assert found.limit == rules["target"].limits[LEVEL].of(found.grade)


def test_a_lone_clip_of_a_domain_joins_the_other():
    normals = Normals(_normals(range(5)).embeddings, np.array(["source"] * 4 + ["target"]))
    assert set(fit_rules(normals, {}, 0.0)) == {"source"}


def test_rules_survive_json():
    rules = fit_rules(_normals(), {"bpfo": 87.0}, 24.5)["target"]
    again = {"target": restore_rules(rules.reference, rules.settings)}
    clip = _described(_strikes(_sound(210), 87, -6), gain=9)
    assert check(again, clip) == check({"target": rules}, clip) != ()


def test_every_finding_has_its_cause_in_words():
    assert set(CAUSES) == {BEARING, RESONANCE, WEAR, IMBALANCE, LEVEL}
    for cause in CAUSES.values():
        assert all(re.search("[가-힣]", text) for text in (cause.cause_ko, cause.action_ko))
        assert not any(re.search("[가-힣]", text) for text in (cause.cause_en, cause.action_en))
