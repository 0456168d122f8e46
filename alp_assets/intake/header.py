"""The header of a customer's table: where it is, which columns it names, and what it lacks."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from alp_assets.errors import TableRefused
from alp_assets.intake.workbook import column_letter
from schemas.columns import COLUMNS, REQUIRED_COLUMNS, Column, fold_header
from schemas.problems import Problem, Value, shortened

HEADER_NEEDS = 2
MOST_COLUMNS = 256

_HEADER_WITHIN = 20
_LONGEST_HEADER = 255
_LEAST_LATIN, _LEAST_HANGUL = 5, 2
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
_folded = lru_cache(maxsize=8192)(fold_header)  # twenty rows of headers, each looked at again and again
_BY_HEADER = {fold_header(name): column for column in COLUMNS for name in (column.name, *column.aliases)}

Records = Iterable[Sequence[str]]


@dataclass(frozen=True)
class Header:
    """A header row: where it is (counted from 1), its cells, and which contract column each one is."""

    row: int
    cells: list[str]

    @property
    def width(self) -> int:
        """How many cells there are up to the last one with text."""
        return max((place for place, cell in enumerate(self.cells, start=1) if cell), default=0)

    @property
    def known(self) -> list[tuple[int, Column]]:
        """Place and column of every cell that names one."""
        found = ((place, _BY_HEADER.get(_folded(cell))) for place, cell in enumerate(self.cells))
        return [(place, column) for place, column in found if column is not None]

    @property
    def unknown(self) -> list[str]:
        """The cells that name no column."""
        return [cell for cell in self.cells if cell and _folded(cell) not in _BY_HEADER]

    @property
    def letters(self) -> dict[str, str]:
        """What Excel calls the columns, by contract name, or by header where that is unknown."""
        names = {place: column.name for place, column in self.known}
        return {names.get(place, cell): column_letter(place) for place, cell in enumerate(self.cells) if cell}

    @property
    def recognised(self) -> int:
        """How many columns are named."""
        return len({column.name for _, column in self.known})


def find_header(records: Records) -> Header | None:
    """The first row with two known headers; failing that, the one with the most; None if all are blank."""
    best: Header | None = None
    for number, record in enumerate(islice(records, _HEADER_WITHIN), start=1):
        header = Header(number, [_header_text(cell) for cell in record[:MOST_COLUMNS]])
        if header.recognised >= HEADER_NEEDS:
            return header
        if any(header.cells) and (best is None or header.recognised > best.recognised):
            best = header
    return best


def _header_text(cell: str) -> str:
    cell = cell[:_LONGEST_HEADER]
    text = unicodedata.normalize("NFC", cell.translate(dict.fromkeys(map(ord, _INVISIBLE))))
    return " ".join(text.split())


def check_header(header: Header, filename: str) -> None:
    """Refuse a header that names a column twice or lacks one that is needed.

    Raises:
        TableRefused: with everything that is wrong with it.
    """
    problems = [*_duplicates(header, filename), *_missing(header, filename)]
    if problems:
        # all at once: nobody should have to send the table again to learn of the next header
        raise TableRefused([*problems, *_misspelt_others(header, filename)])


def _misspelt_others(header: Header, filename: str) -> Iterator[Problem]:
    """Unknown headers that are much like a column which may be missing."""
    present = {column.name for _, column in header.known}
    absent = [column for column in COLUMNS if column.name not in present and not column.required]
    for text in header.unknown:
        near = next((column.name for column in absent if near_header(column, [text])), None)
        if near:
            values: dict[str, Value] = {"header": shortened(text), "near": near}
            yield Problem(
                "warning", "column_unknown_near", values, column=shortened(text), file=filename,
                row=header.row, letter=header.letters[text], header=text,
            )  # fmt: skip


def _duplicates(header: Header, filename: str) -> Iterator[Problem]:
    written: dict[str, list[str]] = {}
    for place, column in header.known:
        written.setdefault(column.name, []).append(header.cells[place])
    for name, cells in written.items():
        if len(cells) > 1:
            values: dict[str, Value] = {
                "count": len(cells),
                "column": name,
                "headers": [f"'{shortened(cell)}'" for cell in cells],
            }
            yield Problem("refusal", "header_twice", values, row=header.row, column=name, file=filename)


def _missing(header: Header, filename: str) -> Iterator[Problem]:
    present = {column.name for _, column in header.known}
    for column in COLUMNS:
        if column.name not in REQUIRED_COLUMNS or column.name in present:
            continue
        near = near_header(column, header.unknown) or _wordier_header(column, header.unknown)
        values: dict[str, Value] = {
            "column": column.name,
            "meaning": column.name,
            "names": (column.name, *column.aliases),
        }
        code = "column_missing_near" if near else "column_missing"
        values |= {"near": shortened(near)} if near else {}
        letter = header.letters[near] if near else None
        yield Problem(
            "refusal", code, values, row=header.row, column=column.name, file=filename, letter=letter, header=near
        )


def near_header(column: Column, headers: Iterable[str]) -> str | None:
    """The header that is most like a name of ``column``, if any is much like one."""
    names = [fold_header(name) for name in (column.name, *column.aliases)]
    best, likeness = None, 0.6
    for header in headers:
        folded = _folded(header)[:100]
        ratio = max(difflib.SequenceMatcher(None, folded, name).ratio() for name in names)
        if ratio > likeness:
            best, likeness = header, ratio
    return best


def _wordier_header(column: Column, headers: Iterable[str]) -> str | None:
    """The first header that says a name of ``column`` and more, such as 설비 번호를 적어 주세요."""
    names = [fold_header(name) for name in (column.name, *column.aliases)]
    # short words occur in others by chance
    telling = [name for name in names if len(name) >= (_LEAST_LATIN if name.isascii() else _LEAST_HANGUL)]
    return next((header for header in headers if any(name in _folded(header)[:100] for name in telling)), None)
