from __future__ import annotations

import numpy as np
import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.shapes import gain_db, rms
from alp_assets.synth.surroundings import DOMAINS, MICROPHONES, NOISES, background, listen, mix

RATE = 16_000


@pytest.mark.parametrize("kind", NOISES)
def test_a_background_has_rms_one_and_its_length(kind):
    sound = background(kind, np.random.default_rng(0), 30_001, RATE)
    assert sound.shape == (30_001,)
    assert rms(sound) == pytest.approx(1.0)


def test_backgrounds_have_recognisably_different_spectra():
    shares = {}
    for kind in NOISES:
        power = np.abs(np.fft.rfft(background(kind, np.random.default_rng(0), 4 * RATE, RATE))) ** 2
        hz = np.arange(len(power)) / 4
        shares[kind] = power[hz > 2000].sum() / power.sum()
    assert shares["white"] > shares["pink"] > shares["brown"]
    assert shares["white"] > 0.6
    assert shares["hum"] < shares["pink"]


def test_positions_differ_and_none_hears_the_sound_before_it_is_made():
    click = np.zeros(1000)
    click[100] = 1.0
    heard = {position: listen(click, position, RATE) for position in MICROPHONES}
    assert all(np.abs(sound[:100]).max() < 1e-12 for sound in heard.values())
    assert all(sound[100] > 0.2 for sound in heard.values())
    assert len({sound.round(9).tobytes() for sound in heard.values()}) == len(MICROPHONES)


def test_the_mix_has_the_ratio_asked_for_whatever_the_fault_adds():
    rng = np.random.default_rng(0)
    machine, noise_signal = 0.05 * rng.standard_normal(RATE), rng.standard_normal(RATE)
    added = mix(machine, noise_signal, 12.0) - machine
    assert gain_db(rms(machine) / rms(added)) == pytest.approx(12.0)
    faulty = 3.0 * machine
    assert mix(faulty, noise_signal, 12.0, reference=machine) - faulty == pytest.approx(added)


def test_the_domains_share_no_noise_and_no_microphone():
    source, target = DOMAINS["source"], DOMAINS["target"]
    assert not set(source.noises) & set(target.noises)
    assert not set(source.microphones) & set(target.microphones)
    assert source.speeds != target.speeds
    assert source.snr_db == (10.0, 30.0)
    assert target.snr_db == (0.0, 20.0)


def test_unknown_names_list_those_there_are():
    with pytest.raises(ParameterError, match=r"'purple'.*white, pink"):
        background("purple", np.random.default_rng(0), 100, RATE)
    with pytest.raises(ParameterError, match=r"'moon'.*near, side"):
        listen(np.zeros(100), "moon", RATE)
