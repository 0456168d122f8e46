from __future__ import annotations

import math

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
            "modality": "sound",
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
            "clipping_runs": 0,
            "longest_clipping_ms": 0.0,
            "silence_ratio": 0.0,
            "dropout_ratio": 0.0,
            "dc_offset": 0.001,
            "bandwidth_hz": 8_000.0,
            "hum_hz": 0,
            "hum_db": math.nan,
            "gusts_db": 3.0,
            "gusts_dbfs": -60.0,
            "gain_step_db": 0.1,
            "gain_step_shape_db": 0.2,
            "gain_step_unrest_db": 0.3,
            "snr_estimate_db": math.nan,
            "level_step_db": 0.0,
            "near_copy_of": "",
            "fits_section": "",
            "section_drift_db": math.nan,
            "audio_sha256": f"{number:064x}",
            **changes,
        }

    return make
