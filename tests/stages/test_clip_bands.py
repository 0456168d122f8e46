"""Stage clips keeps what the original recordings held above 8 kHz."""

from __future__ import annotations

import numpy as np

from alp_assets.stages.clips import read_clips
from tests.packages import audio, hum, receive, row, run_through, table, zipped


def test_clips_carry_the_levels_of_their_originals(tmp_path):
    rate, seconds = 48_000, 12.0
    time = np.arange(round(seconds * rate)) / rate
    whistle = 0.01 * np.sin(2 * np.pi * 12_000 * time) * (time >= 10)
    wide = hum(1, seconds=seconds, rate=rate) + whistle.astype(np.float32)
    files = {"audio/wide.wav": audio(wide, rate=rate), "audio/narrow.wav": audio(hum(2))}
    files["metadata.csv"] = table([row("audio/wide.wav"), row("audio/narrow.wav")])
    folder = receive(tmp_path, zipped(tmp_path / "p.zip", files))
    run_through(folder, until="clips")
    first, second, narrow = read_clips(folder).to_dict("records")
    white = 10 * np.log10(1e-4 / (rate / 2))
    assert abs(first["db_8_10k"] - (white + 10 * np.log10(2_000))) < 1
    assert abs(first["db_above_10k"] - (white + 10 * np.log10(10_000))) < 1
    tone_and_noise = 10 * np.log10(0.01**2 / 2 + 10 ** (first["db_above_10k"] / 10))
    assert abs(second["db_above_10k"] - tone_and_noise) < 0.5
    assert np.isnan([narrow["db_8_10k"], narrow["db_above_10k"]]).all()
