"""The tables that ALP keeps: a frame that breaks its schema is never written."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from pandera.errors import SchemaError, SchemaErrors

from schemas.tables import CLIPS, QUALITY, SCORES, table_of


def _clip_row(number=0, **changes):
    return {
        "clip_id": f"clip-{number}",
        "recording": "audio/1.wav",
        "path": f"audio/clip-{number}.wav",
        "offset_s": 10.0 * number,
        "valid_samples": 160_000,
        "sample_rate_hz": 16_000.0,
        "modality": "sound",
        "audio_sha256": "0" * 64,
        "machine_type": "fan",
        "section_id": "1호기",
        "split": "train",
        "domain": "target",
        "label": "normal",
        "recorded_at": pd.Timestamp("2026-01-01 09:00"),
        **changes,
    }


def _score_row(number=0, **changes):
    return {
        "clip_id": f"clip-{number}",
        "recording": "audio/1.wav",
        "machine_type": "fan",
        "section_id": "1호기",
        "domain": "target",
        "split": "test",
        "score": 1.5,
        "severity": 75.0,
        "state": "WARNING",
        "decision": "anomaly",
        "threshold": 1.0,
        "label": "unknown",
        **changes,
    }


def test_good_rows_make_a_table_with_the_columns_in_order(quality_row):
    rows = [dict(reversed(quality_row(number).items())) | {"more": 1} for number in range(3)]
    frame = table_of(rows, QUALITY)
    assert list(frame.columns) == list(QUALITY.columns)
    assert frame["clip_id"].tolist() == ["clip-0", "clip-1", "clip-2"]
    assert frame["row"].dtype == "int64"
    assert frame["section_id"].dtype == "str"


@pytest.mark.parametrize("schema", [QUALITY, CLIPS, SCORES], ids=["quality", "clips", "scores"])
def test_no_rows_make_an_empty_table_of_the_same_types(schema, tmp_path):
    frame = table_of([], schema)
    assert list(frame.columns) == list(schema.columns)
    frame.to_parquet(tmp_path / "table.parquet")
    schema.validate(pd.read_parquet(tmp_path / "table.parquet"))


def test_what_could_not_be_measured_may_be_missing(quality_row):
    measures = ["rms_dbfs", "peak_dbfs", "clipping_ratio", "silence_ratio", "dropout_ratio", "dc_offset"]
    nothing = dict.fromkeys([*measures, "bandwidth_hz", "gusts_db", "gain_step_db"], math.nan)
    frame = table_of([quality_row(verdict="set aside", duration_s=0.0, **nothing)], QUALITY)
    assert frame["rms_dbfs"].isna().all()


@pytest.mark.parametrize(
    "bad",
    [
        {"verdict": "fine"},
        {"split": "holdout"},
        {"clipping_ratio": 1.5},
        {"silence_ratio": -0.1},
        {"duration_s": -1.0},
        {"duration_s": math.nan},
        {"channels": -1},
        {"clipping_runs": -1},
        {"hum_hz": 400},
        {"clip_id": None},
        {"clip_id": "clip-0"},
    ],
)
def test_a_bad_value_in_the_quality_table_is_refused(quality_row, bad):
    with pytest.raises(SchemaError, match=next(iter(bad))):
        table_of([quality_row(0), quality_row(1, **bad)], QUALITY)


@pytest.mark.parametrize(
    "bad",
    [
        {"valid_samples": 0},
        {"valid_samples": 160_001},
        {"offset_s": -10.0},
        {"label": "broken"},
        {"domain": "elsewhere"},
        {"split": "Train"},
        {"path": "audio/clip-0.wav"},
        {"clip_id": "clip-0"},
        {"section_id": None},
    ],
)
def test_a_bad_value_in_the_clip_manifest_is_refused(bad):
    with pytest.raises(SchemaError, match=next(iter(bad))):
        table_of([_clip_row(0), _clip_row(1, **bad)], CLIPS)


@pytest.mark.parametrize(
    "bad",
    [
        {"score": math.nan},
        {"severity": 100.5},
        {"severity": -1.0},
        {"decision": "maybe"},
        {"threshold": math.nan},
        {"label": ""},
        {"clip_id": "clip-0"},
    ],
)
def test_a_bad_value_in_the_scores_is_refused(bad):
    with pytest.raises(SchemaError, match=next(iter(bad))):
        table_of([_score_row(0), _score_row(1, **bad)], SCORES)


def test_a_row_without_a_number_is_refused(quality_row):
    row = quality_row()
    del row["row"]
    with pytest.raises(ValueError, match="row"):
        table_of([row], QUALITY)


def test_a_frame_with_more_fewer_or_moved_columns_is_refused():
    frame = table_of([_score_row()], SCORES)
    for wrong in (frame.assign(more=1), frame.drop(columns="label"), frame[frame.columns[::-1]]):
        with pytest.raises((SchemaError, SchemaErrors), match="column"):
            SCORES.validate(wrong)


def test_conditions_of_a_clip_may_be_missing_and_stay_missing():
    frame = table_of([_clip_row(0, noise_id="N1"), _clip_row(1, recorded_at=None)], CLIPS)
    assert frame["noise_id"].isna().tolist() == [False, True]
    assert frame["recorded_at"].isna().tolist() == [False, True]
    assert frame["snr_db"].isna().all()
