"""Packages of "one class normal", from made-up files."""

import csv
import io
import zipfile
from collections import Counter

import pytest

from bench.motor_sounds import classes, labelled_recordings, slug, write_package
from schemas.columns import COLUMN_NAMES, REQUIRED_COLUMNS
from schemas.sections import SLUG

LABELS = {"0": 6, "1": 4, "1*": 5}


@pytest.fixture
def folder(tmp_path):
    """A folder as the source has it: names end in .wav in the table and in .flac on disk; one has no class."""
    lines = ["Filename,No,Classname,ClassId"]
    number = 0
    for name, count in LABELS.items():
        for _ in range(count):
            number += 1
            lines.append(f"data{number:03d}.wav,{number},{name},0")
            (tmp_path / f"data{number:03d}.flac").write_bytes(f"recording {number}".encode())
    lines.append("data099.wav,99,,")
    (tmp_path / "data099.flac").write_bytes(b"without a class")
    (tmp_path / "data100.flac").write_bytes(b"not in the table")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def package(folder, target, *, normal_class="1*", seed=0, normals=2):
    write_package(target, labelled_recordings(folder), normal_class, seed, normals)
    with zipfile.ZipFile(target) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, list(csv.DictReader(io.StringIO(files["metadata.csv"].decode())))


def train_of(rows):
    return {row["relative_path"] for row in rows if row["split"] == "train"}


def test_only_recordings_with_a_class_are_taken(folder):
    found = labelled_recordings(folder)
    assert Counter(item.motor_class for item in found) == LABELS
    assert all(item.path.suffix == ".flac" and item.path.is_file() for item in found)
    assert classes(found) == ["0", "1", "1*"]


def test_a_recording_that_is_not_there_is_named(folder):
    (folder / "data003.flac").unlink()
    with pytest.raises(FileNotFoundError, match=r"data003\.flac"):
        labelled_recordings(folder)


def test_the_package_holds_every_recording_and_its_row(folder, tmp_path):
    files, rows = package(folder, tmp_path / "package.zip")
    audio = {name: data for name, data in files.items() if name != "metadata.csv"}
    assert {row["relative_path"] for row in rows} == set(audio)
    assert len(audio) == sum(LABELS.values())
    assert audio["audio/data007.flac"] == b"recording 7"
    assert set(REQUIRED_COLUMNS) <= set(rows[0]) <= set(COLUMN_NAMES)


def test_one_class_is_normal_and_all_others_are_anomalies(folder, tmp_path):
    _, rows = package(folder, tmp_path / "package.zip", normal_class="1*", normals=2)
    assert Counter((row["split"], row["label"]) for row in rows) == {
        ("train", "normal"): 2,
        ("test", "normal"): 3,
        ("test", "anomaly"): 10,
    }
    of_class = {f"audio/{item.path.name}" for item in labelled_recordings(folder) if item.motor_class == "1*"}
    assert {row["relative_path"] for row in rows if row["label"] == "normal"} == of_class
    assert {row["operator_confirmed"] for row in rows if row["split"] == "train"} == {"yes"}
    assert {row["section_id"] for row in rows} == {"1s"}


def test_the_seed_decides_what_is_known(folder, tmp_path):
    draws = [train_of(package(folder, tmp_path / f"{seed}.zip", seed=seed)[1]) for seed in (0, 0, 1, 2, 3, 4)]
    assert draws[0] == draws[1]
    assert len({frozenset(draw) for draw in draws}) > 1


@pytest.mark.parametrize("normals", [0, 5, 6])
def test_nothing_to_train_on_or_to_test_on_is_an_error(folder, tmp_path, normals):
    with pytest.raises(ValueError, match=r"class '1\*' has 5 recordings"):
        package(folder, tmp_path / "package.zip", normals=normals)


def test_classes_become_names_of_packages():
    assert [slug(name) for name in ("0", "1*", "7", "A")] == ["0", "1s", "7", "a"]
    assert SLUG.fullmatch(f"motor-{slug('1*')}")
