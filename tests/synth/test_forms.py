"""The folders of DCASE Task 2; the customer's zip is tested with the customer."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.customer import SynthSpec, synthesize

SPEC = SynthSpec(
    machines=("gearbox", "fan"),
    sections_per_machine=2,
    source_normals=3,
    target_normals=2,
    test_normals=2,
    test_anomalies=2,
    noise_only=2,
    clean_machine=2,
    duration_s=1.0,
    channels=2,
)
ATTRIBUTES = r"(speed_(low|mid|high)_load_(light|full|heavy)_)?mic_(near|side|above|far)(_noise_[a-z]+)?"
NAMES = {
    "train": rf"section_0[01]_(source|target)_train_normal_\d{{4}}_{ATTRIBUTES}\.wav",
    "test": rf"section_0[01]_(source|target)_test_(normal|anomaly)_\d{{4}}_{ATTRIBUTES}\.wav",
    "supplemental": rf"section_0[01]_(noise|machine)_(source|target)_\d{{4}}_{ATTRIBUTES}\.wav",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "dev_data"
    synthesize(path, SPEC, form="dcase")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def test_recordings_lie_and_are_called_as_in_the_challenge(tree):
    found = list(tree.rglob("*.wav"))
    assert len(found) == SPEC.recordings
    for path in found:
        machine, split, name = path.relative_to(tree).parts
        assert machine in SPEC.machines
        assert re.fullmatch(NAMES[split], name)
    assert Counter(path.parent.name for path in found) == {"train": 20, "test": 32, "supplemental": 16}


def test_the_attributes_of_a_section_are_those_in_its_names(tree):
    for machine in SPEC.machines:
        for section in ("00", "01"):
            rows = rows_of(tree / machine / f"attributes_{section}.csv")
            assert len(rows) == SPEC.recordings // 4
            for row in rows:
                assert (tree / row["file_name"]).is_file()
                words = [row[f"d{k}{part}"] for k in range(1, 5) for part in "pv"]
                assert Path(row["file_name"]).stem.endswith("_".join(word for word in words if word))


def test_the_contract_goes_along_and_names_the_same_files(tree):
    rows = rows_of(tree / "metadata.csv")
    assert {row["relative_path"] for row in rows} == {
        path.relative_to(tree).as_posix() for path in tree.rglob("*.wav")
    }
    assert len((tree / "measures.tsv").read_text().splitlines()) == len(rows) + 1


def test_the_sound_is_that_of_the_package(tree, tmp_path):
    synthesize(tmp_path / "p.zip", SPEC)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        table = csv.DictReader(io.StringIO(archive.read("metadata.csv").decode("utf-8-sig")))
        packed = {row["clip_id"]: archive.read(row["relative_path"]) for row in table}
    for row in rows_of(tree / "metadata.csv"):
        assert (tree / row["relative_path"]).read_bytes() == packed[row["clip_id"]]


def test_the_summary_counts_the_whole_folder(tmp_path):
    made = synthesize(tmp_path / "tree", SPEC, form="dcase", workers=2)
    files = [path for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    assert (made.recordings, made.sections, made.sha256) == (68, 4, "")
    assert made.bytes == sum(path.stat().st_size for path in files)


def test_nothing_that_is_there_is_replaced_by_folders(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    for target in (tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(ParameterError, match="there is something already"):
            synthesize(target, SPEC, form="dcase")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


def test_an_empty_folder_is_filled_and_a_failure_leaves_none(tmp_path):
    def fail(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "tree", SPEC, fail, form="dcase")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "tree").mkdir()
    synthesize(tmp_path / "tree", SPEC, form="dcase")
    assert (tmp_path / "tree" / "fan" / "attributes_00.csv").is_file()


def test_a_folder_cannot_become_a_zip_and_other_forms_are_unknown(tmp_path):
    with pytest.raises(ParameterError, match="this is a folder"):
        synthesize(tmp_path, SPEC)
    with pytest.raises(ParameterError, match=r"form 'mimii' is unknown. Choose from: package, dcase"):
        synthesize(tmp_path / "x", SPEC, form="mimii")
