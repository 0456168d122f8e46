"""Text of the report in every language at once: one page holds them all and shows one.

The texts are data (``schemas/texts/report.<language>.toml``); this module only finds and fills them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Literal

from schemas.texts import LANGUAGES, Language, read_texts

TOPIC = "report"


@dataclass(frozen=True)
class Words:
    """The same said in English and in Korean. In a template both are written, and styles hide one."""

    en: str
    ko: str

    def __html__(self) -> str:
        if self.en == self.ko:
            return escape(self.en)
        return "".join(f'<span lang="{name}">{escape(self.of(name))}</span>' for name in LANGUAGES)

    def __bool__(self) -> bool:
        return bool(self.en)

    def of(self, language: Language) -> str:
        """The text in one language."""
        return self.en if language == "en" else self.ko


NOTHING = Words("", "")

Gap = Words | str | int | float

Holds = Literal["sound", "signals", "both"]
"""What the recordings of a machine or a package hold."""


def same(text: str) -> Words:
    """What is written the same in every language: figures, and names that the customer gave."""
    return Words(text, text)


def say(key: str, **gaps: Gap) -> Words:
    """The text of a key such as ``kpi.met`` with its gaps filled; ``KeyError`` where there is no such text."""
    return Words(*(_fill(key, language, gaps) for language in ("en", "ko")))


def count_of(key: str, number: int, **gaps: Gap) -> Words:
    """The text of a key for so many things: ``one`` or ``many`` of it, with ``{n}`` filled."""
    return say(f"{key}.{'one' if number == 1 else 'many'}", n=f"{number:,}", **gaps)


def say_of(holds: Holds, key: str, **gaps: Gap) -> Words:
    """``say`` in the words for what recordings hold: those under ``signals`` or ``both``, where there are any."""
    return say(_key_of(holds, key), **gaps)


def count_of_in(holds: Holds, key: str, number: int, **gaps: Gap) -> Words:
    """``count_of`` in the words for what recordings hold."""
    return count_of(_key_of(holds, key), number, **gaps)


def known(table: str, name: str) -> Words:
    """The words for a name in a table of texts, or the name without underscores where there are none."""
    return say(f"{table}.{name}") if name in _table(table) else same(name.replace("_", " "))


def listed(parts: Iterable[Words]) -> Words:
    """Several things after each other: ``a, b and c``."""
    items = list(parts)
    if not items:
        return NOTHING
    head, last = items[:-1], items[-1]
    if not head:
        return last
    return say("list.last", head=joined(head, ", "), last=last)


def joined(parts: Iterable[Words], between: str = " ") -> Words:
    """What is not empty of several texts, one after the other."""
    items = [part for part in parts if part]
    return Words(between.join(item.en for item in items), between.join(item.ko for item in items))


@cache
def _key_of(holds: Holds, key: str) -> str:
    found = read_texts(TOPIC, "en").get(holds, {})
    for part in key.split("."):
        found = found.get(part, {})
    return f"{holds}.{key}" if found else key


def _fill(key: str, language: Language, gaps: dict[str, Gap]) -> str:
    filled = {name: gap.of(language) if isinstance(gap, Words) else gap for name, gap in gaps.items()}
    return _text(key, language).format(**filled)


@cache
def _text(key: str, language: Language) -> str:
    found = read_texts(TOPIC, language)
    for part in key.split("."):
        found = found[part]
    if not isinstance(found, str):
        raise KeyError(f"{key} is a table of texts in {TOPIC}.{language}.toml, not a text")
    return found


@cache
def _table(name: str) -> frozenset[str]:
    found = read_texts(TOPIC, "en")
    for part in name.split("."):
        found = found[part]
    return frozenset(found)
