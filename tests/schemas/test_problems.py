"""Problems in what a customer sent."""

from __future__ import annotations

import pandas as pd
import pytest

from schemas.problems import PROBLEM_COLUMNS, Problem, problems_frame


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (
            {"row": 7, "column": "label", "file": "audio/a.wav"},
            "row 7, column label, audio/a.wav: It is so. Do so.",
        ),
        ({"row": 7}, "row 7: It is so. Do so."),
        ({"column": "label"}, "column label: It is so. Do so."),
        ({"file": "metadata.csv"}, "metadata.csv: It is so. Do so."),
        ({"row": 0}, "row 0: It is so. Do so."),
        ({}, "It is so. Do so."),
    ],
)
def test_its_text_names_the_place(place, text):
    assert str(Problem("error", "It is so.", "Do so.", **place)) == text


def test_the_table_has_every_column_in_order_and_whole_row_numbers():
    problems = [
        Problem("error", "No such file.", "Send it.", 3, "relative_path", "a.wav", "metadata.csv"),
        Problem("refusal", "No table.", "Add one."),
    ]
    frame = problems_frame(problems)
    assert tuple(frame.columns) == PROBLEM_COLUMNS
    assert frame["row"].dtype == "Int64"
    assert frame["row"].tolist() == [3, pd.NA]
    first, second = frame.to_csv(index=False).splitlines()[1:]
    assert first == "3,relative_path,a.wav,metadata.csv,error,No such file.,Send it."
    assert second == ",,,,refusal,No table.,Add one."


def test_without_problems_the_columns_are_still_there():
    frame = problems_frame([])
    assert tuple(frame.columns) == PROBLEM_COLUMNS
    assert len(frame) == 0
