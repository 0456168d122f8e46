"""Reading points in time as people and Excel write them in Korea, with or without a time of day."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

from schemas.problems import Value

_FIRST_YEAR, _LAST_YEAR = 1950, 2199
_SERIALS = (20_000, 80_000)
_EXCEL_EPOCH = datetime(1899, 12, 30)

_TIME = r"""
    (?: (?: [\s,T_]+ | (?<=[.일]) | (?=오|AM|PM) ) (?P<half>오전|오후|AM|PM)? \s*
        (?P<hour>\d{1,2}) \s*[:시]\s* (?P<minute>\d{1,2})?
        (?: \s*[:분]\s* (?P<second>\d{1,2}([.,]\d+)?)? )? \s*초?
        \s* (?P<half_after>오전|오후|AM|PM)?
        \s* (?P<zone> Z | UTC | GMT | KST | [+-]\d{2}(:?\d{2})? )?
    )?
"""
_WEEKDAY = r"(?: \s* (?: \([월화수목금토일]\) | [월화수목금토일](?:요일)? ) (?=\s|$) )?"
_FORMS = tuple(
    re.compile(form, re.VERBOSE | re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4}) \s*[-/.년]\s* (?P<month>\d{1,2}) \s*[-/.월]\s* (?P<day>\d{1,2}) \s*[.일]?"
        + _WEEKDAY
        + _TIME,
        r"(?P<first>\d{1,2}) \s*/\s* (?P<other>\d{1,2}) \s*/\s* (?P<year>\d{4})" + _WEEKDAY + _TIME,
        r"(?P<year>\d{4}) (?P<month>\d{2}) (?P<day>\d{2})" + _TIME,
        r"""(?P<year>\d{4}) (?P<month>\d{2}) (?P<day>\d{2})
            [T_\s-]? (?P<hour>\d{2}) (?P<minute>\d{2}) (?P<second>\d{2})? (?P<zone>Z|[+-]\d{2}:?\d{2})?""",
        r"(?P<year>\d{4}) \s*[-/.년]\s* (?P<month>\d{1,2}) \s*[.월]?",
        r"(?P<year>\d{4}) \s*년?",
    )
)
_TWO_DIGIT_YEAR = re.compile(
    r"'?\d{1,2}\s*[-/.년]\s*\d{1,2}\s*[-/.월]\s*\d{1,2}(?!\d).*|\d{6}(?:[T_\s-]?\d{4,6})?", re.IGNORECASE
)
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")


class Unreadable(ValueError):
    """A cell whose meaning is not clear: the code of the problem, and the values of its sentences."""

    def __init__(self, code: str, **values: Value) -> None:
        super().__init__(code)
        self.code = code
        self.values: dict[str, Value] = values


def parse_time(text: str) -> datetime:
    """The wall-clock time that a cell means; a time zone is dropped, what is left out is the earliest.

    Reads ISO 8601, ``2024/3/5``, ``2024. 3. 5. 오후 2:03``, ``2024년 3월 5일 14시 3분``, ``3/5/2024``
    (month first, unless only the second can be a month), ``2024-03``, ``20240305``, and Excel's
    serial days like ``45356.58``.

    Raises:
        Unreadable: with the code of what is wrong.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if _SERIAL.fullmatch(plain):
        return _from_serial(float(plain.replace(",", ".")))
    for form in _FORMS:
        if match := form.fullmatch(plain):
            return _from_parts(match.groupdict())
    if _TWO_DIGIT_YEAR.fullmatch(plain):
        raise Unreadable("time_two_digits")
    raise Unreadable("time_unreadable")


def _from_serial(days: float) -> datetime:
    if not _SERIALS[0] <= days < _SERIALS[1]:
        raise Unreadable("time_unreadable")
    # Excel keeps a millisecond at best
    return _EXCEL_EPOCH + timedelta(milliseconds=round(days * 86_400_000))


def _from_parts(parts: dict[str, str | None]) -> datetime:
    year, month, day = (int(parts.get(name) or 1) for name in ("year", "month", "day"))
    if "first" in parts:
        month, day = int(parts["first"] or 1), int(parts["other"] or 1)
        if month > 12 >= day:
            month, day = day, month
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise Unreadable("time_year", year=year)
    hour = _hour(int(parts.get("hour") or 0), (parts.get("half") or parts.get("half_after") or "").lower())
    minute, second = int(parts.get("minute") or 0), float((parts.get("second") or "0").replace(",", "."))
    try:
        moment = datetime(year, month, day, hour, minute, int(second))
    except ValueError as error:
        # figures alone, which are the same in every language, and tell how the cell was read
        read_as = f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}"
        raise Unreadable("time_impossible", detail=f"{read_as}:{second:02.0f}" if second else read_as) from error
    return moment + timedelta(microseconds=round((second - int(second)) * 1e6))


def _hour(hour: int, half: str) -> int:
    if half in ("오전", "am"):
        return 0 if hour == 12 else hour
    if half in ("오후", "pm"):
        return hour + 12 if hour < 12 else hour
    return hour
