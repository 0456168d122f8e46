from __future__ import annotations

import pytest


@pytest.fixture
def quality_row():
    """A row of the quality table of a good recording."""

    def make(number=0, **changes):
        return {
            "recording": f"audio/{number}.wav",
            "clip_id": f"clip-{number}",
            "file": f"audio/{number}.wav",
            "row": number + 2,
            "machine_type": "fan",
            "section_id": "1호기",
            "split": "train",
            "verdict": "ok",
            "reasons": "",
            "warnings": "",
            "problems": "",
            "container": "WAV",
            "subtype": "PCM_16",
            "sample_rate_hz": 16_000,
            "channels": 1,
            "duration_s": 10.0,
            "rms_dbfs": -30.0,
            "peak_dbfs": -12.0,
            "clipping_ratio": 0.0,
            "silence_ratio": 0.0,
            "dropout_ratio": 0.0,
            "dc_offset": 0.001,
            "bandwidth_hz": 8_000.0,
            "audio_sha256": f"{number:064x}",
            **changes,
        }

    return make
