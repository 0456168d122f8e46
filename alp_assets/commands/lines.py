"""Tables of short columns and one of sentences, which alone gives way to a narrow terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDEST_NAME = 0.4
"""Of the terminal's width."""


def show(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print a table. The last column is wrapped between words; customer text is never read as markup."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    widest = int(console.width * _WIDEST_NAME)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=widest)
    table.add_column(columns[-1], ratio=1, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
    console.print(table)


def plain(text: str) -> str:
    """Text on one line and without control characters, so that it cannot steer the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def ago(seconds: float) -> str:
    """A span of time in its largest unit: ``12 min``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def local_time(at: str | float) -> str:
    """A moment as clocks here show it: ISO 8601 with its zone, or seconds since 1970. An empty text stays one."""
    if at == "":
        return ""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def size(amount: float) -> str:
    """Bytes in a unit that keeps the number short."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1_000:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1_000
    return f"{amount:,.1f} TB"
