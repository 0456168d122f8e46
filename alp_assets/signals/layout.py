"""How a text file of numbers is laid out: where they begin, what is between them, what the columns are called.

Oscilloscopes and loggers write settings above the numbers, in as many ways as there are makers. So the numbers are
looked for first, and what stands above them is read afterwards.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from alp_assets.signals.headers import (
    RATE_KEYS,
    STEP_KEYS,
    column_kind,
    folded,
    is_unit,
    quantity,
    split_title,
    unit_of,
)
from alp_assets.signals.recording import SignalUnreadable

HEAD_BYTES = 256 * 2**10
"""Of a file that are looked at for its layout."""

INFINITIES = frozenset(f"{sign}{word}" for sign in ("", "+", "-") for word in ("inf", "infinity", "1.#inf"))
"""Cells, in small letters, that are infinite."""

MISSING = frozenset(
    {"", "-", "--", "---", "nan", "na", "n/a", "#n/a", "null", "none", "1.#qnan", "-1.#ind", "1.#ind"}
)
"""Cells, in small letters, that are no number and no text either."""

_MOST_HEAD_LINES = 400
_SURE = 8
_SEPARATORS = ((";", ","), (";", "."), ("\t", ","), ("\t", "."), (",", "."), (" ", ","), (" ", "."))
_NUMBER = re.compile(r"[+-]?(?:\d++\.?+\d*+|\.\d++)(?:[eEdD][+-]?\d++)?")
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[T ]*)?(?:오전 ?|오후 ?)?\d{1,2}:\d{2}(?::\d{2}(?:[.,:]\d+)?)?(?: ?[AP]M)?"
    r"(?:Z|[+-]\d{2}:?\d{2})?"
)
_DAY = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}")
_SETTINGS_OF_CHANNELS = frozenset(
    {"tracename", "vunit", "hunit", "hresolution", "blocksize", "hoffset", "time", "date"}
)


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a text file are.

    ``first_line`` counts from 0. ``columns`` are the places in a line that hold numbers; ``names`` and ``units``
    (factors to plain units) belong to them, names are empty where the file has none. ``kind`` of the first column
    is ``time``, ``index``, ``date`` or ``value``, or ``""`` where only its numbers can tell.
    """

    separator: str
    decimal: str
    first_line: int
    width: int
    columns: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[float, ...]
    kind: str
    time_unit_known: bool
    rate_hz: float | None = None


def find_layout(head: str) -> Layout:
    """The layout of a text by its first lines.

    Raises:
        SignalUnreadable: there are no numbers in it.
    """
    lines = head.split("\n")[:_MOST_HEAD_LINES]
    best: Layout | None = None
    for separator, decimal in _SEPARATORS:
        found = _numbers(lines, separator, decimal)
        if found and (
            best is None or (len(found.columns), -found.first_line) > (len(best.columns), -best.first_line)
        ):
            best = found
    if best is None:
        raise SignalUnreadable("signal_no_numbers")
    return _with_header(best, [cells(line, best.separator) for line in lines[: best.first_line]])


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line; a day and the time of day beside it are one cell."""
    found = _split(line.replace("\r", ""), separator)
    if len(found) > 1 and _DAY.fullmatch(found[0]) and is_moment(found[1]):
        return [f"{found[0]} {found[1]}", *found[2:]]
    return found


def is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number, with this sign between its whole and its parts."""
    if decimal == "," and "." in cell:
        return False
    return _NUMBER.fullmatch(cell.replace(",", ".") if decimal == "," else cell) is not None


def is_moment(cell: str) -> bool:
    """Whether a cell is a date with a time, or a time of day."""
    return _DATE.fullmatch(cell) is not None


def _split(text: str, separator: str) -> list[str]:
    if separator == " ":
        return text.split()
    if '"' in text:
        with suppress(csv.Error):
            return [cell.strip() for cell in next(csv.reader([text], delimiter=separator), [])]
    return [cell.strip() for cell in text.split(separator)]


def _numbers(lines: Sequence[str], separator: str, decimal: str) -> Layout | None:
    """Where enough lines of the same width follow each other in which all is numbers."""
    split = [cells(line, separator) for line in lines]
    beside = _beside_settings(split, separator, decimal)
    if beside:
        return beside
    widest = [len(_trimmed(row)) for row in split]
    good = [_is_row(row, decimal) for row in split]
    # a row with one piece of text among its numbers belongs to them, and is an error for the reader to name
    near = [fits or _is_nearly_a_row(row, decimal) for row, fits in zip(split, good, strict=True)]
    blank = [not line.strip() for line in lines]
    for start, fits in enumerate(good):
        if not fits:
            continue
        after = [place for place in range(start, len(lines)) if not blank[place]][:_SURE]
        same = [place for place in after if near[place] and abs(widest[place] - widest[start]) <= 1]
        if len(same) == len(after) or len(same) >= _SURE - 1:
            # the next line decides: a lone line of settings above the numbers may be one number as well
            width = max(widest[place] for place in same)
            if widest[start] < width and len(same) > 1 and widest[same[1]] == width and widest[start] == 1:
                continue
            moment = is_moment(split[start][0])
            return Layout(
                separator, decimal, start, width, tuple(range(width)), ("",) * width, (1.0,) * width,
                "date" if moment else "", time_unit_known=moment,
            )  # fmt: skip
    return None


