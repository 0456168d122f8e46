"""The spreadsheet that a customer fills in: ``metadata.xlsx`` with drop-downs, help and an example row."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from alp_assets.report.form.amounts import Need
from alp_assets.version import code_version
from schemas.columns import COLUMNS, Column
from schemas.form import CONTRACT_VERSION
from schemas.metadata import MAX_CLIP_ID_LENGTH, MAX_SECTION_LENGTH
from schemas.texts import Language, read_texts

if TYPE_CHECKING:
    from openpyxl.styles import PatternFill
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet.datavalidation import DataValidation
    from openpyxl.worksheet.worksheet import Worksheet

HIDDEN_SHEET = "_alp"

_RECOMMENDED = ("split", "supp_type", "mic_position_id", "speed_level")
_EXAMPLE_TIME = datetime(2026, 3, 5, 10, 10)
_EXAMPLE_CHOICES = {"split": "train", "domain": "target", "label": "normal"}
_LAST_ROW = 1_048_576
_A4 = 9  # in Excel's list of papers
_FIRST_ROW = 3  # of the customer's own
_FORMATS = {"time": "yyyy-mm-dd hh:mm", "number": "General", "flag": "General", "choice": "General"}
_LENGTHS = {"section_id": MAX_SECTION_LENGTH, "clip_id": MAX_CLIP_ID_LENGTH}
_BRACKETS = {"operating_condition": ("{", "}"), "anomaly_regions": ("[", "]")}
_WIDTHS = {"relative_path": 46, "recorded_at": 19, "operating_condition": 28, "anomaly_regions": 24}
_WIDTH = 15
_DARK, _MIDDLE, _LIGHT, _RED, _PALE = "1D4E79", "7FA3C4", "D9E2EA", "F8D0CD", "F2F4F6"
_FILLS: dict[Need, tuple[str, str]] = {
    "required": (_DARK, "FFFFFF"),
    "recommended": (_MIDDLE, "14212E"),
    "optional": (_LIGHT, "14212E"),
}


@dataclass(frozen=True)
class _Field:
    """A column of the sheet: the contract's column, its letter in Excel, and its words."""

    column: Column
    letter: str
    need: Need
    header: str
    help: str
    choices: Mapping[str, str]


def build_sheet(machine_type: str, language: Language) -> bytes:
    """The workbook of a machine type (a name of ``schemas.machines``) as bytes.

    The first sheet is to be filled in: headers that the contract knows, an example in row 2. Then the help,
    and a hidden sheet with the version of the contract.
    """
    import openpyxl

    texts = read_texts("form", language)
    fields = _fields(machine_type, texts["sheet"])
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = texts["sheet"]["name"]
    _write_headers(sheet, fields, texts["sheet"])
    _write_example(sheet, fields, machine_type, texts)
    for field in fields:
        _validate(sheet, field, texts["sheet"])
    _mark_gaps(sheet, {field.column.name: field for field in fields}, texts["sheet"])
    _write_help(book, fields, texts)
    _write_version(book, machine_type, language)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def needed(column: Column) -> Need:
    """How much a column is asked for in the form."""
    if column.required or column.name == "operator_confirmed":
        return "required"
    return "recommended" if column.name in _RECOMMENDED else "optional"


def _fields(machine_type: str, texts: Mapping[str, Any]) -> list[_Field]:
    """The columns as they stand in the sheet: what is required first, the contract's order within."""
    from openpyxl.utils import get_column_letter

    order: tuple[Need, ...] = ("required", "recommended", "optional")
    columns = sorted(COLUMNS, key=lambda column: order.index(needed(column)))
    return [
        _Field(
            column,
            get_column_letter(place),
            needed(column),
            texts["columns"][column.name]["header"],
            texts["columns"][column.name]["help"],
            _choices(column, machine_type, texts),
        )
        for place, column in enumerate(columns, start=1)
    ]


def _choices(column: Column, machine_type: str, texts: Mapping[str, Any]) -> dict[str, str]:
    """The words to choose from by their values, the form's own machine type first; none for free text."""
    if column.kind == "flag":
        return {"yes": texts["yes"], "no": texts["no"]}
    values = [value for value, _ in column.values]
    values.sort(key=lambda value: value != machine_type)
    return {value: texts["values"][column.name][value] for value in values}


