"""The synthetic customer who measures motor currents: recordings and their table in one zip.

The same ``MotorSpec`` gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alp_assets.errors import ParameterError
from alp_assets.files import write_bytes
from alp_assets.progress import Progress, silent
from alp_assets.synth.motor import FAULTS, Duty, Fault, Motor, build_motor, run_motor
from schemas.columns import COLUMN_NAMES

FILE_FORMATS = ("csv", "npy")
"""Formats in which the recordings can be written; CSV has a time column."""

CHANNELS = ("phase_a", "phase_b", "phase_c", "flux")

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_MOST_BYTES = 2 * 2**30
_EVERY = timedelta(minutes=30)
_DUTIES = {
    "source": (("light", "full"), {"light": 0.5, "full": 0.8}, (0.004, 0.012)),
    "target": (("full", "heavy"), {"full": 0.9, "heavy": 1.1}, (0.012, 0.025)),
}
"""For each domain: its load levels, what they are of rated load, and how far its supplies are unbalanced."""


@dataclass(frozen=True)
class MotorSpec:
    """What the customer sends. Counts of recordings are per section, that is for each motor.

    Args:
        sections: motors.
        source_normals: normal recordings to learn from, source domain.
        target_normals: normal recordings to learn from, target domain.
        test_normals: normal test recordings in each domain.
        test_anomalies: anomalous test recordings in each domain; the faults take turns.
        faults: which ones.
        level: how far the faults have gone, from 0 to 1.
        seed: another seed is another customer.
        points: of each recording.
        sample_rate_hz: points a second.
        mains_hz: frequency of the supply.
        file_format: one of ``FILE_FORMATS``.

    Raises:
        ParameterError: a value that cannot be used; the text names it.
    """

    sections: int = 1
    source_normals: int = 20
    target_normals: int = 10
    test_normals: int = 10
    test_anomalies: int = 10
    faults: tuple[str, ...] = FAULTS
    level: float = 0.5
    seed: int = 0
    points: int = 32_768
    sample_rate_hz: int = 10_000
    mains_hz: float = 60.0
    file_format: str = "csv"

    def __post_init__(self) -> None:
        for name in ("source_normals", "target_normals", "test_normals", "test_anomalies", "seed"):
            if getattr(self, name) < 0:
                raise ParameterError(f"{name}: {getattr(self, name)} cannot be used. It must be 0 or more.")
        for name, least in (("sections", 1), ("points", 1000), ("sample_rate_hz", 500)):
            if getattr(self, name) < least:
                raise ParameterError(f"{name}: {getattr(self, name)} cannot be used. It must be at least {least}.")
        if self.source_normals + self.target_normals < 1:
            raise ParameterError(
                "source_normals and target_normals are both 0, so there is nothing to learn from. "
                "Ask for at least one normal recording."
            )
        unknown = sorted(set(self.faults) - set(FAULTS))
        if unknown or not self.faults:
            raise ParameterError(f"faults: {', '.join(unknown) or 'none'}. Choose from {', '.join(FAULTS)}.")
        if not 0 < self.level <= 1:
            raise ParameterError(f"level: {self.level:g} cannot be used. It must be above 0 and at most 1.")
        if not 10 <= self.mains_hz <= self.sample_rate_hz / 8:
            highest = self.sample_rate_hz / 8
            raise ParameterError(f"mains_hz: {self.mains_hz:g} is not between 10 and {highest:g} Hz.")
        if self.file_format not in FILE_FORMATS:
            raise ParameterError(
                f"file_format {self.file_format!r} is unknown. Choose from {', '.join(FILE_FORMATS)}."
            )
        if self.recordings * self.points * 50 > _MOST_BYTES:
            raise ParameterError(
                f"{self.recordings:,} recordings of {self.points:,} points are more than can be written at once. "
                "Ask for fewer or shorter ones."
            )

    @property
    def recordings(self) -> int:
        """Recordings of the whole customer."""
        tested = 2 * (self.test_normals + self.test_anomalies)
        return self.sections * (self.source_normals + self.target_normals + tested)


def synthesize_motors(target: Path, spec: MotorSpec, progress: Progress = silent) -> int:
    """Write the customer's zip with ``signals/`` and ``metadata.csv``; it is at ``target`` only when complete.

    Args:
        target: the zip to write, where an existing file is replaced.
        spec: what goes into it.
        progress: told after every recording.

    Returns:
        Its size in bytes.

    Raises:
        ParameterError: there is a folder at ``target``.
    """
    if target.is_dir():
        raise ParameterError(f"{target}: this is a folder. Name the zip to write.")
    stream = io.BytesIO()
    rows = []
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for done, (name, values, row) in enumerate(_recordings(spec), 1):
            path = f"signals/motor_{row['section_id']}/{name}.{spec.file_format}"
            _add(archive, path, _written(values, spec))
            rows.append({"relative_path": path, "clip_id": f"motor_{row['section_id']}_{name}", **row})
            progress(done, spec.recordings, "recordings")
        _add(archive, "metadata.csv", _table(rows))
    data = stream.getvalue()
    write_bytes(target, data)
    return len(data)


@dataclass(frozen=True)
class _Group:
    """The recordings of a motor that serve one purpose, every half hour from ``first`` on."""

    key: int
    split: str
    domain: str
    label: str
    count: int
    first: datetime


def _groups(spec: MotorSpec) -> tuple[_Group, ...]:
    return (
        _Group(1, "train", "source", "normal", spec.source_normals, datetime(2024, 3, 4, 9)),
        _Group(2, "train", "target", "normal", spec.target_normals, datetime(2025, 6, 2, 9)),
        _Group(3, "test", "source", "normal", spec.test_normals, datetime(2025, 6, 9, 9)),
        _Group(4, "test", "target", "normal", spec.test_normals, datetime(2025, 7, 7, 9)),
        _Group(5, "test", "source", "anomaly", spec.test_anomalies, datetime(2025, 8, 4, 9)),
        _Group(6, "test", "target", "anomaly", spec.test_anomalies, datetime(2025, 9, 1, 9)),
    )


def _recordings(spec: MotorSpec) -> Iterator[tuple[str, npt.NDArray[np.float32], dict[str, str]]]:
    """Every recording: its name, its channels (4, points), and the cells of its row."""
    for section in range(spec.sections):
        motor = build_motor(_rng(spec, section, 0, 0))
        for group in _groups(spec):
            for index in range(group.count):
                values, row = _recording(spec, motor, group, index, _rng(spec, section, group.key, index))
                name = f"{group.split}_{group.domain}_{group.label}_{index:04d}"
                yield name, values, {"section_id": f"{section:02d}", **row}


def _recording(
    spec: MotorSpec, motor: Motor, group: _Group, index: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], dict[str, str]]:
    levels, loads, (least, most) = _DUTIES[group.domain]
    load_level = str(rng.choice(levels))
    duty = Duty(spec.mains_hz, loads[load_level], float(rng.uniform(least, most)))
    fault = None
    if group.label == "anomaly":
        kind = spec.faults[index % len(spec.faults)]
        fault = Fault(kind, spec.level, phase=index // len(spec.faults) % 3)
    row = {
        "machine_type": "motor",
        "recorded_at": (group.first + index * _EVERY).isoformat(),
        "operator_confirmed": "true" if group.split == "train" else "",
        "split": group.split,
        "domain": group.domain,
        "label": group.label,
        "load_level": load_level,
        "operating_condition": json.dumps({"load_percent": round(100 * duty.load), "mains_hz": spec.mains_hz}),
        "anomaly_type": fault.kind if fault else "",
        "modality": "current",
        "sample_rate_hz": str(spec.sample_rate_hz),
        "channels": ",".join(CHANNELS),
    }
    return run_motor(motor, rng, spec.points, spec.sample_rate_hz, duty, fault), row


def _rng(spec: MotorSpec, section: int, group: int, index: int) -> np.random.Generator:
    """A stream that depends on nothing else: more recordings leave the others as they were."""
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=(section, group, index)))


def _written(values: npt.NDArray[np.float32], spec: MotorSpec) -> bytes:
    stream = io.BytesIO()
    if spec.file_format == "npy":
        np.save(stream, values.T, allow_pickle=False)
        return stream.getvalue()
    time = np.arange(values.shape[1]) / spec.sample_rate_hz
    stream.write(("TIME," + ",".join(CHANNELS) + "\r\n").encode())
    form = ["%.7g", *["%.5f"] * len(values)]
    np.savetxt(stream, np.column_stack([time, values.T]), fmt=form, delimiter=",", newline="\r\n")
    return stream.getvalue()


def _table(rows: list[dict[str, str]]) -> bytes:
    """As Excel likes it: UTF-8 with a byte order mark, commas, CRLF."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMN_NAMES, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8-sig")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """An entry with nothing in it that depends on when or where it is made."""
    entry = zipfile.ZipInfo(name, _ZIP_DATE)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)
