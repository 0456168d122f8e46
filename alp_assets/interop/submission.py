"""A finished package as a submission to DCASE Task 2: one line for each test file, under its original name.

Files are called as the year of the recordings asks: ``anomaly_score_<machine>_id_<id>.csv`` in 2020, which took
scores alone, ``anomaly_score_<machine>_section_<id>_<domain>_test.csv`` in 2021 and
``anomaly_score_<machine>_section_<id>_test.csv`` afterwards, with ``decision_result_...`` beside them. Recordings
that carry no such name go by ALP's section.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from alp_assets.errors import AlpError
from alp_assets.interop.dcase import write_files
from alp_assets.interop.dcase_names import FOLDERS, parse_name
from schemas.sections import Section

_IMPORTED_PARTS = 4  # audio/<machine>/<folder>/<file>, as the import lays them


@dataclass(frozen=True)
class Submission:
    """What was written; ``files`` in order, ``lines`` test files, ``beside`` recordings of other microphones."""

    files: tuple[Path, ...]
    lines: int
    beside: int


def write_submission(folder: Path, scores: pd.DataFrame) -> Submission:
    """Write the submission of a package from its table of scores (``schemas.tables.SCORES``).

    Where a file was cut into several clips, it gets the highest of their scores, and is an anomaly if one of them
    is. Microphones that the import set beside the first are left out, as a file has one score.

    Raises:
        AlpError: there is no scored test clip, a score is not finite, or a file of the submission is there.
    """
    test = scores[scores["split"] == "test"]
    if not len(test):
        raise AlpError("the package has no scored test recordings, so there is nothing to submit.")
    if not np.isfinite(test["score"].to_numpy(np.float64)).all():
        raise AlpError("a test clip has no finite score. Run the stage scores again.")
    table = _by_file(test)
    submitted = table[table["group"] != ""]
    groups = {str(of): rows.sort_values("name") for of, rows in submitted.groupby("group", sort=True)}
    if there := [path for of in groups if (path := folder / f"anomaly_score_{of}.csv").exists()]:
        raise AlpError(f"{there[0]}: is there already. Give an empty folder.")
    files = [
        path
        for of, rows in groups.items()
        for path in write_files(folder, of, rows, with_decisions="_section_" in of)
    ]
    return Submission(tuple(files), len(submitted), len(table) - len(submitted))


def _by_file(test: pd.DataFrame) -> pd.DataFrame:
    """A row for each test file: name, score, decision and the group whose submission it belongs to."""
    keys = ["machine_type", "section_id", "domain", "recording"]
    # of "anomaly" and "normal" the first in the alphabet stands for a file of which any clip is anomalous
    files = test.groupby(keys, sort=False).agg(score=("score", "max"), decision=("decision", "min")).reset_index()
    paths = [recording.replace("\\", "/") for recording in files["recording"]]
    places = zip(paths, files["machine_type"], files["section_id"], strict=True)
    table = files.assign(
        name=[path.rpartition("/")[2] for path in paths],
        group=[_group(PurePosixPath(path), str(kind), str(section)) for path, kind, section in places],
    )
    # recordings that do not come from the challenge may share their names; their paths then stand for them
    whole = pd.Series([path.replace("/", "__") for path in paths], index=table.index)
    return table.assign(name=table["name"].mask(table.duplicated(["group", "name"], keep=False), whole))


def _group(path: PurePosixPath, machine_type: str, section_id: str) -> str:
    """What stands for machine and section in the name of a submission's file; empty for a microphone beside."""
    parts = path.parts
    told = len(parts) >= _IMPORTED_PARTS and parts[0] == "audio" and parts[2] in FOLDERS
    try:
        name = parse_name(path.stem, parts[2]) if told else None
    except ValueError:
        name = None
    if name is None:
        own = Section("", machine_type, section_id).folder.removeprefix(f"{machine_type}__")
        return f"{machine_type}_section_{own}_test"
    if len(parts) > _IMPORTED_PARTS:
        return ""
    if name.year == 2020:
        return f"{parts[1]}_id_{name.section}"
    domain = f"_{name.domain}" if name.year == 2021 else ""
    return f"{parts[1]}_section_{name.section}{domain}_test"