def _write_headers(sheet: Worksheet, fields: list[_Field], texts: Mapping[str, Any]) -> None:
    from openpyxl.comments import Comment
    from openpyxl.styles import Alignment, Font

    for field in fields:
        cell = sheet[f"{field.letter}1"]
        back, ink = _FILLS[field.need]
        cell.value = f"{field.header}*" if field.need == "required" else field.header
        cell.font, cell.fill = Font(bold=True, color=ink), _fill(back)
        cell.alignment = Alignment(horizontal="center", vertical="center", wrap_text=True)
        allowed = texts["allowed"].format(values=", ".join(field.choices.values())) if field.choices else ""
        cell.comment = Comment("\n".join(filter(None, (field.help, allowed))), "ALP", height=110, width=300)
        dimension = sheet.column_dimensions[field.letter]
        dimension.width = _WIDTHS.get(field.column.name, _WIDTH)
        # set for whole columns, so that 01 stays 01 in whatever row it is typed
        dimension.number_format = _format(field.column)
    sheet.row_dimensions[1].height = 34
    sheet.freeze_panes = "B2"
    sheet.print_title_rows = "1:1"
    _fit_to_a4(sheet)


def _write_example(sheet: Worksheet, fields: list[_Field], machine_type: str, texts: Mapping[str, Any]) -> None:
    from openpyxl.styles import Font

    section = texts["machines"][machine_type]["example_section"]
    values = {
        "relative_path": f"{texts['sheet']['mark']} audio/{section}/{_EXAMPLE_TIME:%Y%m%d_%H%M}.wav",
        "machine_type": texts["sheet"]["values"]["machine_type"][machine_type],
        "section_id": section,
        "recorded_at": _EXAMPLE_TIME,
        "operator_confirmed": texts["sheet"]["yes"],
        **{name: texts["sheet"]["values"][name][value] for name, value in _EXAMPLE_CHOICES.items()},
        **texts["sheet"]["example"],
    }
    for field in fields:
        cell = sheet[f"{field.letter}2"]
        cell.value = values.get(field.column.name)
        cell.number_format = _format(field.column)
        cell.font, cell.fill = Font(italic=True, color="52606D"), _fill(_PALE)


def _validate(sheet: Worksheet, field: _Field, texts: Mapping[str, Any]) -> None:
    """Let Excel refuse what the contract would."""
    found = _validation(field, texts)
    if found is None:
        return
    found.errorTitle, found.allow_blank = texts["refused_title"], True
    found.showErrorMessage, found.errorStyle = True, "stop"
    found.add(f"{field.letter}2:{field.letter}{_LAST_ROW}")
    sheet.add_data_validation(found)


def _validation(field: _Field, texts: Mapping[str, Any]) -> DataValidation | None:
    from openpyxl.worksheet.datavalidation import DataValidation

    column = field.column
    if field.choices:
        words = ",".join(field.choices.values())
        refused = texts["refused_choice"].format(values=words.replace(",", ", "))
        return DataValidation(type="list", formula1=f'"{words}"', error=refused)
    if column.kind == "time":
        return DataValidation(
            type="date", operator="between", formula1="DATE(1950,1,1)", formula2="DATE(2199,12,31)",
            error=texts["refused_time"],
        )  # fmt: skip
    if column.kind == "number":
        least = "0.001" if column.name == "sample_rate_hz" else "-1000"
        return DataValidation(
            type="decimal",
            operator="between",
            formula1=least,
            formula2="1000000000",
            error=texts["refused_number"],
        )
    if column.name in _LENGTHS:
        most = _LENGTHS[column.name]
        return DataValidation(
            type="textLength", operator="lessThanOrEqual", formula1=str(most),
            error=texts["refused_length"].format(most=most),
        )  # fmt: skip
    if column.name in _BRACKETS:
        first, last = _BRACKETS[column.name]
        cell = f"{field.letter}2"
        return DataValidation(
            type="custom",
            formula1=f'AND(LEFT(TRIM({cell}),1)="{first}",RIGHT(TRIM({cell}),1)="{last}")',
            error=texts["refused_object"].format(open=first, close=last),
        )
    return None


