"""The tables that ALP keeps beside the customer's: what each column holds, checked before it is written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
import pandera.pandas as pa

from schemas.modalities import SIGNALS, SOUND

LONGEST_CLIP = 160_000
"""Samples of a clip of sound: ten seconds."""


def _text(checks: pa.Check | None = None, *, unique: bool = False, nullable: bool = False) -> pa.Column:
    return pa.Column(str, checks, unique=unique, nullable=nullable)


def table_of(rows: Sequence[Mapping[Hashable, Any]], schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A table with the schema's columns and types, from rows that may hold more; checked."""
    frame = pd.DataFrame(list(rows), columns=list(schema.columns))
    types = {name: str(column.dtype) for name, column in schema.columns.items()}
    frame = frame.astype({name: "str" if kind.startswith("string") else kind for name, kind in types.items()})
    return schema.validate(frame)


QUALITY = pa.DataFrameSchema(
    {
        "recording": _text(),
        "clip_id": _text(unique=True),
        "file": _text(),
        "row": pa.Column("int64"),
        "machine_type": _text(),
        "section_id": _text(),
        "split": _text(pa.Check.isin(["train", "test", "validation", "supplemental"])),
        "modality": _text(pa.Check.isin([SOUND, *SIGNALS])),
        "verdict": _text(pa.Check.isin(["ok", "set aside"])),
        "reasons": _text(),
        "warnings": _text(),
        "problems": _text(),
        "container": _text(),
        "subtype": _text(),
        "sample_rate_hz": pa.Column("int64", pa.Check.ge(0)),
        "channels": pa.Column("int64", pa.Check.ge(0)),
        "duration_s": pa.Column("float64", pa.Check.ge(0)),
        "rms_dbfs": pa.Column("float64", nullable=True),
        "peak_dbfs": pa.Column("float64", nullable=True),
        "clipping_ratio": pa.Column("float64", pa.Check.in_range(0, 1), nullable=True),
        "clipping_runs": pa.Column("int64", pa.Check.ge(0)),
        "longest_clipping_ms": pa.Column("float64", pa.Check.ge(0), nullable=True),
        "silence_ratio": pa.Column("float64", pa.Check.in_range(0, 1), nullable=True),
        "dropout_ratio": pa.Column("float64", pa.Check.in_range(0, 1), nullable=True),
        "dc_offset": pa.Column("float64", nullable=True),
        "bandwidth_hz": pa.Column("float64", pa.Check.ge(0), nullable=True),
        "hum_hz": pa.Column("int64", pa.Check.isin([0, 50, 60])),
        "hum_db": pa.Column("float64", nullable=True),
        "gusts_db": pa.Column("float64", nullable=True),
        "gusts_dbfs": pa.Column("float64", nullable=True),
        "gain_step_db": pa.Column("float64", nullable=True),
        "gain_step_shape_db": pa.Column("float64", pa.Check.ge(0), nullable=True),
        "gain_step_unrest_db": pa.Column("float64", pa.Check.ge(0), nullable=True),
        "snr_estimate_db": pa.Column("float64", nullable=True),
        "level_step_db": pa.Column("float64", nullable=True),
        "near_copy_of": _text(),
        "fits_section": _text(),
        "section_drift_db": pa.Column("float64", pa.Check.ge(0), nullable=True),
        "audio_sha256": _text(),
    },
    strict=True,
    ordered=True,
)
"""One row for each recording of the metadata. Measures are empty where nothing could be decoded.

Of a signal only the form is measured here; the rest is in ``MEASURED_SIGNALS``, and levels in dB are empty.
``hum_db`` is empty without hum of the mains; ``snr_estimate_db`` where the machine has no noise-only recording.
``level_step_db`` is how far a recording is off its machine's others by a step of the gain, ``gain_step_db`` the
likeliest step inside it. ``near_copy_of`` is a recording, ``fits_section`` a machine such as ``fan/1``;
``section_drift_db`` is how far the recording's machine is from the customer's earlier packages.
``reasons`` and ``warnings`` are English sentences; ``problems`` is JSON that tells them in any language.
"""

