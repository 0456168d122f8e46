"""The collection form as it is sent, and as it comes back."""

import html
import io
import json
import re
import shutil
import time
from datetime import date, datetime
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.form import form
from alp_assets.errors import AlpError, ParameterError
from alp_assets.intake.normalize import normalize
from alp_assets.intake.table import read_table
from alp_assets.params import ModelParams, Params, SelectionParams
from alp_assets.report.browser import BrowserMissing, PrintFailed, find_browser, print_pdf
from alp_assets.report.form import read_machine_types, write_forms
from alp_assets.report.form.page import render_checklist
from alp_assets.report.form.sheet import HIDDEN_SHEET, build_sheet
from alp_assets.stages.metadata import read_metadata, read_problems
from schemas.columns import COLUMNS, fold_header
from schemas.form import CONTRACT_VERSION, EXAMPLE_MARKS
from schemas.machines import MACHINE_TYPE_NAMES
from schemas.texts import LANGUAGES, read_texts
from tests.packages import audio, hum, receive, run_through, zipped

NAMES = {fold_header(word): column.name for column in COLUMNS for word in (column.name, *column.aliases)}
needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setattr("alp_assets.report.browser.shutil.which", lambda name: None)
    monkeypatch.delenv("ALP_BROWSER", raising=False)


def opened(content):
    return openpyxl.load_workbook(io.BytesIO(content))


def bytes_of(book):
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def letters(sheet):
    """What Excel calls each column, by contract name."""
    return {NAMES[fold_header(cell.value)]: cell.column_letter for cell in sheet[1]}


def words(language):
    return read_texts("form", language)["sheet"]


def filled(language, rows, machine_type="fan", *, first=3):
    """The workbook with rows (contract names to cells) typed in below the example."""
    book = opened(build_sheet(machine_type, language))
    sheet = book.worksheets[0]
    place = letters(sheet)
    for number, row in enumerate(rows, start=first):
        for name, value in row.items():
            sheet[f"{place[name]}{number}"] = value
    return book


def a_row(language, number, **more):
    said = words(language)
    return {
        "relative_path": f"audio/{number:05d}.wav",
        "machine_type": said["values"]["machine_type"]["fan"],
        "section_id": "01",
        "recorded_at": datetime(2025, 3, 4, 10, number % 60),
        "operator_confirmed": said["yes"],
        **more,
    }


def normalized(book, **options):
    return normalize(read_table(bytes_of(book), "metadata.xlsx", **options))


# The checklist


