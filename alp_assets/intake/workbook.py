"""Reading the sheets of an Excel workbook as text cells, with what Excel shows and openpyxl leaves out.

A merged cell holds its value for all of its rows, and a formula that was never computed holds none.
"""

from __future__ import annotations

import datetime as dt
import html
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alp_assets.errors import TableRefused
from schemas.problems import Problem, Value

MAX_UNPACKED_BYTES = 384 * 2**20
"""Two hundred thousand rows of twenty columns need two thirds of it."""

MAX_RATIO = 200.0
MOST_SHEETS = 64
MOST_TAGS = {"styles.xml": 50_000, "sharedStrings.xml": 4_000_000}
"""Brackets in the parts that openpyxl reads as a whole. It takes up to 0.1 ms for a format, less for a text."""

UNCOMPUTED = "\0"
"""What the text of a formula without a saved result begins with; no cell of a workbook can hold it."""

_CHUNK = 1 << 20
# every piece ends at the next bracket, so that a part full of tags that never close takes no longer than others
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^<>]*?\bref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')
_FORMULA = re.compile(rb"<(?:\w+:)?f\b[^<>]*?(?:/>|>([^<]*)</(?:\w+:)?f>)")
_CELL = re.compile(
    rb"<(?:\w+:)?c\b([^<>]*)(?<!/)>([^<]*+(?:<(?!/?(?:\w+:)?c\b)[^<]*+)*+)</(?:\w+:)?c>",
)
_PLACE = re.compile(rb'\br="([A-Z]{1,3})(\d{1,7})"')
_RESULT = re.compile(rb"<(?:\w+:)?v\b[^<>]*>[^<]")


@dataclass(frozen=True)
class Merge:
    """Merged cells: the column (from 0) whose cell has the value, and the first and last row (from 1)."""

    column: int
    first: int
    last: int

    @property
    def cells(self) -> str:
        """The range as Excel writes it, of the column that has the value."""
        letter = column_letter(self.column)
        return f"{letter}{self.first}:{letter}{self.last}"


class Sheet:
    """One sheet: ``merges`` over several rows, by column, and its rows as often as they are asked for."""

    def __init__(self, sheet: Any, part: bytes) -> None:
        # some programs write a wrong extent, and openpyxl would cut the sheet down to it
        sheet.reset_dimensions()
        self._sheet = sheet
        self._formulas = _uncomputed(part)
        self.merges = _merges(part)

    def rows(self, width: int) -> Iterator[list[str]]:
        """The rows as text up to a width, from the first row on; merged cells are empty but for the first."""
        for number, row in enumerate(self._sheet.iter_rows(values_only=True, max_col=width), start=1):
            cells = [_cell_text(value) for value in row]
            for column, formula in self._formulas.get(number, {}).items():
                if column < len(cells) and not cells[column]:
                    cells[column] = UNCOMPUTED + formula
            yield cells


def open_sheets(data: bytes, filename: str) -> list[Sheet]:
    """The sheets of a workbook, but for those that are an earlier one's part again.

    Raises:
        TableRefused: it is a zip bomb, fails a checksum, or has more sheets, formats or texts than tables have.
        Exception: whatever openpyxl lets through of a workbook that is damaged otherwise.
    """
    _refuse_bombs(data, filename)
    book = _opened(data, filename)
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        return [Sheet(sheet, parts.read(sheet._worksheet_path.lstrip("/"))) for sheet in book.worksheets]


def column_letter(place: int) -> str:
    """What Excel calls a column, counted from 0: A, B, ... Z, AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _opened(data: bytes, filename: str) -> Any:
    """What openpyxl makes of a workbook's cells: without properties, charts and what is kept of other workbooks.

    Every part is a sheet once, however often the workbook names it: openpyxl goes through it for each time.
    """
    from openpyxl.reader.excel import ExcelReader
    from openpyxl.styles.stylesheet import apply_stylesheet

    reader: Any = ExcelReader(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    reader.read_manifest()
    reader.read_strings()
    reader.read_workbook()
    count = len(reader.parser.sheets)
    if count > MOST_SHEETS:
        raise _refusal(filename, "workbook_sheets", count=count, most=MOST_SHEETS)
    parts: dict[str, Any] = {}
    for sheet, place in reader.parser.find_sheets():
        if "chartsheet" not in place.Type:
            parts.setdefault(place.target, sheet)
    reader.parser.sheets = list(parts.values())
    apply_stylesheet(reader.archive, reader.wb)
    reader.read_worksheets()
    return reader.wb


def _refuse_bombs(data: bytes, filename: str) -> None:
    """Refuse a workbook that is a zip bomb or is damaged, before openpyxl inflates all of it at once."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            infos = parts.infolist()
            total = sum(info.file_size for info in infos)
            blown = any(
                info.file_size >= _CHUNK and info.file_size > MAX_RATIO * info.compress_size for info in infos
            )
            if total > MAX_UNPACKED_BYTES or blown:
                raise _refusal(filename, "workbook_bomb", bytes=total)
            for info in infos:
                _refuse_part(parts, info, filename)
    except (TableRefused, MemoryError):
        raise
    except Exception as error:
        # as many kinds as a zip has fields
        raise _refusal(filename, "workbook_damaged", detail=str(error)) from error


def _refuse_part(parts: zipfile.ZipFile, info: zipfile.ZipInfo, filename: str) -> None:
    """Refuse a workbook for one of its parts: it fails its checksum, or has more tags than any table needs."""
    most = MOST_TAGS.get(info.filename.rpartition("/")[2])
    try:
        with parts.open(info) as stream:
            tags = sum(chunk.count(b"<") for chunk in iter(lambda: stream.read(_CHUNK), b""))
    except zipfile.BadZipFile as error:
        raise _refusal(filename, "workbook_checksum", part=info.filename) from error
    if most is not None and tags > most:
        raise _refusal(filename, "workbook_part", part=info.filename, count=tags, most=most)


def _refusal(filename: str, code: str, **values: Value) -> TableRefused:
    return TableRefused([Problem("refusal", code, values, file=filename)])


def _merges(part: bytes) -> dict[int, list[Merge]]:
    """The merged ranges of several rows, by the column that has the value, from top to bottom."""
    found: dict[int, list[Merge]] = {}
    for match in _MERGED.finditer(part, max(0, part.rfind(b"sheetData"))):
        column, first, last = _column_place(match[1]), int(match[2]), int(match[4])
        if last > first:
            found.setdefault(column, []).append(Merge(column, first, last))
    return {column: sorted(merges, key=lambda merge: merge.first) for column, merges in found.items()}


def _uncomputed(part: bytes) -> Mapping[int, dict[int, str]]:
    """The formulas without a saved result, by row (from 1) and column (from 0).

    A result that is empty text has the type ``str``; Excel saves it, and programs that only write do not.
    """
    found: dict[int, dict[int, str]] = {}
    if not _FORMULA.search(part):
        return found
    for attributes, content in _CELL.findall(part):
        formula, place = _FORMULA.search(content), _PLACE.search(attributes)
        if formula and place and not _RESULT.search(content) and b't="str"' not in attributes:
            text = html.unescape((formula[1] or b"").decode("utf-8", "replace"))
            found.setdefault(int(place[2]), {})[_column_place(place[1])] = f"={text}"
    return found


def _column_place(letters: bytes) -> int:
    place = 0
    for letter in letters:
        place = 26 * place + letter - 64
    return place - 1


def _cell_text(value: object) -> str:
    """A cell of a workbook as the text that a careful person would type for it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value)