MEASURED_SIGNALS = pa.DataFrameSchema(
    {
        "recording": _text(),
        "row": pa.Column("int64"),
        "modality": _text(pa.Check.isin(SIGNALS)),
        "sample_rate_hz": pa.Column("float64", pa.Check.gt(0)),
        "points": pa.Column("int64", pa.Check.ge(0)),
        "mains_hz": pa.Column("float64", nullable=True),
        "imbalance": pa.Column("float64", nullable=True),
        "phase_order": _text(pa.Check.isin(["", "abc", "acb"])),
        "upside_down": _text(),
        "negative_sequence": pa.Column("float64", nullable=True),
        "zero_sequence": pa.Column("float64", nullable=True),
        "jitter": pa.Column("float64", nullable=True),
        "gaps": pa.Column("int64", pa.Check.ge(0)),
        "points_lost": pa.Column("int64", pa.Check.ge(0)),
        "spikes": pa.Column("int64", pa.Check.ge(0)),
        "channel": _text(),
        "role": _text(),
        "rms": pa.Column("float64", pa.Check.ge(0)),
        "peak": pa.Column("float64", pa.Check.ge(0)),
        "crest": pa.Column("float64", pa.Check.ge(0)),
        "offset": pa.Column("float64"),
        "missing": pa.Column("float64", pa.Check.in_range(0, 1)),
        "longest_missing": pa.Column("int64", pa.Check.ge(0)),
        "flat": pa.Column("float64", pa.Check.in_range(0, 1)),
        "saturated": pa.Column("float64", pa.Check.in_range(0, 1)),
    },
    strict=True,
    ordered=True,
)
"""One row for each channel of each signal recording that could be read. Values are in the unit of the recording.

What is said of the whole recording stands in each of its rows: the supply frequency ``mains_hz`` and the phases,
empty where there are none, and what the time column tells, see ``alp_assets.signals.measure``.
"""

CLIPS = pa.DataFrameSchema(
    {
        "clip_id": _text(unique=True),
        "recording": _text(),
        "path": _text(unique=True),
        "offset_s": pa.Column("float64", pa.Check.ge(0)),
        "valid_samples": pa.Column("int64", pa.Check.ge(1)),
        "sample_rate_hz": pa.Column("float64", pa.Check.gt(0)),
        "modality": _text(pa.Check.isin([SOUND, *SIGNALS])),
        "audio_sha256": _text(),
        "machine_type": _text(),
        "section_id": _text(),
        "split": _text(pa.Check.isin(["train", "test", "validation", "supplemental"])),
        "domain": _text(pa.Check.isin(["source", "target"])),
        "label": _text(pa.Check.isin(["normal", "anomaly", "unknown"])),
        "recorded_at": pa.Column("datetime64[us]", nullable=True),
        "mic_position_id": _text(nullable=True),
        "noise_id": _text(nullable=True),
        "speed_level": _text(nullable=True),
        "load_level": _text(nullable=True),
        "operating_condition": _text(nullable=True),
        "snr_db": pa.Column("float64", nullable=True),
        "supp_type": _text(nullable=True),
        "anomaly_type": _text(nullable=True),
        "anomaly_regions": _text(nullable=True),
        "db_8_10k": pa.Column("float64", nullable=True),
        "db_above_10k": pa.Column("float64", nullable=True),
    },
    checks=pa.Check(
        lambda table: (table["modality"] != SOUND) | (table["valid_samples"] <= LONGEST_CLIP),
        name="valid_samples_of_sound",
    ),
    strict=True,
    ordered=True,
)
"""One row for each standard clip, in the order of the table that the customer sent.

``valid_samples`` are recorded, at ``sample_rate_hz``: 16 kHz for sound, the recording's own for signals.
``db_8_10k`` and ``db_above_10k`` are levels of the original recording (dBFS), empty where it has no such band.
"""

SCORES = pa.DataFrameSchema(
    {
        "clip_id": _text(unique=True),
        "recording": _text(),
        "machine_type": _text(),
        "section_id": _text(),
        "domain": _text(),
        "split": _text(),
        "score": pa.Column("float64"),
        "severity": pa.Column("float64", pa.Check.in_range(0, 100)),
        "state": _text(pa.Check.isin(["NORMAL", "WARNING", "CRITICAL"])),
        "decision": _text(pa.Check.isin(["normal", "anomaly"])),
        "threshold": pa.Column("float64"),
        "label": _text(pa.Check.isin(["normal", "anomaly", "unknown"])),
    },
    strict=True,
    ordered=True,
)
"""One row for each scored clip. Higher scores are more anomalous; ``decision`` compares with ``threshold``."""
