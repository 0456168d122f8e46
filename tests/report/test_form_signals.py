"""The collection form for motor current, flux and vibration, as it is sent and as it comes back."""

import html
import io
import json
import re
import shutil
from datetime import datetime

import numpy as np
import openpyxl
import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.form import form
from alp_assets.intake.normalize import normalize
from alp_assets.intake.table import read_table
from alp_assets.params import Params, with_overrides
from alp_assets.progress import silent
from alp_assets.report.browser import print_pdf
from alp_assets.report.form import write_forms
from alp_assets.report.form.page import render_signal_checklist
from alp_assets.report.form.sheet import HIDDEN_SHEET, build_sheet
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.preflight import preflight
from alp_assets.synth.motor import Duty, build_motor, run_motor
from schemas.columns import COLUMNS, fold_header
from schemas.machines import MACHINE_TYPE_NAMES
from schemas.texts import LANGUAGES, read_texts
from tests.packages import FAST, zipped

NAMES = {fold_header(word): column.name for column in COLUMNS for word in (column.name, *column.aliases)}
RATE, POINTS = 2000.0, 1024
PARAMS = with_overrides(FAST, {"signals.clip_points": POINTS // 2})


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


def opened(language, machine_type="motor"):
    return openpyxl.load_workbook(io.BytesIO(build_sheet(machine_type, language, signals=True)))


def letters(sheet):
    return {NAMES[fold_header(cell.value)]: cell.column_letter for cell in sheet[1]}


def bytes_of(book):
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


# The checklist


@pytest.mark.parametrize("machine_type", MACHINE_TYPE_NAMES)
def test_a_checklist_says_what_to_measure_and_how_it_is_named(machine_type, language):
    page = html.unescape(render_signal_checklist(machine_type, language, Params()))
    texts = read_texts("form_signals", language)["signals"]
    for text in (read_texts("form", language)["machines"][machine_type]["name"], *texts["place"], *texts["run"]):
        assert text in page
    for text in ("phase_a, phase_b, phase_c", "flux", "axis_x", "CSV", "NPY", "Parquet", "MAT", "WAV", "10 kHz"):
        assert text in page
    assert not re.search(r"\{\w*\}", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert "http" not in page.replace("http-equiv", "")


def test_amounts_name_engines_sizes_and_follow_the_parameters(language):
    page = render_signal_checklist("motor", language, Params())
    for text in ("5–16 MB", "96–576 MB", "8,192", "0.82", "S1", "S2", "S3", "S4"):
        assert text in page
    params = with_overrides(Params(), {"models.selection.much_signal": 4321, "signals.clip_points": 20_000})
    page = render_signal_checklist("motor", language, params)
    for text in ("4,321", "20,000", "20"):
        assert text in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_a_checklist_prints_on_one_a4_page(tmp_path, language):
    page = tmp_path / "page.html"
    page.write_text(render_signal_checklist("gearbox", language, Params()), encoding="utf-8")
    print_pdf(page, tmp_path / "page.pdf")
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) == 1


# The spreadsheet


def test_columns_of_signals_come_first_and_those_of_sound_are_left_out(language):
    sheet = opened(language).worksheets[0]
    names = list(letters(sheet))
    assert (
        names.index("modality") < names.index("sample_rate_hz") < names.index("channels") < names.index("domain")
    )
    assert not {"mic_position_id", "noise_id", "snr_db", "supp_type"} & set(names)
    starred = {NAMES[fold_header(cell.value)] for cell in sheet[1] if "*" in cell.value}
    assert starred == {
        *("relative_path", "machine_type", "section_id", "recorded_at"),
        *("operator_confirmed", "modality"),
    }


@pytest.mark.parametrize(
    ("split", "label", "gaps"),
    [
        ("train", None, set()),
        (None, "normal", set()),
        ("train", "anomaly", {"label"}),
        ("validation", None, {"label"}),
        ("validation", "unknown", {"label"}),
        ("validation", "normal", set()),
        ("validation", "anomaly", set()),
    ],
)
def test_a_label_that_lacks_or_contradicts_the_split_is_coloured(language, split, label, gaps):
    sheet, said = opened(language).worksheets[0], read_texts("form", language)["sheet"]
    place, row = letters(sheet), dict.fromkeys(letters(sheet), "filled")
    row["operator_confirmed"] = said["yes"]
    row["split"] = said["values"]["split"].get(split, "")
    row["label"] = said["values"]["label"].get(label, "")
    assert coloured(sheet, {place[name]: value for name, value in row.items()}) == {place[name] for name in gaps}


def coloured(sheet, cells):
    """Letters of the columns of row 3 that Excel would colour with these cells in it."""
    names = {
        "AND": lambda *parts: all(parts),
        "OR": lambda *parts: any(parts),
        "COUNTA": lambda values: sum(value != "" for value in values),
        "cells": cells,
    }
    found = set()
    for ranges in sheet.conditional_formatting:
        for rule in ranges.rules:
            formula = re.sub(r"\$[A-Z]+3:\$[A-Z]+3", "cells.values()", rule.formula[0])
            formula = re.sub(r"\$([A-Z]+)3", r"cells['\1']", formula).replace("<>", "!=").replace('="', '=="')
            if eval(formula.replace("!==", "!="), names):
                found.add(re.match("[A-Z]+", str(ranges.sqref)).group())
    return found


def test_drop_downs_offer_what_holds_for_signals(language):
    book = opened(language)
    sheet, said = book.worksheets[0], read_texts("form", language)["sheet"]["values"]
    place = letters(sheet)
    lists = {str(found.sqref)[0]: found for found in sheet.data_validations.dataValidation if found.type == "list"}
    offered = {name: lists[place[name]].formula1.strip('"').split(",") for name in ("modality", "split")}
    assert offered["modality"] == [said["modality"][name] for name in ("current", "flux", "vibration")]
    assert offered["split"] == [said["split"][name] for name in ("train", "test", "validation")]
    channels = lists[place["channels"]]
    assert not channels.showErrorMessage
    assert book[HIDDEN_SHEET]["D1"].value == sheet[f"{place['channels']}2"].value
    assert channels.formula1 == f"{HIDDEN_SHEET}!$D$1:$D$5"


@pytest.mark.parametrize("machine_type", ["motor", "pump"])
def test_the_example_holds_the_contract_once_its_mark_is_gone(machine_type, language):
    book = opened(language, machine_type)
    cell = book.worksheets[0]["A2"]
    cell.value = cell.value.partition(":")[2].strip()
    found = normalize(read_table(bytes_of(book), "metadata.xlsx"))
    assert not found.problems
    row = found.frame.iloc[0]
    assert (row["modality"], row["sample_rate_hz"]) == ("current", 10_000)
    assert row["relative_path"].startswith("signals/")


def test_a_filled_form_goes_through_the_check_without_problems(tmp_path, language):
    texts, said = read_texts("form_signals", language)["sheet"], read_texts("form", language)["sheet"]
    values, book = said["values"], opened(language)
    sheet = book.worksheets[0]
    place, motor, rng = letters(sheet), build_motor(np.random.default_rng(1)), np.random.default_rng(2)
    files = {}
    for number in range(5):
        currents = run_motor(motor, rng, POINTS, RATE, Duty())
        path = f"signals/M-1/{number}.csv"
        lines = [",".join(f"{cell:.5g}" for cell in line) for line in currents.T]
        files[path] = "\n".join(["CH1,CH2,CH3,CH4", *lines]).encode()
        row = {
            "relative_path": path,
            "machine_type": values["machine_type"]["motor"],
            "section_id": "M-1",
            "recorded_at": datetime(2025, 3, 4, 10, number),
            "operator_confirmed": said["yes"],
            "modality": values["modality"]["current"],
            "sample_rate_hz": RATE,
            "channels": texts["suggested_channels"][0],
            "split": values["split"]["train"],
            "load_level": "50%",
        }
        for name, cell in row.items():
            sheet[f"{place[name]}{number + 3}"] = cell
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.xlsx": bytes_of(book)})
    folder = PackageFolder(tmp_path / "scratch", "acme", "first")
    found = preflight(folder, archive, tmp_path / "data", PARAMS, lambda stage: silent)
    assert (found.verdict, list(found.problems)) == ("ok", [])
    (machine,) = found.prospects
    assert (machine.state, machine.usable, machine.engine) == ("model", 5, "signal_spectrum")


# Writing them


def test_forms_for_signals_lie_beside_those_for_sound(tmp_path, monkeypatch):
    monkeypatch.setattr("alp_assets.report.browser.shutil.which", lambda name: None)
    monkeypatch.delenv("ALP_BROWSER", raising=False)
    for signals in (False, True):
        write_forms(("motor",), "ko", tmp_path, Params(), signals=signals)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motor", "motor-signals"]


def test_the_command_writes_them(tmp_path, monkeypatch):
    monkeypatch.setattr("alp_assets.report.browser.shutil.which", lambda name: None)
    for name in ("ALP_BROWSER", "ALP_DATA", "ALP_PARAMS"):
        monkeypatch.delenv(name, raising=False)
    app = typer.Typer()
    app.command()(form)
    where = ("--out", str(tmp_path / "out"), "--data", str(tmp_path / "data"))
    told = json.loads(CliRunner().invoke(app, ["모터", "--signals", "--lang", "en", "--json", *where]).stdout)
    assert told["files"][0] == str(tmp_path / "out" / "motor-signals" / "checklist.html")
    assert "How to measure: Motor" in (tmp_path / "out" / "motor-signals" / "checklist.html").read_text()
