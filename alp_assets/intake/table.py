"""Reading the customer's table, as Excel and editors in Korea write it, into plain text cells.

Nothing is judged here beyond whether it is a table with the needed columns; what the cells mean is
the business of ``normalize``.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import difflib
import io
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NoReturn

import pandas as pd

from alp_assets.errors import TableRefused
from alp_assets.intake.encoding import choose_encoding, first_bad_byte
from schemas.columns import COLUMNS, REQUIRED_COLUMNS, Column, fold_header
from schemas.problems import Problem

MAX_ROWS = 200_000
MAX_BYTES = 64 * 2**20
MAX_UNPACKED_BYTES = 512 * 2**20
MAX_WORKBOOK_RATIO = 200.0

_HEADER_WITHIN = 20
_HEADER_NEEDS = 2
_EXCEL_ROWS = 1_048_576
_MOST_COLUMNS = 256
_LONGEST_LINE = 1 << 20
_SEPARATORS = (",", ";", "\t")
_END = "\0"
_CHUNK = 1 << 20
_OLE = b"\xd0\xcf\x11\xe0"
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
_BY_HEADER = {fold_header(name): column for column in COLUMNS for name in (column.name, *column.aliases)}
_SAVE_AGAIN = "Open it in Excel, save it as .xlsx or as 'CSV UTF-8', and send that."

Records = Iterable[Sequence[str]]


@dataclass(frozen=True)
class RawTable:
    """A table as it was written.

    ``frame`` has one column of text for each column of the contract that was found, missing cells
    as ``""``; ``rows`` are its rows' numbers in Excel. ``headers`` maps contract names to the
    headers as written. ``problems`` are rows that could not be cut into cells and are left out.
    """

    frame: pd.DataFrame
    rows: list[int]
    headers: dict[str, str]
    unknown_headers: list[str]
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Header:
    """A header row: where it is (counted from 1), its cells, and which contract column each one is."""

    row: int
    cells: list[str]

    @property
    def width(self) -> int:
        """How many cells there are up to the last one with text."""
        return max((place for place, cell in enumerate(self.cells, start=1) if cell), default=0)

    @property
    def known(self) -> list[tuple[int, Column]]:
        found = ((place, _BY_HEADER.get(fold_header(cell))) for place, cell in enumerate(self.cells))
        return [(place, column) for place, column in found if column is not None]

    @property
    def unknown(self) -> list[str]:
        return [cell for cell in self.cells if cell and fold_header(cell) not in _BY_HEADER]

    @property
    def recognised(self) -> int:
        return len({column.name for _, column in self.known})


def read_table(data: bytes, filename: str, *, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> RawTable:
    """Read a metadata table: CSV in any usual encoding and separator, or a workbook.

    What the bytes are decides, not the extension of ``filename``, which is only for the messages.
    The header is the first of the first 20 rows with at least two known headers; rows above it
    are titles. Of a workbook the first sheet with such a row is read.

    Raises:
        TableRefused: it is no table, is too large, is damaged, or has duplicate headers, lacks
            required columns or has no rows.
    """
    if len(data) > max_bytes:
        _refuse(
            filename,
            f"The table is larger than {max_bytes / 2**20:g} MiB.",
            "Remove what does not belong in it.",
        )
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_workbook(data, filename, max_rows)
    if data.startswith(_OLE):
        _refuse(
            filename,
            "This is an old Excel workbook (.xls) or one with a password, which cannot be read.",
            "Open it in Excel, remove the password if there is one, and save it as .xlsx.",
        )
    return _read_text(_decode(data, filename), filename, max_rows)


def _decode(data: bytes, filename: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding: str | None = "utf-16"
    elif data.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    else:
        encoding = choose_encoding(data)
    try:
        text = data.decode(encoding) if encoding else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        place = first_bad_byte(data)
        where = f" (not UTF-8 from line {data.count(bytes([10]), 0, place) + 1} on)" if place is not None else ""
        _refuse(filename, f"The text is in no known encoding, or is damaged{where}.", _SAVE_AGAIN)
    if _END in text:
        _refuse(filename, "This is neither a text table nor a workbook.", _SAVE_AGAIN)
    return text


def _read_text(text: str, filename: str, max_rows: int) -> RawTable:
    headers = {separator: _sniffed(text, separator, filename) for separator in _SEPARATORS}
    found = {separator: header for separator, header in headers.items() if isinstance(header, _Header)}
    refusals = [header for header in headers.values() if isinstance(header, TableRefused)]
    if found:
        separator = max(found, key=lambda s: (found[s].recognised, len(found[s].cells)))
        return _table(found[separator], _records(text, separator, filename), filename, max_rows, ragged=True)
    if refusals:
        raise refusals[0]
    raise _refusal(filename, "The table is empty.", "Write a header row and a row for each recording.")


def _sniffed(text: str, separator: str, filename: str) -> _Header | TableRefused | None:
    """The header that a separator gives. A wrong one may cut inside quotes: that is no fault of the table."""
    try:
        return _find_header(_records(text, separator, filename))
    except TableRefused as refusal:
        return refusal


def _records(text: str, separator: str, filename: str) -> Iterator[list[str]]:
    """The records of a CSV text, blank ones too: each is one row in Excel, whatever its quotes hold."""
    # strict=False reads stray quotes as Excel does, and an open one swallows the end mark
    reader = csv.reader(chain(_lines(text, filename), [_END]), delimiter=separator)
    count = 0
    try:
        for record in reader:
            if record == [_END]:
                return
            count += 1
            if record and record[-1].endswith(_END):
                _refuse(
                    filename,
                    f"A quotation mark opened in row {count} is never closed.",
                    "Close or remove it.",
                )
            yield record
    except csv.Error as error:
        raise _refusal(
            filename,
            f"The table cannot be cut into cells after row {count} ({error}).",
            "Look there for a quotation mark that is not closed.",
        ) from error


def _lines(text: str, filename: str) -> Iterator[str]:
    line = ""
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if len(line) > _LONGEST_LINE:
            _refuse(filename, f"Line {number} is longer than {_LONGEST_LINE:,} characters.", _SAVE_AGAIN)
        yield line
    if line and not line.endswith(("\n", "\r")):
        yield "\n"


def _read_workbook(data: bytes, filename: str, max_rows: int) -> RawTable:
    import openpyxl

    _check_workbook(data, filename)
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = [_sheet(sheet) for sheet in book.worksheets]
        headers = [_find_header(sheet(_MOST_COLUMNS)) for sheet in sheets]
        found = [(header, sheet) for header, sheet in zip(headers, sheets, strict=True) if header]
        if not found:
            _refuse(
                filename,
                "The workbook is empty.",
                "Write a header row and a row for each recording in its first sheet.",
            )
        header, sheet = next((pair for pair in found if pair[0].recognised >= _HEADER_NEEDS), found[0])
        return _table(header, sheet(header.width), filename, max_rows, ragged=False)
    except TableRefused:
        raise
    except Exception as error:
        # openpyxl lets through whatever its XML, zip and number parsing raise
        raise _refusal(
            filename, f"The workbook is damaged ({type(error).__name__}: {error}).", _SAVE_AGAIN
        ) from error


def _check_workbook(data: bytes, filename: str) -> None:
    """Refuse a workbook that is a zip bomb or is damaged, before openpyxl inflates all of it at once."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            infos = parts.infolist()
            total = sum(info.file_size for info in infos)
            blown = any(
                info.file_size >= _CHUNK and info.file_size > MAX_WORKBOOK_RATIO * info.compress_size
                for info in infos
            )
            if total > MAX_UNPACKED_BYTES or blown:
                _refuse(
                    filename,
                    f"The workbook unpacks to {total:,} bytes, as only a zip bomb does.",
                    "Copy the table into a new workbook, or save it as 'CSV UTF-8'.",
                )
            damaged = parts.testzip()
    except TableRefused:
        raise
    except Exception as error:
        # as many kinds as a zip has fields
        raise _refusal(filename, f"The workbook is damaged ({error}).", _SAVE_AGAIN) from error
    if damaged is not None:
        _refuse(filename, f"The workbook is damaged: {damaged} in it fails its checksum.", _SAVE_AGAIN)