@pytest.mark.parametrize("machine_type", MACHINE_TYPE_NAMES)
def test_a_checklist_holds_the_guidance_of_its_machine(machine_type, language):
    page = html.unescape(render_checklist(machine_type, language, ModelParams()))
    machine = read_texts("form", language)["machines"][machine_type]
    for text in (machine["name"], machine["speeds"], *machine["place"], *machine["run"]):
        assert text in page
    assert not re.search(r"\{\w*\}", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert f'lang="{language}"' in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_checklist_names_engines_and_storage(language):
    page = render_checklist("fan", language, ModelParams())
    for text in ("1.0–3.2 MB", "1.0–3.8 MB", "5.8–17.3 MB", "16.0–51.8 MB", "0.32 MB", "320 MB"):
        assert text in page
    engine = {"ko": "엔진", "en": "ngine"}[language]
    assert all(f"{engine} {letter}" in page for letter in "ABC")


def test_amounts_follow_the_rules_of_selection(language):
    rules = SelectionParams(few_target=7, much_source=80, metadata_share=0.9)
    page = render_checklist("fan", language, ModelParams(selection=rules))
    for text in ({"ko": "정상음 7개부터", "en": "From 7 normal"}[language], "80", "90%", "25.6–51.8 MB"):
        assert text in page


@needs_browser
def test_a_checklist_prints_on_one_a4_page(tmp_path, language):
    page = tmp_path / "valve.html"
    page.write_text(render_checklist("valve", language, ModelParams()), encoding="utf-8")
    print_pdf(page, tmp_path / "valve.pdf")
    printed = (tmp_path / "valve.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    [box] = re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed)
    assert [float(edge) for edge in box.split()][2:] == pytest.approx([595.28, 841.89], abs=1)


# The spreadsheet as it is sent


def test_headers_are_known_frozen_and_explained(language):
    sheet = opened(build_sheet("pump", language)).worksheets[0]
    assert set(letters(sheet)) == {column.name for column in COLUMNS}
    assert sheet.freeze_panes == "B2"
    for cell in sheet[1]:
        assert len(cell.comment.text) > 10
        assert ("*" in cell.value) == (
            NAMES[fold_header(cell.value)]
            in ("relative_path", "machine_type", "section_id", "recorded_at", "operator_confirmed")
        )


def test_drop_downs_offer_the_values_of_the_contract(language):
    sheet = opened(build_sheet("pump", language)).worksheets[0]
    place, said = letters(sheet), words(language)["values"]
    lists = {str(found.sqref)[0]: found for found in sheet.data_validations.dataValidation if found.type == "list"}
    for name in ("machine_type", "split", "domain", "label", "supp_type", "modality"):
        offered = lists[place[name]].formula1.strip('"').split(",")
        assert sorted(offered) == sorted(said[name].values())
        assert f"{place[name]}20001" in lists[place[name]]
    assert lists[place["machine_type"]].formula1.startswith(f'"{said["machine_type"]["pump"]},')
    assert place["operator_confirmed"] in lists


def test_columns_have_types(language):
    sheet = opened(build_sheet("fan", language)).worksheets[0]
    place = letters(sheet)
    checks = {str(found.sqref)[0]: found.type for found in sheet.data_validations.dataValidation}
    assert checks[place["recorded_at"]] == "date"
    assert checks[place["snr_db"]] == checks[place["sample_rate_hz"]] == "decimal"
    assert checks[place["section_id"]] == "textLength"
    assert sheet.column_dimensions[place["recorded_at"]].number_format == "yyyy-mm-dd hh:mm"
    for name in ("section_id", "speed_level", "relative_path"):
        assert sheet.column_dimensions[place[name]].number_format == "@"


def test_a_hidden_sheet_says_the_version_of_the_contract(language):
    book = opened(build_sheet("valve", language))
    hidden = book[HIDDEN_SHEET]
    assert hidden.sheet_state == "hidden"
    found = dict(hidden.iter_rows(values_only=True))
    assert found["contract_version"] == CONTRACT_VERSION
    assert (found["form"], found["language"]) == ("valve", language)


@pytest.mark.parametrize("machine_type", MACHINE_TYPE_NAMES)
def test_the_example_holds_the_contract_once_its_mark_is_gone(machine_type, language):
    book = opened(build_sheet(machine_type, language))
    cell = book.worksheets[0]["A2"]
    assert cell.value.lower().startswith(EXAMPLE_MARKS)
    cell.value = cell.value.partition(":")[2].strip()
    found = normalized(book)
    assert not found.problems
    assert found.frame["machine_type"].tolist() == [machine_type]


def test_the_help_is_never_taken_for_the_table(language):
    book = opened(build_sheet("fan", language))
    del book[words(language)["name"]]
    with pytest.raises(AlpError):
        read_table(bytes_of(book), "metadata.xlsx")


def test_a_form_that_nobody_filled_in_is_refused(language):
    with pytest.raises(AlpError, match=r"no rows"):
        read_table(build_sheet("fan", language), "metadata.xlsx")


# The spreadsheet as it comes back


def test_a_filled_form_goes_through_without_problems(tmp_path, language):
    said = words(language)["values"]
    rows = [a_row(language, number) for number in range(4)]
    rows += [
        a_row(language, 4, split=said["split"]["supplemental"], supp_type=said["supp_type"]["noise"]),
        a_row(
            language,
            5,
            split=said["split"]["test"],
            label=said["label"]["anomaly"],
            domain=said["domain"]["source"],
            operator_confirmed=words(language)["no"],
            anomaly_regions="[[0.5, 1.5]]",
            operating_condition='{"온도": 24}',
            speed_level="1",
            snr_db=12.5,
        ),
    ]
    files = {row["relative_path"]: audio(hum(number)) for number, row in enumerate(rows)}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.xlsx": bytes_of(filled(language, rows))})
    folder = receive(tmp_path / "data", archive)
    summary = run_through(folder, until="metadata")["metadata"]
    assert summary.passed
    assert read_problems(folder) == []
    table = read_metadata(folder)
    assert table["relative_path"].tolist() == [row["relative_path"] for row in rows]
    assert table["row"].tolist() == list(range(3, 9))
    assert table["section_id"].unique().tolist() == ["01"]
    assert table["split"].tolist() == ["train"] * 4 + ["supplemental", "test"]
    assert table["label"].iloc[-1] == "anomaly"
    assert table["snr_db"].iloc[-1] == 12.5
    assert json.loads(table["operating_condition"].iloc[-1]) == {"온도": 24}


@pytest.mark.parametrize("what", ["deleted", "written over"])
def test_the_example_row_need_not_stay(language, what):
    book = filled(language, [a_row(language, 1)], first=2 if what == "written over" else 3)
    if what == "deleted":
        book.worksheets[0].delete_rows(2)
    found = normalized(book)
    assert not found.problems
    assert found.frame["row"].tolist() == [2]


def test_blank_rows_in_the_middle_are_passed_over(language):
    book = filled(language, [a_row(language, 1), {}, {}, a_row(language, 2)])
    found = normalized(book)
    assert not found.problems
    assert found.frame["row"].tolist() == [3, 6]


@pytest.mark.parametrize(
    "written",
    ["2025-03-04 10:05", "2025. 3. 4. 오전 10:05", "2025년 3월 4일 10시 5분", datetime(2025, 3, 4, 10, 5)],
)
def test_dates_as_text_are_read(written, language):
    found = normalized(filled(language, [a_row(language, 1, recorded_at=written)]))
    assert not found.problems
    assert found.frame["recorded_at"].iloc[0] == datetime(2025, 3, 4, 10, 5)


def test_a_day_alone_is_read(language):
    found = normalized(filled(language, [a_row(language, 1, recorded_at=date(2025, 3, 4))]))
    assert found.frame["recorded_at"].iloc[0] == datetime(2025, 3, 4)


def test_a_cell_that_is_too_long_is_a_problem_of_its_row_alone(language):
    rows = [a_row(language, 1), a_row(language, 2, section_id="가" * 5000)]
    found = normalized(filled(language, rows))
    assert found.frame["row"].tolist() == [3]
    assert [(problem.row, problem.column) for problem in found.problems] == [(4, "section_id")]


@pytest.mark.slow
def test_twenty_thousand_rows_are_read():
    template = opened(build_sheet("fan", "ko")).worksheets[0]
    names = [NAMES[fold_header(cell.value)] for cell in template[1]]
    sheet = openpyxl.Workbook(write_only=True).create_sheet()
    for values in template.iter_rows(values_only=True):
        sheet.append(values)
    row = a_row("ko", 0)
    rest = [row[name] for name in names[1 : len(row)]]
    for number in range(20_000):
        sheet.append([f"audio/{number}.wav", *rest])
    found = normalized(sheet.parent)
    assert not found.problems
    assert np.array_equal(found.frame["row"], np.arange(3, 20_003))


# Writing them


def test_forms_lie_in_a_folder_for_each_machine_type(tmp_path, no_browser):
    written = write_forms(("fan", "valve"), "ko", tmp_path / "form", Params())
    assert [file.relative_to(tmp_path).as_posix() for file in written.files] == [
        "form/fan/checklist.html",
        "form/fan/metadata.xlsx",
        "form/valve/checklist.html",
        "form/valve/metadata.xlsx",
    ]
    assert all(file.stat().st_size for file in written.files)
    assert "browser" in written.no_pdf


def test_a_form_that_may_be_filled_in_is_not_written_over(tmp_path, no_browser):
    write_forms(("valve",), "ko", tmp_path, Params())
    (tmp_path / "valve" / "metadata.xlsx").write_bytes(b"filled in")
    with pytest.raises(AlpError, match=r"valve/metadata\.xlsx.*--replace"):
        write_forms(("fan", "valve"), "ko", tmp_path, Params())
    assert not (tmp_path / "fan").exists()
    assert (tmp_path / "valve" / "metadata.xlsx").read_bytes() == b"filled in"
    write_forms(("valve",), "ko", tmp_path, Params(), replace=True)
    assert (tmp_path / "valve" / "metadata.xlsx").read_bytes() != b"filled in"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, no_browser):
    (tmp_path / "form").write_text("a file")
    with pytest.raises(AlpError, match=r"form/fan: cannot be written to.*--out"):
        write_forms(("fan",), "ko", tmp_path / "form", Params())


def test_a_browser_that_fails_costs_the_pdf_alone(tmp_path, monkeypatch):
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho cannot open display >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("ALP_BROWSER", str(broken))
    written = write_forms(("fan", "pump"), "en", tmp_path / "form", Params())
    assert [file.name for file in written.files] == ["checklist.html", "metadata.xlsx"] * 2
    assert "cannot open display" in written.no_pdf


@pytest.mark.parametrize("text", ["fan,valve", " 팬, VALVE ,fan,", "송풍기,valves"])
def test_machine_types_are_read_as_people_write_them(text):
    assert read_machine_types(text) == ("fan", "valve")


@pytest.mark.parametrize(
    ("text", "guess"), [("vlave", "valve"), ("fan,comprssor", "compressor"), ("감속", "gearbox")]
)
def test_an_unknown_machine_type_is_refused_with_the_known_ones(text, guess):
    with pytest.raises(ParameterError) as refused:
        read_machine_types(text)
    assert f"Did you mean {guess}?" in str(refused.value)
    assert all(name in str(refused.value) for name in MACHINE_TYPE_NAMES)


@pytest.mark.parametrize("text", ["", " , ", "xyzzy", "가" * 10_000])
def test_nothing_like_a_machine_type_lists_the_known_ones(text):
    with pytest.raises(ParameterError, match="fan, pump, valve") as refused:
        read_machine_types(text)
    assert len(str(refused.value)) < 300


# The command


@pytest.fixture
def alp_form(tmp_path, monkeypatch):
    """`alp form` by itself, in a data root of the test's own."""
    for name in ("ALP_DATA", "ALP_PARAMS", "MPLCONFIGDIR", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    app = typer.Typer()
    app.command()(form)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "data")])


