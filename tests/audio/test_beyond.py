"""Levels above 8 kHz, from the original recording, for the ten seconds of each clip."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from alp_assets.audio.beyond import FLOOR_DB, Beyond, BeyondMeter, measure_beyond
from alp_assets.audio.standardize import standard_clips

RATES = [24_000, 32_000, 44_100, 48_000, 96_000, 192_000]


@pytest.fixture
def levels(encoded, opened):
    """(db_8_10k, db_above_10k) of each clip of samples that went through an audio file."""

    def run(samples, rate, channel=1):
        with opened(encoded(samples, rate, subtype="FLOAT")) as recording:
            return [(clip.db_8_10k, clip.db_above_10k) for clip in standard_clips(recording, channel, 1.0)]

    return run


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("hz", "band"), [(9_000, 0), (10_700, 1)])
def test_a_tone_counts_to_its_band_alone(tone, rate, hz, band):
    found = measure_beyond(tone(hz, 2.0, rate, amplitude=0.1), rate)
    in_band, other = (found.db_8_10k, found.db_above_10k)[:: 1 if band == 0 else -1]
    assert in_band == pytest.approx(10 * np.log10(0.1**2 / 2), abs=0.2)
    assert other < in_band - 40


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_white_noise_counts_by_the_width_of_the_bands(noise, rate):
    found = measure_beyond(noise(10 * rate, 0.1), rate)
    assert found.db_8_10k == pytest.approx(10 * np.log10(0.01 * 2_000 / (rate / 2)), abs=0.3)
    assert found.db_above_10k == pytest.approx(10 * np.log10(0.01 * 10_000 / (rate / 2)), abs=0.3)


def test_loud_low_sound_does_not_leak_up(tone):
    found = measure_beyond(tone(1_000, 2.0, 48_000, amplitude=0.9), 48_000)
    assert max(found.db_8_10k, found.db_above_10k) < -90


@pytest.mark.parametrize(
    ("rate", "low", "high"),
    [
        (8_000, False, False),
        (16_000, False, False),
        (19_999, False, False),
        (20_000, True, False),
        (21_000, True, False),
        (22_050, True, True),
        (48_000, True, True),
    ],
)
def test_what_the_sample_rate_cannot_hold_is_not_a_number(levels, noise, rate, low, high):
    ((db_8_10k, db_above_10k),) = levels(noise(2 * rate), rate)
    assert (np.isfinite(db_8_10k), np.isfinite(db_above_10k)) == (low, high)


def test_silence_is_the_floor_and_less_than_a_frame_nothing():
    assert measure_beyond(np.zeros(48_000, np.float32), 48_000) == Beyond(FLOOR_DB, FLOOR_DB)
    assert np.isnan(measure_beyond(np.ones(100, np.float32), 48_000).db_8_10k)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_the_levels_are_those_of_the_clips_own_seconds(levels, tone, rate):
    sound = np.zeros(25 * rate, np.float32)
    sound[10 * rate : 20 * rate] = tone(12_000, 10.0, rate, amplitude=0.1)
    sound[20 * rate :] = tone(9_000, 5.0, rate, amplitude=0.2)
    first, second, third = levels(sound, rate)
    assert first == (FLOOR_DB, FLOOR_DB)
    assert second[1] == pytest.approx(-23.0, abs=0.2)
    assert third[0] == pytest.approx(-17.0, abs=0.2)
    assert max(second[0], third[1]) < -60


@pytest.mark.parametrize("block", [997, 50_001])
def test_the_levels_do_not_hang_on_the_size_of_blocks(levels, noise, in_blocks_of, block):
    sound = noise(23 * 44_100)
    whole = levels(sound, 44_100)
    in_blocks_of(block)
    assert levels(sound, 44_100) == whole


def test_the_chosen_microphone_is_measured(levels, tone):
    both = np.stack([tone(9_000, 2.0, 48_000, 0.1), tone(12_000, 2.0, 48_000, 0.1)], axis=1)
    assert levels(both, 48_000, channel=1)[0][0] > -24 > -60 > levels(both, 48_000, channel=2)[0][0]


def test_a_long_recording_needs_no_more_memory_than_a_clip(noise):
    meter, block = BeyondMeter(48_000, 1), noise(48_000)
    tracemalloc.start()
    try:
        for _ in range(100):
            meter.add(block.copy())
            meter.take()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * block.nbytes
