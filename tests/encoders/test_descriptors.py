"""The descriptor encoder: one view, the same for a clip alone and among others."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from alp_assets.audio.descriptors import LAYOUT, descriptors
from alp_assets.encoders.base import Sound
from alp_assets.encoders.descriptors import DescriptorEncoder


def _sound(seconds, seed=0, **levels):
    samples = np.random.default_rng(seed).normal(0, 0.05, round(seconds * 16_000)).astype(np.float32)
    return Sound(samples, **levels)


def test_it_offers_the_descriptors_as_pooled_embeddings():
    encoder = DescriptorEncoder()
    assert dict(encoder.views) == {"pooled": (1, LAYOUT.size)}
    found = encoder.encode([_sound(1), _sound(10)], ["pooled"])
    assert set(found) == {"pooled"}
    assert found["pooled"].shape == (2, 1, LAYOUT.size)
    assert found["pooled"].dtype == np.float32


def test_the_levels_of_the_original_go_in():
    (found,) = DescriptorEncoder().encode([_sound(2, db_8_10k=-40.0, db_above_10k=-50.0)], ["pooled"])["pooled"]
    np.testing.assert_array_equal(found[0], descriptors(_sound(2).samples, -40.0, -50.0))
    assert found[0, LAYOUT.above_10k] == -50


def test_a_clip_alone_and_among_others_is_the_same():
    encoder = DescriptorEncoder()
    sounds = [_sound(2, 1), _sound(1, 2), _sound(3, 3, db_8_10k=math.nan)]
    together = encoder.encode(sounds, ["pooled"])["pooled"]
    for row, sound in enumerate(sounds):
        np.testing.assert_array_equal(encoder.encode([sound], ["pooled"])["pooled"][0], together[row])


def test_no_sounds_are_no_rows_and_another_view_is_an_error():
    assert DescriptorEncoder().encode([], ["pooled"])["pooled"].shape == (0, 1, LAYOUT.size)
    with pytest.raises(KeyError):
        DescriptorEncoder().encode([_sound(1)], ["frames"])


def test_a_silent_clip_is_finite():
    silent = Sound(np.zeros(160_000, np.float32))
    assert np.isfinite(DescriptorEncoder().encode([silent], ["pooled"])["pooled"]).all()


def test_settings_survive_json():
    settings = DescriptorEncoder().settings
    assert json.loads(json.dumps(settings)) == settings