def _beside_settings(split: Sequence[list[str]], separator: str, decimal: str) -> Layout | None:
    """Tektronix TDS: settings stand in the first three columns beside the numbers in the fourth and fifth."""
    rows = [row for row in split[:_SURE] if row]
    if separator != "," or not rows or rows[0][0].lower() != "record length":
        return None
    if not all(len(row) >= 5 and all(is_number(cell, decimal) for cell in row[3:5]) for row in rows):
        return None
    settings = {row[0].lower(): row[1] for row in split if len(row) > 1}
    factor, _ = unit_of(settings.get("vertical units", ""))
    source = settings.get("source", "CH1")
    return Layout(",", decimal, 0, 5, (3, 4), ("TIME", source), (1.0, factor), "time", time_unit_known=True)


def _trimmed(row: Sequence[str]) -> Sequence[str]:
    """Without the empty cells that a separator at the end of a line makes."""
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return row[:end]


def _is_row(row: Sequence[str], decimal: str) -> bool:
    used = _trimmed(row)
    numbers = sum(is_number(cell, decimal) for cell in used)
    rest = used[1:] if used and is_moment(used[0]) else used
    return numbers > 0 and all(is_number(cell, decimal) or cell.lower() in MISSING | INFINITIES for cell in rest)


def _is_nearly_a_row(row: Sequence[str], decimal: str) -> bool:
    return 2 * sum(is_number(cell, decimal) for cell in row) > len(_trimmed(row))


def _with_header(layout: Layout, above: Sequence[Sequence[str]]) -> Layout:
    """With what the lines above the numbers say: names, units, the rate."""
    rate = _stated_rate(above)
    if layout.kind == "time":
        return replace(layout, rate_hz=rate)
    names, units = _titles(above, layout.width)
    titles = [
        f"{split_title(name)[0]} ({unit or split_title(name)[1]})" for name, unit in zip(names, units, strict=True)
    ]
    kind, known = layout.kind, layout.time_unit_known
    if not kind and any(names):
        kind, _, known = column_kind(titles[0])
    return replace(
        layout,
        names=tuple(split_title(title)[0] for title in titles),
        units=tuple(unit_of(split_title(title)[1])[0] for title in titles),
        kind=kind,
        time_unit_known=known,
        rate_hz=rate,
    )


def _titles(above: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[str]]:
    """The names and the units of the columns by the lines next to the numbers, as many as there are columns."""
    units: Sequence[str] = ()
    for row in reversed([_trimmed(row) for row in above]):
        if not row:
            continue
        if not width // 2 < len(row) <= width + 3 or (width > 1 and len(row) == 1):
            break
        if len(row) == width + 1 and folded(row[0]) in _SETTINGS_OF_CHANNELS:
            return _told_in_settings(above, width)
        if not units and all(map(is_unit, row[:width])):
            units = row
            continue
        if len(row) == width + 1 and column_kind(row[0])[0] == column_kind(row[1])[0] == "time":
            row = row[1:]  # the day and the time of day, which are one column here
        return _filled(row, width), _filled(units, width)
    return [""] * width, _filled(units, width)


def _told_in_settings(above: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[str]]:
    """Yokogawa: a line of settings has a name in front and then a value for each channel."""
    settings = {folded(row[0]): list(row[1 : width + 1]) for row in above if len(row) > width}
    return settings.get("tracename", [""] * width), settings.get("vunit", [""] * width)


def _filled(row: Sequence[str], width: int) -> list[str]:
    return [*row[:width], *[""] * (width - len(row))]


def _stated_rate(above: Sequence[Sequence[str]]) -> float | None:
    """The rate by a line of settings, or by a header of settings with its values below it (Rigol)."""
    for place, row in enumerate(above):
        for at, cell in enumerate(row):
            name, unit = split_title(re.sub(r"[:=].*", "", cell))
            if folded(name) not in STEP_KEYS | RATE_KEYS:
                continue
            inside = re.split(r"[:=]", cell, maxsplit=1)[1:]
            below = above[place + 1][at : at + 1] if place + 1 < len(above) else []
            for value in map(quantity, (*inside, *row[at + 1 : at + 2], *below)):
                if value:
                    value *= unit_of(unit)[0]
                    return value if folded(name) in RATE_KEYS else 1.0 / value
    return None
