"""Whether two recordings hold the same sound."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.audio.sameness import excerpt, sameness
from tests.packages import hum


@pytest.fixture
def heard(encoded, opened):
    """The excerpt of samples that went through an audio file."""

    def run(samples, rate=16_000, form="WAV"):
        with opened(encoded(samples, rate, form)) as recording:
            return excerpt(recording, 1)

    return run


@pytest.mark.parametrize(
    "change",
    [
        {"samples": lambda x: 0.2 * x},
        {"samples": lambda x: x[20_000:]},
        {"samples": lambda x: -x},
        {"samples": lambda x: x, "form": "OGG"},
        {"samples": lambda x: x, "form": "MP3"},
        {"samples": lambda x: x[::2], "rate": 8_000},
    ],
    ids=["scaled", "shifted", "inverted", "ogg", "mp3", "8 kHz"],
)
def test_a_copy_is_the_same_however_it_is_dressed(heard, change):
    sound = hum(1, seconds=6)
    copy = heard(change["samples"](sound), change.get("rate", 16_000), change.get("form", "WAV"))
    assert sameness(heard(sound), copy) > 0.5


def test_two_recordings_of_one_machine_are_not(heard):
    assert sameness(heard(hum(1, seconds=6)), heard(hum(2, seconds=6))) < 0.1


def test_long_recordings_are_cut_and_silence_is_like_nothing(heard):
    assert heard(np.zeros(25 * 16_000)).size == 20 * 8_000
    assert sameness(heard(np.zeros(16_000)), heard(hum(1))) == 0
    assert sameness(np.zeros(0, np.float32), heard(hum(1))) == 0
