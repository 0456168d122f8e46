"""Bringing the customer's table to the contract: one meaning for each cell, a problem for each that has none."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Any

import pandas as pd

from alp_assets.intake.paths import clean_path, without_suffix
from alp_assets.intake.table import RawTable, near_header
from alp_assets.intake.times import parse_time
from schemas.columns import COLUMN_NAMES, COLUMNS, FALSE_WORDS, TRUE_WORDS, Column, fold_header
from schemas.problems import Problem, Severity

_NOTHING = frozenset({"-", "n/a", "na", "nan", "none", "null"})
_EXCEL_ERRORS = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"}
)
_INVISIBLE = dict.fromkeys(range(32), " ") | dict.fromkeys(range(127, 160), " ")
_INVISIBLE |= dict.fromkeys(map(ord, "\ufeff\u200b\u2060"), "")
_QUANTITY = re.compile(r"(.*?)\s*(db|hz|khz)?", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_UNITS = {"snr_db": {"db": 1.0}, "sample_rate_hz": {"hz": 1.0, "khz": 1000.0}}
_BY_NAME = {column.name: column for column in COLUMNS}
_REMEDIES = {
    "time": "Write it like 2024-03-05 14:03; the day alone will do.",
    "number": "Write a plain number such as 12.5, or leave it empty.",
    "flag": "Write TRUE or FALSE.",
}


@dataclass(frozen=True)
class Normalized:
    """The rows that hold the contract (``schemas.metadata.METADATA``), and every problem of the table."""

    frame: pd.DataFrame
    problems: list[Problem]


class _Findings:
    """Problems as they turn up: the first for each row (counted from 0) and column is kept."""

    def __init__(self, raw: RawTable) -> None:
        self.cells: dict[tuple[int, str], Problem] = {}
        self._rows = raw.rows
        self._written = {name: raw.frame[name].tolist() for name in raw.headers}
        self._prefixes = {
            name: f"'{header}': " if fold_header(header) != fold_header(name) else ""
            for name, header in raw.headers.items()
        }

    def add(self, place: int, name: str, problem: str, remedy: str) -> None:
        """Note an error."""
        if (place, name) not in self.cells:
            self.cells[place, name] = self.problem("error", place, name, problem, remedy)

    def problem(self, severity: Severity, place: int, name: str, problem: str, remedy: str) -> Problem:
        """A problem of one cell, with its value and, where the header is another word, that word."""
        return Problem(
            severity,
            self._prefixes.get(name, "") + problem,
            remedy,
            row=self._rows[place],
            column=name,
            value=self._cell(place, name),
            file=self._cell(place, "relative_path") or None,
        )

    def _cell(self, place: int, name: str) -> str | None:
        return self._written[name][place] if name in self._written else None


def normalize(raw: RawTable, *, now: datetime | None = None) -> Normalized:
    """Read every cell, fill in defaults, and check all of the contract at once.

    Rows with an error are left out of the frame, which has the contract's columns in order, then
    ``row``. Every row and column that is wrong is one problem. Recordings from after ``now`` (wall
    clock, by default the present) by more than a day are only warned of.
    """
    findings = _Findings(raw)
    table = _read_cells(raw, findings)
    _fill_defaults(table)
    _check_paths(table, raw.rows, findings)
    unnamed = _name_clips(table)
    _check_contract(table, unnamed, findings)
    wrong = {place for place, _ in findings.cells}
    good = [place for place in range(len(table)) if place not in wrong]
    problems = [*raw.problems, *findings.cells.values(), *_future(table, findings, now), *_unknown_columns(raw)]
    return Normalized(table.iloc[good].reset_index(drop=True), sorted(problems, key=_in_table_order))


def _in_table_order(problem: Problem) -> tuple[int, int]:
    known = problem.column in _BY_NAME
    return problem.row or 0, COLUMN_NAMES.index(problem.column) if known and problem.column else -1


def _read_cells(raw: RawTable, findings: _Findings) -> pd.DataFrame:
    from schemas.metadata import dtype_of

    table = {}
    for column in COLUMNS:
        cells = raw.frame[column.name] if column.name in raw.headers else pd.Series("", index=raw.frame.index)
        read = cache(partial(_read, column))
        values = []
        for place, cell in enumerate(cells.tolist()):
            value, fault = read(cell)
            if fault:
                findings.add(place, column.name, fault, _REMEDIES.get(column.kind, "Write what is meant."))
            values.append(value)
        table[column.name] = pd.Series(values, dtype=dtype_of(column))
    table["row"] = pd.Series(raw.rows, dtype="int64")
    return pd.DataFrame(table)


def _read(column: Column, cell: str) -> tuple[Any, str]:
    """What a cell means, None if nothing; and what is wrong with it, if anything."""
    text = unicodedata.normalize("NFC", cell.translate(_INVISIBLE)).strip()
    if column.kind != "text" and text.lower() in _NOTHING:
        text = ""
    if not text:
        return None, ""
    if text in _EXCEL_ERRORS:
        return text if column.values else None, "It is an error that Excel shows, not a value."
    try:
        return _READERS[column.kind](column, text), ""
    except ValueError as error:
        return None, str(error)


def _read_text(column: Column, text: str) -> str:
    return clean_path(text) if column.name == "relative_path" else text


def _read_choice(column: Column, text: str) -> str:
    """The allowed value that a word stands for; a word that stands for none is kept for the check."""
    return _choices(column).get(fold_header(text), text)


@cache
def _choices(column: Column) -> dict[str, str]:
    return {fold_header(word): value for value, others in column.values for word in (value, *others)}


def _read_time(column: Column, text: str) -> datetime:
    return parse_time(text)


def _read_flag(column: Column, text: str) -> bool:
    word = fold_header({"1.0": "1", "0.0": "0"}.get(text, text))
    if word in _FLAGS:
        return _FLAGS[word]
    raise ValueError("It is neither yes nor no.")


_FLAGS = {
    **{fold_header(word): True for word in TRUE_WORDS},
    **{fold_header(word): False for word in FALSE_WORDS},
}


def _read_number(column: Column, text: str) -> float:
    """A number with a decimal point or comma, and perhaps the unit of its column behind it."""
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    match = _QUANTITY.fullmatch(plain)
    number, unit = (match[1], (match[2] or "").lower()) if match else ("", "")
    units = {"": 1.0, **_UNITS.get(column.name, {})}
    # 16,000 samples a second are sixteen thousand; 12,500 dB are twelve and a half
    if column.name == "sample_rate_hz" and _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    if unit not in units or not _NUMBER.fullmatch(number):
        raise ValueError("It is not a number.")
    return float(number.replace(",", ".")) * units[unit]


_READERS: dict[str, Callable[[Column, str], Any]] = {
    "text": _read_text,
    "json": _read_text,
    "choice": _read_choice,
    "time": _read_time,
    "flag": _read_flag,
    "number": _read_number,
    "integer": _read_number,
}


def _fill_defaults(table: pd.DataFrame) -> None:
    """Fill split, domain and label where they are empty."""
    for column in COLUMNS:
        if column.default is not None:
            table[column.name] = table[column.name].fillna(column.default)
    table["label"] = table["label"].fillna(
        table["split"].map(lambda split: "normal" if split == "train" else "unknown")
    )


def _name_clips(table: pd.DataFrame) -> set[int]:
    """Fill empty clip_ids from the paths; returns the rows that had none."""
    unnamed = table["clip_id"].isna()
    paths = table.loc[unnamed, "relative_path"]
    names = _default_names(paths.dropna().unique(), set(table["clip_id"].dropna()))
    filled = [names.get(path) for path in paths.tolist()]
    table.loc[unnamed, "clip_id"] = pd.Series(filled, index=paths.index, dtype="str")
    return set(table.index[unnamed])


def _check_paths(table: pd.DataFrame, rows: list[int], findings: _Findings) -> None:
    """A recording has one row; later ones are errors."""
    for place, first in _twins(table["relative_path"]):
        problem = f"Row {rows[first]} already stands for this recording."
        findings.add(place, "relative_path", problem, "Keep one row for each recording.")


def _twins(values: pd.Series) -> Iterator[tuple[int, int]]:
    """Each place with a value that was there before, and the place where it first was."""
    first: dict[str, int] = {}
    for place, value in enumerate(values.tolist()):
        if isinstance(value, str) and (other := first.setdefault(value, place)) != place:
            yield place, other


def _default_names(paths: Iterable[str], taken: set[str]) -> dict[str, str]:
    """A name for each path: its stem; where that is not unique, the path without, else with its extension."""
    chosen = {}
    left = list(paths)
    for shorten in (
        lambda path: without_suffix(path).rpartition("/")[2],
        lambda path: without_suffix(path).replace("/", "__"),
        lambda path: path.replace("/", "__"),
    ):
        names = {path: shorten(path) for path in left}
        counts = Counter(names.values())
        unique = {path: name for path, name in names.items() if counts[name] == 1 and name not in taken}
        chosen.update(unique)
        taken = taken | set(unique.values())
        left = [path for path in left if path not in unique]
    return {**chosen, **{path: path.replace("/", "__") for path in left}}


def _check_contract(table: pd.DataFrame, unnamed: set[int], findings: _Findings) -> None:
    """Add what the schema finds, in the words for the cell that it finds it in."""
    from schemas.metadata import ALLOWED, EMPTY, TWICE, failures

    first = dict(_twins(table["clip_id"]))
    for failure in failures(table):
        place, name = failure.place, failure.column
        problem, remedy = failure.problem, failure.remedy
        if name == "clip_id" and place in unnamed and (place, "relative_path") in findings.cells:
            continue  # the name was to come from a path that is wrong itself
        if failure.kind == EMPTY:
            remedy = f"Fill it in: {_BY_NAME[name].meaning}."
        elif failure.kind == TWICE:
            problem = f"Row {table['row'].iat[first[place]]} already has this name."
        elif failure.kind == ALLOWED:
            remedy = _allowed(_BY_NAME[name], str(table[name].iloc[place]))
        findings.add(place, name, problem, remedy)


@lru_cache(maxsize=4096)
def _allowed(column: Column, value: str) -> str:
    """The allowed values of a column, and the one that is most like what was written."""
    words = _choices(column)
    near = difflib.get_close_matches(fold_header(value)[:100], words, n=1)
    guess = f"Did you mean {words[near[0]]}? " if near else ""
    return f"{guess}Write one of {', '.join(value for value, _ in column.values)}."


def _future(table: pd.DataFrame, findings: _Findings, now: datetime | None) -> Iterator[Problem]:
    latest = (now or datetime.now()).replace(tzinfo=None) + timedelta(days=1)
    for place in table.index[table["recorded_at"] > latest]:
        yield findings.problem(
            "warning",
            int(place),
            "recorded_at",
            "The date lies in the future.",
            "Check the date, or the recorder's clock.",
        )


def _unknown_columns(raw: RawTable) -> Iterator[Problem]:
    absent = [column for column in COLUMNS if column.name not in raw.headers]
    for header in raw.unknown_headers:
        near = next((column.name for column in absent if near_header(column, [header])), None)
        guess = f"Did you mean {near}? Then rename the header" if near else "Rename it if it is meant as one"
        yield Problem(
            "warning",
            f"The column '{header}' is none of the contract's and is ignored.",
            f"{guess}; otherwise nothing needs to be done.",
            column=header,
        )
