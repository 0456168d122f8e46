"""Bringing the customer's table to the contract."""

from __future__ import annotations

import io
import time
import unicodedata
from datetime import datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alp_assets.intake.normalize import Normalized, normalize
from alp_assets.intake.table import RawTable, read_table
from alp_assets.intake.times import parse_time
from schemas.columns import COLUMN_NAMES, COLUMNS, FALSE_WORDS, TRUE_WORDS
from schemas.metadata import METADATA, empty_metadata, failures

NOW = datetime(2025, 1, 1)
GOOD = {
    "relative_path": "audio/1.wav",
    "machine_type": "fan",
    "section_id": "1",
    "recorded_at": "2024-03-05 14:03",
    "operator_confirmed": "TRUE",
}


def table(*rows: dict[str, str], headers: dict[str, str] | None = None, unknown=()) -> RawTable:
    names = [name for name in COLUMN_NAMES if any(name in row for row in rows)]
    frame = pd.DataFrame([[row.get(name, "") for name in names] for row in rows], columns=names, dtype="str")
    written = {name: (headers or {}).get(name, name) for name in names}
    return RawTable(frame, list(range(2, len(rows) + 2)), written, list(unknown))


def normalized(*rows: dict[str, str], **more) -> Normalized:
    """GOOD rows with something else in them; paths differ unless given."""
    full = [{**GOOD, "relative_path": f"audio/{place}.wav", **row} for place, row in enumerate(rows)]
    return normalize(table(*full, **more), now=NOW)


def only_row(**cells: str) -> pd.Series:
    result = normalized(cells)
    assert result.problems == []
    return result.frame.iloc[0]


def only_problem(**cells: str):
    result = normalized(cells, {"section_id": "another"})
    assert result.frame["section_id"].tolist() == ["another"]
    (problem,) = result.problems
    assert (problem.severity, problem.row) == ("error", 2)
    assert problem.problem
    assert problem.remedy
    return problem


def test_defaults_of_a_minimal_row():
    row = only_row(relative_path="audio/sub/fan 1.wav")
    assert row[["clip_id", "split", "domain", "label"]].tolist() == ["fan 1", "train", "target", "normal"]
    assert row[["noise_id", "speed_level", "operating_condition", "snr_db", "channels"]].isna().all()
    assert row["row"] == 2


def test_columns_order_and_types():
    result = normalized({}, {"snr_db": "3"})
    assert list(result.frame.columns) == [*COLUMN_NAMES, "row"]
    assert list(result.frame.index) == [0, 1]
    assert result.frame.dtypes.equals(empty_metadata().dtypes)
    METADATA.validate(result.frame)
    METADATA.validate(empty_metadata())


def test_the_frame_survives_parquet():
    frame = normalized({"operating_condition": "{}"}, {"split": "test", "operator_confirmed": ""}).frame
    for each in (frame, empty_metadata()):
        stream = io.BytesIO()
        each.to_parquet(stream)
        again = pd.read_parquet(stream)
        METADATA.validate(again)
        pd.testing.assert_frame_equal(again, each)


def test_texts_are_trimmed_and_composed():
    decomposed = unicodedata.normalize("NFD", "펌프실")
    row = only_row(section_id=f" \u00a0{decomposed}\u200b ", relative_path=f" .\\audio\\{decomposed}\\1.wav")
    assert row["section_id"] == "펌프실"
    assert row["relative_path"] == "audio/펌프실/1.wav"


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.values], ids=lambda column: column.name)
def test_every_word_for_a_value_is_understood(column):
    rows, expected = [], []
    for value, words in column.values:
        for word in (value, *words):
            for written in (word, f" {word.upper()} ", unicodedata.normalize("NFD", word)):
                label = "normal" if value in ("train", "validation") else "unknown"
                more = {"operator_confirmed": "TRUE" if label == "normal" else "", "supp_type": "noise"}
                rows.append({"split": "test", "label": label, **more, column.name: written})
                expected.append(value)
    result = normalized(*rows)
    assert result.problems == []
    assert result.frame[column.name].tolist() == expected


@pytest.mark.parametrize("word", [*TRUE_WORDS, "True", " YES ", "1.0"])
def test_words_for_yes(word):
    assert bool(only_row(operator_confirmed=word)["operator_confirmed"]) is True


