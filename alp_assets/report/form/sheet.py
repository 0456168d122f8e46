"""The spreadsheet that a customer fills in: ``metadata.xlsx`` with drop-downs, help and an example row."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from alp_assets.report.form.amounts import Need
from alp_assets.report.form.fields import Field, example, fields_of, words_of
from alp_assets.version import code_version
from schemas.columns import Column
from schemas.form import CONTRACT_VERSION
from schemas.metadata import MAX_CLIP_ID_LENGTH, MAX_SECTION_LENGTH
from schemas.texts import Language

if TYPE_CHECKING:
    from openpyxl.styles import PatternFill
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet.datavalidation import DataValidation
    from openpyxl.worksheet.worksheet import Worksheet

HIDDEN_SHEET = "_alp"

_LAST_ROW = 1_048_576
_A4 = 9  # in Excel's list of papers
_FIRST_ROW = 3  # of the customer's own
_FORMATS = {"time": "yyyy-mm-dd hh:mm", "number": "General", "flag": "General", "choice": "General"}
_LENGTHS = {"section_id": MAX_SECTION_LENGTH, "clip_id": MAX_CLIP_ID_LENGTH}
_BRACKETS = {"operating_condition": ("{", "}"), "anomaly_regions": ("[", "]")}
_WIDTHS = {
    "relative_path": 46,
    "channels": 32,
    "recorded_at": 19,
    "operating_condition": 28,
    "anomaly_regions": 24,
}
_WIDTH = 15
_DARK, _MIDDLE, _LIGHT, _RED, _PALE = "1D4E79", "7FA3C4", "D9E2EA", "F8D0CD", "F2F4F6"
_FILLS: dict[Need, tuple[str, str]] = {
    "required": (_DARK, "FFFFFF"),
    "recommended": (_MIDDLE, "14212E"),
    "optional": (_LIGHT, "14212E"),
}


def build_sheet(machine_type: str, language: Language, *, signals: bool = False) -> bytes:
    """The workbook of a machine type (a name of ``schemas.machines``) as bytes, for sound or for signals.

    The first sheet is to be filled in: headers that the contract knows, an example in row 2. Then the help,
    and a hidden sheet with the version of the contract.
    """
    import openpyxl

    texts = words_of(language, signals=signals)
    fields = fields_of(machine_type, texts["sheet"], signals=signals)
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = texts["sheet"]["name"]
    _write_headers(sheet, fields, texts["sheet"])
    _write_example(sheet, fields, example(machine_type, texts, signals=signals))
    for field in fields:
        _validate(sheet, field, texts["sheet"])
    _mark_gaps(sheet, {field.column.name: field for field in fields}, texts["sheet"])
    _write_help(book, fields, texts)
    _write_version(book, f"{machine_type} signals" if signals else machine_type, language)
    if signals:
        _suggest(book, fields, texts["sheet"]["suggested_channels"])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _write_headers(sheet: Worksheet, fields: list[Field], texts: Mapping[str, Any]) -> None:
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


def _write_example(sheet: Worksheet, fields: list[Field], values: Mapping[str, Any]) -> None:
    from openpyxl.styles import Font

    for field in fields:
        cell = sheet[f"{field.letter}2"]
        cell.value = values.get(field.column.name)
        cell.number_format = _format(field.column)
        cell.font, cell.fill = Font(italic=True, color="52606D"), _fill(_PALE)


def _validate(sheet: Worksheet, field: Field, texts: Mapping[str, Any]) -> None:
    """Let Excel refuse what the contract would."""
    found = _validation(field, texts)
    if found is None:
        return
    found.errorTitle, found.allow_blank = texts["refused_title"], True
    found.showErrorMessage, found.errorStyle = True, "stop"
    found.add(f"{field.letter}2:{field.letter}{_LAST_ROW}")
    sheet.add_data_validation(found)


def _validation(field: Field, texts: Mapping[str, Any]) -> DataValidation | None:
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


def _mark_gaps(sheet: Worksheet, fields: Mapping[str, Field], texts: Mapping[str, Any]) -> None:
    """Colour the cells of a begun row that the contract still misses."""
    from openpyxl.formatting.rule import Rule
    from openpyxl.styles.differential import DifferentialStyle

    first, last = next(iter(fields.values())).letter, list(fields.values())[-1].letter
    begun = f"COUNTA(${first}{_FIRST_ROW}:${last}{_FIRST_ROW})>0"
    split = f"${fields['split'].letter}{_FIRST_ROW}"
    words = texts["values"]["split"]
    of_split = {name: f'{split}="{word}"' for name, word in words.items()}
    of_split["train"] = f'OR({split}="",{of_split["train"]})'
    for name, wrong in _gaps(fields, of_split, texts):
        letter = fields[name].letter
        style = DifferentialStyle(fill=_fill(_RED))
        rule = Rule(type="expression", formula=[f"AND({begun},{wrong})"], dxf=style)
        sheet.conditional_formatting.add(f"{letter}{_FIRST_ROW}:{letter}{_LAST_ROW}", rule)


def _gaps(
    fields: Mapping[str, Field], of_split: Mapping[str, str], texts: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Columns and the formula that is true where a cell of it is missing or contradicts the row's split."""
    cells = {name: f"${field.letter}{_FIRST_ROW}" for name, field in fields.items()}
    for name, field in fields.items():
        if field.needed_always:
            yield name, f'{cells[name]}=""'
    confirmed, label = cells["operator_confirmed"], cells["label"]
    normal, anomaly = (texts["values"]["label"][name] for name in ("normal", "anomaly"))
    yield "operator_confirmed", f'{of_split["train"]},{confirmed}<>"{texts["yes"]}"'
    yield "label", f'{of_split["train"]},{label}<>"",{label}<>"{normal}"'
    yield "label", f'{of_split["validation"]},{label}<>"{normal}",{label}<>"{anomaly}"'
    if "supp_type" in cells:
        yield "supp_type", f'{of_split["supplemental"]},{cells["supp_type"]}=""'


def _write_help(book: Workbook, fields: list[Field], texts: Mapping[str, Any]) -> None:
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


def _suggest(book: Workbook, fields: list[Field], suggestions: Iterable[str]) -> None:
    """Offer usual channels to choose from; anything else may be written as well."""
    from openpyxl.worksheet.datavalidation import DataValidation

    hidden, sheet = book[HIDDEN_SHEET], book.worksheets[0]
    for row, text in enumerate(suggestions, start=1):
        hidden[f"D{row}"] = text
    letter = next(field.letter for field in fields if field.column.name == "channels")
    offered = DataValidation(type="list", formula1=f"{HIDDEN_SHEET}!$D$1:$D${row}", allow_blank=True)
    offered.showErrorMessage = False
    offered.add(f"{letter}2:{letter}{_LAST_ROW}")
    sheet.add_data_validation(offered)


def _write_version(book: Workbook, form: str, language: Language) -> None:
    sheet = book.create_sheet(HIDDEN_SHEET)
    for row in (
        ("contract_version", CONTRACT_VERSION),
        ("alp_version", code_version()),
        ("form", form),
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
