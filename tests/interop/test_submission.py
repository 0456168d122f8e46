"""Packages that were imported go out again under the names that came in."""

import csv

import numpy as np
import pandas as pd
import pytest

from alp_assets.errors import AlpError
from alp_assets.interop.dcase_folders import read_dcase
from alp_assets.interop.entries import Packing
from alp_assets.interop.packing import write_package
from alp_assets.interop.submission import write_submission
from alp_assets.stages.scores import read_scores
from tests.interop import trees
from tests.interop.trees import lay
from tests.packages import receive, run_through


def lines(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def row(recording, score=0.5, **more):
    return {
        "clip_id": recording,
        "recording": recording,
        "machine_type": "motor",
        "section_id": "ToyCar-00",
        "domain": "target",
        "split": "test",
        "score": score,
        "decision": "anomaly" if score > 1 else "normal",
        **more,
    }


def submitted(folder, *rows):
    made = write_submission(folder, pd.DataFrame(list(rows)))
    return {path.name: lines(path) for path in made.files}


@pytest.mark.parametrize(
    ("tree", "channels", "packing", "expected"),
    [
        (trees.of_2020(), 1, Packing(), ["fan_id_00"]),
        (trees.of_2021(), 1, Packing(), ["fan_section_00_source_test", "fan_section_00_target_test"]),
        (trees.of_2022("ToyCar"), 1, Packing({"ToyCar": "motor"}), ["ToyCar_section_00_test"]),
        (trees.kept_back(), 1, Packing(), ["fan_section_03_test"]),
        (trees.of_2025(), 2, Packing(channels="apart"), ["fan_section_00_test"]),
    ],
    ids=["2020", "2021", "2022", "kept back", "2026"],
)
def test_what_came_in_goes_out(tmp_path, tree, channels, packing, expected):
    packed = write_package(tmp_path / "set.zip", read_dcase(lay(tmp_path / "set", tree, channels)), packing)
    folder = receive(tmp_path / "data", packed.path)
    assert run_through(folder, until="scores")["scores"].passed
    made = write_submission(tmp_path / "out", read_scores(folder))
    scores = [path for path in made.files if path.name.startswith("anomaly_score_")]
    assert [path.name for path in scores] == [f"anomaly_score_{name}.csv" for name in expected]
    tests = sorted(name.rpartition("/")[2] for name in tree if "test/" in name)
    assert sorted(name for path in scores for name, _ in lines(path)) == tests
    assert made.lines == len(tests)
    decisions = [path for path in made.files if path not in scores]
    assert len(decisions) == (0 if "_id_" in expected[0] else len(scores))
    for path in decisions:
        partner = path.with_name(path.name.replace("decision_result", "anomaly_score"))
        assert [name for name, _ in lines(path)] == [name for name, _ in lines(partner)]
        assert {value for _, value in lines(path)} <= {"0", "1"}


def test_a_file_that_was_cut_gets_the_highest_score_of_its_clips(tmp_path):
    name = "audio/ToyCar/test/section_00_0001.wav"
    clips = [row(name, score, clip_id=f"x@{start}s") for start, score in ((0, 0.25), (10, 3.5), (20, 0.125))]
    found = submitted(tmp_path, *clips, row("audio/ToyCar/test/section_00_0000.wav", 0.75))
    assert found == {
        "anomaly_score_ToyCar_section_00_test.csv": [
            ["section_00_0000.wav", "0.75"],
            ["section_00_0001.wav", "3.5"],
        ],
        "decision_result_ToyCar_section_00_test.csv": [
            ["section_00_0000.wav", "0"],
            ["section_00_0001.wav", "1"],
        ],
    }


def test_a_microphone_beside_the_first_is_left_out_and_counted(tmp_path):
    rows = [row(f"audio/fan/test/{far}section_00_0000.wav", clip_id=far) for far in ("", "far/")]
    made = write_submission(tmp_path, pd.DataFrame(rows))
    assert (made.lines, made.beside) == (1, 1)


def test_recordings_of_no_challenge_go_by_alps_section(tmp_path):
    found = submitted(
        tmp_path, row("audio/a.wav", section_id="1/2"), row("audio/fan/test/b.wav", section_id="1/2")
    )
    assert found["anomaly_score_motor_section_1~2f~2_test.csv"] == [["a.wav", "0.5"], ["b.wav", "0.5"]]


def test_and_by_their_paths_where_they_share_a_name(tmp_path):
    rows = [row(f"audio/fan/id_00/{label}/00000000.wav") for label in ("normal", "abnormal")]
    (scores, _) = submitted(tmp_path, *rows).values()
    assert [name for name, _ in scores] == [
        "audio__fan__id_00__abnormal__00000000.wav",
        "audio__fan__id_00__normal__00000000.wav",
    ]


def test_a_submission_that_is_there_stays(tmp_path):
    one = row("audio/fan/test/section_00_0000.wav")
    submitted(tmp_path, one)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(AlpError, match=r"anomaly_score_fan_section_00_test\.csv: is there already"):
        submitted(tmp_path, {**one, "score": 3.0})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("bad", "why"), [({"split": "train"}, "no scored test recordings"), ({"score": np.nan}, "no finite score")]
)
def test_nothing_to_submit_is_an_error(tmp_path, bad, why):
    with pytest.raises(AlpError, match=why):
        submitted(tmp_path, {**row("audio/fan/test/section_00_0000.wav"), **bad})
    assert list(tmp_path.iterdir()) == []
