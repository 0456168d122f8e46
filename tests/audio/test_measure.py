"""What is measured of a recording, against sounds whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from alp_assets.audio.measure import _Meter, measure
from alp_assets.params import QualityParams

PARAMS = QualityParams()
RATE = 16_000
DROPOUT = round(PARAMS.dropout_run_s * RATE)


@pytest.fixture
def measured(encoded, opened):
    """The measures of samples that went through an audio file."""

    def run(samples, rate=RATE, form="WAV", subtype="PCM_16", channel=1):
        with opened(encoded(samples, rate, form, subtype)) as recording:
            return measure(recording, channel, PARAMS)

    return run


def _metered(*pieces):
    meter = _Meter(RATE, sum(map(len, pieces)), PARAMS)
    for piece in pieces:
        meter.add(np.asarray(piece, np.float32))
    return meter.result(16, "")


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
@pytest.mark.parametrize("amplitude", [0.9, 0.1, 0.003])
def test_level_and_peak_of_a_sine(measured, tone, rate, amplitude):
    found = measured(tone(997, 1.0, rate, amplitude), rate, subtype="PCM_24")
    assert found.peak_dbfs == pytest.approx(20 * math.log10(amplitude), abs=0.05)
    assert found.rms_dbfs == pytest.approx(20 * math.log10(amplitude / math.sqrt(2)), abs=0.05)


def test_a_full_scale_square_is_0_dbfs_and_clipped_throughout(measured):
    square = np.repeat(np.tile([1.0, -1.0], 100), 80)
    found = measured(square)
    assert found.rms_dbfs == pytest.approx(0, abs=0.05)
    assert found.peak_dbfs == pytest.approx(0, abs=0.05)
    assert found.clipping_ratio == 1.0


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_clipped_samples_are_counted(measured, tone, subtype):
    sound = tone(100, 1.0, amplitude=2.0)
    clipped = np.clip(sound, -1, 1)
    found = measured(clipped, subtype=subtype)
    assert found.clipping_ratio == pytest.approx(np.mean(np.abs(sound) >= 1), abs=1e-3)
    assert found.clipping_ratio > 0.5


def test_a_loud_sound_below_full_scale_is_not_clipped(measured, tone):
    assert measured(tone(100, 1.0, amplitude=0.999)).clipping_ratio == 0


def test_half_silent(measured, tone):
    sound = tone(440, 2.0)
    sound[RATE:] = 0
    found = measured(sound)
    assert found.silence_ratio == 0.5
    assert found.dropout_ratio == pytest.approx(0.5, abs=1e-3)


def test_noise_under_the_limit_is_silence_but_no_dropout(measured, noise):
    found = measured(noise(2 * RATE, 2e-5), subtype="PCM_24")
    assert found.rms_dbfs < PARAMS.silence_dbfs
    assert found.silence_ratio == 1.0
    assert found.dropout_ratio < 0.01


def test_a_quiet_machine_is_not_silent(measured, noise):
    found = measured(noise(2 * RATE, 1e-3))
    assert found.silence_ratio == 0
    assert found.rms_dbfs == pytest.approx(-60, abs=0.3)


def test_digital_silence_has_finite_figures(measured):
    found = measured(np.zeros(RATE))
    assert (found.rms_dbfs, found.peak_dbfs) == (-200, -200)
    assert (found.silence_ratio, found.dropout_ratio, found.bandwidth_hz) == (1, 1, 0)


def test_an_empty_recording_has_finite_figures(measured):
    found = measured(np.zeros(0))
    assert found.rms_dbfs == -200
    assert found.clipping_ratio == found.silence_ratio == found.dropout_ratio == found.bandwidth_hz == 0


@pytest.mark.parametrize(("zeros", "counted"), [(DROPOUT - 1, 0), (DROPOUT, DROPOUT), (1_000, 1_000)])
def test_only_runs_of_exact_zeros_that_are_long_enough_are_dropouts(measured, zeros, counted):
    sound = np.full(RATE, 0.25)
    sound[1_000 : 1_000 + zeros] = 0
    assert measured(sound).dropout_ratio == counted / RATE


def test_zero_crossings_are_no_dropouts(measured, tone):
    assert measured(tone(1_000, 1.0)).dropout_ratio == 0


@pytest.mark.parametrize("block", [DROPOUT - 10, DROPOUT, 1_000, 1_234, 5_000])
def test_a_dropout_across_blocks_is_one(measured, in_blocks_of, block):
    sound = np.full(RATE, 0.25)
    sound[900:3_100] = 0
    sound[8_000 : 8_000 + DROPOUT - 1] = 0
    sound[-DROPOUT:] = 0
    in_blocks_of(block)
    assert measured(sound).dropout_ratio == (2_200 + DROPOUT) / RATE


def test_dc_offset_is_that_of_either_sign(measured, tone):
    sound = tone(100, 1.0, amplitude=0.3)
    assert measured(sound).dc_offset == pytest.approx(0, abs=1e-4)
    assert measured(sound + 0.2).dc_offset == pytest.approx(0.2, abs=1e-3)
    assert measured(sound - 0.2).dc_offset == pytest.approx(0.2, abs=1e-3)


def test_samples_that_are_not_numbers_are_counted_and_spoil_nothing_else(measured, tone):
    sound = tone(440, 1.0)
    sound[10:13] = np.nan
    sound[500], sound[501] = np.inf, -np.inf
    found = measured(sound, subtype="FLOAT")
    assert found.non_finite == 5
    assert found.rms_dbfs == pytest.approx(-9.03, abs=0.05)
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.05)
    assert math.isfinite(found.dc_offset)
    assert found.bandwidth_hz > 0


def test_absurdly_large_floats_have_finite_figures(measured, tone):
    sound = tone(440, 1.0)
    sound[100:103] = [3e38, -3e38, 1e25]
    found = measured(sound, subtype="FLOAT")
    assert found.non_finite == 0
    assert all(
        math.isfinite(value)
        for value in (found.rms_dbfs, found.peak_dbfs, found.dc_offset, found.silence_ratio, found.bandwidth_hz)
    )
    assert found.rms_dbfs == pytest.approx(10 * math.log10(2 * 9e76 / RATE), abs=0.1)


def test_the_chosen_channel_is_measured(measured, tone):
    both = np.stack([tone(440, 1.0, amplitude=0.5), tone(440, 1.0, amplitude=0.05)], axis=1)
    first, second = measured(both, channel=1), measured(both, channel=2)
    assert first.rms_dbfs - second.rms_dbfs == pytest.approx(20, abs=0.1)
    assert measured(both, channel="average").peak_dbfs == pytest.approx(20 * math.log10(0.275), abs=0.05)
    assert first.audio_sha256 == second.audio_sha256


def test_the_same_audio_has_one_fingerprint_in_any_file(measured, noise, in_blocks_of):
    sound = np.round(noise(10_000) * 2**15) / 2**15
    prints = {
        measured(sound, form="WAV", subtype="PCM_16").audio_sha256,
        measured(sound, form="FLAC", subtype="PCM_16").audio_sha256,
        measured(sound, form="WAV", subtype="PCM_24").audio_sha256,
        measured(sound, form="AIFF", subtype="PCM_16").audio_sha256,
    }
    in_blocks_of(777)
    prints.add(measured(sound).audio_sha256)
    assert len(prints) == 1


def test_other_audio_has_another_fingerprint(measured, noise):
    sound = np.round(noise(10_000) * 2**15) / 2**15
    one_step = sound.copy()
    one_step[9_999] += 2**-15
    both = np.stack([sound, one_step], axis=1)
    prints = [
        measured(sound),
        measured(one_step),
        measured(sound[:-1]),
        measured(sound, rate=8_000),
        measured(both),
        measured(both[:, ::-1]),
    ]
    assert len({found.audio_sha256 for found in prints}) == 6


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_white_noise_fills_the_band(measured, noise, rate):
    assert measured(noise(3 * rate), rate).bandwidth_hz == pytest.approx(rate / 2, rel=0.01)


@pytest.mark.parametrize("deviation", [0.1, 0.005])
def test_a_source_of_8_khz_is_found_after_resampling(measured, noise, deviation):
    sound = soxr.resample(noise(5 * 8_000, deviation), 8_000, 16_000)
    assert measured(sound).bandwidth_hz == pytest.approx(4_000, rel=0.05)


def test_the_edge_of_a_lossy_codec_is_found(measured, noise):
    low = sosfilt(butter(16, 5_500, fs=RATE, output="sos"), noise(5 * RATE))
    assert 5_000 < measured(low).bandwidth_hz < 6_800


def test_an_offset_is_not_bandwidth(measured):
    assert measured(np.full(RATE, 0.3)).bandwidth_hz < 100


def test_an_offset_does_not_hide_quiet_bandwidth(measured, noise):
    assert measured(noise(3 * RATE, 3e-4) + 0.3, subtype="PCM_24").bandwidth_hz > 7_900


@pytest.mark.parametrize(("below_db", "edge"), [(70, 8_000), (90, 4_000)])
def test_bandwidth_ends_80_db_below_the_loudest(measured, noise, below_db, edge):
    loud = soxr.resample(noise(5 * 8_000, 0.1), 8_000, 16_000)
    quiet = noise(loud.size, 0.1 * 10 ** (-below_db / 20), seed=1)
    assert measured(loud + quiet, subtype="PCM_24").bandwidth_hz == pytest.approx(edge, rel=0.05)


@pytest.mark.parametrize("block", [5_000, 20_000, 7_900, 79_999])
def test_bandwidth_does_not_hang_on_the_size_of_blocks(measured, noise, in_blocks_of, block):
    sound = soxr.resample(noise(5 * 8_000), 8_000, 16_000)
    whole = measured(sound).bandwidth_hz
    in_blocks_of(block)
    assert measured(sound).bandwidth_hz == pytest.approx(whole, rel=0.05)


_PIECES = st.lists(
    st.one_of(
        st.integers(1, 3 * DROPOUT).map(np.zeros),
        st.integers(1, 3 * DROPOUT).map(lambda n: np.full(n, 1.0)),
        st.tuples(st.integers(1, 500), st.integers(0, 2**31)).map(
            lambda pair: np.random.default_rng(pair[1]).choice([-1.0, -0.5, 0, 0.1, 0.7], pair[0])
        ),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=150)
@given(pieces=_PIECES, cuts=st.lists(st.integers(1, 4_000), max_size=6))
def test_measuring_in_pieces_equals_measuring_at_once(pieces, cuts):
    sound = np.concatenate(pieces)
    places = sorted({cut for cut in cuts if cut < len(sound)})
    whole, parts = _metered(sound), _metered(*np.split(sound, places))
    assert parts.dropout_ratio == whole.dropout_ratio
    assert parts.clipping_ratio == whole.clipping_ratio == np.mean(np.abs(sound) == 1)
    assert parts.peak_dbfs == whole.peak_dbfs
    assert parts.rms_dbfs == pytest.approx(whole.rms_dbfs, abs=1e-4)
    assert parts.dc_offset == pytest.approx(whole.dc_offset, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(pieces=_PIECES)
def test_dropouts_are_those_found_one_sample_at_a_time(pieces):
    sound = np.concatenate(pieces)
    counted = run = 0
    for sample in [*sound, 1.0]:
        if sample == 0:
            run += 1
            continue
        counted += run if run >= DROPOUT else 0
        run = 0
    assert _metered(sound).dropout_ratio == counted / len(sound)