def _sheet(sheet: Any) -> Callable[[int], Iterator[list[str]]]:
    """A sheet's rows as text up to a width, from the first row on, as often as they are asked for."""
    # some programs write a wrong extent, and openpyxl would cut the sheet down to it
    sheet.reset_dimensions()

    def rows(width: int) -> Iterator[list[str]]:
        for row in sheet.iter_rows(values_only=True, max_col=width):
            yield [_cell_text(value) for value in row]

    return rows


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


def _find_header(records: Records) -> _Header | None:
    """The first row with two known headers; failing that, the one with the most; None if all are blank."""
    best: _Header | None = None
    for number, record in enumerate(islice(records, _HEADER_WITHIN), start=1):
        header = _Header(number, [_header_text(cell) for cell in record])
        if header.recognised >= _HEADER_NEEDS:
            return header
        if any(header.cells) and (best is None or header.recognised > best.recognised):
            best = header
    return best


def _header_text(cell: str) -> str:
    text = unicodedata.normalize("NFC", cell.translate(dict.fromkeys(map(ord, _INVISIBLE))))
    return " ".join(text.split())


def _table(header: _Header, records: Records, filename: str, max_rows: int, *, ragged: bool) -> RawTable:
    _check_header(header, filename)
    places = [place for place, _ in header.known]
    cells: list[list[str]] = []
    rows: list[int] = []
    problems: list[Problem] = []
    for number, record in enumerate(records, start=1):
        if number > max(_EXCEL_ROWS, max_rows):
            _refuse(filename, f"The table has more than {number - 1:,} rows.", "Remove the empty rows below it.")
        if number <= header.row or not any(cell.strip() for cell in record):
            continue
        if len(rows) == max_rows:
            _refuse(filename, f"The table has more than {max_rows:,} rows.", "Send it as several packages.")
        if ragged and any(cell.strip() for cell in record[len(header.cells) :]):
            problems.append(_too_many_cells(number, len(record), header))
            continue
        cells.append([record[place] if place < len(record) else "" for place in places])
        rows.append(number)
    if not rows and not problems:
        _refuse(filename, "The table has a header but no rows.", "Write a row for each recording.")
    names = [column.name for _, column in header.known]
    frame = pd.DataFrame(cells, columns=names, dtype="str")
    written = {column.name: header.cells[place] for place, column in header.known}
    return RawTable(frame, rows, written, header.unknown, problems)


