"""Text that people type, as forms take it."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_LAYOUT = frozenset("\n\r\t")


def _plain(text: str) -> str:
    """Text without control characters: databases refuse some, and terminals obey others."""
    if any(unicodedata.category(sign) == "Cc" and sign not in _LAYOUT for sign in text):
        raise ValueError("no control characters, please")
    return text


Typed = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_plain)]
"""Text without control characters, and without spaces around it."""
