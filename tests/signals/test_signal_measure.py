"""What is measured of a recording, what that makes of it, and what is replaced before anything is computed."""

from __future__ import annotations

import string

import numpy as np
import pytest

from alp_assets.signals.clean import cut, mended
from alp_assets.signals.measure import mains_frequency, measure
from alp_assets.signals.recording import Clock, SignalRecording, Spikes
from alp_assets.signals.verdict import Limits, differing_rates, judge
from schemas.problems import Problem
from schemas.texts import LANGUAGES, read_texts

RATE = 2000.0
N = 8192
T = np.arange(N) / RATE
ROLES = ("phase_a", "phase_b", "phase_c")


def phases(hz=60.0, amplitudes=(3.0, 3.0, 3.0), order=1, noise=0.01):
    angles = np.array([0, -1, 1]) * order * 2 * np.pi / 3
    clean = [
        amplitude * np.cos(2 * np.pi * hz * T + angle) for amplitude, angle in zip(amplitudes, angles, strict=True)
    ]
    return (np.array(clean) + noise * np.random.default_rng(0).normal(size=(3, N))).astype(np.float32)


def recording(values, roles=ROLES, **other):
    bad = tuple(int(np.count_nonzero(~np.isfinite(row))) for row in values)
    return SignalRecording("CSV", roles, roles, RATE, values, bad, **other)


def problems(values, roles=ROLES, learned=True, modality="current", **other):
    found = recording(values, roles, **other)
    listed = list(judge(found, measure(found), Limits(), learned=learned, modality=modality))
    for problem in listed:
        for language in LANGUAGES:
            assert all(problem.told(language))
    return {problem.code: problem.severity for problem in listed}


def test_a_good_recording_has_no_problem():
    assert problems(phases()) == {}


def test_a_channel_is_measured_in_its_units():
    found = measure(recording(phases(noise=0.0) + 1.0)).channels[0]
    assert found.rms == pytest.approx(3 / np.sqrt(2), rel=1e-2)
    assert found.peak == pytest.approx(3, rel=1e-2)
    assert found.crest == pytest.approx(np.sqrt(2), rel=1e-2)
    assert found.offset == pytest.approx(1, abs=0.01)
    assert (found.missing, found.longest_missing) == (0, 0)


@pytest.mark.parametrize("hz", [16.6, 49.97, 60.0, 120.3])
def test_the_supply_frequency_is_found_between_the_bins(hz):
    assert mains_frequency(phases(hz), RATE) == pytest.approx(hz, abs=0.01)


def test_noise_has_no_supply_frequency():
    noise = np.random.default_rng(0).normal(size=(3, N)).astype(np.float32)
    assert mains_frequency(noise, RATE) is None
    assert problems(noise) == {"signal_no_mains": "warning"}
    assert mains_frequency(phases()[:, :10], RATE) is None


def test_the_order_of_the_phases_and_their_imbalance():
    balanced = measure(recording(phases())).phases
    assert (balanced.order, balanced.upside_down) == ("abc", "")
    assert balanced.imbalance < 0.01
    assert balanced.negative < 0.01
    assert measure(recording(phases(order=-1))).phases.order == "acb"
    assert problems(phases(order=-1)) == {"signal_phase_order": "warning"}
    lame = measure(recording(phases(amplitudes=(3, 3, 1.5)))).phases
    assert lame.imbalance == pytest.approx(0.4, abs=0.01)
    assert lame.negative == pytest.approx(0.2, abs=0.01)
    assert problems(phases(amplitudes=(3, 3, 1.5))) == {"signal_imbalance": "warning"}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("turned", [0, 1, 2])
def test_a_clamp_the_wrong_way_round_is_found_whatever_the_order(turned, order):
    values = phases(order=order)
    values[turned] *= -1
    found = measure(recording(values)).phases
    assert found.upside_down == ROLES[turned]
    assert found.order == ("abc" if order == 1 else "acb")


def test_roles_in_another_order_of_rows_are_the_same_motor():
    values = phases()[[2, 0, 1]]
    assert problems(values, ("phase_c", "phase_a", "phase_b")) == {}


