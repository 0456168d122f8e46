"""Figures as text, and the templates of this room."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

ENGINE_LETTERS = {
    "patch_memory": "A",
    "memory_bank": "B",
    "meta_prototype": "C",
    "isolation_forest": "L1",
    "autoencoder": "L2",
    "time_moe": "S1",
    "signal_pca": "S2",
    "signal_spectrum": "S3",
    "signal_cnn": "S4",
}
MISSING = "–"

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def engine(name: str | None) -> str:
    """An engine's name with its letter."""
    letter = ENGINE_LETTERS.get(name or "")
    return f"{name} ({letter})" if letter else name or MISSING


def number(value: float | None, digits: int = 4) -> str:
    """A number to so many significant digits, or a dash."""
    return MISSING if value is None else f"{value:.{digits}g}"


def fixed(value: float | None, places: int = 3) -> str:
    """A number to so many decimal places, or a dash."""
    return MISSING if value is None else f"{value:.{places}f}"


def count(value: int | None) -> str:
    """A whole number with thousands separated, or a dash."""
    return MISSING if value is None else f"{value:,}"


def size(number_of_bytes: int) -> str:
    """Bytes in the unit that suits them."""
    value = float(number_of_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


@cache
def environment() -> Environment:
    """The templates of this room. Whatever a customer wrote is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("alp_assets.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, fixed=fixed, count=count, size=size, engine=engine)
    return made


def render(template: str, values: dict[str, Any]) -> str:
    """Fill in a template. Characters that no page may hold become U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", environment().get_template(template).render(values))
