"""Tasks from metadata: what carries one, why the rest does not, and how episodes are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.engines.base import Normals
from alp_assets.engines.episodic.episodes import COLUMNS, Task, carrying_conditions, draw_episode, tasks_of


def _columns(**columns):
    return {name: np.array(values, dtype=np.str_) for name, values in columns.items()}


def _normals(count, extra=None, **columns):
    return Normals(
        np.zeros((count, 1, 1), np.float32),
        np.full(count, "target"),
        conditions=_columns(**columns),
        extra=extra,
    )


def _rows(tasks):
    return {task.column: [rows.tolist() for rows in task.classes] for column in tasks for task in column}


class TestCarryingConditions:
    def test_two_values_with_a_clip_more_than_the_shots_carry(self):
        said = _columns(section_id=["00"] * 8, speed_level=["1"] * 4 + ["2"] * 4, load_level=["1"] * 5 + ["2"] * 3)
        usable, reasons = carrying_conditions(said, k_shot=3)
        assert usable == ["speed_level"]
        assert set(reasons) == set(COLUMNS) - {"speed_level"}
        assert carrying_conditions(said, k_shot=2)[0] == ["speed_level", "load_level"]

    def test_every_reason_names_its_column_and_says_why_in_words(self):
        said = _columns(
            section_id=["00"] * 40,
            speed_level=["2"] * 40,
            noise_id=["a"] * 2 + ["b"] + [""] * 37,
            mic_position_id=["near"] * 30 + ["far"] * 3 + ["side"] * 2 + [""] * 5,
        )
        usable, reasons = carrying_conditions(said, k_shot=3)
        assert not usable
        assert reasons == {
            "section_id": "section_id: one value everywhere ('00')",
            "speed_level": "speed_level: one value everywhere ('2')",
            "load_level": "load_level: no normal says it",
            "noise_id": "noise_id: 3 of 40 normals say it ('a' 2, 'b' 1), and 2 values with 4 clips are needed",
            "mic_position_id": "mic_position_id: 35 of 40 normals say it ('near' 30, 'far' 3, 'side' 2), "
            "and 2 values with 4 clips are needed",
        }

    def test_one_value_among_gaps_is_still_one_value(self):
        _, reasons = carrying_conditions(_columns(noise_id=["a", "a", "a", ""]), k_shot=1)
        assert reasons["noise_id"] == "noise_id: one value in the 3 of 4 normals that say it ('a')"

    def test_the_selection_may_ask_for_a_share_of_the_normals_and_for_more_values(self):
        said = _columns(speed_level=["1"] * 9 + ["2"] * 9 + [""] * 2)
        assert carrying_conditions(said, k_shot=3, share=0.9)[0] == ["speed_level"]
        usable, reasons = carrying_conditions(said, k_shot=3, share=0.95)
        assert not usable
        assert reasons["speed_level"] == "speed_level: 18 of 20 normals say it, and 95% are needed"
        usable, reasons = carrying_conditions(said, k_shot=3, values=3)
        assert not usable
        assert "3 values with 4 clips" in reasons["speed_level"]

    def test_a_value_must_come_from_two_recordings_where_they_are_known(self):
        said = _columns(speed_level=["1"] * 4 + ["2"] * 4)
        apart, one_each = np.array(list("abababab")), np.array(list("aaaabbbb"))
        assert carrying_conditions(said, k_shot=3, recordings=apart)[0] == ["speed_level"]
        usable, reasons = carrying_conditions(said, k_shot=3, recordings=one_each)
        assert not usable
        assert reasons["speed_level"] == (
            "speed_level: 8 of 8 normals say it ('1' 4, '2' 4), and 2 values with clips of two recordings are "
            "needed (there: 0)"
        )

    def test_other_sections_make_the_section_task_and_no_other(self):
        own = _columns(section_id=["00"] * 4, speed_level=["1"] * 4)
        others = _columns(section_id=["01"] * 4, speed_level=["2"] * 4)
        usable, reasons = carrying_conditions(own, others, k_shot=3)
        assert usable == ["section_id"]
        assert "one value everywhere ('1')" in reasons["speed_level"]
        few = _columns(section_id=["01"] * 3)
        assert "('00' 4, '01' 3)" in carrying_conditions(own, few, k_shot=3)[1]["section_id"]

    @pytest.mark.parametrize("said", [{}, _columns(speed_level=[]), _columns(speed_level=[""] * 5)])
    def test_nothing_said_carries_nothing(self, said):
        usable, reasons = carrying_conditions(said, k_shot=3)
        assert not usable
        assert list(reasons) == list(COLUMNS)
        assert all("no normal says it" in reason for reason in reasons.values())


class TestTasks:
    def test_values_that_are_too_rare_and_clips_that_say_nothing_are_left_out(self):
        normals = _normals(9, speed_level=["1", "2", "1", "2", "", "1", "2", "3", "3"])
        assert _rows(tasks_of(normals, ["speed_level"], 2)) == {"speed_level": [[0, 2, 5], [1, 3, 6]]}
        assert tasks_of(normals, ["speed_level"], 3) == []

    def test_conditions_are_told_apart_within_a_section_and_sections_across_all(self):
        speeds = ["1", "1", "2", "2"]
        extra = _normals(8, section_id=["01"] * 4 + ["02"] * 4, speed_level=speeds * 2)
        normals = _normals(4, extra, section_id=["00"] * 4, speed_level=speeds)
        sections, by_speed = tasks_of(normals, ["section_id", "speed_level"], 1)
        (task,) = sections
        assert [rows.tolist() for rows in task.classes] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
        assert [[rows.tolist() for rows in task.classes] for task in by_speed] == [
            [[0, 1], [2, 3]],
            [[4, 5], [6, 7]],
            [[8, 9], [10, 11]],
        ]

    def test_a_column_that_only_other_sections_fill_is_theirs_to_learn_from(self):
        extra = _normals(4, section_id=["01"] * 4, speed_level=["1", "1", "2", "2"])
        normals = _normals(2, extra, section_id=["00"] * 2)
        assert _rows(tasks_of(normals, ["speed_level"], 1)) == {"speed_level": [[2, 3], [4, 5]]}


class TestEpisodes:
    task = Task("speed_level", tuple(np.arange(start, start + 10) for start in range(0, 60, 10)))
    alone = np.arange(60).astype(np.str_)

    def test_an_episode_has_the_shots_and_never_asks_what_it_showed(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            episode = draw_episode(rng, self.task, self.alone, n_way=4, k_shot=3)
            assert episode.support.shape == (4, 3)
            assert len(episode.queries) == len(episode.labels) == 12
            assert not set(episode.support.ravel()) & set(episode.queries)
            classes = episode.support // 10
            assert (classes == classes[:, :1]).all()
            assert len(set(classes[:, 0])) == 4
            np.testing.assert_array_equal(classes[episode.labels, 0], episode.queries // 10)

    def test_all_classes_take_part_when_there_are_no_more(self):
        few = Task("speed_level", self.task.classes[:2])
        assert draw_episode(np.random.default_rng(0), few, self.alone, n_way=4, k_shot=3).support.shape == (2, 3)

    def test_queries_come_from_other_recordings_where_there_are_any(self):
        task = Task("speed_level", (np.arange(6), np.arange(6, 12)))
        pairs = np.repeat(np.arange(6), 2).astype(np.str_)
        rng = np.random.default_rng(0)
        for _ in range(50):
            episode = draw_episode(rng, task, pairs, n_way=2, k_shot=2)
            assert not set(pairs[episode.support.ravel()]) & set(pairs[episode.queries])
        single = draw_episode(rng, task, np.full(12, "one"), n_way=2, k_shot=2)
        assert len(single.queries) == 6

    def test_the_same_stream_draws_the_same(self):
        first, second = (
            draw_episode(np.random.default_rng(7), self.task, self.alone, n_way=3, k_shot=2) for _ in range(2)
        )
        np.testing.assert_array_equal(first.support, second.support)
        np.testing.assert_array_equal(first.queries, second.queries)