def _mark_gaps(sheet: Worksheet, fields: Mapping[str, _Field], texts: Mapping[str, Any]) -> None:
    """Colour the cells of a begun row that the contract still misses."""
    from openpyxl.formatting.rule import Rule
    from openpyxl.styles.differential import DifferentialStyle

    first, last = next(iter(fields.values())).letter, list(fields.values())[-1].letter
    begun = f"COUNTA(${first}{_FIRST_ROW}:${last}{_FIRST_ROW})>0"
    split, train, supplemental = (
        f"${fields['split'].letter}{_FIRST_ROW}",
        texts["values"]["split"]["train"],
        texts["values"]["split"]["supplemental"],
    )
    is_train = f'OR({split}="",{split}="{train}")'
    for name, wrong in _gaps(fields, is_train, f'{split}="{supplemental}"', texts):
        letter = fields[name].letter
        style = DifferentialStyle(fill=_fill(_RED))
        rule = Rule(type="expression", formula=[f"AND({begun},{wrong})"], dxf=style)
        sheet.conditional_formatting.add(f"{letter}{_FIRST_ROW}:{letter}{_LAST_ROW}", rule)


def _gaps(
    fields: Mapping[str, _Field], is_train: str, is_supplemental: str, texts: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Columns and the formula that is true where a cell of it is missing or contradicts the row's split."""
    cells = {name: f"${field.letter}{_FIRST_ROW}" for name, field in fields.items()}
    for name, field in fields.items():
        if field.column.required:
            yield name, f'{cells[name]}=""'
    normal = texts["values"]["label"]["normal"]
    yield "operator_confirmed", f'{is_train},{cells["operator_confirmed"]}<>"{texts["yes"]}"'
    yield "label", f'{is_train},{cells["label"]}<>"",{cells["label"]}<>"{normal}"'
    yield "supp_type", f'{is_supplemental},{cells["supp_type"]}=""'


def _write_help(book: Workbook, fields: list[_Field], texts: Mapping[str, Any]) -> None:
    from openpyxl.styles import Alignment, Font

    guide, needs = texts["sheet"]["guide"], texts["amounts"]["need"]
    sheet = book.create_sheet(texts["sheet"]["help"])
    wrapped = Alignment(wrap_text=True, vertical="top")
    sheet.append([guide["title"]])
    sheet["A1"].font = Font(bold=True, size=15)
    for number, row in enumerate(guide["rows"], start=1):
        sheet.append([f"{number}. {row}"])
    sheet.append([])
    sheet.append([guide[name] for name in ("column", "need", "meaning", "values")])
    top = sheet.max_row
    for cell in sheet[top]:
        cell.font, cell.fill = Font(bold=True, color="FFFFFF"), _fill(_DARK)
    for field in fields:
        sheet.append([field.header, needs[field.need], field.help, ", ".join(field.choices.values())])
        for cell in sheet[sheet.max_row]:
            cell.alignment = wrapped
        sheet[f"A{sheet.max_row}"].font = Font(bold=field.need == "required")
    for letter, width in zip("ABCD", (22, 12, 78, 40), strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.sheet_view.showGridLines = False
    _fit_to_a4(sheet)


def _write_version(book: Workbook, machine_type: str, language: Language) -> None:
    sheet = book.create_sheet(HIDDEN_SHEET)
    for row in (
        ("contract_version", CONTRACT_VERSION),
        ("alp_version", code_version()),
        ("form", machine_type),
        ("language", language),
    ):
        sheet.append(row)
    sheet.sheet_state = "hidden"


def _fit_to_a4(sheet: Worksheet) -> None:
    """Print as wide as a landscape page, on as many as it takes."""
    from openpyxl.worksheet.properties import PageSetupProperties

    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", _A4
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)


def _format(column: Column) -> str:
    """Excel's number format; text that looks like a number stays text."""
    return _FORMATS.get(column.kind, "@")


def _fill(colour: str) -> PatternFill:
    from openpyxl.styles import PatternFill

    # conditional formats take the back colour, cells the front colour
    return PatternFill("solid", start_color=colour, end_color=colour)