@pytest.mark.parametrize("word", [*FALSE_WORDS, "False", "0.0"])
def test_words_for_no(word):
    assert bool(only_row(operator_confirmed=word, split="test")["operator_confirmed"]) is False


def test_levels_stay_text():
    row = only_row(speed_level="1500", load_level="007", mic_position_id="-")
    assert row[["speed_level", "load_level", "mic_position_id"]].tolist() == ["1500", "007", "-"]


def test_words_for_nothing_are_nothing():
    row = only_row(snr_db="-", domain="N/A", anomaly_regions="null", modality=" nan ")
    assert row["domain"] == "target"
    assert row[["snr_db", "anomaly_regions", "modality"]].isna().all()


@pytest.mark.parametrize(
    ("split", "label"), [("", "normal"), ("train", "normal"), ("test", "unknown"), ("supplemental", "unknown")]
)
def test_empty_labels(split, label):
    assert only_row(split=split, supp_type="noise")["label"] == label


@pytest.mark.parametrize(("label", "meant"), [("정상", "normal"), ("이상", "anomaly")])
def test_labelled_recordings_may_be_for_validation(label, meant):
    row = only_row(split="검증", label=label, operator_confirmed="")
    assert (row["split"], row["label"]) == ("validation", meant)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("6", 6),
        ("-3.5", -3.5),
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("6 dB", 6),
        ("−2", -2),
        ("１２", 12),
        ("1e1", 10),
    ],
)
def test_decibels(text, number):
    assert only_row(snr_db=text)["snr_db"] == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("16000", 16000), ("16,000", 16000), ("16,000.5 Hz", 16000.5), ("25.6 kHz", 25600), ("44,1 kHz", 44100)],
)
def test_sample_rates(text, number):
    assert only_row(sample_rate_hz=text)["sample_rate_hz"] == number


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["audio/a.wav", "audio/b.wav"], ["a", "b"]),
        (["audio/x/1.wav", "audio/y/1.wav", "audio/2.wav"], ["audio__x__1", "audio__y__1", "2"]),
        (["audio/a.wav", "audio/a.flac"], ["audio__a.wav", "audio__a.flac"]),
        (["audio/v1.2.wav"], ["v1.2"]),
    ],
)
def test_clip_ids_from_paths(paths, ids):
    result = normalized(*({"relative_path": path} for path in paths))
    assert result.frame["clip_id"].tolist() == ids
    assert result.problems == []


def test_a_path_too_long_for_a_name_still_gives_one():
    paths = [f"audio/{'긴' * 150}/{'이름' * 60}/{number}.wav" for number in range(2)]
    paths += [f"audio/{number}/{'가' * 210}.wav" for number in range(2)]
    result = normalized(*({"relative_path": path} for path in paths))
    names = result.frame["clip_id"].tolist()
    assert result.problems == []
    assert names[:2] == ["0", "1"]
    assert len({*names}) == 4
    assert {len(name) for name in names[2:]} == {200}


