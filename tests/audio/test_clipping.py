"""Clipped samples and their runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alp_assets.audio.clipping import ClippingMeter


def counted(sound, block=1 << 20):
    meter = ClippingMeter()
    for start in range(0, len(sound), block):
        part = np.asarray(sound[start : start + block], np.float32)
        meter.add(part, float(np.abs(part).max()))
    return meter.samples, meter.runs, meter.longest


@pytest.mark.parametrize(
    ("sound", "found"),
    [
        ([0.5, 0.9, 0.1], (0, 0, 0)),
        ([1.0, 0.5, -1.0], (2, 0, 1)),
        ([0.1, 1.0, 1.0, 0.1, -1.0, -1.0, -1.0], (5, 2, 3)),
        ([1.0] * 5, (5, 1, 5)),
    ],
)
def test_runs_are_two_or_more(sound, found):
    assert counted(sound) == found


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
def test_blocks_do_not_matter(clipped, block):
    sound = [1.0 if cell else 0.2 for cell in clipped]
    assert counted(sound, block) == counted(sound)