def test_the_command_lists_what_it_wrote(tmp_path, no_browser, alp_form):
    result = alp_form("밸브", "--out", str(tmp_path / "out"), "--json")
    told = json.loads(result.stdout)
    assert told["files"] == [
        str(tmp_path / "out" / "valve" / name) for name in ("checklist.html", "metadata.xlsx")
    ]
    assert "browser" in told["no_pdf"]
    page = (tmp_path / "out" / "valve" / "checklist.html").read_text(encoding="utf-8")
    assert 'lang="ko"' in page


@pytest.mark.parametrize(
    ("arguments", "word"), [(("fna",), "Did you mean fan"), (("fan", "--lang", "fr"), "en and ko")]
)
def test_the_command_writes_nothing_for_what_it_does_not_know(tmp_path, alp_form, arguments, word):
    result = alp_form(*arguments, "--out", str(tmp_path / "out"))
    assert isinstance(result.exception, ParameterError)
    assert word in str(result.exception)
    assert not (tmp_path / "out").exists()


# Printing


def test_no_browser_is_told_with_what_to_do(tmp_path, no_browser):
    assert find_browser() is None
    with pytest.raises(BrowserMissing, match="ALP_BROWSER"):
        print_pdf(tmp_path / "a.html", tmp_path / "a.pdf")


def test_a_named_browser_must_be_there(monkeypatch):
    monkeypatch.setenv("ALP_BROWSER", "/nowhere/chrome")
    with pytest.raises(BrowserMissing, match="/nowhere/chrome"):
        find_browser()


def test_a_browser_that_hangs_is_ended(tmp_path, monkeypatch):
    slow = tmp_path / "chromium"
    slow.write_text(f"#!/bin/sh\nsleep 30 & echo $! > {tmp_path}/child\nwait\n")
    slow.chmod(0o755)
    monkeypatch.setenv("ALP_BROWSER", str(slow))
    (tmp_path / "a.html").write_text("a")
    with pytest.raises(PrintFailed, match=r"within 0\.5 seconds"):
        print_pdf(tmp_path / "a.html", tmp_path / "a.pdf", time_limit_s=0.5)
    assert not (tmp_path / "a.pdf").exists()
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not _runs(child):
            return
        time.sleep(0.1)
    pytest.fail("what the browser started is still running")


def _runs(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
    return state != "Z"
