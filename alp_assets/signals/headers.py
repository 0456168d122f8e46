"""What the words above numbers mean: names of time and count columns, units, settings of instruments."""

from __future__ import annotations

import re
import unicodedata

STEP_KEYS = frozenset({
    "sampleinterval", "samplinginterval", "sampleperiod", "samplingperiod", "increment", "xincrement",
    "hresolution", "horizontalresolution", "dt", "deltat", "delta", "timestep", "xinc", "샘플링간격",
    "샘플링주기", "측정간격",
})  # fmt: skip
"""Settings that hold the seconds from point to point, folded."""

RATE_KEYS = frozenset({
    "samplerate", "samplingrate", "samplingfrequency", "samplefrequency", "fs", "sampleratehz", "sr",
    "samplingratehz", "샘플링주파수", "샘플링레이트", "샘플레이트", "샘플링속도",
})  # fmt: skip
"""Settings that hold the points a second, folded."""

_TIME_NAMES = frozenset({
    "time", "times", "sec", "secs", "second", "seconds", "xaxis", "timestamp", "datetime", "date", "elapsed",
    "elapsedtime", "relativetime", "timestampsec", "시간", "시각", "경과시간", "측정시간", "측정시각", "일시",
    "날짜", "초",
})  # fmt: skip
_SECONDS = frozenset({"sec", "secs", "second", "seconds", "timestampsec", "초"})
_INDEX_NAMES = frozenset({
    "index", "idx", "sample", "samples", "samplenumber", "sequence", "seq", "#", "번호", "순번", "샘플",
    "샘플번호",
})  # fmt: skip
_EITHER = frozenset({"x", "t", "n", "no", "number", "point"})
_PREFIXES = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "k": 1e3, "": 1.0}
_BASES = {
    **dict.fromkeys(("a", "amp", "amps", "ampere", "amperes", "arms", "apk"), "a"),
    **dict.fromkeys(("v", "volt", "volts"), "v"),
    **dict.fromkeys(("t", "tesla"), "t"),
    **dict.fromkeys(("m/s2", "m/s²", "m/s^2"), "m/s2"),
    **dict.fromkeys(("s", "sec", "second", "seconds", "초"), "s"),
    **{name: name for name in ("wb", "g", "mm/s")},
}
_SPELLINGS = {"msec": "ms", "밀리초": "ms", "usec": "us", "µsec": "us"}
_NO_UNITS = frozenset({"dimensionless", "unit", "units", "단위"})
_COUNTS = frozenset({"sequence", "samples"})
_FACTORS = {"khz": 1e3, "mhz": 1e6, "k": 1e3, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_QUANTITY = re.compile(r"(?:^|[:\s=])([+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*([a-zA-Zµμ/]*)\s*$")


def column_kind(title: str) -> tuple[str, float, bool]:
    """What a column is by its title, such as ``Time (ms)``.

    Returns:
        ``time``, ``index``, ``value``, or ``""`` where the title may mean either; the factor of its unit to the
        plain one; whether the unit of a time is known.
    """
    name, unit = split_title(title)
    label = folded(name)
    factor, base = unit_of(unit)
    if label in _INDEX_NAMES or unit.strip().lower() in _COUNTS:
        return "index", 1.0, False
    if label in _TIME_NAMES or base == "s":
        return "time", factor, base == "s" or label in _SECONDS
    return "" if label in _EITHER else "value", factor, False


def split_title(title: str) -> tuple[str, str]:
    """The name and the unit of a title that has its unit in brackets; the unit is empty where it has none."""
    found = re.fullmatch(r"(.*?)\s*[(\[（](.*?)[)\]）]\s*", title.strip().strip('"'))
    return (found[1], found[2]) if found else (title.strip().strip('"'), "")


def unit_of(text: str) -> tuple[float, str]:
    """The factor of a unit to the plain one, and the plain one; 1 and ``""`` for what is no known unit."""
    bare = text.strip().strip("()[]").strip()
    bare = _SPELLINGS.get(bare.lower(), bare)
    for length in (0, 1):
        prefix, base = bare[:length], _BASES.get(bare[length:].lower())
        if base and prefix in _PREFIXES:
            return _PREFIXES[prefix], base
    return 1.0, ""


def is_unit(text: str) -> bool:
    """Whether a cell may stand in a row of units."""
    bare = text.strip().strip("()[]").strip()
    return not bare or bare.lower() in _NO_UNITS | _COUNTS or bool(unit_of(bare)[1])


def quantity(text: str) -> float | None:
    """A positive number with perhaps a unit behind it: ``1.0e-4 s``, ``10 kHz``, ``CH1:1.0E-09``."""
    found = _QUANTITY.search(text.strip())
    if not found:
        return None
    value = float(found[1].replace(",", ".")) * _FACTORS.get(found[2].lower().removesuffix("sa/s"), 1.0)
    return value if value > 0 else None


def folded(text: str) -> str:
    """A name as it is compared: composed (NFC), small letters, no spaces, dashes or colons."""
    return re.sub(r"[\s_\-./:]+|^[#%;/]+", "", unicodedata.normalize("NFC", text)).lower()