def test_missing_values_are_an_error_where_they_are_many_or_long():
    few = phases()
    few[0, 100] = np.nan
    few[1, 200] = np.inf
    assert problems(few) == {"signal_few_missing_values": "warning"}
    long = phases()
    long[0, 100:400] = np.nan
    found = measure(recording(long)).channels[0]
    assert found.longest_missing == 300
    assert found.missing == pytest.approx(300 / N)
    assert problems(long) == {"signal_missing_values": "error"}


def test_nothing_measured_is_an_error_and_one_dead_phase_may_be_a_fault():
    for nothing in (0.0, 2.5, np.nan):
        assert problems(np.full((3, N), nothing, np.float32))["signal_dead"] == "error"
    open_phase = phases()
    open_phase[1] = 0
    assert problems(open_phase) == {"signal_channel_dead": "error"}
    assert problems(open_phase, learned=False) == {"signal_channel_dead": "warning"}


def test_a_missing_phase_is_told():
    assert problems(phases()[:2], ROLES[:2]) == {"signal_phase_missing": "warning"}
    assert problems(phases()[:1], ("flux",), modality="flux") == {}


def test_standing_still_and_the_end_of_the_range():
    still = phases()
    still[0, N // 4 :] = still[0, N // 4]
    assert problems(still)["signal_flat"] == "error"
    clipped = np.clip(phases(), -2, 2)
    assert problems(clipped)["signal_saturated"] == "error"
    little = np.clip(phases(), -2.95, 2.95)
    assert problems(little) == {"signal_saturated": "warning"}


def test_offset_clock_and_rate():
    assert problems(phases() + 5)["signal_offset"] == "warning"
    assert problems(phases(37.0)) == {"signal_mains": "warning"}
    assert problems(phases(), clock=Clock(RATE, 0.2, 1.4, 0, 0)) == {"signal_jitter": "warning"}
    assert problems(phases(), clock=Clock(RATE, 0.0, 9.0, 1, 8)) == {"signal_gaps": "warning"}
    assert problems(phases(), clock=Clock(RATE, 0.0, 900.0, 1, 899)) == {"signal_gaps": "error"}
    assert problems(phases(), clock=Clock(RATE, 0.0, 0.0, 0, 0, coarse=True)) == {"signal_clock_coarse": "warning"}
    assert problems(phases(), spikes=Spikes(3, "a", 17, 1e30)) == {"signal_spikes": "warning"}


def test_what_is_shorter_than_a_clip_is_set_aside():
    assert problems(phases()[:, :4096]) == {"signal_too_short": "error"}


def test_another_rate_in_a_section_is_set_aside():
    found = differing_rates({"a": 10_000.0, "b": 10_001.0, "c": 5_000.0, "d": 10_000.0})
    assert list(found) == ["c"]
    assert found["c"].values == {"rate": 5_000.0, "usual": 10_000.0}
    assert differing_rates({"a": 10_000.0, "b": 10_010.0}) == {}
    assert differing_rates({}) == {}


def test_holes_are_filled_from_their_neighbours():
    values = np.array([[1, np.nan, 3, np.inf], [np.nan, 2, 2, 2], [np.nan] * 4], np.float32)
    assert mended(values).tolist() == [[1, 2, 3, 3], [2, 2, 2, 2], [0, 0, 0, 0]]
    assert np.isnan(values[0, 1])
    whole = np.ones((2, 3), np.float32)
    assert mended(whole) is whole


def test_clips_follow_each_other_and_a_remainder_is_left_out():
    values = np.arange(14, dtype=np.float32).reshape(2, 7)
    assert cut(values, 3).tolist() == [[[0, 1, 2], [7, 8, 9]], [[3, 4, 5], [10, 11, 12]]]
    assert cut(values, 8).shape == (0, 2, 8)


def test_every_text_exists_in_every_language_with_the_same_gaps():
    def gaps(text):
        return {name.partition(":")[0] for _, name, _, _ in string.Formatter().parse(text) if name}

    english, korean = (read_texts("signals", language)["problems"] for language in LANGUAGES)
    assert list(english) == list(korean)
    for code, words in english.items():
        for key in ("problem", "remedy"):
            assert words[key].strip()
            assert gaps(words[key]) == gaps(korean[code][key]), code


def test_a_code_without_a_text_is_an_error():
    with pytest.raises(KeyError):
        Problem("error", "signal_unheard_of").told("en")
