"""Which of the two encodings a piece of Korean text is in: UTF-8, or the CP949 of Korean Windows."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

_LATIN_1_END = 0x100
_TWO_BYTES_END = 0x800
_IN_NO_LANGUAGE = 0x221  # from here up to IPA, letters of hardly any language written today
_IN_A_LATIN_WORD = re.compile(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]")
_DAMAGED_SHARE = 0.75


def choose_encoding(data: bytes) -> Literal["utf-8", "cp949"] | None:
    """The encoding in which all of ``data`` decodes strictly, or None if there is none.

    A few Hangul syllables of CP949 are valid UTF-8 too and would become Latin letters with rare
    accents (``확`` is ``Ȯ``); where CP949 reads as nothing but Hangul, it is taken. UTF-8 with a
    few broken bytes is never taken for CP949, in which it would be readable nonsense.
    """
    text = _decoded(data, "utf-8")
    if text is not None:
        return "cp949" if _is_hangul_in_disguise(text, data) else "utf-8"
    if _is_damaged_utf8(data) or _decoded(data, "cp949") is None:
        return None
    return "cp949"


def first_bad_byte(data: bytes) -> int | None:
    """The offset of the first byte that is not UTF-8, or None."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_hangul_in_disguise(text: str, data: bytes) -> bool:
    """Whether text read as UTF-8 has rare Latin letters, outside Latin words, that CP949 reads as Hangul."""
    odd = {ord(character) for character in set(text) if not character.isascii()}
    if not odd or not _LATIN_1_END <= max(odd) < _TWO_BYTES_END:
        return False
    if min(odd) < _IN_NO_LANGUAGE and _IN_A_LATIN_WORD.search(text):
        return False
    korean = _decoded(data, "cp949")
    return korean is not None and all(map(_is_common_hangul, {c for c in set(korean) if not c.isascii()}))


def _is_common_hangul(character: str) -> bool:
    lead, trail = character.encode("cp949")
    return 0xB0 <= lead <= 0xC8 and trail >= 0xA1


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether nearly all that is not ASCII is Hangul and the like in UTF-8, which CP949 never looks like."""
    text = data.decode("utf-8", errors="replace")
    counts = Counter(text)
    odd = sum(count for character, count in counts.items() if not character.isascii())
    whole = sum(count for character, count in counts.items() if ord(character) >= _TWO_BYTES_END)
    return (whole - counts["\ufffd"]) / odd >= _DAMAGED_SHARE
