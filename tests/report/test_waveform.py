"""The picture of a signal's clip: its channels, and where each is unusual."""

from __future__ import annotations

import re

import numpy as np
import pytest

from alp_assets.report.model import ClipView
from alp_assets.report.waveform import waveforms
from alp_assets.signals.likeness import spectral_shape

ROLES = ("phase_a", "phase_b", "phase_c", "flux")


def clip(*, flux=True, anomaly_map=None, points=4000):
    time = np.arange(points) / 10_000
    samples = np.stack([np.sin(2 * np.pi * 60 * time + turn) for turn in range(4)]).astype(np.float32)
    samples[3] *= flux
    return ClipView(
        clip_id="<b>",
        recording="a.csv",
        path="signals/1.npy",
        score=3.0,
        threshold=1.0,
        severity=90.0,
        decision="anomaly",
        label=None,
        samples=samples,
        sample_rate=10_000.0,
        state="CRITICAL",
        anomaly_map=anomaly_map,
        map_seconds=10.0,
        channels=ROLES,
    )


def test_every_channel_with_a_signal_has_its_name_in_both_languages():
    drawn = waveforms(clip(), "section-1-c0", 'aria-label="x"')
    for word in ("phase a", "a상", "phase c", "flux", "자속", "time (s)"):
        assert word in drawn
    silent = waveforms(clip(flux=False), "section-1-c0", 'aria-label="x"')
    assert "flux" not in silent
    assert "phase c" in silent


def test_the_strip_stands_where_the_map_is_high():
    found = np.full((4, 100), 1.0, np.float32)
    plain = waveforms(clip(anomaly_map=found), "c", "")
    found[1, 50:60] = 9.0
    marked = waveforms(clip(anomaly_map=found), "c", "")
    assert marked != plain
    assert "#9c2f2f" in marked
    assert "#9c2f2f" not in waveforms(clip(), "c", "")


@pytest.mark.parametrize(
    "found", [np.zeros((4, 1)), np.full((4, 300), np.nan), np.zeros((2, 5)), np.full((4, 7), 3.0)], ids=str
)
def test_maps_without_anything_to_tell_draw_no_less(found):
    assert "phase a" in waveforms(clip(anomaly_map=found.astype(np.float32)), "c", "")


def test_a_picture_is_small_and_the_same_each_time():
    drawn = waveforms(clip(points=8192, anomaly_map=np.random.default_rng(0).random((4, 256))), "c", "")
    assert len(drawn) < 45_000
    assert drawn == waveforms(clip(points=8192, anomaly_map=np.random.default_rng(0).random((4, 256))), "c", "")
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", drawn)


def test_a_clip_of_silence_is_drawn_without_channels():
    silent = clip()
    silent.samples[:] = 0
    assert "<svg" in waveforms(silent, "c", "")


def test_the_angle_at_which_a_clip_begins_makes_no_difference_to_its_shape():
    time = np.arange(4000) / 10_000
    one, two = (np.sin(2 * np.pi * 60 * time + start)[None] for start in (0.0, 1.0))
    other = one + 0.2 * np.sin(2 * np.pi * 300 * time)[None]
    apart = np.abs(spectral_shape(one) - spectral_shape(other)).max()
    assert np.abs(spectral_shape(one) - spectral_shape(two)).max() < apart
    assert np.isfinite(spectral_shape(np.zeros((2, 4000)))).all()
