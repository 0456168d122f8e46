"""The folders of MIMII: ``<machine>/id_00/normal/00000000.wav`` and ``abnormal``, one tree for each noise level.

The set has no split. As in its baseline (mimii_baseline, ``dataset_generator``) the first normals of a machine, as
many as it has anomalies, are for testing and the others for training; ALP gives at most half of them to testing.
A recording that comes at several noise levels is for the same purpose in all of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from alp_assets.errors import AlpError
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
from alp_assets.interop.dcase_folders import read_dcase
from alp_assets.interop.dcase_names import FOLDERS
from alp_assets.progress import Progress, silent

_PUBLISHED = "2019-09-20"
_LABELS = {"normal": "normal", "abnormal": "anomaly"}
_MACHINE_ID = re.compile(r"id_(\d+)")
_LEVEL = re.compile(r"(?:^|[_ ])(?P<minus>-|min(?:us)?_?)?(?P<level>\d+)_?dB(?:[_ ]|$)", re.IGNORECASE)
_RECORDINGS = "normal and abnormal of <machine>/id_<number>"


def read_mimii(root: Path, progress: Progress = silent) -> DataSet:
    """Find every recording of MIMII below a folder; of MIMII DUE and DG too, which are laid out as DCASE is.

    The noise level comes from the folders above the machine's, such as ``-6_dB_fan`` or ``min6dB``.

    Raises:
        AlpError: the folder holds no recordings of these sets, or of several.
    """
    found: list[Recording] = []
    findings: list[Finding] = []
    later: Path | None = None
    for path in files_below(root):
        try:
            found.append(_read_path(path))
        except ValueError as error:
            remedy = "Nothing needs to be done if it is no recording of the set."
            findings.append(left_out(path, root, f"Not taken: {error}.", remedy))
            if is_recording(path) and path.parent.name in FOLDERS:
                later = later or path
    if later and found:
        raise AlpError(
            f"{root}: holds recordings of several sets: {shown(found[0].source, root)} (MIMII) and "
            f"{shown(later, root)} (MIMII DUE or DG). Give one set's folder at a time."
        )
    if later:
        return _of_later_set(root, progress)
    if not found:
        raise nothing_found(root, f"MIMII, which lie in {_RECORDINGS}", findings)
    good = heard(distinct(found, root, findings), root, findings, progress)
    return in_order("MIMII", _PUBLISHED, _split(good), findings)


def _of_later_set(root: Path, progress: Progress) -> DataSet:
    data = read_dcase(root, progress)
    by_domain = any(recording.place.startswith(("source_", "target_")) for recording in data.recordings)
    name, published = ("MIMII DUE", "2021-05-01") if by_domain else ("MIMII DG", "2022-05-27")
    return replace(data, name=name, published=published)


def _read_path(path: Path) -> Recording:
    """Raises ``ValueError`` for what fits no rule."""
    if not is_recording(path):
        raise ValueError("it is no WAV recording")
    parts = path.absolute().parts
    label, number = parts[-2], _MACHINE_ID.fullmatch(parts[-3]) if len(parts) > 4 else None
    if label not in _LABELS or number is None:
        raise ValueError(f"recordings lie in {_RECORDINGS}")
    level = next((match for part in reversed(parts[:-3]) if (match := _LEVEL.search(part))), None)
    snr_db = "" if level is None else f"{'-' if level['minus'] and level['level'] != '0' else ''}{level['level']}"
    machine = _LEVEL.sub("", parts[-4]).strip("_ ") or parts[-4]
    above = [f"{snr_db}_dB"] if snr_db else []
    return Recording(
        source=path,
        machine=machine,
        section=number[1],
        place="/".join([*above, parts[-3], label]),
        split="test",
        domain="source",
        label=_LABELS[label],
        snr_db=snr_db,
    )


def _split(recordings: list[Recording]) -> list[Recording]:
    """The recordings with their purposes, machine by machine."""
    normals: dict[tuple[str, str], set[str]] = defaultdict(set)
    anomalies: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item in recordings:
        names = normals if item.label == "normal" else anomalies
        names[item.machine, item.section].add(item.source.name)
    for_test = {
        machine: set(sorted(names)[: min(len(anomalies[machine]), len(names) // 2)])
        for machine, names in normals.items()
    }
    return [
        replace(item, split="train")
        if item.label == "normal" and item.source.name not in for_test[item.machine, item.section]
        else item
        for item in recordings
    ]