def test_given_clip_ids_are_kept_and_avoided():
    result = normalized({"relative_path": "audio/1.wav"}, {"relative_path": "audio/2.wav", "clip_id": "1"})
    assert result.frame["clip_id"].tolist() == ["audio__1", "1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-05T14:03:09", (2024, 3, 5, 14, 3, 9)),
        ("2024-03-05T14:03:09.250+09:00", (2024, 3, 5, 14, 3, 9, 250_000)),
        ("2024-03-05T14:03Z", (2024, 3, 5, 14, 3)),
        ("2024-03-05 14:03:09 -0730", (2024, 3, 5, 14, 3, 9)),
        ("2024-03-05 14:03", (2024, 3, 5, 14, 3)),
        ("2024/3/5", (2024, 3, 5)),
        ("2024.3.5", (2024, 3, 5)),
        ("2024. 3. 5.", (2024, 3, 5)),
        ("2024. 3. 5. 오후 2:03", (2024, 3, 5, 14, 3)),
        ("2024. 3. 5. 오후 2:03:09", (2024, 3, 5, 14, 3, 9)),
        ("2024.3.5.오전 12:03", (2024, 3, 5, 0, 3)),
        ("2024-03-05 오후 12:03", (2024, 3, 5, 12, 3)),
        ("2024-03-05 PM 2:03", (2024, 3, 5, 14, 3)),
        ("2024. 3. 5. (화) 9:00", (2024, 3, 5, 9)),
        ("2024년 3월 5일 14시 3분", (2024, 3, 5, 14, 3)),
        ("2024년 3월 5일 14시 3분 9초", (2024, 3, 5, 14, 3, 9)),
        ("2024년3월5일", (2024, 3, 5)),
        ("2024년 3월 5일 화요일 오후 2시", (2024, 3, 5, 14)),
        ("3/5/2024", (2024, 3, 5)),
        ("3/5/2024 2:03 PM", (2024, 3, 5, 14, 3)),
        ("3/5/2024 2:03:09 am", (2024, 3, 5, 2, 3, 9)),
        ("15/3/2024", (2024, 3, 15)),
        ("45356", (2024, 3, 5)),
        ("45356.58", (2024, 3, 5, 13, 55, 12)),
        ("45356.5854166667", (2024, 3, 5, 14, 3)),
        ("2024-03", (2024, 3, 1)),
        ("2024년 3월", (2024, 3, 1)),
        ("2024", (2024, 1, 1)),
        ("20240305", (2024, 3, 5)),
        ("20240305 14:03", (2024, 3, 5, 14, 3)),
        ("20240305_140309", (2024, 3, 5, 14, 3, 9)),
        ("20240305T1403Z", (2024, 3, 5, 14, 3)),
        ("２０２４－０３－０５　１４：０３", (2024, 3, 5, 14, 3)),
    ],
)
def test_times(text, expected):
    assert only_row(recorded_at=text)["recorded_at"] == pd.Timestamp(*expected)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [("31/2/2024", "2024-02-31 00:00"), ("2024.13.5 오후 2시", "2024-13-05 14:00"),
     ("2024-03-05 14:03:61", "2024-03-05 14:03:61")],
)  # fmt: skip
def test_an_impossible_time_is_told_as_it_was_read(text, read_as):
    assert only_problem(recorded_at=text).told("ko").problem == f"존재하지 않는 날짜 또는 시각입니다({read_as})."


@pytest.mark.parametrize(
    "text", ["24-03-05", "24.3.5", "3/5/24", "'24. 3. 5.", "24년 3월 5일", "05-03-24 14:03", "240305"]
)
def test_years_of_two_digits_are_unclear(text):
    problem = only_problem(recorded_at=text)
    assert problem.column == "recorded_at"
    assert "two digits" in problem.problem
    assert problem.value == text


@pytest.mark.parametrize(
    "text",
    [
        *("어제", "14:03", "2024-13-05", "2024-02-30", "20241305", "2024-03-05 25:00", "2024-03-05 14:03:61"),
        *("0024-03-05", "3024-03-05", "99999", "5.3.2024", "2024/3/514:03", "2024-03-05T", "1709600000"),
    ],
)
def test_times_that_cannot_be_read(text):
    problem = only_problem(recorded_at=text)
    assert problem.column == "recorded_at"
    assert "2024-03-05 14:03" in problem.remedy


def test_dates_in_the_future_are_warned_of():
    result = normalized({"recorded_at": "2025-01-01 20:00"}, {"recorded_at": "2025-01-03"})
    assert len(result.frame) == 2
    (problem,) = result.problems
    assert (problem.severity, problem.row, problem.value) == ("warning", 3, "2025-01-03")


