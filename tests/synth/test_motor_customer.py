"""The zip of a customer who measures motor currents."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter

import numpy as np
import pytest

from alp_assets.errors import ParameterError
from alp_assets.signals.read import read_signal
from alp_assets.synth.motor_customer import MotorSpec, synthesize_motors
from schemas.columns import COLUMN_NAMES

SPEC = MotorSpec(
    sections=2,
    source_normals=2,
    target_normals=1,
    test_normals=1,
    test_anomalies=5,
    points=1000,
    sample_rate_hz=2000,
)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("inbox") / "motors.zip"
    synthesize_motors(path, SPEC)
    return path


def rows_of(path):
    with zipfile.ZipFile(path) as archive:
        text = archive.read("metadata.csv").decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_has_a_row_of_the_contract_for_each_recording(package):
    rows = rows_of(package)
    assert len(rows) == SPEC.recordings == 2 * 15
    assert tuple(rows[0]) == COLUMN_NAMES
    assert Counter((row["split"], row["domain"], row["label"]) for row in rows) == {
        ("train", "source", "normal"): 4,
        ("train", "target", "normal"): 2,
        ("test", "source", "normal"): 2,
        ("test", "target", "normal"): 2,
        ("test", "source", "anomaly"): 10,
        ("test", "target", "anomaly"): 10,
    }
    with zipfile.ZipFile(package) as archive:
        assert set(archive.namelist()) == {"metadata.csv", *(row["relative_path"] for row in rows)}
    assert all(row["operator_confirmed"] == "true" for row in rows if row["split"] == "train")
    assert {row["anomaly_type"] for row in rows if row["label"] == "anomaly"} == set(SPEC.faults)


@pytest.mark.parametrize("file_format", ["csv", "npy"])
def test_recordings_read_as_their_rows_state(tmp_path, file_format):
    spec = MotorSpec(1, 1, 0, 0, 0, points=2000, sample_rate_hz=2000, file_format=file_format)
    path = tmp_path / "motors.zip"
    synthesize_motors(path, spec)
    row = rows_of(path)[0]
    with zipfile.ZipFile(path) as archive:
        found = read_signal(
            io.BytesIO(archive.read(row["relative_path"])),
            row["relative_path"],
            modality=row["modality"],
            sample_rate_hz=float(row["sample_rate_hz"]),
            channels=row["channels"],
        )
    assert found.roles == ("phase_a", "phase_b", "phase_c", "flux")
    assert found.sample_rate_hz == pytest.approx(2000)
    assert found.values.shape == (4, 2000)
    assert not found.warnings


def test_the_domains_differ_in_load_and_supply(package):
    loads = {"source": Counter(), "target": Counter()}
    for row in rows_of(package):
        loads[row["domain"]][row["load_level"]] += 1
    assert set(loads["source"]) <= {"light", "full"}
    assert set(loads["target"]) <= {"full", "heavy"}


def test_the_same_seed_gives_the_same_bytes(tmp_path, package):
    again = tmp_path / "again.zip"
    synthesize_motors(again, SPEC)
    assert again.read_bytes() == package.read_bytes()


def test_more_recordings_leave_the_others_as_they_were(tmp_path, package):
    path = tmp_path / "more.zip"
    synthesize_motors(path, MotorSpec(2, 3, 1, 1, 5, points=1000, sample_rate_hz=2000))
    with zipfile.ZipFile(path) as more, zipfile.ZipFile(package) as fewer:
        for row in rows_of(package):
            assert more.read(row["relative_path"]) == fewer.read(row["relative_path"])


def test_progress_is_told_and_nothing_is_left_where_it_fails(tmp_path):
    told = []
    spec = MotorSpec(1, 2, 0, 0, 0, points=1000, sample_rate_hz=1000)

    def progress(done, total, what):
        told.append((done, total, what))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_motors(tmp_path / "motors.zip", spec, progress)
    assert told == [(1, 2, "recordings"), (2, 2, "recordings")]
    assert not list(tmp_path.iterdir())
    with pytest.raises(ParameterError, match="folder"):
        synthesize_motors(tmp_path, spec)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"sections": 0}, "sections"),
        ({"source_normals": -1}, "source_normals"),
        ({"source_normals": 0, "target_normals": 0}, "nothing to learn"),
        ({"faults": ("rust",)}, "rust"),
        ({"faults": ()}, "faults"),
        ({"level": 0.0}, "level"),
        ({"mains_hz": 5000.0}, "mains_hz"),
        ({"file_format": "xls"}, "xls"),
        ({"points": 10}, "points"),
        ({"sections": 10_000}, "fewer"),
    ],
)
def test_what_cannot_be_made_is_refused(values, named):
    with pytest.raises(ParameterError, match=named):
        MotorSpec(**values)


def test_recordings_are_numbers_that_are_finite(package):
    with zipfile.ZipFile(package) as archive:
        name = rows_of(package)[-1]["relative_path"]
        values = np.loadtxt(io.BytesIO(archive.read(name)), delimiter=",", skiprows=1)
    assert np.isfinite(values).all()
    assert values.shape == (1000, 5)
