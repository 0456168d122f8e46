"""The folders of DCASE Task 2 from 2020 to 2026, and of MIMII DUE and DG, which are laid out alike.

``<machine>/train``, ``test`` (``source_test`` and ``target_test`` in 2021), ``supplemental`` from 2025, with
``attributes_00.csv`` beside them from 2022. From 2026 recordings have two channels, the near microphone first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.interop.attributes import AttributeTable, read_attributes
from alp_assets.interop.dataset import (
    DataSet,
    Finding,
    Recording,
    distinct,
    files_below,
    heard,
    in_order,
    is_recording,
    left_out,
    nothing_found,
    shown,
)
from alp_assets.interop.dcase_names import FOLDERS, Name, attributes_in, parse_name
from alp_assets.progress import Progress, silent

NEAR_AND_FAR = ("near", "far")

_NAMES = {
    2020: "DCASE 2020 Task 2",
    2021: "DCASE 2021 Task 2",
    2022: "DCASE 2022 to 2024 Task 2",
    2025: "DCASE 2025 Task 2",
    2026: "DCASE 2026 Task 2",
}
_PUBLISHED = {2020: "2020-03-01", 2021: "2021-03-01", 2022: "2022-03-15", 2025: "2025-04-01", 2026: "2026-04-01"}
_FAMILY = {2025: 2022}  # what supplements are added to
_TABLES = "attributes_"


def read_dcase(root: Path, progress: Progress = silent) -> DataSet:
    """Find every recording below a folder, whatever lies between it and the machines' folders.

    Files that fit no rule are findings.

    Raises:
        AlpError: the folder holds no recordings of the challenge, or of several years.
    """
    named: list[tuple[Recording, Name]] = []
    tables: dict[tuple[str, str], AttributeTable] = {}
    findings: list[Finding] = []
    for path in files_below(root):
        if path.name.lower().startswith(_TABLES) and path.suffix.lower() == ".csv":
            table = read_attributes(path, root)
            findings += table.findings
            key = (_machine_above(path), path.stem[len(_TABLES) :])
            if key in tables:  # training and test sets may bring one each
                table.conditions = {**table.conditions, **tables[key].conditions}
            tables[key] = table
            continue
        try:
            named.append(_read_name(path))
        except ValueError as error:
            findings.append(left_out(path, root, f"Not taken: {error}.", _remedy(path)))
    if not named:
        raise nothing_found(root, "DCASE Task 2, which lie in <machine>/train and <machine>/test", findings)
    year = _one_year(named, root)
    found = heard(distinct((item for item, _ in named), root, findings), root, findings, progress)
    two = _channels(found, root) == len(NEAR_AND_FAR) and year >= 2022
    year = 2026 if two else year
    if year >= 2022:
        findings += _tables_missing(found, tables, root)
    found = _with_tables(found, tables)
    findings += _rows_of_others(found, tables.values(), root)
    return in_order(_NAMES[year], _PUBLISHED[year], found, findings, NEAR_AND_FAR if two else ())


def _read_name(path: Path) -> tuple[Recording, Name]:
    """Raises ``ValueError`` for what fits no rule."""
    if not is_recording(path):
        raise ValueError("it is no WAV recording")
    folder = path.parent.name
    if folder not in FOLDERS:
        raise ValueError(f"its folder is none of {', '.join(FOLDERS)}")
    name = parse_name(path.stem, folder)
    recording = Recording(
        source=path,
        machine=_machine_above(path.parent),
        section=name.section,
        place=folder,
        split=name.split,
        domain=name.domain,
        label=name.label,
        supp_type=name.supp_type,
        attributes=attributes_in(name.attributes),
    )
    return recording, name


def _machine_above(path: Path) -> str:
    """The machine's folder, also where the folder that was given is the machine's own or one below."""
    return path.absolute().parent.name or "machine"


def _remedy(path: Path) -> str:
    if path.suffix.lower() in (".zip", ".7z", ".gz", ".tar"):
        return "Unpack it if it belongs to the set."
    if is_recording(path):
        return "Put it under the name and in the folder that the set gives it, if it is wanted."
    return "Nothing needs to be done if it is no recording."


def _one_year(named: Iterable[tuple[Recording, Name]], root: Path) -> int:
    """The year whose layout all recordings have; names of 2021 and later may fit more than one."""
    first: dict[int, Path] = {}
    for recording, name in named:
        first.setdefault(name.year, recording.source)
    sure = {_FAMILY.get(year, year) for year in first if year}
    if len(sure) > 1 or (sure == {2020} and 0 in first):
        examples = "; ".join(
            f"{shown(path, root)} ({_NAMES.get(year, 'DCASE 2021 or later')})"
            for year, path in sorted(first.items())
        )
        raise AlpError(f"{root}: holds recordings of several years: {examples}. Give one year's folder at a time.")
    return max(first) or 2022


def _channels(found: list[Recording], root: Path) -> int:
    """How many channels the recordings have."""
    first: dict[int, Path] = {}
    for recording in found:
        first.setdefault(recording.channels, recording.source)
    if len(first) > 1:
        examples = "; ".join(f"{shown(path, root)} has {channels}" for channels, path in sorted(first.items()))
        raise AlpError(
            f"{root}: recordings with different numbers of channels: {examples}. DCASE has two from 2026 and one "
            "before: give one year's folder at a time."
        )
    return next(iter(first))


def _with_tables(found: list[Recording], tables: Mapping[tuple[str, str], AttributeTable]) -> list[Recording]:
    """The recordings with the attributes that the tables tell of them."""
    done = []
    for recording in found:
        table = tables.get((recording.machine, recording.section))
        told = table.conditions.get(recording.source.name) if table else None
        done.append(recording if told is None else replace(recording, attributes=told))
    return done


def _tables_missing(
    found: list[Recording], tables: Mapping[tuple[str, str], AttributeTable], root: Path
) -> list[Finding]:
    """A finding for each section that has recordings for training and no table of attributes."""
    beside = {
        (recording.machine, recording.section): recording.source.parent.parent
        for recording in found
        if recording.split == "train"
    }
    return [
        Finding(
            f"{_below(folder, root)}{_TABLES}{section}.csv",
            f"{machine} has no table of attributes for section {section}.",
            "Conditions come from the names of the files, where these tell any.",
        )
        for (machine, section), folder in sorted(beside.items())
        if (machine, section) not in tables
    ]


def _below(folder: Path, root: Path) -> str:
    return f"{folder.relative_to(root).as_posix()}/" if folder != root and folder.is_relative_to(root) else ""


def _rows_of_others(found: list[Recording], tables: Iterable[AttributeTable], root: Path) -> list[Finding]:
    """A finding for each table with rows about recordings that are not here."""
    names: dict[str, set[str]] = {}
    for recording in found:
        names.setdefault(recording.machine, set()).add(recording.source.name)
    findings = []
    for table in tables:
        others = sorted(table.conditions.keys() - names.get(_machine_above(table.path), set()))
        if others:
            problem = f"{len(others)} of its rows name recordings that are not here, the first {others[0]}."
            remedy = "Nothing needs to be done where a part of the set was left out."
            findings.append(Finding(shown(table.path, root), problem, remedy))
    return findings
