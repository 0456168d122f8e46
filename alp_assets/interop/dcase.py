"""Scores in the layout of DCASE Task 2: for every section a file of anomaly scores and one of decisions.

As the challenge asks of submissions: no header, a line for each test clip with the name of its file and its
score, or 1 for an anomaly and 0 for a normal clip.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from alp_assets.files import write_bytes
from schemas.sections import Section

_SUFFIX = ".wav"


def write_dcase(folder: Path, scores: pd.DataFrame) -> list[Path]:
    """Write the files of every section that has test clips, and say which, sections in order.

    ``anomaly_score_<machine>_section_<id>_test.csv`` and ``decision_result_<machine>_section_<id>_test.csv``,
    from a table of scores (``schemas.tables.SCORES``). Ids are made safe for file names. A clip goes by the
    name of its recording's file; where that names several clips of the section, each goes by its clip id.
    Lines are in the order of these names. A clip without a finite score is a ``ValueError``, because the
    challenge's evaluation takes none.
    """
    test = scores[scores["split"] == "test"]
    if not np.isfinite(test["score"].to_numpy(np.float64)).all():
        raise ValueError("a test clip has no finite score, which the layout of DCASE has no room for")
    written = []
    for (machine_type, section_id), rows in test.groupby(["machine_type", "section_id"], sort=True):
        section = _safe(str(machine_type), str(section_id))
        named = rows.assign(name=_names(rows)).sort_values("name", kind="stable")
        written += write_files(folder, f"{machine_type}_section_{section}_test", named)
    return written


def write_files(folder: Path, of: str, rows: pd.DataFrame, *, with_decisions: bool = True) -> list[Path]:
    """Write ``anomaly_score_<of>.csv`` and ``decision_result_<of>.csv`` of rows with name, score and decision."""
    columns = {"anomaly_score": rows["score"]}
    if with_decisions:
        columns["decision_result"] = (rows["decision"] == "anomaly").astype(int)
    written = []
    for kind, values in columns.items():
        written.append(folder / f"{kind}_{of}.csv")
        write_bytes(written[-1], _lines(rows["name"], values))
    return written


def _safe(machine_type: str, section_id: str) -> str:
    """The section id as it may stand in the name of a file."""
    return Section("", machine_type, section_id).folder.removeprefix(f"{machine_type}__")


def _names(rows: pd.DataFrame) -> list[str]:
    """The name (n,) of every clip's file, no two alike; paths may come from Windows.

    Where a name would not be its clip's alone, all clips that share it get theirs from their clip ids.
    """
    by_id = [f"{clip_id}{_SUFFIX}" for clip_id in rows["clip_id"]]
    names = [recording.replace("\\", "/").rpartition("/")[2] for recording in rows["recording"]]
    while shared := {name for name, count in Counter(names).items() if count > 1}:
        names = [own if name in shared else name for name, own in zip(names, by_id, strict=True)]
    return names


def _lines(names: pd.Series, values: pd.Series) -> bytes:
    """CSV of two columns. Scores keep every digit, so that a threshold on them decides as it did here."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(zip(names, values.tolist(), strict=True))
    return stream.getvalue().encode()
