"""Problems in what a customer sent."""

from __future__ import annotations

import csv
import io
import string

import pandas as pd
import pytest

from schemas.columns import COLUMNS
from schemas.problems import LONGEST_VALUE, PROBLEM_COLUMNS, Problem, problems_frame, problems_of, shortened
from schemas.texts import LANGUAGES, read_texts

DATE = Problem(
    "error", "time_year", {"year": 1804}, 7, "recorded_at", "1804-03-05", "audio/a.wav", "D", "녹음일시"
)


def gaps(words):
    return {
        name.partition(":")[0]
        for text in words.values()
        for _, name, _, _ in string.Formatter().parse(text)
        if name
    }


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (
            {"row": 7, "column": "label", "file": "audio/a.wav"},
            "row 7, column label, audio/a.wav: It is so. Do so.",
        ),
        (
            {"row": 7, "column": "label", "letter": "C", "header": "상태"},
            "row 7, column C (상태): It is so. Do so.",
        ),
        ({"row": 7}, "row 7: It is so. Do so."),
        ({"column": "label"}, "column label: It is so. Do so."),
        ({"file": "metadata.csv"}, "metadata.csv: It is so. Do so."),
        ({"row": 0}, "row 0: It is so. Do so."),
        ({}, "It is so. Do so."),
    ],
)
def test_its_text_names_the_place(place, text):
    assert str(Problem.said("error", "It is so.", "Do so.", **place)) == text


def test_a_problem_is_told_in_the_language_that_is_asked_for():
    assert DATE.told("en").problem == "The year 1804 cannot be right."
    assert DATE.told("ko").problem == "1804년은 올바른 연도가 아닙니다."
    assert DATE.place("ko") == "7행, D열(녹음일시), audio/a.wav"


def test_values_that_are_words_themselves_are_told_in_the_language():
    found = Problem(
        "refusal", "column_missing", {"column": "label", "meaning": "label", "names": ["label", "상태"]}
    )
    assert "what the machine did" in found.problem
    assert "녹음 당시 설비의 상태" in found.told("ko").problem
    assert "label, 상태" in found.told("ko").remedy
    missing = Problem("error", "recording_ambiguous", {"names": ["a", "b"], "more": 2})
    assert "a, b and 2 more" in missing.remedy
    assert "a, b 외 2개" in missing.told("ko").remedy


def test_choices_are_told_in_the_words_of_the_form_that_the_customer_filled_in():
    found = Problem(
        "error", "value_unknown_near", {"allowed": ["train", "test"], "near": "test"}, 3, "split", "테스트용"
    )
    assert found.told("ko").remedy == "혹시 시험(test)입니까? 학습(train), 시험(test) 중 하나로 적어 주십시오."
    assert found.told("en").remedy == "Did you mean test? Write one of train, test."


def test_braces_in_a_customers_text_are_no_gaps():
    assert Problem("error", "column_unknown", {"header": "{row} {"}).problem.startswith("The column '{row} {'")


@pytest.mark.parametrize("topic", ["problems", "letter", "check"])
def test_every_text_exists_in_every_language_with_the_same_gaps(topic):
    def leaves(table, path=()):
        for name, value in table.items():
            yield from leaves(value, (*path, name)) if isinstance(value, dict) else [((*path, name), value)]

    english = dict(leaves(read_texts(topic, "en")))
    for language in LANGUAGES:
        other = dict(leaves(read_texts(topic, language)))
        assert other.keys() == english.keys()
        assert all(text.strip() for text in other.values())
    if topic == "problems":
        sentences = {language: read_texts(topic, language)["problems"] for language in LANGUAGES}
        for code, words in sentences["en"].items():
            assert all(gaps(sentences[language][code]) == gaps(words) for language in LANGUAGES), code
    else:
        korean = dict(leaves(read_texts(topic, "ko")))
        assert all(gaps({"": korean[path]}) == gaps({"": text}) for path, text in english.items())


def test_the_columns_are_called_as_the_contract_calls_them():
    assert read_texts("problems", "en")["columns"] == {column.name: column.meaning for column in COLUMNS}


def test_the_table_has_every_column_in_order_and_whole_row_numbers():
    frame = problems_frame([DATE, Problem("refusal", "no_table")])
    assert tuple(frame.columns) == PROBLEM_COLUMNS
    assert frame["row"].dtype == "Int64"
    assert frame["row"].tolist() == [7, pd.NA]
    first, second = csv.reader(io.StringIO(frame.to_csv(index=False, header=False)))
    assert first[:6] == ["7", "D", "녹음일시", "recorded_at", "1804-03-05", "audio/a.wav"]
    assert first[6:8] == ["error", "The year 1804 cannot be right."]
    assert first[-2:] == ["time_year", '{"year": 1804}']
    assert second[:7] == ["", "", "", "", "", "", "refusal"]


def test_a_table_of_problems_reads_back_in_any_language():
    problems = [DATE, Problem("error", "recording_near", {"names": ["a.wav", "b, c.wav"]}, file="audio/x.wav")]
    text = problems_frame(problems).to_csv(index=False)
    back = problems_of(pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False))
    assert back[0] == DATE
    assert [problem.told("ko") for problem in back] == [problem.told("ko") for problem in problems]


def test_a_table_without_codes_reads_back_as_it_was_said():
    old = pd.DataFrame(
        [["3", "label", "x", "", "error", "It is so.", "Do so."]],
        columns=["row", "column", "value", "file", "severity", "problem", "remedy"],
    )
    (problem,) = problems_of(old)
    assert problem.told("ko") == ("It is so.", "Do so.")
    assert (problem.row, problem.column, problem.file) == (3, "label", None)


def test_without_problems_the_columns_are_still_there():
    frame = problems_frame([])
    assert tuple(frame.columns) == PROBLEM_COLUMNS
    assert len(frame) == 0


def test_a_cell_that_nobody_would_read_is_cut():
    assert shortened("x" * LONGEST_VALUE) == "x" * LONGEST_VALUE
    assert len(shortened("x" * 40_000)) == LONGEST_VALUE
    assert shortened("x" * 40_000).endswith("…")