@pytest.mark.parametrize("column", ["relative_path", "machine_type", "section_id", "recorded_at"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_required_cells_must_be_filled(column, empty):
    problem = only_problem(**{column: empty})
    assert problem.column == column
    assert "empty" in problem.problem


@pytest.mark.parametrize(
    ("column", "value", "guess"),
    [
        ("machine_type", "pumq", "pump"),
        ("machine_type", "펌푸", ""),
        ("split", "trian", "train"),
        ("domain", "taget", "target"),
        ("label", "abnormla", "anomaly"),
        ("supp_type", "nois", "noise"),
        ("modality", "volt", ""),
    ],
)
def test_values_that_are_not_allowed(column, value, guess):
    problem = only_problem(**{"split": "test", column: value})
    assert (problem.column, problem.value) == (column, value)
    assert (f"Did you mean {guess}?" in problem.remedy) == bool(guess)
    for allowed, _ in next(each for each in COLUMNS if each.name == column).values:
        assert allowed in problem.remedy


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"operator_confirmed": ""}, "operator_confirmed"),
        ({"operator_confirmed": "FALSE"}, "operator_confirmed"),
        ({"operator_confirmed": "maybe"}, "operator_confirmed"),
        ({"label": "anomaly"}, "label"),
        ({"label": "unknown"}, "label"),
        ({"split": "supplemental"}, "supp_type"),
        ({"split": "validation"}, "label"),
        ({"split": "validation", "label": "unknown"}, "label"),
        ({"section_id": "x" * 65}, "section_id"),
        ({"snr_db": "loud"}, "snr_db"),
        ({"snr_db": "1_000"}, "snr_db"),
        ({"snr_db": "1e999"}, "snr_db"),
        ({"snr_db": "16 kHz"}, "snr_db"),
        ({"sample_rate_hz": "0"}, "sample_rate_hz"),
        ({"sample_rate_hz": "-8000"}, "sample_rate_hz"),
        ({"section_id": "#N/A"}, "section_id"),
        ({"split": "#REF!"}, "split"),
    ],
)
def test_each_rule_of_the_contract(cells, column):
    problem = only_problem(**cells)
    assert problem.column == column
    assert problem.value == cells.get(column)


def test_limits_of_section_ids_are_inclusive():
    assert only_row(section_id="x" * 64)["section_id"] == "x" * 64


@pytest.mark.parametrize("text", ["[]", "[[0, 1]]", "[[0.5,1.25],[3,4]]"])
def test_regions_that_hold(text):
    assert only_row(split="test", anomaly_regions=text)["anomaly_regions"] == text


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[1, 2]", "[[1]]", "[[2, 1]]", "[[1, 1]]", "[[-1, 2]]", "[[0, NaN]]", "[[0, Infinity]]"),
        *("[[0, 1e999]]", '[["0", 1]]', "[[false, true]]", "[[0, 1]", "1-2", "[" * 100_000),
    ],
)
def test_regions_that_do_not_hold(text):
    assert only_problem(split="test", anomaly_regions=text).column == "anomaly_regions"


@pytest.mark.parametrize(("text", "holds"), [('{"온도": 40}', True), ("{}", True), ("[]", False), ("a=1", False)])
def test_operating_conditions(text, holds):
    if holds:
        assert only_row(operating_condition=text)["operating_condition"] == text
    else:
        assert only_problem(operating_condition=text).column == "operating_condition"


def test_the_first_keeps_its_clip_id():
    result = normalized({"clip_id": "a"}, {"clip_id": "b"}, {"clip_id": "a"}, {"clip_id": "a"})
    assert result.frame["row"].tolist() == [2, 3]
    assert [(problem.row, problem.column) for problem in result.problems] == [(4, "clip_id"), (5, "clip_id")]
    assert "Row 2" in result.problems[0].problem


def test_a_recording_has_one_row():
    paths = ["audio/1.wav", "audio\\1.wav", "./audio/1.wav"]
    result = normalized(*({"relative_path": path} for path in paths))
    assert result.frame["row"].tolist() == [2]
    assert result.frame["clip_id"].tolist() == ["1"]
    assert [(problem.row, problem.column, problem.value) for problem in result.problems] == [
        (3, "relative_path", paths[1]),
        (4, "relative_path", paths[2]),
    ]


def test_a_row_may_have_several_problems_one_for_each_column():
    result = normalized({"machine_type": "x", "label": "bad one", "recorded_at": "?", "snr_db": "?"}, {})
    assert [problem.column for problem in result.problems] == ["machine_type", "recorded_at", "label", "snr_db"]
    assert all(problem.file == "audio/0.wav" for problem in result.problems)


def test_headers_as_written_are_named():
    problem = normalized({"section_id": ""}, headers={"section_id": "설비번호"}).problems[0]
    assert (problem.column, problem.header) == ("section_id", "설비번호")


