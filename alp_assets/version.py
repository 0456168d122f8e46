"""Which ALP this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def code_version() -> str:
    """The version of the installed package."""
    try:
        return version("alp")
    except PackageNotFoundError:
        return "unknown"
