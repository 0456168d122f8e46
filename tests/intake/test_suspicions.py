"""What holds the contract and is likely a slip all the same."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import pytest

from alp_assets.intake.normalize import normalize
from alp_assets.intake.suspicions import folded_id
from alp_assets.intake.table import RawTable
from schemas.columns import COLUMN_NAMES

GOOD = {"machine_type": "fan", "section_id": "1", "recorded_at": "2024-03-05", "operator_confirmed": "TRUE"}


def found(*rows):
    """(code, row, value) of the warnings about rows that are good otherwise."""
    full = [{"relative_path": f"audio/{place}.wav", **GOOD, **row} for place, row in enumerate(rows)]
    names = [name for name in COLUMN_NAMES if any(name in row for row in full)]
    frame = pd.DataFrame([[row.get(name, "") for name in names] for row in full], columns=names, dtype="str")
    raw = RawTable(frame, list(range(2, len(rows) + 2)), {name: name for name in names}, [])
    result = normalize(raw, now=datetime(2025, 1, 1))
    assert len(result.frame) == len(rows)
    assert all(problem.severity == "warning" for problem in result.problems)
    return [(problem.code, problem.row, problem.value) for problem in result.problems]


@pytest.mark.parametrize("other", ["fan-01", "FAN01", "Fan_1", "Ｆａｎ　０１", "fan  01"])
def test_one_machine_spelled_two_ways_is_told_at_the_rarer_spelling(other):
    rows = [{"section_id": "Fan 01"}, {"section_id": other}, {"section_id": "Fan 01"}]
    assert found(*rows) == [("section_spelled", 3, other)]


@pytest.mark.parametrize(("one", "other"), [("1-1", "11"), ("Fan 1", "Fan 11"), ("1호기", "2호기"), ("10", "1")])
def test_other_machines_are_other_machines(one, other):
    assert folded_id(one) != folded_id(other)
    assert found({"section_id": one}, {"section_id": other}) == []


def test_an_id_of_signs_alone_is_itself():
    assert folded_id("--") == "--"


def test_the_same_id_of_another_machine_type_is_another_machine():
    assert found({"section_id": "Fan 01"}, {"section_id": "fan-01", "machine_type": "pump"}) == []


@pytest.mark.parametrize(
    ("label", "confirmed", "code"),
    [
        ("anomaly", "TRUE", "label_against_confirmation"),
        ("normal", "FALSE", "confirmation_against_label"),
        ("anomaly", "FALSE", None),
        ("normal", "TRUE", None),
        ("normal", "", None),
        ("unknown", "TRUE", None),
        ("", "FALSE", None),
    ],
)
def test_a_label_against_the_operators_word(label, confirmed, code):
    told = found({"split": "test", "label": label, "operator_confirmed": confirmed})
    assert [item[0] for item in told] == ([code] if code else [])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a/x_L.wav", "a/x_R.wav"),
        ("a/x-left.wav", "a/X-Right.wav"),
        ("a/녹음 좌.wav", "a/녹음 우.wav"),
        ("x(ch1).wav", "x(ch2).wav"),
    ],
)
def test_two_files_that_look_like_two_channels(first, second):
    assert found({"relative_path": first}, {"relative_path": second}) == [("channels_in_files", 3, second)]


@pytest.mark.parametrize(
    "rows",
    [
        [{"relative_path": "x_L.wav"}, {"relative_path": "y_R.wav"}],
        [{"relative_path": "x_L.wav"}, {"relative_path": "x_R.wav", "recorded_at": "2024-03-06"}],
        [{"relative_path": "x_L.wav"}, {"relative_path": "x_R.wav", "section_id": "2"}],
        [
            {"relative_path": "x_L.wav", "mic_position_id": "M1"},
            {"relative_path": "x_R.wav", "mic_position_id": "M2"},
        ],
        [{"relative_path": "motor.wav"}, {"relative_path": "moto_r.wav"}],
        [{"relative_path": "_L.wav"}, {"relative_path": ".wav"}],
    ],
)
def test_files_that_are_no_pair(rows):
    assert found(*rows) == []


@pytest.mark.parametrize("path", ["_" * 200_000 + "x", "x" + "_" * 200_000, "_L" * 100_000])
def test_a_path_of_separators_takes_no_longer_than_others(path):
    assert found({"relative_path": path}) == []


def test_dates_in_the_future():
    assert found({}, {"recorded_at": "2025-01-03"}) == [("time_future", 3, "2025-01-03")]


def test_a_misspelt_korean_word_is_guessed_by_its_letters():
    frame = pd.DataFrame([["a.wav", "펌푸", "1", "2024", "TRUE"]], columns=["relative_path", *GOOD], dtype="str")
    (problem,) = normalize(RawTable(frame, [2], {name: name for name in frame}, [])).problems
    assert "Did you mean pump?" in problem.remedy
    assert problem.told("ko").remedy.startswith("혹시 펌프(pump)입니까?")
