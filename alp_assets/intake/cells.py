"""What a cell of the customer's table means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from alp_assets.intake.paths import clean_path
from alp_assets.intake.times import Unreadable, parse_time
from schemas.columns import FALSE_WORDS, TRUE_WORDS, Column, fold_header

_LONGEST_WORD = 200
"""No word with a meaning is longer; to fold one takes with the square of its length."""

_NOTHING = frozenset({"-", "n/a", "na", "nan", "none", "null"})
_EXCEL_ERRORS = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"}
)
_INVISIBLE = dict.fromkeys(range(32), " ") | dict.fromkeys(range(127, 160), " ")
_INVISIBLE |= dict.fromkeys(map(ord, "\ufeff\u200b\u2060"), "")
_UNIT = re.compile(r"(?:db|khz|hz)\Z", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_UNITS = {"snr_db": {"db": 1.0}, "sample_rate_hz": {"hz": 1.0, "khz": 1000.0}}
_FLAGS = {
    **{fold_header(word): True for word in TRUE_WORDS},
    **{fold_header(word): False for word in FALSE_WORDS},
}


def read_cell(column: Column, cell: str) -> tuple[Any, Unreadable | None]:
    """What a cell means, ``None`` if nothing; and what is wrong with it, if anything."""
    text = unicodedata.normalize("NFC", cell.translate(_INVISIBLE)).strip()
    if column.kind != "text" and text.lower() in _NOTHING:
        text = ""
    if not text:
        return None, None
    if text in _EXCEL_ERRORS:
        return text if column.values else None, Unreadable("excel_error")
    try:
        return _READERS[column.kind](column, text), None
    except Unreadable as fault:
        return None, fault


@cache
def choices(column: Column) -> dict[str, str]:
    """Every word for a value of a column, folded, and the value."""
    return {fold_header(word): value for value, others in column.values for word in (value, *others)}


def _folded(text: str) -> str:
    """A word as it is compared; empty where it is longer than any."""
    return fold_header(text) if len(text) <= _LONGEST_WORD else ""


def _read_text(column: Column, text: str) -> str:
    return clean_path(text) if column.name == "relative_path" else text


def _read_choice(column: Column, text: str) -> str:
    """The allowed value that a word stands for; a word that stands for none is kept for the check."""
    return choices(column).get(_folded(text), text)


def _read_time(column: Column, text: str) -> datetime:
    return parse_time(text)


def _read_flag(column: Column, text: str) -> bool:
    word = _folded({"1.0": "1", "0.0": "0"}.get(text, text))
    if word in _FLAGS:
        return _FLAGS[word]
    raise Unreadable("flag_unclear")


def _read_number(column: Column, text: str) -> float:
    """A number with a decimal point or comma, and perhaps the unit of its column behind it."""
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    match = _UNIT.search(plain)
    number, unit = (plain[: match.start()].rstrip(), match[0].lower()) if match else (plain, "")
    units = {"": 1.0, **_UNITS.get(column.name, {})}
    # 16,000 samples a second are sixteen thousand; 12,500 dB are twelve and a half
    if column.name == "sample_rate_hz" and _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    if unit not in units or not _NUMBER.fullmatch(number):
        raise Unreadable("number_unclear")
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
