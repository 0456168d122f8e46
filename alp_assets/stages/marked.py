"""Tables that people open in Excel and ALP reads back: no text is a formula, and every one comes back exactly."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t]")
_MARKED = re.compile(r"'+[=+\-@\t]")


def marked(table: pd.DataFrame) -> pd.DataFrame:
    """A table with an apostrophe before every text that Excel would take for a formula, or that looks marked."""
    return _changed(table, lambda text: f"'{text}" if _FORMULA.match(text) else text)


def unmarked(table: pd.DataFrame) -> pd.DataFrame:
    """The table that ``marked`` was given."""
    return _changed(table, lambda text: text[1:] if _MARKED.match(text) else text)


def _changed(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    texts = table.select_dtypes(["object", "str"]).columns
    changed = {
        name: table[name].map(lambda cell: change(cell) if isinstance(cell, str) else cell) for name in texts
    }
    return table.assign(**changed)
