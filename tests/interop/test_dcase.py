"""The layout of DCASE Task 2: which files there are and what every line says."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from alp_assets.interop.dcase import write_dcase


def row(clip_id, score=0.5, recording=None, **others):
    return {
        "clip_id": clip_id,
        "recording": recording or f"audio/{clip_id}.wav",
        "machine_type": "fan",
        "section_id": "00",
        "split": "test",
        "score": score,
        "decision": "anomaly" if score > 1 else "normal",
        **others,
    }


def table(*rows):
    return pd.DataFrame(rows, columns=list(row("")))


def lines(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return [tuple(line) for line in csv.reader(stream)]


def names_of(folder, *rows):
    return [name for name, _ in lines(write_dcase(folder, table(*rows))[0])]


def test_a_section_has_a_file_of_scores_and_one_of_decisions(tmp_path):
    rows = [
        row("section_00_test_0000", 1.25),
        row("section_00_test_0001", -0.5),
        row("section_00_test_0002", 1.0),
    ]
    written = write_dcase(tmp_path, table(*rows))
    assert [path.name for path in written] == [
        "anomaly_score_fan_section_00_test.csv",
        "decision_result_fan_section_00_test.csv",
    ]
    assert all(path.parent == tmp_path for path in written)
    assert written[0].read_bytes() == (
        b"section_00_test_0000.wav,1.25\nsection_00_test_0001.wav,-0.5\nsection_00_test_0002.wav,1.0\n"
    )
    assert written[1].read_bytes() == (
        b"section_00_test_0000.wav,1\nsection_00_test_0001.wav,0\nsection_00_test_0002.wav,0\n"
    )


def test_sections_are_apart_and_in_order(tmp_path):
    rows = [
        row("c", machine_type="valve", section_id="01"),
        row("b", machine_type="fan", section_id="02"),
        row("a", machine_type="fan", section_id="01"),
    ]
    written = write_dcase(tmp_path, table(*rows))
    assert [path.name for path in written if "score" in path.name] == [
        f"anomaly_score_{name}_test.csv" for name in ("fan_section_01", "fan_section_02", "valve_section_01")
    ]
    assert [lines(path)[0][0] for path in written] == ["a.wav", "a.wav", "b.wav", "b.wav", "c.wav", "c.wav"]
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_only_test_clips_are_in_it(tmp_path):
    rows = [
        row("known", split="train"),
        row("heard"),
        row("noise", split="supplemental"),
        row("other", split="train", section_id="01"),
    ]
    written = write_dcase(tmp_path, table(*rows))
    assert [path.name for path in written] == [
        "anomaly_score_fan_section_00_test.csv",
        "decision_result_fan_section_00_test.csv",
    ]
    assert [name for name, _ in lines(written[0])] == ["heard.wav"]


def test_without_test_clips_there_is_nothing(tmp_path):
    assert write_dcase(tmp_path, table(row("known", split="train"))) == []
    assert write_dcase(tmp_path, table()) == []
    assert list(tmp_path.iterdir()) == []


def test_both_files_name_the_clips_in_the_same_order_whatever_that_of_the_table(tmp_path):
    rows = [row(f"clip_{number:03d}", float(number)) for number in np.random.default_rng(0).permutation(30)]
    scores, decisions = write_dcase(tmp_path / "first", table(*rows))
    names = [name for name, _ in lines(scores)]
    assert names == sorted(names)
    assert names == [name for name, _ in lines(decisions)]
    assert all(float(score) == int(name[5:8]) for name, score in lines(scores))
    again, _ = write_dcase(tmp_path / "second", table(*reversed(rows)))
    assert again.read_bytes() == scores.read_bytes()


def test_scores_keep_every_digit(tmp_path):
    values = np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)
    scores, _ = write_dcase(tmp_path, table(*(row(f"{i:02d}", float(value)) for i, value in enumerate(values))))
    np.testing.assert_array_equal([float(score) for _, score in lines(scores)], values)


class TestNames:
    """Of files, as DCASE has them."""

    def test_a_clip_goes_by_its_recordings_base_name(self, tmp_path):
        recordings = {"x": "fan/test/a.wav", "y": "fan\\test\\b.flac", "z@0s": "c.wav"}
        rows = [row(clip_id, recording=recording) for clip_id, recording in recordings.items()]
        assert names_of(tmp_path, *rows) == ["a.wav", "b.flac", "c.wav"]

    def test_clips_of_one_recording_go_by_their_ids(self, tmp_path):
        rows = [row(f"long@{start}s", recording="audio/long.wav") for start in (0, 10)]
        assert names_of(tmp_path, *rows, row("short")) == ["long@0s.wav", "long@10s.wav", "short.wav"]

    def test_so_do_recordings_of_one_name_in_several_folders(self, tmp_path):
        rows = [row("monday", recording="1/a.wav"), row("tuesday", recording="2/a.wav")]
        assert names_of(tmp_path, *rows) == ["monday.wav", "tuesday.wav"]

    def test_names_need_be_unique_in_their_section_only(self, tmp_path):
        rows = [row("p", recording="1/a.wav"), row("q", recording="2/a.wav", section_id="01")]
        first, _, second, _ = write_dcase(tmp_path, table(*rows))
        assert lines(first)[0][0] == lines(second)[0][0] == "a.wav"

    def test_train_clips_take_no_name_away(self, tmp_path):
        rows = [row("p", recording="train/a.wav", split="train"), row("q", recording="test/a.wav")]
        assert names_of(tmp_path, *rows) == ["a.wav"]

    def test_an_id_that_is_anothers_name_makes_that_one_go_by_its_id_too(self, tmp_path):
        rows = [row("b", recording="1/a.wav"), row("c", recording="2/a.wav"), row("d", recording="b.wav")]
        assert names_of(tmp_path, *rows) == ["b.wav", "c.wav", "d.wav"]

    def test_names_with_commas_quotes_and_other_scripts_read_back(self, tmp_path):
        rows = [row("1", recording='audio/a, "b".wav'), row("2", recording="audio/펌프 1.wav")]
        assert names_of(tmp_path, *rows) == ['a, "b".wav', "펌프 1.wav"]

    @pytest.mark.parametrize(
        ("section_id", "safe"),
        [("01", "01"), ("a/b", "a~2f~b"), ("../../x", "~2e~~2e~~2f~~2e~~2e~~2f~x"), ("라인__3", "라인__3")],
    )
    def test_a_section_id_cannot_leave_the_folder(self, tmp_path, section_id, safe):
        written = write_dcase(tmp_path / "out", table(row("x", section_id=section_id)))
        assert written[0].name == f"anomaly_score_fan_section_{safe}_test.csv"
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert sorted((tmp_path / "out").iterdir()) == sorted(written)


def test_writing_again_replaces(tmp_path):
    write_dcase(tmp_path, table(row("a"), row("b")))
    scores, _ = write_dcase(tmp_path, table(row("a", 3.0)))
    assert lines(scores) == [("a.wav", "3.0")]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_score_that_is_not_finite_is_refused_before_anything_is_written(tmp_path):
    bad = table(row("a"), row("b")).assign(score=[0.5, np.nan])
    with pytest.raises(ValueError, match="no finite score"):
        write_dcase(tmp_path, bad)
    assert list(tmp_path.iterdir()) == []


def test_the_table_stays_as_it_was(tmp_path):
    given = table(row("b"), row("a"))
    untouched = given.copy()
    write_dcase(tmp_path, given)
    pd.testing.assert_frame_equal(given, untouched)
