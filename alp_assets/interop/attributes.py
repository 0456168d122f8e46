"""Conditions that DCASE Task 2 and MIMII DG tell of recordings, as columns of the contract.

They stand at the end of file names and in ``attributes_00.csv`` beside the folders: ``file_name``, then pairs of
columns ``d1p`` (what) and ``d1v`` (which). The table stands above the names.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alp_assets.interop.dataset import Finding, shown

COLUMN_OF = {
    "mic": "mic_position_id",
    "loc": "mic_position_id",
    "noise": "noise_id",
    "m-n": "noise_id",
    "f-n": "noise_id",
    "spd": "speed_level",
    "speed": "speed_level",
    "vel": "speed_level",
    "wt": "load_level",
    "weight": "load_level",
    "load": "load_level",
}
"""Columns of the contract for the sets' own words; every other word goes into ``operating_condition``.

``loc`` is where the microphone stood; ``m-n`` and ``f-n`` name the machine and factory noise that was mixed in.
"""

_WHAT = re.compile(r"d\d+p")
_NOTHING = frozenset({"", "nan", "none", "noattribute"})
_LARGEST = 64 << 20


@dataclass
class AttributeTable:
    """One ``attributes_00.csv``: the conditions of recordings, by the names of their files."""

    path: Path
    conditions: dict[str, dict[str, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read_attributes(path: Path, root: Path) -> AttributeTable:
    """Read a table of attributes; what is wrong in it is a finding and left out, the rest counts."""
    table = AttributeTable(path)
    where = shown(path, root)
    try:
        rows = _rows(path)
        header = [cell.strip().lower() for cell in rows[0]] if rows else []
        name_at, pairs = _places(header)
    except (OSError, UnicodeError, csv.Error, ValueError) as error:
        remedy = "Unpack it again; attributes come from the names of the files as it is."
        table.findings.append(Finding(where, f"The table cannot be read: {error}.", remedy))
        return table
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            problem = f"It has {len(row)} cells under {len(header)} headers."
            remedy = "Attributes come from the name of the file."
            table.findings.append(Finding(where, problem, remedy, row=number))
            continue
        name = row[name_at].strip().replace("\\", "/").rpartition("/")[2]
        found = _told(row, pairs)
        if table.conditions.setdefault(name, found) != found:
            problem = f"It tells other attributes of {name} than a row before."
            table.findings.append(Finding(where, problem, "The first row counts.", row=number))
    return table


def conditions(attributes: Mapping[str, str], microphone: str = "") -> dict[str, str]:
    """Attributes as columns of the contract; ``microphone`` is added to the place that they tell."""
    columns: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in attributes.items():
        column = COLUMN_OF.get(name.lower(), "")
        if column and column not in columns:
            columns[column] = value
        else:
            others[name] = value
    if place := " ".join(filter(None, (columns.get("mic_position_id"), microphone))):
        columns["mic_position_id"] = place
    if others:
        columns["operating_condition"] = json.dumps(others, ensure_ascii=False, sort_keys=True)
    return columns


def _rows(path: Path) -> list[list[str]]:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def _places(header: list[str]) -> tuple[int, list[tuple[int, int]]]:
    """Where the file's name stands, and where the name and value of each attribute do."""
    if "file_name" not in header:
        raise ValueError("it has no column file_name")
    pairs = []
    for place, name in enumerate(header):
        if _WHAT.fullmatch(name):
            which = f"{name[:-1]}v"
            if which not in header:
                raise ValueError(f"it has a column {name} and no {which}")
            pairs.append((place, header.index(which)))
    return header.index("file_name"), pairs


def _told(row: list[str], pairs: list[tuple[int, int]]) -> dict[str, str]:
    found = ((row[what].strip(), row[which].strip()) for what, which in pairs)
    return {what: which for what, which in found if what and which.lower() not in _NOTHING}
