"""Bringing the customer's table to the contract: one meaning for each cell, a problem for each that has none."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache, partial
from hashlib import sha256

import pandas as pd

from alp_assets.intake.cells import choices, read_cell
from alp_assets.intake.header import near_header
from alp_assets.intake.paths import without_suffix
from alp_assets.intake.suspicions import suspicions
from alp_assets.intake.table import RawTable
from alp_assets.intake.times import Unreadable
from schemas.columns import COLUMN_NAMES, COLUMNS, Column, fold_header
from schemas.metadata import ALLOWED, EMPTY, LONGEST, TOO_LONG, TWICE, dtype_of, failures
from schemas.problems import Problem, Severity, Value, shortened

_UNCOMPUTED = Unreadable("formula_without_value")
_BY_NAME = {column.name: column for column in COLUMNS}


@dataclass(frozen=True)
class Normalized:
    """The rows that hold the contract (``schemas.metadata.METADATA``), and every problem of the table.

    ``left_out`` are the rows that do not: ``row``, and ``machine_type`` and ``section_id`` as far as known.
    ``headers`` and ``letters`` are those of the table as it was read.
    """

    frame: pd.DataFrame
    problems: list[Problem]
    left_out: pd.DataFrame
    headers: Mapping[str, str]
    letters: Mapping[str, str]


class _Findings:
    """Problems as they turn up: the first for each row (counted from 0) and column is kept."""

    def __init__(self, raw: RawTable) -> None:
        self.cells: dict[tuple[int, str], Problem] = {}
        self._rows = raw.rows
        self._written = {name: raw.frame[name].tolist() for name in raw.headers}
        self._headers, self._letters = raw.headers, raw.letters

    def add(self, place: int, name: str, code: str, values: Mapping[str, Value] | None = None) -> None:
        """Note an error."""
        if (place, name) not in self.cells:
            self.cells[place, name] = self.problem("error", place, name, code, values or {})

    def problem(
        self, severity: Severity, place: int, name: str, code: str, values: Mapping[str, Value]
    ) -> Problem:
        """A problem of one cell, with its value and its column as the customer sees it."""
        return Problem(
            severity,
            code,
            values,
            row=self._rows[place],
            column=name,
            value=self._cell(place, name),
            file=self._cell(place, "relative_path") or None,
            letter=self._letters.get(name),
            header=self._headers.get(name),
        )

    def _cell(self, place: int, name: str) -> str | None:
        return shortened(self._written[name][place]) if name in self._written else None


def normalize(raw: RawTable, *, now: datetime | None = None) -> Normalized:
    """Read every cell, fill in defaults, and check all of the contract at once.

    Rows with an error are left out of the frame, which has the contract's columns in order, then
    ``row``. Every row and column that is wrong is one problem. What holds the
    contract and is likely a slip, as a time after ``now`` (wall clock, by default the present) is, is only
    warned of.
    """
    findings = _Findings(raw)
    table = _read_cells(raw, findings)
    _fill_defaults(table)
    _check_paths(table, raw.rows, findings)
    unnamed = _name_clips(table)
    _check_contract(table, unnamed, findings)
    wrong = {place for place, _ in findings.cells}
    good = [place for place in range(len(table)) if place not in wrong]
    warnings = [
        findings.problem("warning", found.place, found.column, found.code, found.values)
        for found in suspicions(table, now or datetime.now())
        if (found.place, found.column) not in findings.cells
    ]
    problems = [*raw.problems, *findings.cells.values(), *warnings, *_unknown_columns(raw)]
    return Normalized(
        table.iloc[good].reset_index(drop=True),
        sorted(problems, key=_in_table_order),
        table.iloc[sorted(wrong)][["row", "machine_type", "section_id"]].reset_index(drop=True),
        raw.headers,
        raw.letters,
    )


def _in_table_order(problem: Problem) -> tuple[int, int]:
    known = problem.column in _BY_NAME
    return problem.row or 0, COLUMN_NAMES.index(problem.column) if known and problem.column else -1


def _read_cells(raw: RawTable, findings: _Findings) -> pd.DataFrame:
    table = {}
    for column in COLUMNS:
        cells = raw.frame[column.name] if column.name in raw.headers else pd.Series("", index=raw.frame.index)
        read = cache(partial(read_cell, column))
        values = []
        for place, cell in enumerate(cells.tolist()):
            value, fault = (None, _UNCOMPUTED) if (place, column.name) in raw.formulas else read(cell)
            if fault:
                findings.add(place, column.name, fault.code, fault.values)
            values.append(value)
        table[column.name] = pd.Series(values, dtype=dtype_of(column))
    table["row"] = pd.Series(raw.rows, dtype="int64")
    return pd.DataFrame(table)


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
    filled = [_fitting(names[path]) if path in names else None for path in paths.tolist()]
    table.loc[unnamed, "clip_id"] = pd.Series(filled, index=paths.index, dtype="str")
    return set(table.index[unnamed])


def _check_paths(table: pd.DataFrame, rows: list[int], findings: _Findings) -> None:
    """A recording has one row; later ones are errors."""
    for place, first in _twins(table["relative_path"]):
        findings.add(place, "relative_path", "recording_twice", {"row": rows[first]})


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


def _fitting(name: str) -> str:
    """A name that a long path gave, cut to what the contract allows and kept apart from others by a digest."""
    most = LONGEST["clip_id"]
    return name if len(name) <= most else f"{name[: most - 17]}-{sha256(name.encode()).hexdigest()[:16]}"


def _check_contract(table: pd.DataFrame, unnamed: set[int], findings: _Findings) -> None:
    """Add what the schema finds, in the words for the cell that it finds it in."""
    first = dict(_twins(table["clip_id"]))
    for failure in failures(table):
        place, name, code = failure.place, failure.column, failure.code
        values: dict[str, Value] = {}
        if name == "clip_id" and place in unnamed and (place, "relative_path") in findings.cells:
            continue  # the name was to come from a path that is wrong itself
        if code == EMPTY:
            values = {"meaning": name}
        elif code == TWICE:
            values = {"row": int(str(table["row"].iat[first[place]]))}
        elif code == TOO_LONG:
            values = {"most": LONGEST[name]}
        elif code == ALLOWED:
            code, values = _allowed(_BY_NAME[name], str(table[name].iloc[place]))
        findings.add(place, name, code, values)


@lru_cache(maxsize=4096)
def _allowed(column: Column, value: str) -> tuple[str, dict[str, Value]]:
    """The problem of a value that is not allowed: the allowed ones, and the one most like it if there is any."""
    # taken apart, as 펌푸 has four of five letters of 펌프 and only one of its two syllables
    words = {_apart(word): allowed for word, allowed in choices(column).items()}
    near = difflib.get_close_matches(_apart(fold_header(value[:100])), words, n=1)
    allowed: dict[str, Value] = {"allowed": tuple(value for value, _ in column.values)}
    return (f"{ALLOWED}_near", {**allowed, "near": words[near[0]]}) if near else (ALLOWED, allowed)


def _apart(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _unknown_columns(raw: RawTable) -> Iterator[Problem]:
    absent = [column for column in COLUMNS if column.name not in raw.headers]
    for header in raw.unknown_headers:
        near = next((column.name for column in absent if near_header(column, [header])), None)
        values: dict[str, Value] = {"header": shortened(header), **({"near": near} if near else {})}
        code = "column_unknown_near" if near else "column_unknown"
        yield Problem(
            "warning", code, values, column=shortened(header), letter=raw.letters.get(header), header=header
        )
