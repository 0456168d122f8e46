"""Machines to pretrain on: sound of every kind, the same for the same seed, siblings that differ."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from alp_assets.audio.features import log_mel
from alp_assets.encoders.pretraining import rendering
from alp_assets.encoders.pretraining.machines import Machines, altered, draw_machines
from alp_assets.encoders.pretraining.rendering import RATE, SAMPLES, Surroundings, render
from alp_assets.encoders.pretraining.spectrograms import FRAMES, SCALE, log_mel_of, rendered
from alp_assets.params import LogmelParams

QUIET = Surroundings(noise_db=(80.0, 80.0), microphone_db=0.0, speed=0.0, room=0.0, clipped=0.0)

PINNED_DB = [
    [-77.30, -92.07, -87.39],
    [-48.10, -61.44, -61.68],
    [-71.43, -71.05, -83.29],
    [-36.24, -48.37, -52.39],
]
"""Mean levels of three bands of four machines."""


@pytest.fixture(scope="module")
def machines():
    return draw_machines(12, np.random.default_rng(3))


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _alone(machines: Machines, **parts) -> Machines:
    """The machines with all sources off, then some set."""
    off = {name: np.full_like(getattr(machines, name), -120) for name in _LEVELS}
    return replace(machines, **{**off, **parts})


_LEVELS = ("rotor_db", "flow_db", "stroke_db", "impact_db")


def _spectrum(sound):
    return np.abs(np.fft.rfft(sound.numpy())) ** 2


def test_every_machine_sounds_finite_and_at_the_level_that_was_drawn(machines):
    sound = render(machines, _generator(), Surroundings(level_dbfs=(-30.0, -30.0)))
    assert sound.shape == (12, SAMPLES)
    assert torch.isfinite(sound).all()
    levels = 20 * np.log10(sound.square().mean(1).sqrt().numpy())
    np.testing.assert_allclose(levels, -30, atol=3)  # clipping takes a little


def test_the_same_seed_gives_the_same_sound_and_another_one_another(machines):
    first, again = (render(machines, _generator(5), Surroundings()) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, render(machines, _generator(6), Surroundings()))


def test_how_many_are_worked_through_at_a_time_changes_nothing(machines, monkeypatch):
    together, after = _generator(2), _generator(2)
    monkeypatch.setattr(rendering, "_FEW", 100)
    whole = render(machines, together, Surroundings())
    monkeypatch.setattr(rendering, "_FEW", 5)
    parts = render(machines, after, Surroundings())
    torch.testing.assert_close(parts, whole, rtol=0, atol=2e-4 * float(whole.abs().max()))
    assert torch.equal(together.get_state(), after.get_state())


def test_the_sound_of_a_seed_stays_what_it_was(machines):
    """Shipped weights are trained anew by their seed, so the figures of a seed are pinned."""
    found = log_mel_of(render(machines, _generator(4), Surroundings()))[::3, 10::40].mean(2)
    np.testing.assert_allclose(found.numpy(), PINNED_DB, atol=0.02)


def test_a_rotor_has_its_lines_at_multiples_of_its_rate(machines):
    level = np.full_like(machines.rotor_db, -120)
    level[:, 0] = 0
    rate = np.full_like(machines.rate_hz, 40)
    steady = np.zeros_like(machines.wander)
    only = _alone(machines, rotor_db=level, rate_hz=rate, wander=steady, beat=np.zeros_like(machines.beat))
    for sound in render(only, _generator(), QUIET):
        power = _spectrum(sound)
        bins = np.arange(len(power))
        near = np.abs((bins + 60) % 120 - 60) <= 2  # 40 Hz are 120 bins of three seconds
        assert power[near].sum() > 0.9 * power[1:].sum()


def test_impacts_ring_at_their_resonance(machines):
    level = np.full_like(machines.impact_db, -120)
    level[:, 0] = 0
    hz, seconds = np.full_like(machines.ring_hz, 2_000), np.full_like(machines.ring_s, 5e-3)
    only = _alone(machines, impact_db=level, ring_hz=hz, ring_s=seconds)
    frequency = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    for sound in render(only, _generator(), QUIET):
        power = _spectrum(sound)
        inside = (frequency > 1_500) & (frequency < 2_500)
        assert power[inside].sum() > 0.7 * power.sum()


def test_an_altered_sibling_differs_in_something_and_not_in_everything(machines):
    sibling = altered(machines, np.random.default_rng(0))
    for number in range(len(machines)):
        changed = [
            item.name
            for item in fields(Machines)
            if not np.array_equal(getattr(machines, item.name)[number], getattr(sibling, item.name)[number])
        ]
        assert 0 < len(changed) < 12


def test_spectrograms_are_those_of_the_log_mel_encoder(machines):
    sound = render(machines, _generator(), Surroundings())[:3]
    found = log_mel_of(sound).numpy()
    for row, samples in zip(found, sound.numpy(), strict=True):
        np.testing.assert_allclose(row, log_mel(samples, LogmelParams()), atol=0.05)


def test_a_pool_depends_on_its_seed_alone():
    pool = rendered(3, 2, (1, 2), torch.device("cpu"))
    assert pool.shape == (3, 2, 2, SCALE.n_mels, FRAMES)
    np.testing.assert_array_equal(pool, rendered(3, 2, (1, 2), torch.device("cpu")))
    assert not np.array_equal(pool, rendered(3, 2, (1, 3), torch.device("cpu")))
    assert not np.array_equal(pool[:, 0], pool[:, 1])
    assert not np.array_equal(pool[:, :, 0], pool[:, :, 1])
