"""Reading the customer's table, as Excel and editors in Korea write it, into plain text cells.

Nothing is judged here beyond whether it is a table with the needed columns; what the cells mean is
the business of ``normalize``.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NoReturn

import pandas as pd

from alp_assets.errors import TableRefused
from alp_assets.intake.encoding import choose_encoding, first_bad_byte
from alp_assets.intake.header import HEADER_NEEDS, MOST_COLUMNS, Header, Records, check_header, find_header
from alp_assets.intake.workbook import UNCOMPUTED, Merge, open_sheets
from schemas.form import is_example
from schemas.problems import Problem, Value, shortened

MAX_ROWS = 200_000
MAX_BYTES = 64 * 2**20

_EXCEL_ROWS = 1_048_576
_LONGEST_LINE = 1 << 20
_SEPARATORS = (",", ";", "\t")
_END = "\0"
_OLE = b"\xd0\xcf\x11\xe0"
_KEPT_AS_TEXT = re.compile(r'="((?:[^"]|"")*)"')


@dataclass(frozen=True)
class RawTable:
    """A table as it was written.

    ``frame`` has one column of text for each column of the contract that was found, missing cells
    as ``""``; ``rows`` are its rows' numbers in Excel. ``headers`` maps contract names to the
    headers as written, ``letters`` contract names and unknown headers to what Excel calls the column.
    ``problems`` are rows that could not be cut into cells and are left out, and cells that were merged.
    ``formulas`` are the cells (row of the frame, column) with a formula in place of its result.
    """

    frame: pd.DataFrame
    rows: list[int]
    headers: dict[str, str]
    unknown_headers: list[str]
    problems: list[Problem] = field(default_factory=list)
    letters: Mapping[str, str] = field(default_factory=dict)
    formulas: frozenset[tuple[int, str]] = frozenset()


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
        _refuse(filename, "table_too_large", most=max_bytes / 2**20)
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_workbook(data, filename, max_rows)
    if data.startswith(_OLE):
        _refuse(filename, "table_old_excel")
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
        if place is None:
            _refuse(filename, "table_encoding")
        _refuse(filename, "table_encoding_from", line=data.count(b"\n", 0, place) + 1)
    if _END in text:
        _refuse(filename, "table_no_text")
    return text


def _read_text(text: str, filename: str, max_rows: int) -> RawTable:
    headers = {separator: _sniffed(text, separator, filename) for separator in _SEPARATORS}
    found = {separator: header for separator, header in headers.items() if isinstance(header, Header)}
    refusals = [header for header in headers.values() if isinstance(header, TableRefused)]
    if found:
        separator = max(found, key=lambda s: (found[s].recognised, len(found[s].cells)))
        return _table(found[separator], _records(text, separator, filename), filename, max_rows, ragged=True)
    if refusals:
        raise refusals[0]
    raise _refusal(filename, "table_empty")


def _sniffed(text: str, separator: str, filename: str) -> Header | TableRefused | None:
    """The header that a separator gives. A wrong one may cut inside quotes: that is no fault of the table."""
    try:
        return find_header(_records(text, separator, filename))
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
                _refuse(filename, "table_open_quote", row=count)
            yield record
    except csv.Error as error:
        if "field limit" in str(error):
            raise _refusal(filename, "table_long_cell", row=count, most=csv.field_size_limit()) from error
        raise _refusal(filename, "table_no_cells", row=count, detail=str(error)) from error


def _lines(text: str, filename: str) -> Iterator[str]:
    line = ""
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if len(line) > _LONGEST_LINE:
            _refuse(filename, "table_long_line", line=number, most=_LONGEST_LINE)
        yield line
    if line and not line.endswith(("\n", "\r")):
        yield "\n"


def _read_workbook(data: bytes, filename: str, max_rows: int) -> RawTable:
    try:
        sheets = open_sheets(data, filename)
        headers = [find_header(sheet.rows(MOST_COLUMNS)) for sheet in sheets]
        found = [(header, sheet) for header, sheet in zip(headers, sheets, strict=True) if header]
        if not found:
            _refuse(filename, "workbook_empty")
        header, sheet = next((pair for pair in found if pair[0].recognised >= HEADER_NEEDS), found[0])
        records = sheet.rows(header.width)
        return _table(header, records, filename, max_rows, ragged=False, merges=sheet.merges)
    except (TableRefused, MemoryError):
        raise
    except Exception as error:
        # openpyxl lets through whatever its XML, zip and number parsing raise
        raise _refusal(filename, "workbook_damaged", detail=f"{type(error).__name__}: {error}") from error


def _table(
    header: Header,
    records: Records,
    filename: str,
    max_rows: int,
    *,
    ragged: bool,
    merges: Mapping[int, Sequence[Merge]] | None = None,
) -> RawTable:
    check_header(header, filename)
    known = [
        (place, column.name, _Filling(place, header, (merges or {}).get(place, ())))
        for place, column in header.known
    ]
    cells: list[list[str]] = []
    rows: list[int] = []
    problems: list[Problem] = []
    formulas: set[tuple[int, str]] = set()
    for number, record in enumerate(records, start=1):
        if number > max(_EXCEL_ROWS, max_rows):
            _refuse(filename, "table_blank_rows", most=number - 1)
        if number <= header.row or not any(cell.strip() for cell in record):
            continue
        if any(
            name == "relative_path" and place < len(record) and is_example(record[place])
            for place, name, _ in known
        ):
            continue
        if len(rows) == max_rows:
            _refuse(filename, "table_too_many_rows", most=max_rows)
        if ragged and any(cell.strip() for cell in record[len(header.cells) :]):
            width = {"cells": len(record), "columns": len(header.cells)}
            problems.append(Problem("error", "row_too_wide", width, row=number))
            continue
        texts = [
            _kept_text(filling.value(number, record[place] if place < len(record) else ""))
            for place, _, filling in known
        ]
        formulas |= {
            (len(rows), name) for text, (_, name, _) in zip(texts, known, strict=True) if text[:1] == UNCOMPUTED
        }
        cells.append([text.lstrip(UNCOMPUTED) for text in texts])
        rows.append(number)
    if not rows and not problems:
        _refuse(filename, "table_no_rows")
    frame = pd.DataFrame(cells, columns=[name for _, name, _ in known], dtype="str")
    written = {name: header.cells[place] for place, name, _ in known}
    problems += [problem for _, name, filling in known for problem in filling.problems(name, header)]
    return RawTable(frame, rows, written, header.unknown, problems, header.letters, frozenset(formulas))


class _Filling:
    """The merged cells of one column below the header: what their rows hold, and which there were."""

    def __init__(self, place: int, header: Header, merges: Sequence[Merge]) -> None:
        self._left = [merge for merge in reversed(merges) if merge.first > header.row]
        self._now: Merge | None = None
        self._value = ""
        self._used: list[tuple[Merge, str]] = []

    def value(self, row: int, cell: str) -> str:
        """The cell of a row, or that of the merged cells that it is one of. Rows come from top to bottom."""
        while self._left and self._left[-1].first <= row:
            self._now = self._left.pop()
            self._value = cell if self._now.first == row else ""
            if self._value.strip():
                self._used.append((self._now, self._value))
        if self._now is not None and row <= self._now.last and not cell.strip():
            return self._value
        return cell

    def problems(self, name: str, header: Header) -> Iterator[Problem]:
        """A warning for each range that gave a value to several rows."""
        for merge, value in self._used:
            yield Problem(
                "warning",
                "cells_merged",
                {"cells": merge.cells},
                row=merge.first,
                column=name,
                value=shortened(value.lstrip(UNCOMPUTED)),
                letter=header.letters[name],
                header=header.cells[merge.column],
            )


def _kept_text(cell: str) -> str:
    """A cell as Excel opens it: ``="007"`` is how people keep it from becoming a number."""
    match = _KEPT_AS_TEXT.fullmatch(cell) if cell.startswith("=") else None
    return match[1].replace('""', '"') if match else cell


def _refusal(filename: str, code: str, **values: Value) -> TableRefused:
    return TableRefused([Problem("refusal", code, values, file=filename)])


def _refuse(filename: str, code: str, **values: Value) -> NoReturn:
    raise _refusal(filename, code, **values)