def test_unknown_columns_are_warned_of_with_near_misses():
    result = normalized({}, unknown=["spilt", "비고"])
    assert [(p.severity, p.column, p.row) for p in result.problems] == [
        ("warning", "spilt", None),
        ("warning", "비고", None),
    ]
    assert "split" in result.problems[0].remedy
    assert "Did you mean" not in result.problems[1].remedy


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("snr_db", "1" + " " * 200_000 + "1"),
        ("machine_type", "(" * 200_000),
        ("operator_confirmed", "yes" + "(" * 200_000),
        ("recorded_at", "2024-03-05" + "T" * 200_000),
    ],
)
def test_a_cell_without_a_meaning_may_be_as_long_as_it_likes(column, cell):
    assert only_problem(**{column: cell}).column == column


def test_rows_that_could_not_be_cut_are_passed_on():
    raw = read_table(b"path,machine,section,date,confirmed\na,fan,1,2024,1\nb,fan,1,2024,1,{},2\n", "metadata.csv")
    result = normalize(raw, now=NOW)
    assert result.frame["row"].tolist() == [2]
    assert [problem.row for problem in result.problems] == [3]


@pytest.mark.parametrize("column", ["relative_path", "section_id", "recorded_at", "operator_confirmed"])
def test_nothing_but_bad_rows_gives_an_empty_frame_that_holds(column):
    result = normalized({column: ""})
    assert [problem.column for problem in result.problems] == [column]
    METADATA.validate(result.frame)
    assert result.frame.dtypes.equals(empty_metadata().dtypes)


def test_nothing_but_rows_that_could_not_be_cut_gives_an_empty_frame_that_holds():
    result = normalize(read_table(b"path,machine,section,date\na,fan,1,2024,1\n", "metadata.csv"), now=NOW)
    assert [problem.row for problem in result.problems] == [2]
    assert result.frame.dtypes.equals(empty_metadata().dtypes)


def test_hundreds_of_bad_rows_give_hundreds_of_problems_in_order():
    result = normalized(*[{"machine_type": "x", "snr_db": "?"}] * 300)
    assert len(result.problems) == 600
    assert [problem.row for problem in result.problems] == sorted([*range(2, 302)] * 2)


@pytest.mark.parametrize("worst", [False, True])
def test_large_tables_are_quick(worst):
    bad = {"machine_type": "pumq", "recorded_at": "24.3.5", "anomaly_regions": "[[2,1]]", "clip_id": "same"}
    rows = [
        {"recorded_at": f"2024-03-05 {i % 24}:{i % 60:02d}:{i % 59}", **(bad if worst else {})}
        for i in range(20_000)
    ]
    start = time.process_time()
    result = normalized(*rows)
    assert len(result.frame) == (0 if worst else 20_000)
    assert len(result.problems) == (79_999 if worst else 0)
    assert time.process_time() - start < 60


def test_the_schema_itself_holds_the_rules():
    frame = normalized({}, {}).frame
    frame.loc[1, ["label", "section_id", "clip_id"]] = ["anomaly", "", frame["clip_id"][0]]
    assert {failure.column for failure in failures(frame)} == {"label", "section_id", "clip_id"}
    assert {failure.place for failure in failures(frame)} == {1}
    assert failures(normalized({}).frame) == []


@settings(deadline=None, max_examples=50)
@given(st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)))
def test_iso_and_excel_days_read_back(moment):
    assert parse_time(moment.isoformat()) == moment
    serial = (moment - datetime(1899, 12, 30)).total_seconds() / 86_400
    assert abs((parse_time(f"{serial:.10f}") - moment).total_seconds()) < 0.002


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.fixed_dictionaries({}, optional={name: st.text(max_size=8) for name in COLUMN_NAMES}), max_size=4)
)
def test_any_cells_become_rows_or_problems(rows):
    full = [{**GOOD, **row} for row in rows]
    result = normalize(table(*full) if full else table(GOOD), now=NOW)
    METADATA.validate(result.frame)
    wrong = {problem.row for problem in result.problems if problem.severity == "error"}
    assert len(wrong) + len(result.frame) == max(1, len(rows))
    assert wrong.isdisjoint(result.frame["row"])


@pytest.mark.parametrize("mark", ["\r", "\n", "\t", "\x1b", "\x00", "\x85"])
def test_control_characters_in_text_become_spaces(mark):
    (found,) = normalized({"section_id": f"1{mark}2"}).frame["section_id"]
    assert found == "1 2"
