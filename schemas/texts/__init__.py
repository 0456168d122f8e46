"""What customers read, as data: a TOML file for each topic and language, ``<topic>.<language>.toml``.

All languages of a topic have the same keys. Gaps are written as ``{name}`` and filled by ``str.format``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def read_texts(topic: str, language: Language) -> Mapping[str, Any]:
    """The texts of a topic in a language. Callers share the mapping and leave it as it is."""
    found = resources.files(__name__).joinpath(f"{topic}.{language}.toml")
    return tomllib.loads(found.read_text(encoding="utf-8"))
