"""What in a table holds the contract and is likely a slip all the same: told, never refused."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from alp_assets.intake.paths import without_suffix
from schemas.problems import Value, shortened

_SIDES = {"l": 1, "left": 1, "ch1": 1, "ch01": 1, "좌": 1, "r": 2, "right": 2, "ch2": 2, "ch02": 2, "우": 2}
_SIDE = re.compile(r"[\s_\-.()](" + "|".join(sorted(_SIDES, key=len, reverse=True)) + r")\)?\Z", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_\-.()]*")
_BETWEEN = re.compile(r"[\W_]+")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


@dataclass(frozen=True)
class Suspicion:
    """A cell (``place`` counts rows of the table from 0) and the problem that it may be."""

    place: int
    column: str
    code: str
    values: dict[str, Value]


def suspicions(table: pd.DataFrame, now: datetime) -> Iterator[Suspicion]:
    """Dates after ``now`` by more than a day, machines spelled two ways, contradictions, split channels.

    ``table`` has the columns of the contract as they were read, and a plain index from 0.
    """
    for place in table.index[table["recorded_at"] > now.replace(tzinfo=None) + timedelta(days=1)]:
        yield Suspicion(int(place), "recorded_at", "time_future", {})
    yield from _spelled_two_ways(table)
    yield from _contradictions(table)
    yield from _split_channels(table)


def folded_id(section_id: str) -> str:
    """A section id as people compare it: "Fan 01", "fan-01" and "FAN1" are one; "1-1" and "11" are two."""
    text = unicodedata.normalize("NFKC", section_id).casefold()
    parts = [part for part in _BETWEEN.split(text) if part]
    joined = "".join(
        f"-{part}" if place and part[0].isdigit() and parts[place - 1][-1].isdigit() else part
        for place, part in enumerate(parts)
    )
    return _ZEROS.sub("", joined) or text


def _spelled_two_ways(table: pd.DataFrame) -> Iterator[Suspicion]:
    """Every row of a machine whose id differs from that of more rows in spelling alone."""
    named = table[table["machine_type"].notna() & table["section_id"].notna()]
    counts = Counter(zip(named["machine_type"], named["section_id"], strict=True))
    spellings: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for kind, section_id in counts:
        spellings.setdefault((kind, folded_id(section_id)), []).append((kind, section_id))
    usual = {
        rare: max(group, key=lambda found: (counts[found], found))[1]
        for group in spellings.values()
        if len(group) > 1
        for rare in group
    }
    for place, key in zip(named.index, zip(named["machine_type"], named["section_id"], strict=True), strict=True):
        if usual.get(key, key[1]) != key[1]:
            yield Suspicion(int(place), "section_id", "section_spelled", {"other": shortened(usual[key])})


def _contradictions(table: pd.DataFrame) -> Iterator[Suspicion]:
    """Rows, but those of training, whose label and confirmation contradict each other."""
    others = table[table["split"] != "train"]
    said = others["operator_confirmed"]
    for place in others.index[(others["label"] == "anomaly") & said.fillna(False).astype(bool)]:
        yield Suspicion(int(place), "label", "label_against_confirmation", {})
    for place in others.index[(others["label"] == "normal") & ~said.fillna(True).astype(bool)]:
        yield Suspicion(int(place), "operator_confirmed", "confirmation_against_label", {})


def _split_channels(table: pd.DataFrame) -> Iterator[Suspicion]:
    """The second of two files of one machine and time that are called left and right, and tell no microphone."""
    first: dict[tuple[object, ...], tuple[int, str]] = {}
    keys = ("machine_type", "section_id", "recorded_at", "mic_position_id")
    rows = zip(table.index, table["relative_path"], *(table[name].astype(str) for name in keys), strict=True)
    for place, path, *about in rows:
        match = _SIDE.search(without_suffix(path)) if isinstance(path, str) else None
        if match is None:
            continue
        side, before = _SIDES[match[1].casefold()], _without_separators(match.string[: match.start()])
        other = first.setdefault((before.casefold(), *about), (side, path))
        if other[0] != side:
            yield Suspicion(int(place), "relative_path", "channels_in_files", {"other": shortened(other[1])})


def _without_separators(text: str) -> str:
    """A text without the separators at its end. Looked for from there: a long run of them takes no longer."""
    found = _SEPARATORS.match(text[::-1])
    return text[: len(text) - found.end()] if found else text
