"""Filled spreadsheets as people send them: merged cells, formulas, blank rows."""

from __future__ import annotations

import io
import time
import zipfile
from datetime import datetime

import openpyxl
import pytest

from alp_assets.errors import TableRefused
from alp_assets.intake import workbook as books
from alp_assets.intake.normalize import normalize
from alp_assets.intake.table import read_table
from alp_assets.intake.workbook import column_letter, open_sheets
from tests.fuzz.seeds import SHEET, swollen

HEADER = ["파일명", "기계종류", "설비번호", "녹음일시", "작업자확인"]
NOW = datetime(2026, 6, 1)


def row(number, **cells):
    named = {"path": f"audio/{number}.wav", "machine": "팬", "section": "1호기", "time": "2026-03-05", "ok": "예"}
    return list({**named, **cells}.values())


def workbook(rows, *, merged=(), header=HEADER, above=()):
    book = openpyxl.Workbook()
    sheet = book.active
    for cells in (*above, header, *rows):
        sheet.append(cells)
    for cells in merged:
        sheet.merge_cells(cells)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def with_sheet(data, old, new):
    """A workbook with some of its sheet's XML replaced, as another program would have written it."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            text = source.read(name)
            if name.endswith("sheet1.xml"):
                assert old in text
                text = text.replace(old, new)
            archive.writestr(name, text)
    return target.getvalue()


def read(data):
    return normalize(read_table(data, "metadata.xlsx"), now=NOW)


def test_columns_are_called_as_excel_calls_them():
    assert [column_letter(place) for place in (0, 25, 26, 51, 52, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]


def test_a_problem_has_the_row_the_letter_and_the_header_that_excel_shows():
    found = read(workbook([row(1), row(2, section=None)], above=[["녹음 목록"], []]))
    (problem,) = found.problems
    assert (problem.row, problem.letter, problem.header) == (5, "C", "설비번호")
    assert problem.place("ko") == "5행, C열(설비번호), audio/2.wav"


def test_a_merged_cell_counts_for_all_of_its_rows_and_is_told_once():
    rows = [row(1), row(2, section=None, ok=None), row(3, section=None, ok=None), row(4, section="2호기")]
    found = read(workbook(rows, merged=["C2:C4", "E2:E4"]))
    assert found.frame["section_id"].tolist() == ["1호기", "1호기", "1호기", "2호기"]
    assert [(p.severity, p.code, p.row, p.letter, p.value) for p in found.problems] == [
        ("warning", "cells_merged", 2, "C", "1호기"),
        ("warning", "cells_merged", 2, "E", "예"),
    ]
    assert "C2:C4" in found.problems[0].problem


def test_merged_titles_and_headers_give_no_row_a_value():
    data = workbook([row(1), row(2, section=None)], above=[["녹음 목록"]], merged=["A1:E1", "C2:C4"])
    found = read(data)
    assert [(problem.row, problem.code) for problem in found.problems] == [(3, "cell_empty"), (4, "cell_empty")]


def test_blank_rows_inside_merged_cells_stay_blank():
    found = read(workbook([row(1), [None] * 5, row(2, section=None)], merged=["C2:C4"]))
    assert found.frame["row"].tolist() == [2, 4]
    assert found.frame["section_id"].tolist() == ["1호기", "1호기"]


def test_formulas_without_a_saved_result_are_no_empty_cells():
    found = read(workbook([row(1), row(2, section='="1호"&"기"'), ["=A2", "=B2", "=C2", "=D2", "=E2"]]))
    assert found.frame["row"].tolist() == [2]
    assert {(p.row, p.code) for p in found.problems} == {
        (3, "formula_without_value"),
        (4, "formula_without_value"),
    }
    (problem,) = [problem for problem in found.problems if problem.row == 3]
    assert (problem.letter, problem.value) == ("C", '="1호"&"기"')
    assert "계산 결과" in problem.told("ko").problem


def test_formulas_with_saved_results_are_their_results_and_empty_text_is_empty():
    data = workbook([row(1), row(2, section="=C2"), ["=A9"] * 5])
    blank = next(blank for blank in (b"<v />", b"<v/>", b"<v></v>") if b"<f>C2</f>" + blank in sheet_of(data))
    data = with_sheet(data, b"<f>C2</f>" + blank, b"<f>C2</f><v>17</v>")
    for column in "ABCDE":
        data = with_sheet(data, f'<c r="{column}4">'.encode(), f'<c r="{column}4" t="str">'.encode())
    found = read(data)
    assert found.problems == []
    assert found.frame["section_id"].tolist() == ["1호기", "17"]


def sheet_of(data):
    return zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml")


def test_dates_as_text_numbers_and_dates_are_one():
    times = ["2026. 3. 5. 오후 2:03", datetime(2026, 3, 5, 14, 3), "2026년 3월 5일 14시 3분", 46086.585416666669]
    found = read(workbook([row(number, time=value) for number, value in enumerate(times)]))
    assert found.problems == []
    assert set(found.frame["recorded_at"]) == {datetime(2026, 3, 5, 14, 3)}


def test_the_example_row_of_the_form_is_no_data():
    found = read(workbook([row(1, path="예시: audio/fan.wav"), row(2)]))
    assert found.frame["row"].tolist() == [3]
    assert found.problems == []


def test_csv_cells_that_excel_keeps_as_text_are_what_excel_shows():
    data = b'path,machine,section,date,confirmed\na.wav,fan,="007",2026-03-05,TRUE\n'
    assert normalize(read_table(data, "metadata.csv"), now=NOW).frame["section_id"].tolist() == ["007"]


def test_a_cell_longer_than_excel_holds_is_told_short():
    found = read(workbook([row(1, section="가" * 32_000), row(2)]))
    (problem,) = found.problems
    assert problem.code == "cell_too_long"
    assert len(problem.value) <= 200


def test_a_csv_cell_longer_than_any_is_refused_as_such():
    data = ("path,machine,section,date\n" + "a" * 200_000 + ",fan,1,2026\n").encode()
    with pytest.raises(TableRefused) as caught:
        read_table(data, "metadata.csv")
    assert caught.value.problems[0].code == "table_long_cell"


def refused(data):
    with pytest.raises(TableRefused) as caught:
        read_table(data, "metadata.xlsx")
    (problem,) = caught.value.problems
    assert (problem.severity, problem.file) == ("refusal", "metadata.xlsx")
    return problem


def test_sheets_that_are_one_part_are_read_once():
    assert len(open_sheets(swollen("xl/workbook.xml", b"</sheets>", 9 * SHEET), "metadata.xlsx")) == 1


@pytest.mark.parametrize("count", [books.MOST_SHEETS, books.MOST_SHEETS + 1])
def test_a_workbook_may_have_so_many_sheets_and_no_more(count):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active.append(row(1))
    for _ in range(count - 1):
        book.create_sheet()
    stream = io.BytesIO()
    book.save(stream)
    if count <= books.MOST_SHEETS:
        assert read(stream.getvalue()).problems == []
    else:
        problem = refused(stream.getvalue())
        assert "65 sheets" in problem.problem
        assert "64" in problem.problem
        assert "시트" in problem.told("ko").problem


def test_more_formats_or_texts_than_tables_have_are_refused(monkeypatch):
    data = swollen("xl/styles.xml", b"</cellXfs>", b"<xf/>" * 200)
    read_table(data, "metadata.xlsx")
    monkeypatch.setitem(books.MOST_TAGS, "styles.xml", 200)
    problem = refused(data)
    assert "styles.xml" in problem.problem
    assert "200" in problem.problem
    assert "CSV UTF-8" in problem.remedy
    assert "styles.xml" in problem.told("ko").problem


def test_what_a_workbook_unpacks_to_is_limited_as_a_whole(monkeypatch):
    data = workbook([row(1)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        whole = sum(info.file_size for info in archive.infolist())
    monkeypatch.setattr(books, "MAX_UNPACKED_BYTES", whole)
    assert read(data).problems == []
    monkeypatch.setattr(books, "MAX_UNPACKED_BYTES", whole - 1)
    assert refused(data).code == "workbook_bomb"


def test_sheets_of_other_workbooks_that_are_kept_in_this_one_are_not_read():
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active.append(row(1))
    stream = io.BytesIO()
    book.save(stream)
    link = b'<externalReferences><externalReference r:id="rId99" '
    link += b'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"/></externalReferences>'
    target = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"</sheets>", b"</sheets>" + link))
    assert read(target.getvalue()).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("formulas", [False, True])
def test_twenty_thousand_rows_are_read_in_seconds(formulas):
    section = "=C1" if formulas else "1호기"
    data = workbook([row(number, section=section) for number in range(20_000)], merged=["B2:B20001"])
    start = time.process_time()
    found = read(data)
    assert time.process_time() - start < 120
    assert len(found.frame) == (0 if formulas else 20_000)
