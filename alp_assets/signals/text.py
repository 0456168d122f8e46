"""Numbers from text: CSV in the dialects of oscilloscopes, loggers and Excel, read block by block."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.signals.clock import is_time
from alp_assets.signals.layout import (
    HEAD_BYTES,
    INFINITIES,
    MISSING,
    Layout,
    cells,
    find_layout,
    is_moment,
    is_number,
)
from alp_assets.signals.recording import MOST_POINTS, SignalUnreadable, Table
from schemas.problems import shortened

_BLOCK = 4 * 2**20
_MOST_COLUMNS = 64
_LOOKED_AT = 1000
_NAN_WORDS = sorted(MISSING | {word.upper() for word in MISSING} | {"NaN", "None", "Null"})
_DAY_S = 86_400.0


def read_text(stream: BinaryIO) -> Table:
    """Read a text file of numbers.

    Raises:
        SignalUnreadable: text among the numbers, lines of different widths, or nothing that looks like numbers.
    """
    blocks = _utf8_blocks(stream)
    head = b""
    for block in blocks:
        head += block
        if len(head) >= HEAD_BYTES:
            break
    layout = find_layout(_decoded(head[:HEAD_BYTES], whole=len(head) < HEAD_BYTES))
    if layout.width > _MOST_COLUMNS:
        raise SignalUnreadable("signal_too_many_columns", count=layout.width, most=_MOST_COLUMNS)
    columns = _Columns(len(layout.columns))
    for line, block in _whole_lines(head, blocks, layout.first_line):
        columns.add(_parsed(block, line, layout))
        if columns.points * len(layout.columns) > MOST_POINTS:
            raise SignalUnreadable("signal_too_long", most=MOST_POINTS)
    if not columns.points:
        raise SignalUnreadable("signal_no_numbers")
    return _table(layout, columns)


class _Columns:
    """Columns that grow block by block and are given back one after the other, so that none is held twice.

    The first may be time and is kept in double precision, the others are single.
    """

    def __init__(self, count: int) -> None:
        self._kinds = [np.float64, *[np.float32] * (count - 1)]
        self._held = [bytearray() for _ in self._kinds]
        self.points = 0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add rows (n, columns)."""
        with np.errstate(over="ignore"):
            for held, kind, column in zip(self._held, self._kinds, values.T, strict=True):
                held += column.astype(kind).tobytes()
        self.points += len(values)

    def take(self, place: int) -> npt.NDArray[Any]:
        """A column (n,), which is not held here any longer."""
        held, self._held[place] = self._held[place], bytearray()
        return np.frombuffer(held, self._kinds[place])


def _table(layout: Layout, columns: _Columns) -> Table:
    first = columns.take(0)
    start = first[:_LOOKED_AT]
    kind = layout.kind or ("time" if len(layout.columns) > 1 and is_time(start) else "value")
    if not layout.kind and kind == "time" and (np.diff(start) == 1).all():
        kind = "index"
    names: list[str] = []
    values = np.empty((len(layout.columns), columns.points), np.float32)
    for place, (name, factor) in enumerate(zip(layout.names, layout.units, strict=True)):
        column = columns.take(place) if place else first
        if (place == 0 and kind != "value") or (not name and np.isnan(column).all()):
            continue
        with np.errstate(over="ignore"):
            values[len(names)] = column
            values[len(names)] *= np.float32(factor)
        names.append(name)
    if not names:
        raise SignalUnreadable("signal_no_numbers")
    return Table(
        container="CSV",
        names=tuple(name or f"CH{number}" for number, name in enumerate(names, 1)),
        values=values[: len(names)],
        named=any(names),
        time=_unrolled(first, layout) if kind in ("time", "date") else None,
        time_unit_known=layout.time_unit_known,
        rate_hz=layout.rate_hz,
        first_row=layout.first_line + 1,
    )


def _unrolled(time: npt.NDArray[np.float64], layout: Layout) -> npt.NDArray[np.float64]:
    """Seconds; times of day go on after midnight."""
    if layout.kind != "date":
        return time * layout.units[0]
    midnight = np.diff(time, prepend=time[:1]) < -_DAY_S / 2
    return time + _DAY_S * np.cumsum(midnight)


def _utf8_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The text block by block with newlines alone at the ends of lines; UTF-16 is turned into UTF-8."""
    start = stream.read(_BLOCK)
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    start = start.removeprefix(codecs.BOM_UTF8)
    lone = b"\r" in start and b"\n" not in start
    while start:
        block = decoder.decode(start).encode() if utf16 else start
        if b"\0" in block:
            raise SignalUnreadable("signal_not_text")
        yield block.replace(b"\r", b"\n") if lone else block
        start = stream.read(_BLOCK)


def _decoded(head: bytes, *, whole: bool) -> str:
    """Names may be in UTF-8 or in the CP949 of Korean Windows; a byte that is neither does no harm."""
    if not whole:
        head = head[: head.rfind(b"\n") + 1] or head
    try:
        return head.decode()
    except UnicodeDecodeError:
        return head.decode("cp949", errors="replace")


def _whole_lines(head: bytes, blocks: Iterator[bytes], first_line: int) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines from the first one with numbers on, with the number of their first line from 0."""
    line, rest = 0, b""
    for block in _chained(head, blocks):
        rest += block
        end = rest.rfind(b"\n") + 1
        whole, rest = rest[:end], rest[end:]
        count = whole.count(b"\n")
        if line + count > first_line:
            skipped = max(0, first_line - line)
            yield line + skipped, _after_lines(whole, skipped)
        line += count
        if len(rest) > _BLOCK:
            raise SignalUnreadable("signal_not_text")
    if rest.strip() and line >= first_line:
        yield line, rest + b"\n"


