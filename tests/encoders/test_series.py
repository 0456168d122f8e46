"""The encoder of signals: values as they were measured, masked channels hidden."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.encoders.series import SeriesEncoder
from alp_assets.params import SignalParams


def clip(value=1.0):
    return np.full((4, 256), value, np.float32)


@pytest.mark.parametrize(
    ("masked", "modality", "hidden"),
    [
        (("flux",), "current", [3]),
        (("flux",), "flux", []),
        (("flux",), "vibration", []),
        ((), "current", []),
        (("phase_b", "flux"), "current", [1, 3]),
        (("axis_z",), "vibration", [2]),
        (("axis_z",), "current", []),
    ],
)
def test_masked_channels_are_zeros_and_flux_alone_is_never_masked(masked, modality, hidden):
    encoder = SeriesEncoder(SignalParams(clip_points=256, masked=masked))
    found = encoder.encode([(clip(), modality)], ["frames"])["frames"]
    assert found.shape == (1, *encoder.views["frames"]) == (1, 4, 256)
    assert [row for row in range(4) if not found[0, row].any()] == hidden


def test_values_are_neither_scaled_nor_changed_and_what_was_given_stays_as_it_was():
    given = clip(70_000.123)
    found = SeriesEncoder(SignalParams(clip_points=256)).encode([(given, "current")], ["frames"])["frames"]
    np.testing.assert_array_equal(found[0, :3], given[:3])
    assert given[3].all()


def test_a_clip_alone_and_among_others_is_the_same():
    encoder = SeriesEncoder(SignalParams(clip_points=256))
    clips = [(clip(1), "current"), (clip(2), "vibration"), (clip(3), "flux")]
    together = encoder.encode(clips, ["frames"])["frames"]
    for row, one in enumerate(clips):
        np.testing.assert_array_equal(encoder.encode([one], ["frames"])["frames"][0], together[row])


def test_the_settings_say_what_decides_the_values():
    settings = SeriesEncoder(SignalParams(masked=("flux",))).settings
    assert settings["masked"] == ["flux"]
    assert settings["points"] == 8192
    assert settings["rows"] == ["phase_a", "phase_b", "phase_c", "flux"]
