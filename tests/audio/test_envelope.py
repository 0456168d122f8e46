"""Envelope and low-frequency spectra: lines where they belong, at their levels, whatever the clip."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.audio.envelope import ENVELOPE_HZ, LOW_HZ, SPECTRUM_FLOOR_DB, spectra


def _modulated(hz, depth, carrier=4_000, seconds=10.0):
    time = np.arange(round(16_000 * seconds)) / 16_000
    return (0.1 * (1 + depth * np.cos(2 * np.pi * hz * time)) * np.cos(2 * np.pi * carrier * time)).astype(
        np.float32
    )


@pytest.mark.parametrize("hz", [7, 87, 333])
def test_a_modulation_is_a_line_at_its_frequency_and_depth(hz):
    found = spectra(_modulated(hz, 0.5)).envelope_db
    assert ENVELOPE_HZ[found.argmax()] == hz
    assert found.max() == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.3)


def test_what_is_modulated_below_the_band_does_not_count():
    assert spectra(_modulated(87, 0.5, carrier=500)).envelope_db.max() < -30


def test_loudness_does_not_change_the_envelope_spectrum(noise):
    sound = noise(160_000)
    np.testing.assert_allclose(spectra(sound).envelope_db, spectra(sound / 16).envelope_db, atol=0.01)


@pytest.mark.parametrize("hz", [25, 49.5, 120])
def test_a_low_tone_is_a_line_at_its_level(tone, hz):
    found = spectra(tone(hz, 10.0, amplitude=0.1)).low_db
    assert LOW_HZ[found.argmax()] == hz
    assert found.max() == pytest.approx(-23.0, abs=0.1)


def test_blows_raise_kurtosis_and_crest(noise):
    smooth = spectra(noise(160_000))
    blows = noise(160_000, 0.01)
    blows[::1_600] += 1
    rough = spectra(blows)
    assert smooth.kurtosis == pytest.approx(3.2, abs=0.2)
    assert rough.kurtosis > 10 * smooth.kurtosis
    assert rough.crest > 2 * smooth.crest


def test_silence_has_neither_lines_nor_blows():
    found = spectra(np.zeros(160_000, np.float32))
    assert (found.envelope_db == SPECTRUM_FLOOR_DB).all()
    assert (found.low_db == SPECTRUM_FLOOR_DB).all()
    assert found.kurtosis == found.crest == 0


@pytest.mark.parametrize("samples", [1, 100, 8_000, 16_000, 23_456, 157_319])
def test_any_length_gives_finite_spectra_of_one_shape(noise, samples):
    found = spectra(noise(samples))
    assert found.envelope_db.shape == ENVELOPE_HZ.shape
    assert found.low_db.shape == LOW_HZ.shape
    values = [*found.envelope_db, *found.low_db, found.kurtosis, found.crest]
    assert np.isfinite(values).all()


def test_a_second_is_enough_to_find_a_modulation():
    assert ENVELOPE_HZ[spectra(_modulated(87, 0.5, seconds=1.0)).envelope_db.argmax()] == 87
