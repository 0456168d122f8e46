"""What a person sees in a terminal: progress bars there, plain lines elsewhere, tables in both."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from alp_assets.progress import Progress as Tell
from alp_assets.progress import in_lines
from alp_assets.stages.summary import Gate, Summary

_MARKS = {"passed": "[green]passed[/]", "warned": "[yellow]warned[/]", "failed": "[red]failed[/]"}


class Terminal:
    """Tells of stages as they go on. ``quiet`` keeps the standard output free for ``--json``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=quiet, highlight=False)
        self._bars: Progress | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Show progress bars while the block runs, where the output is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        columns = (SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as self._bars:
            yield
        self._bars = None

    def progress(self, stage: str) -> Tell:
        """The progress callback of a stage."""
        return (
            self._bar(stage)
            if self._bars is not None
            else in_lines(lambda line: self.console.print(f"{stage}: {line}"))
        )

    def told(self, summary: Summary) -> None:
        """One line for a finished stage, and one for every gate that is not simply passed."""
        parts = [f"{_figure(value)} {name.replace('_', ' ')}" for name, value in _worth_telling(summary)]
        self.console.print(f"[bold]{summary.stage:<11}[/]", Text("  ".join(parts)), soft_wrap=True)
        for gate in summary.gates:
            self.gate(gate)

    def gate(self, gate: Gate) -> None:
        """One line for a gate."""
        self.console.print(
            f"{'':<11} {_MARKS[gate.status]} {gate.name}:", Text(printable(gate.text)), soft_wrap=True
        )

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table; customer text in it is never read as markup."""
        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell(value))) for value in row))
        self.console.print(table)

    def say(self, text: str) -> None:
        """A line of text."""
        self.console.print(Text(printable(text)), soft_wrap=True)

    def error(self, text: str) -> None:
        """A line that says what went wrong, on the standard error."""
        sys.stdout.flush()
        Console(stderr=True, highlight=False).print("[red]Error:[/]", Text(printable(text)), soft_wrap=True)

    def _bar(self, stage: str) -> Tell:
        bars = self._bars
        assert bars is not None
        task = bars.add_task(stage, total=None)

        def tell(done: int, total: int, what: str) -> None:
            bars.update(task, completed=done, total=total, description=f"{stage}: {what}")
            if done >= total:
                bars.update(task, visible=False)

        return tell


def printable(text: str) -> str:
    """Text without control characters: what a customer wrote must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def cell(value: Any) -> str:
    """A value as it stands in a table: short numbers, nothing for what is missing."""
    if value is None or (isinstance(value, float) and pd.isna(value)) or value is pd.NA:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def _worth_telling(summary: Summary) -> list[tuple[str, int | float | str]]:
    figures: Mapping[str, int | float | str] = summary.figures
    return [(name, value) for name, value in figures.items() if name not in ("sha256", "note")]


def _figure(value: int | float | str) -> str:
    return f"{value:,}" if isinstance(value, int | float) else value
