from __future__ import annotations

import numpy as np
import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.machines import LOADS, SPEEDS
from alp_assets.synth.shapes import gain_db, rms
from alp_assets.synth.surroundings import DOMAINS, MICROPHONES, NOISES, at_snr, background, listen

RATE = 16_000


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return np.arange(len(power)) * RATE / len(sound), power


@pytest.mark.parametrize("kind", NOISES)
def test_a_background_has_rms_one_and_its_length(kind):
    sound = background(kind, np.random.default_rng(0), 30_001, RATE)
    assert sound.shape == (30_001,)
    assert rms(sound) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -3.0), ("brown", -6.0)])
def test_coloured_backgrounds_fall_as_their_names_say(kind, slope):
    hz, power = spectrum(background(kind, np.random.default_rng(0), 10 * RATE, RATE))
    octaves = [10 * np.log10(power[(hz > low) & (hz < 2 * low)].mean()) for low in (250, 500, 1000, 2000)]
    assert np.diff(octaves) == pytest.approx([slope] * 3, abs=1.0)


def test_hum_is_that_of_the_mains():
    hz, power = spectrum(background("hum", np.random.default_rng(0), 10 * RATE, RATE))
    assert hz[power.argmax()] == pytest.approx(120.0, abs=0.2)
    assert power[np.abs(hz - 60.0) < 0.3].max() > 100 * np.median(power[np.abs(hz - 75.0) < 5.0])


def test_impulses_stand_out_and_babble_comes_in_syllables():
    crest, unevenness = {}, {}
    for kind in NOISES:
        sounds = [background(kind, np.random.default_rng(k), 10 * RATE, RATE) for k in range(3)]
        crest[kind] = np.mean([np.abs(sound).max() for sound in sounds])
        frames = np.sqrt(np.mean(np.reshape(sounds, (3, -1, 800)) ** 2, axis=2))
        unevenness[kind] = np.mean(np.std(frames, axis=1))
    assert crest["impulse"] > 1.5 * max(crest[kind] for kind in ("white", "pink", "brown", "hum"))
    assert unevenness["babble"] > 1.4 * max(unevenness[kind] for kind in ("white", "pink", "hum"))


def test_positions_differ_and_none_hears_the_sound_before_it_is_made():
    click = np.zeros(1000)
    click[100] = 1.0
    heard = {position: listen(click, position, RATE) for position in MICROPHONES}
    assert all(np.abs(sound[:100]).max() < 1e-12 for sound in heard.values())
    assert all(sound[100] > 0.2 for sound in heard.values())
    assert len({sound.round(9).tobytes() for sound in heard.values()}) == len(MICROPHONES)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("position", MICROPHONES)
def test_a_position_lifts_or_dulls_the_highs_as_it_says(position, rate):
    click = np.zeros(2048)
    click[0] = 1.0
    microphone = MICROPHONES[position]
    gain = np.abs(np.fft.rfft(listen(click, position, rate)))
    hz = np.arange(len(gain)) * rate / len(click)
    low = gain_db(np.sqrt(np.mean(gain[hz < 0.15 * microphone.shelf_hz] ** 2)))
    high = gain_db(np.sqrt(np.mean(gain[hz > 0.9 * rate / 2] ** 2)))
    assert high - low == pytest.approx(microphone.shelf_db, abs=1.7)


def test_a_recording_shorter_than_an_echo_is_heard_all_the_same():
    assert listen(np.ones(20), "far", RATE).shape == (20,)


def test_surroundings_are_as_loud_as_the_ratio_asks_for():
    rng = np.random.default_rng(0)
    machine = 0.05 * rng.standard_normal(RATE)
    around = at_snr(background("pink", rng, RATE, RATE), machine, 12.0)
    assert gain_db(rms(machine) / rms(around)) == pytest.approx(12.0, abs=1e-3)


def test_the_domains_differ_in_everything_around_the_machine():
    source, target = DOMAINS["source"], DOMAINS["target"]
    assert not set(source.noises) & set(target.noises)
    assert {*source.noises, *target.noises} == {"white", "pink", "brown", "hum", "impulse", "babble"}
    assert not set(source.microphones) & set(target.microphones)
    assert source.speeds != target.speeds
    assert source.loads != target.loads
    assert source.snr_db == (10.0, 30.0)
    assert target.snr_db == (0.0, 20.0)


def test_conditions_refer_to_what_can_be_made():
    for domain in DOMAINS.values():
        assert set(domain.noises) <= set(NOISES)
        assert set(domain.microphones) <= set(MICROPHONES)
        assert set(domain.speeds) <= set(SPEEDS)
        assert set(domain.loads) <= set(LOADS)


def test_unknown_names_list_those_there_are():
    with pytest.raises(ParameterError, match=r"'purple'.*white, pink"):
        background("purple", np.random.default_rng(0), 100, RATE)
    with pytest.raises(ParameterError, match=r"'moon'.*near, side"):
        listen(np.zeros(100), "moon", RATE)