def _too_many_cells(row: int, count: int, header: _Header) -> Problem:
    return Problem(
        "error",
        f"The row has {count} cells where the header has {len(header.cells)}.",
        "Put cells that hold the separator (as JSON does) in quotation marks, or save the table from Excel.",
        row=row,
    )


def _check_header(header: _Header, filename: str) -> None:
    problems = [*_duplicates(header, filename), *_missing(header, filename)]
    if problems:
        raise TableRefused(problems)


def _duplicates(header: _Header, filename: str) -> Iterator[Problem]:
    written: dict[str, list[str]] = {}
    for place, column in header.known:
        written.setdefault(column.name, []).append(header.cells[place])
    for name, cells in written.items():
        if len(cells) > 1:
            listed = ", ".join(f"'{cell}'" for cell in cells)
            yield Problem(
                "refusal",
                f"{len(cells)} columns have headers that all mean {name}: {listed}.",
                "Keep one of them and rename or remove the others.",
                row=header.row,
                column=name,
                file=filename,
            )


def _missing(header: _Header, filename: str) -> Iterator[Problem]:
    present = {column.name for _, column in header.known}
    for column in COLUMNS:
        if column.name not in REQUIRED_COLUMNS or column.name in present:
            continue
        near = near_header(column, header.unknown)
        renamed = f"Did you mean '{near}'? Rename that header" if near else "Add a column with this header"
        yield Problem(
            "refusal",
            f"The column {column.name} ({column.meaning}) is missing.",
            f"{renamed}: one of {', '.join((column.name, *column.aliases))}.",
            row=header.row,
            column=column.name,
            file=filename,
        )


def near_header(column: Column, headers: Iterable[str]) -> str | None:
    """The header that is most like a name of ``column``, if any is much like one."""
    names = [fold_header(name) for name in (column.name, *column.aliases)]
    best, likeness = None, 0.6
    for header in headers:
        folded = fold_header(header)[:100]
        ratio = max(difflib.SequenceMatcher(None, folded, name).ratio() for name in names)
        if ratio > likeness:
            best, likeness = header, ratio
    return best


def _refusal(filename: str, problem: str, remedy: str) -> TableRefused:
    return TableRefused([Problem("refusal", problem, remedy, file=filename)])


def _refuse(filename: str, problem: str, remedy: str) -> NoReturn:
    raise _refusal(filename, problem, remedy)
