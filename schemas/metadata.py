"""The normalised table: what holds of every row that goes on to the next stage.

The ``error`` of each check is the code of the problem that it finds (see ``schemas.problems``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from schemas.columns import COLUMNS, Column

ALLOWED, EMPTY, TWICE, TOO_LONG = "value_unknown", "cell_empty", "clip_id_twice", "cell_too_long"
"""Codes of failures whose sentences name what depends on the table or the column."""

MAX_SECTION_LENGTH = 64
MAX_CLIP_ID_LENGTH = 200
LONGEST = {"section_id": MAX_SECTION_LENGTH, "clip_id": MAX_CLIP_ID_LENGTH}
"""Characters that a column may have."""

_DTYPES = {"time": "datetime64[us]", "flag": "boolean", "number": "float64", "integer": "float64"}
_ALWAYS_FILLED = (
    "relative_path",
    "machine_type",
    "section_id",
    "recorded_at",
    "clip_id",
    "split",
    "domain",
    "label",
)

_BUILT_IN = {"not_nullable": EMPTY, "field_uniqueness": TWICE}

BLAMED_COLUMN = {
    "train_not_normal": "label",
    "train_not_confirmed": "operator_confirmed",
    "validation_without_label": "label",
    "supplement_without_type": "supp_type",
}
"""Which column a check of the whole row is about."""


def empty_metadata() -> pd.DataFrame:
    """The normalised table without rows."""
    return pd.DataFrame(
        {**{column.name: pd.Series(dtype=dtype_of(column)) for column in COLUMNS}, "row": pd.Series(dtype="int64")}
    )


def dtype_of(column: Column) -> str:
    """The dtype of a column of the normalised table: text and JSON are ``str``, missing as NaN."""
    return _DTYPES.get(column.kind, "str")


def is_condition(text: str) -> bool:
    """Whether a text is a JSON object."""
    return isinstance(_parsed(text), dict)


def are_regions(text: str) -> bool:
    """Whether a text is a JSON list of [start, end] in seconds with 0 <= start < end."""
    regions = _parsed(text)
    return isinstance(regions, list) and all(map(_is_region, regions))


def _is_region(region: Any) -> bool:
    if not isinstance(region, list) or len(region) != 2:
        return False
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in region):
        return False
    start, end = region
    return bool(0 <= start < end < math.inf)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _each(name: str, holds: Callable[[str], bool], code: str) -> pa.Check:
    """A check of texts one by one; equal ones are looked at once."""

    def all_of(texts: pd.Series) -> pd.Series:
        return texts.map({text: holds(text) for text in texts.unique()}).astype(bool)

    return pa.Check(all_of, name=name, error=code)


def _printable(name: str) -> pa.Check:
    return _each(
        f"{name}_is_printable",
        lambda text: all(ord(character) >= 32 and not 127 <= ord(character) < 160 for character in text),
        "cell_unprintable",
    )


def _not_empty(name: str) -> pa.Check:
    return _each(f"{name}_is_filled", lambda text: bool(text.strip()), EMPTY)


def _at_most(name: str) -> pa.Check:
    return _each(f"{name}_is_short", lambda text: len(text) <= LONGEST[name], TOO_LONG)


_CHECKS: dict[str, list[pa.Check]] = {
    "relative_path": [_not_empty("relative_path"), _printable("relative_path")],
    "section_id": [_not_empty("section_id"), _at_most("section_id"), _printable("section_id")],
    "clip_id": [_not_empty("clip_id"), _at_most("clip_id"), _printable("clip_id")],
    "operating_condition": [_each("condition_is_object", is_condition, "condition_no_object")],
    "anomaly_regions": [_each("regions_are_pairs", are_regions, "regions_no_pairs")],
    "snr_db": [
        pa.Check(lambda values: values.abs() < math.inf, name="snr_is_finite", error="snr_not_finite"),
    ],
    "sample_rate_hz": [
        pa.Check(
            lambda values: (values > 0) & (values < math.inf), name="rate_is_positive", error="rate_not_positive"
        ),
    ],
}

_ROW_CHECKS = [
    pa.Check(
        lambda table: (table["split"] != "train") | (table["label"] == "normal"),
        name="train_is_normal",
        error="train_not_normal",
    ),
    pa.Check(
        lambda table: (table["split"] != "train") | table["operator_confirmed"].fillna(False).astype(bool),
        name="train_is_confirmed",
        error="train_not_confirmed",
    ),
    pa.Check(
        lambda table: (table["split"] != "validation") | table["label"].isin(["normal", "anomaly"]),
        name="validation_is_labelled",
        error="validation_without_label",
    ),
    pa.Check(
        lambda table: (table["split"] != "supplemental") | table["supp_type"].notna(),
        name="supplement_has_type",
        error="supplement_without_type",
    ),
]


def _column(column: Column) -> pa.Column:
    checks = list(_CHECKS.get(column.name, ()))
    if column.values:
        allowed = [value for value, _ in column.values]
        checks.append(pa.Check.isin(allowed, name="allowed", error=ALLOWED))
    return pa.Column(
        dtype_of(column),
        checks,
        nullable=column.name not in _ALWAYS_FILLED,
        unique=column.name == "clip_id",
        report_duplicates="exclude_first",
        description=column.meaning,
    )


METADATA = pa.DataFrameSchema(
    {
        **{column.name: _column(column) for column in COLUMNS},
        "row": pa.Column("int64", pa.Check.ge(1, name="row_from_1"), description="row in Excel"),
    },
    checks=_ROW_CHECKS,
    strict=True,
    ordered=True,
    name="metadata",
)
"""The contract of the normalised table: its columns in order, then ``row``; no others."""


@dataclass(frozen=True)
class Failure:
    """A row (``place``, counted from 0) that fails a check, and the code of the problem that it is."""

    place: int
    column: str
    code: str


def failures(table: pd.DataFrame) -> list[Failure]:
    """Everything in a normalised table that does not hold ``METADATA``, columns before whole rows.

    ``table`` must have a plain index from 0.

    Raises:
        pandera.errors.SchemaError: the table lacks a column or has one of a wrong type, which is no
            fault of its rows.
    """
    try:
        METADATA.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        found = [failure for one in error.schema_errors for failure in _failures_of(one)]
        return sorted(found, key=lambda failure: failure.code in BLAMED_COLUMN)
    return []


def _failures_of(error: pa.errors.SchemaError) -> list[Failure]:
    check: Any = error.check
    code = _BUILT_IN.get(check) if isinstance(check, str) else check.error
    if code is None:
        raise error
    column = BLAMED_COLUMN.get(code) or str(error.schema.name)
    return [Failure(place, column, code) for place in _places(error)]


def _places(error: pa.errors.SchemaError) -> list[int]:
    if isinstance(error.check_output, pd.Series):
        holds = error.check_output.fillna(True).astype(bool)
        return [int(place) for place in holds.index[~holds]]
    cases = error.failure_cases
    if not isinstance(cases, pd.DataFrame) or cases["index"].isna().any():
        raise error
    return [int(place) for place in cases["index"]]