def _chained(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from blocks


def _after_lines(text: bytes, count: int) -> bytes:
    place = 0
    for _ in range(count):
        place = text.index(b"\n", place) + 1
    return text[place:]


def _parsed(block: bytes, line: int, layout: Layout) -> npt.NDArray[np.float64]:
    """The numbers (n, columns) of some lines; the slow way where there is more in them than plain numbers."""
    import pandas as pd

    plain = _plain(block, layout)
    if plain is not None:
        try:
            table = pd.read_csv(
                io.BytesIO(plain),
                header=None,
                names=list(range(layout.width)),
                usecols=list(layout.columns),
                sep="\t" if layout.separator == " " else layout.separator,
                index_col=False,
                na_values=_NAN_WORDS,
                keep_default_na=False,
                skipinitialspace=True,
                dtype=np.float64,
                engine="c",
                quoting=3,
            )
            return table.to_numpy(np.float64)
        except (ValueError, pd.errors.ParserError):
            pass
    return _line_by_line(block, line, layout)


def _plain(block: bytes, layout: Layout) -> bytes | None:
    """The block with points for decimal commas, or None where its lines are not all of the same width."""
    if b'"' in block or layout.kind == "date":
        return None
    text = block.replace(b"\r", b"")
    if layout.separator == " ":
        text = re.sub(rb"(?m)^\t|\t$", b"", re.sub(rb"[ \t]+", b"\t", text))
    separator = b"\t" if layout.separator == " " else layout.separator.encode()
    if layout.decimal == ",":
        text = text.replace(b",", b".")
    if len(layout.columns) < layout.width:
        return text  # settings stand beside the numbers
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord(b"\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    between = np.flatnonzero(data == separator[0])
    counts = np.searchsorted(between, ends) - np.searchsorted(between, starts)
    filled = ends > starts
    width = layout.width - 1
    same = (counts[filled] == width) | ((counts[filled] == width + 1) & (data[ends[filled] - 1] == separator[0]))
    return text if same.all() else None


def _line_by_line(block: bytes, line: int, layout: Layout) -> npt.NDArray[np.float64]:
    """The numbers of some lines, each cell looked at, so that an error can name its place."""
    rows: list[list[float]] = []
    for number, text in enumerate(_decoded(block, whole=True).split("\n"), line + 1):
        row = cells(text, layout.separator)
        if not any(row):
            continue
        while len(row) > layout.width and not row[-1]:
            row.pop()
        if len(row) > layout.width or (len(row) < layout.width and len(layout.columns) == layout.width):
            if len(row) != layout.width - 1 or layout.names[-1:] != ("",):
                raise SignalUnreadable("signal_columns_differ", row=number, found=len(row), usual=layout.width)
            row.append("")
        if layout.columns[-1] >= len(row):
            raise SignalUnreadable("signal_columns_differ", row=number, found=len(row), usual=layout.width)
        rows.append([_value(row[place], place, number, layout) for place in layout.columns])
    return np.array(rows, np.float64).reshape(-1, len(layout.columns))


def _value(cell: str, place: int, row: int, layout: Layout) -> float:
    if is_number(cell, layout.decimal):
        text = cell.replace(",", ".") if layout.decimal == "," else cell
        return float(text.lower().replace("d", "e"))
    word = cell.lower()
    if word in MISSING:
        return np.nan
    if word in INFINITIES:
        return -np.inf if word.startswith("-") else np.inf
    if place == 0 and layout.kind == "date" and is_moment(cell):
        with suppress(ValueError):  # there is no 31 February
            return _moment(cell)
    name = layout.names[layout.columns.index(place)] or str(place + 1)
    raise SignalUnreadable("signal_text_in_numbers", row=row, channel=name, value=shortened(cell))


def _moment(cell: str) -> float:
    """Seconds of a date with a time, or of a time of day."""
    half_day = re.search("오전|오후|AM|PM", cell)
    bare = cell.replace(half_day[0], " ") if half_day else cell
    date, _, clock = bare.strip().replace("T", " ").rpartition(" ")
    clock = re.sub(r"(Z|[+-]\d{2}:?\d{2})$", "", clock)
    parts = clock.replace(",", ".").split(":")
    if len(parts) == 4:
        parts = [*parts[:2], f"{parts[2]}.{parts[3]}"]
    if half_day:
        parts[0] = str(int(parts[0]) % 12 + (12 if half_day[0] in ("오후", "PM") else 0))
    seconds = sum(float(part) * unit for part, unit in zip(parts, (3600.0, 60.0, 1.0), strict=False))
    if not date.strip():
        return seconds
    days = np.datetime64(re.sub(r"[/.](\d{1,2})", lambda found: f"-{int(found[1]):02d}", date.strip()), "D")
    return seconds + float(days.astype(np.int64)) * _DAY_S
