"""Reading the customer's table into text cells."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import time
import unicodedata
import zipfile

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alp_assets.errors import AlpError, TableRefused
from alp_assets.intake import table as table_module
from alp_assets.intake import workbook
from alp_assets.intake.table import RawTable, read_table
from schemas.columns import COLUMNS

PROPERTY = settings(deadline=None, max_examples=50)
HEADER = ["relative_path", "machine_type", "section_id", "recorded_at"]
KOREAN = ["파일명", "기계종류", "설비번호", "녹음일시"]
ROW = ["audio/1.wav", "팬", "1호기", "2024-03-05"]


def as_csv(rows, separator=",", encoding="utf-8") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode(encoding)


def as_xlsx(*sheets) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"s{number}")
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def cells(raw: RawTable) -> list[list[str]]:
    return raw.frame.to_numpy().tolist()


def refusal(data: bytes, filename="metadata.csv", **limits):
    with pytest.raises(TableRefused) as caught:
        read_table(data, filename, **limits)
    problems = caught.value.problems
    assert all(p.severity == "refusal" and p.file == filename and p.remedy for p in problems)
    return problems


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators(encoding, separator):
    raw = read_table(as_csv([KOREAN, ROW], separator, encoding), "metadata.csv")
    assert list(raw.frame.columns) == HEADER
    assert cells(raw) == [ROW]
    assert raw.rows == [2]
    assert raw.headers == dict(zip(HEADER, KOREAN, strict=True))
    assert raw.unknown_headers == []


def test_big_endian_utf_16():
    assert cells(read_table("\ufeff".encode("utf-16-be") + as_csv([HEADER, ROW], encoding="utf-16-be"), "m")) == [
        ROW
    ]


@pytest.mark.parametrize("word", ["확", "A호", "타 호", "호호 힣"])
def test_hangul_that_is_valid_utf_8_by_chance_is_read_as_hangul(word):
    row = ["audio/1.wav", "fan", word, "2024-03-05"]
    assert cells(read_table(as_csv([HEADER, row], encoding="cp949"), "m.csv")) == [row]


@pytest.mark.parametrize("word", ["25°C", "é", "Škoda", "Öl ű", "kažu", "ф"])
def test_other_letters_in_utf_8_stay(word):
    row = ["audio/1.wav", "fan", word, "2024-03-05"]
    assert cells(read_table(as_csv([HEADER, row]), "m.csv")) == [row]


def test_damaged_utf_8_is_refused_with_its_line_and_never_read_as_cp949():
    rows = [HEADER, *[["a.wav", "fan", "감각", "2024"]] * 5]
    data = bytearray(as_csv(rows))
    data[data.rindex("각".encode()) + 2] = 0xC0
    assert "媛먭걋" in data.decode("cp949")
    (problem,) = refusal(bytes(data))
    assert "line 6" in problem.problem


@pytest.mark.parametrize(
    "data", [as_csv([HEADER, ROW], encoding="utf-16-le"), bytes(range(256)) * 4, b"\xff\xfea"]
)
def test_undecodable_bytes_are_refused(data):
    (problem,) = refusal(data)
    assert "save it" in problem.remedy


def test_quoted_separators_and_newlines_are_one_row_each_as_in_excel():
    data = (
        'relative_path,machine_type,section_id,recorded_at,"operating_condition\n(JSON)"\r\n'
        'a.wav,fan,"1,5","2024\n-03","{""a"": 1,\r\n ""b"": 2}"\r\n'
        "\r\n"
        "  , ,\r\n"
        'b.wav,fan,say "2",2024-03,\r\n'
    )
    raw = read_table(data.encode(), "metadata.csv")
    assert raw.rows == [2, 5]
    assert cells(raw) == [
        ["a.wav", "fan", "1,5", "2024\n-03", '{"a": 1,\r\n "b": 2}'],
        ["b.wav", "fan", 'say "2"', "2024-03", ""],
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends(newline):
    data = newline.join([",".join(HEADER), ",".join(ROW), ",".join(ROW)])
    assert read_table(data.encode(), "metadata.csv").rows == [2, 3]


def test_short_rows_are_filled_and_long_ones_set_aside():
    data = ",".join(HEADER) + '\na.wav,fan\nb.wav,fan,1,2024,{"a": 1, "b": 2}\nc.wav,fan,1,2024,,,\n'
    raw = read_table(data.encode(), "metadata.csv")
    assert cells(raw) == [["a.wav", "fan", "", ""], ["c.wav", "fan", "1", "2024"]]
    assert raw.rows == [2, 4]
    (problem,) = raw.problems
    assert (problem.severity, problem.row) == ("error", 3)
    assert "quotation marks" in problem.remedy


def test_an_open_quotation_mark_is_refused_with_its_row():
    data = ",".join(HEADER) + '\na.wav,fan,1,2024\nb.wav,"fan,1,2024\nc.wav,fan,1,2024\n'
    (problem,) = refusal(data.encode())
    assert "row 3" in problem.problem


def test_a_wrong_separator_that_opens_quotes_does_no_harm():
    data = "\t".join(HEADER) + '\na,"b.wav\tfan\t1\t2024\n'
    assert cells(read_table(data.encode(), "metadata.tsv")) == [['a,"b.wav', "fan", "1", "2024"]]


@pytest.mark.parametrize("above", [0, 1, 18])
def test_header_below_titles_and_blank_rows(above):
    rows = [["3월 녹음 목록, 기계 전체"]] * (above > 0) + [[]] * (above - 1)
    raw = read_table(as_csv([*rows, KOREAN, [], ROW]), "metadata.csv")
    assert cells(raw) == [ROW]
    assert raw.rows == [above + 3]
    raw = read_table(as_xlsx([*rows, KOREAN, [], ROW]), "metadata.xlsx")
    assert cells(raw) == [ROW]
    assert raw.rows == [above + 3]


def test_header_after_row_20_is_not_looked_for():
    refusal(as_csv([*[["x"]] * 20, HEADER, ROW]))


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_alias_is_understood_in_any_dress(column):
    others = [name for name in HEADER if name != column.name]
    for alias in (column.name, *column.aliases):
        for header in (alias, f" {alias.upper()}*", f"{alias} (필수)", unicodedata.normalize("NFD", alias)):
            raw = read_table(as_csv([[header, *others], ["x", *ROW[: len(others)]]]), "metadata.csv")
            assert raw.headers[column.name] == " ".join(unicodedata.normalize("NFC", header).split())
            assert raw.frame[column.name].tolist() == ["x"]


def test_duplicate_headers_are_refused_by_name():
    (problem,) = refusal(as_csv([[*HEADER, "파일 경로", "비고", "비고"], [*ROW, "x", "", ""]]))
    assert problem.column == "relative_path"
    assert "'relative_path', '파일 경로'" in problem.problem


def test_unknown_headers_are_kept_as_written():
    raw = read_table(as_csv([[*HEADER, "비 고", "", "weather"], [*ROW, "x", "", "dry"]]), "metadata.csv")
    assert raw.unknown_headers == ["비 고", "weather"]
    assert list(raw.frame.columns) == HEADER


def test_every_missing_column_is_listed_with_its_names_and_near_misses():
    problems = refusal(as_csv([["파일명", "label", "machin_typ", "설비 번 호수"], ["a.wav", "", "fan", "1"]]))
    assert [problem.column for problem in problems] == ["machine_type", "section_id", "recorded_at"]
    assert "'machin_typ'" in problems[0].remedy
    assert "'설비 번 호수'" in problems[1].remedy
    assert "recorded_at" in problems[2].remedy
    assert "녹음일시" in problems[2].remedy


def test_a_header_that_says_more_than_the_name_of_a_missing_column_is_suggested():
    header = ["파일명", "기계종류", "설비 번호를 적어 주세요", "녹음한 날짜", "비고"]
    section, time = refusal(as_csv([header, ["a.wav", "fan", "1", "2026-03-05", ""]]))
    assert (section.column, section.header, section.letter) == ("section_id", "설비 번호를 적어 주세요", "C")
    assert (time.column, time.header, time.letter) == ("recorded_at", "녹음한 날짜", "D")


def test_a_refusal_for_one_header_tells_of_the_other_misspelt_ones_too():
    header = ["파일명", "기계종류", "어느 것", "녹음일시", "정상 확인 여부", "비고"]
    with pytest.raises(TableRefused) as caught:
        read_table(as_csv([header, ["a.wav", "fan", "1", "2026-03-05", "예", ""]]), "metadata.csv")
    assert [(problem.severity, problem.code, problem.column) for problem in caught.value.problems] == [
        ("refusal", "column_missing", "section_id"),
        ("warning", "column_unknown_near", "정상 확인 여부"),
    ]
    assert "operator_confirmed" in caught.value.problems[1].remedy


def test_no_known_header_at_all_lists_all_that_are_needed():
    problems = refusal(b"foo;bar\n1;2\n")
    assert [problem.column for problem in problems] == HEADER


@pytest.mark.parametrize("data", [b"", b"\n\n \n", b"\xef\xbb\xbf", as_xlsx([]), as_xlsx([], [[None, " "]])])
def test_empty_tables_are_refused(data):
    (problem,) = refusal(data)
    assert "empty" in problem.problem


@pytest.mark.parametrize("data", [as_csv([HEADER]), as_csv([HEADER, [], ["", " "]]), as_xlsx([HEADER, []])])
def test_tables_without_rows_are_refused(data):
    (problem,) = refusal(data)
    assert "no rows" in problem.problem


def test_limits():
    data = as_csv([HEADER, ROW, [], ROW])
    assert len(read_table(data, "metadata.csv", max_rows=2, max_bytes=len(data)).rows) == 2
    (problem,) = refusal(data, max_rows=1)
    assert "more than 1 rows" in problem.problem
    (problem,) = refusal(data, max_bytes=len(data) - 1)
    assert "larger" in problem.problem
    (problem,) = refusal(as_xlsx([HEADER, ROW, ROW]), max_rows=1)
    assert "more than 1 rows" in problem.problem


def test_endless_lines_cells_and_blank_rows_end(monkeypatch):
    (problem,) = refusal(as_csv([HEADER, ROW]) + b"," * 3_000_000)
    assert "longer" in problem.problem
    refusal(as_csv([HEADER]) + b'"' + b"x\n" * 100_000 + b'"')
    monkeypatch.setattr(table_module, "_EXCEL_ROWS", 1_000)
    (problem,) = refusal(as_csv([HEADER, ROW]) + b"\n" * 2_000, max_rows=10)
    assert "empty rows" in problem.remedy


def test_workbook_cells_become_text():
    row = ["a.wav", True, 1.0, dt.datetime(2024, 3, 5, 14, 3), 0.5, 7, "007", None, False, dt.time(1, 2)]
    header = [*HEADER, "snr_db", "sample_rate_hz", "clip_id", "label", "operator_confirmed", "noise"]
    raw = read_table(as_xlsx([header, row]), "metadata.xlsx")
    assert cells(raw) == [
        ["a.wav", "TRUE", "1", "2024-03-05T14:03:00", "0.5", "7", "007", "", "FALSE", "01:02:00"],
    ]


def test_first_sheet_with_a_header_is_read():
    raw = read_table(
        as_xlsx([["안내문"], ["작성 방법"]], [KOREAN, ROW], [HEADER, ["b.wav", "x", "y", "z"]]), "m.xlsx"
    )
    assert cells(raw) == [ROW]


def test_workbook_headers_of_the_first_sheet_are_reported_when_none_fits():
    assert len(refusal(as_xlsx([["foo", "bar"], [1, 2]]), "m.xlsx")) == 4


def test_wrong_extent_of_a_sheet_does_not_cut_it():
    source, target = io.BytesIO(as_xlsx([HEADER, ROW])), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<dimension ref="A1:D2"', b'<dimension ref="A1"'))
    assert b'ref="A1"' in zipfile.ZipFile(target).read("xl/worksheets/sheet1.xml")
    assert cells(read_table(target.getvalue(), "m.xlsx")) == [ROW]


def test_contents_decide_and_not_the_extension():
    assert cells(read_table(as_xlsx([HEADER, ROW]), "metadata.csv")) == [ROW]
    assert cells(read_table(as_csv([HEADER, ROW]), "metadata.xlsx")) == [ROW]


def test_old_workbooks_are_refused_with_what_to_do():
    (problem,) = refusal(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "metadata.xls")
    assert ".xlsx" in problem.remedy


def zipped(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_workbook_bombs_are_refused(monkeypatch):
    (problem,) = refusal(zipped({"xl/workbook.xml": bytes(5_000_000)}), "m.xlsx")
    assert "bomb" in problem.problem
    monkeypatch.setattr(workbook, "MAX_UNPACKED_BYTES", 1_000)
    (problem,) = refusal(as_xlsx([HEADER, ROW]), "m.xlsx")
    assert "bomb" in problem.problem


def test_a_bomb_that_lies_about_its_size_is_refused_before_it_is_inflated():
    data = bytearray(zipped({"xl/workbook.xml": bytes(50_000_000)}))
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = (1_000).to_bytes(4, "little")
    (problem,) = refusal(bytes(data), "m.xlsx")
    assert "checksum" in problem.problem


def test_other_zips_and_damaged_workbooks_are_refused():
    (problem,) = refusal(zipped({"content.xml": b"<x/>"}), "m.ods")
    assert "save it as .xlsx" in problem.remedy
    data = as_xlsx([HEADER, ROW])
    for cut in (30, len(data) // 2, len(data) - 5):
        refusal(data[:cut], "m.xlsx")


def test_large_tables_are_quick():
    data = as_csv([HEADER, *([f"audio/{i}.wav", *ROW[1:]] for i in range(50_000))], encoding="cp949")
    start = time.process_time()
    assert len(read_table(data, "metadata.csv").rows) == 50_000
    assert time.process_time() - start < 40


@PROPERTY
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"\xff\xfe", b"\xef\xbb\xbf", as_csv([HEADER])])
)
def test_any_bytes_are_refused_or_read(data, start):
    with contextlib.suppress(AlpError):
        assert isinstance(read_table(start + data, "metadata.csv").frame, pd.DataFrame)


WORKBOOK = as_xlsx([HEADER, ROW, ROW])


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, len(WORKBOOK) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_any_damage_to_a_workbook_is_refused_or_read(damage):
    data = bytearray(WORKBOOK)
    for place, value in damage:
        data[place] = value
    with contextlib.suppress(TableRefused):
        read_table(bytes(data), "metadata.xlsx")


CELL = st.text("abzAB019가나힣정상팬호기 ,;\t\"'\n{}[]:.-_/\\", max_size=12)
SPELLINGS = [[column.name, *column.aliases] for column in COLUMNS if column.required]


@PROPERTY
@given(
    rows=st.lists(
        st.lists(CELL, min_size=4, max_size=4).filter(lambda row: "".join(row).strip()), min_size=1, max_size=6
    ),
    header=st.tuples(*map(st.sampled_from, SPELLINGS)).flatmap(lambda names: st.permutations(names)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp949", "utf-16"]),
    separator=st.sampled_from([",", ";", "\t"]),
)
def test_random_tables_read_back_equal(rows, header, encoding, separator):
    raw = read_table(as_csv([header, *rows], separator, encoding), "metadata.csv")
    assert list(raw.headers.values()) == [" ".join(name.split()) for name in header]
    assert cells(raw) == rows
    assert raw.rows == list(range(2, len(rows) + 2))
