"""Packages from a folder of labelled motor recordings: one class is normal, every other anomalous.

Of the normal class a few recordings, drawn by a seed, are for training; the rest are test normals. The
recordings of a class come from one session, so a difference between classes may hold a difference between
sessions: the figures compare methods, they promise nothing.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_COLUMNS = (
    "relative_path",
    "machine_type",
    "section_id",
    "recorded_at",
    "operator_confirmed",
    "split",
    "domain",
    "label",
)
_RECORDED_AT = "2020-01-01T00:00:00"


@dataclass(frozen=True)
class MotorRecording:
    """One recording and its class, as the source names it."""

    path: Path
    motor_class: str


def labelled_recordings(folder: Path) -> list[MotorRecording]:
    """The recordings that ``labels.csv`` gives a class, in its order.

    The table names them ``.wav``; on disk they are ``.flac``.

    Raises:
        FileNotFoundError: a file that the table names is not there.
    """
    with (folder / "labels.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = [(row["Filename"], row["Classname"].strip()) for row in csv.DictReader(stream)]
    found = [
        MotorRecording(folder / Path(name).with_suffix(".flac").name, motor_class)
        for name, motor_class in rows
        if motor_class
    ]
    for recording in found:
        if not recording.path.is_file():
            raise FileNotFoundError(f"{recording.path}: labels.csv names it, and it is not there.")
    return found


def classes(recordings: list[MotorRecording]) -> list[str]:
    """The classes that there are, sorted."""
    return sorted({recording.motor_class for recording in recordings})


def slug(motor_class: str) -> str:
    """A class as it may stand in names of packages and sections: ``1*`` is ``1s``."""
    return motor_class.lower().replace("*", "s")


def write_package(
    target: Path, recordings: list[MotorRecording], normal_class: str, seed: int, normals: int = 10
) -> None:
    """Write the zip of one class and seed: ``audio/*.flac`` and ``metadata.csv``.

    Raises:
        ValueError: the class has too few recordings to train on ``normals`` and test on one.
    """
    of_class = [index for index, item in enumerate(recordings) if item.motor_class == normal_class]
    if not 0 < normals < len(of_class):
        raise ValueError(
            f"class {normal_class!r} has {len(of_class)} recordings; {normals} for training leave none to test on"
        )
    train = set(np.random.default_rng(seed).choice(of_class, normals, replace=False).tolist())
    rows = [_row(item, normal_class, train=index in train) for index, item in enumerate(recordings)]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for item, row in zip(recordings, rows, strict=True):
            archive.write(item.path, row["relative_path"])
        archive.writestr("metadata.csv", _table(rows))


def _row(recording: MotorRecording, normal_class: str, *, train: bool) -> dict[str, str]:
    normal = recording.motor_class == normal_class
    return {
        "relative_path": f"audio/{recording.path.name}",
        "machine_type": "motor",
        "section_id": slug(normal_class),
        "recorded_at": _RECORDED_AT,
        "operator_confirmed": "yes" if train else "",
        "split": "train" if train else "test",
        "domain": "target",
        "label": "normal" if normal else "anomaly",
    }


def _table(rows: list[dict[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
