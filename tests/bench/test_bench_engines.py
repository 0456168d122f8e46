"""The side-by-side bench: what is drawn, that nothing of the test is known, and the arithmetic of its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alp_assets.encoders.base import Feature
from alp_assets.engines.base import Normals
from bench import engines
from bench.engine_data import Draw, Pool, draw_motors, draw_noisy, draw_synthetic, embed, halves
from bench.engines import AUTO, AUTO_PLAIN, BEST_OF_PYOD, FULL, METHODS, QUICK, Mean, Outcome, means_of, targets_of
from bench.motor_sounds import MotorRecording, write_package
from bench.peers import pyod_peers, sklearn_peers

NAMES = np.array(["a"] * 12 + ["b"] * 10)
PEERS = [*pyod_peers(), *sklearn_peers()]


def outcome(method, auc, *, group="a", seed=0, condition="motors", normals=10, **others):
    values = {"pauc": auc / 2, "test_normals": 10, "clips": 100, "fit_s": 1.0, "score_s": 2.0, "promised": 0.1}
    return Outcome(condition, group, seed, normals, method, method, auc=auc, **{**values, **others})


class TestDraws:
    """What is known and what is tested on."""

    def test_motors_know_some_of_a_class_and_test_on_all_else(self):
        draw = draw_motors(NAMES, "a", seed=3, normals=5)
        assert len(set(draw.train.tolist())) == 5
        assert set(NAMES[draw.train]) == {"a"}
        assert sorted([*draw.train, *draw.test]) == list(range(22))
        assert (draw.labels == "normal").tolist() == (NAMES[draw.test] == "a").tolist()
        assert set(draw.domains) == set(draw.test_domains) == {"target"}

    def test_they_are_the_draws_of_the_motors_bench(self, tmp_path):
        import csv
        import io
        import zipfile

        recordings = []
        for number, name in enumerate(NAMES.tolist()):
            recordings.append(MotorRecording(tmp_path / f"{number:02d}.flac", name))
            recordings[-1].path.write_bytes(b"sound")
        write_package(tmp_path / "p.zip", recordings, "a", seed=7, normals=4)
        with zipfile.ZipFile(tmp_path / "p.zip") as archive:
            rows = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode())))
        known = {i for i, row in enumerate(rows) if row["split"] == "train"}
        assert set(draw_motors(NAMES, "a", seed=7, normals=4).train.tolist()) == known

    def test_noise_known_clean_and_noisy_recordings_differ_where_there_are_enough(self):
        draw = draw_noisy(NAMES, "a", seed=1, normals=3, condition="noise")
        clean, noisy = draw.train[draw.domains == "source"], draw.train[draw.domains == "target"]
        assert clean.max() < 22 <= noisy.min()
        assert noisy.max() < 44
        assert set(NAMES[clean]) == set(NAMES[noisy - 22]) == {"a"}
        assert len({*clean, *(noisy - 22)}) == 6
        assert len(set(draw.recordings)) == 6

    def test_noise_the_same_recordings_serve_where_there_are_few(self):
        draw = draw_noisy(NAMES, "a", seed=1, normals=8, condition="noise")
        np.testing.assert_array_equal(draw.train[:8], draw.train[8:] - 22)
        np.testing.assert_array_equal(draw.recordings[:8], draw.recordings[8:])
        assert len(draw.test) == 22 - 8

    @pytest.mark.parametrize("normals", [3, 8])
    def test_noise_test_clips_are_noisy_and_of_recordings_that_are_not_known(self, normals):
        draw = draw_noisy(NAMES, "a", seed=1, normals=normals, condition="noise")
        assert draw.test.min() >= 44
        assert not set((draw.test - 44).tolist()) & set((draw.train % 22).tolist())
        assert (draw.labels == "normal").tolist() == (NAMES[draw.test - 44] == "a").tolist()

    def test_synthetic_knows_all_source_normals_and_some_target_ones(self):
        row = dict.fromkeys(("mic_position_id", "noise_id", "speed_level", "load_level"), "x")
        groups = [("train", "source", 4), ("train", "target", 5), ("test", "source", 2)]
        table = [
            {**row, "split": split, "domain": domain, "label": "normal", "relative_path": f"{split}{domain}{i}"}
            for split, domain, count in groups
            for i in range(count)
        ]
        table = [{**item, "machine_type": machine} for machine in ("fan", "pump") for item in table]
        draw = draw_synthetic(table, "fan", seed=0, normals=3)
        assert draw.domains.tolist() == ["source"] * 4 + ["target"] * 3
        assert draw.train[:4].tolist() == [0, 1, 2, 3]
        assert draw.test.tolist() == [9, 10]
        assert draw.conditions["speed_level"].tolist() == ["x"] * 7

    def test_nothing_left_to_test_on_is_an_error(self):
        with pytest.raises(ValueError, match="class 'b' has 10 recordings"):
            draw_motors(NAMES, "b", seed=0, normals=10)

    def test_takes_of_one_original_are_not_in_both_halves(self):
        paths = [Path(f"{kind}/1-{number}-{take}.ogg") for kind in "xy" for number in range(9) for take in "AB"]
        first, second = halves(paths)
        assert sorted([*first, *second]) == sorted(paths)
        assert len(first) > 5
        assert len(second) > 5
        assert not {path.stem[:-2] for path in first} & {path.stem[:-2] for path in second}


@pytest.mark.parametrize(("peer", "count"), [*((peer, 3) for peer in PEERS), (PEERS[1], 8), (PEERS[2], 8)])
def test_peers_score_what_is_far_higher_and_calibrate_unseen(peer, count):
    if peer.name.startswith("PyOD"):
        pytest.importorskip("pyod", reason="PyOD comes with the extra `bench`")
    rng = np.random.default_rng(0)
    known = Normals(rng.normal(-60, 1, (count, 12, 3)).astype(np.float32), np.full(count, "target"))
    test = rng.normal(-60, 1, (40, 12, 3)).astype(np.float32)
    test[20:, :, :2] += 8
    scores, calibration = peer.fit(known).score(test), peer.calibrate(known)
    assert scores.shape == (40,)
    assert scores[20:].mean() > scores[:20].mean()
    assert calibration.shape == (count,)
    assert np.isfinite(calibration).all()


class TestMeans:
    """The arithmetic of the table."""

    def test_groups_count_alike_however_many_seeds_they_have(self):
        found = [outcome("x", 0.8), outcome("x", 0.6, seed=1), outcome("x", 0.5, group="b")]
        (mean,) = means_of(found)
        assert mean.auc == pytest.approx((0.7 + 0.5) / 2)
        assert mean.pauc == pytest.approx(mean.auc / 2)
        assert mean.seeds == 2

    def test_the_spread_is_that_of_the_mean_over_groups(self):
        aucs = {("a", 0): 0.9, ("b", 0): 0.5, ("a", 1): 0.5, ("b", 1): 0.7}
        (mean,) = means_of([outcome("x", auc, group=group, seed=seed) for (group, seed), auc in aucs.items()])
        assert mean.auc_std == pytest.approx(0.05)

    def test_false_alarms_are_pooled_and_times_are_medians(self):
        found = [
            outcome("x", 0.5, seed=seed, false_alarms=alarms, test_normals=normals, fit_s=fit_s, score_s=fit_s)
            for seed, (alarms, normals, fit_s) in enumerate([(1, 10, 1.0), (3, 30, 100.0), (4, 40, 2.0)])
        ]
        (mean,) = means_of(found)
        assert mean.false_alarms == pytest.approx(8 / 80)
        assert mean.fit_s == 2.0
        assert mean.clips_per_s == 50

    def test_conditions_and_counts_stay_apart_and_refusals_do_not_count(self):
        found = [
            outcome("x", 0.9),
            outcome("x", 0.7, normals=3),
            outcome("x", 0.5, condition="synthetic"),
            outcome("x", 0.0, refused="too little"),
            outcome("y", 0.0, refused="too little"),
        ]
        assert [(m.condition, m.normals, m.method, m.auc) for m in means_of(found)] == [
            ("motors", 10, "x", 0.9),
            ("motors", 3, "x", 0.7),
            ("synthetic", 10, "x", 0.5),
        ]

    def test_best_of_pyod_is_the_highest_mean_of_each_count(self):
        found = [
            outcome("PyOD KNN", 0.7),
            outcome("PyOD LOF", 0.8),
            outcome("nearest neighbour", 0.9),
            outcome("PyOD KNN", 0.6, normals=3),
            outcome("PyOD LOF", 0.5, normals=3),
        ]
        best = {m.normals: m for m in means_of(found) if m.method == BEST_OF_PYOD}
        assert {n: (m.engine, m.auc) for n, m in best.items()} == {10: ("PyOD LOF", 0.8), 3: ("PyOD KNN", 0.6)}
        assert isinstance(best[3], Mean)


class TestTargets:
    """Met or not met."""

    def test_all_of_them(self):
        noisy = engines.noise_condition(-5.0)
        found = [
            outcome(AUTO, 0.81),
            outcome(AUTO_PLAIN, 0.825),
            outcome("PyOD KNN", 0.75),
            outcome("PyOD LOF", 0.82),
            outcome(AUTO, 0.6, condition=noisy),
            outcome(AUTO_PLAIN, 0.54, condition=noisy),
            outcome("nearest neighbour", 0.55, condition=noisy),
        ]
        targets = targets_of(found)
        assert [(target.measured, target.met) for target in targets] == [
            (0.81, True),
            (pytest.approx(-0.01), False),
            (pytest.approx(0.05), True),
            (pytest.approx(0.06), True),
            (pytest.approx(-0.015), False),
        ]
        assert "PyOD LOF" in targets[1].how
        assert noisy in targets[2].text

    def test_a_rival_with_fewer_seeds_is_compared_on_those_alone(self):
        found = [outcome(AUTO, 0.9), outcome(AUTO, 0.5, seed=1), outcome("PyOD IForest", 0.8)]
        assert targets_of(found)[1].measured == pytest.approx(0.1)

    def test_other_counts_of_normals_say_nothing(self):
        assert targets_of([outcome(AUTO, 0.9, normals=20), outcome(AUTO, 0.9, condition="synthetic")]) == []


class TestPlan:
    """Who gets how many seeds."""

    def draw(self, condition="motors", seed=0, normals=10):
        empty = np.zeros(0, np.str_)
        rows = np.zeros(0, np.intp)
        return Draw(condition, "a", seed, normals, rows, empty, empty, rows, empty, empty)

    def test_light_methods_get_all_seeds_and_the_baseline_the_first(self):
        first = {method.name for method in FULL.methods_for(self.draw())}
        last = {method.name for method in FULL.methods_for(self.draw(seed=9))}
        assert first == {method.name for method in METHODS}
        assert last == {method.name for method in METHODS if method.cost == "light"}
        assert FULL.methods_for(self.draw(seed=10)) == []

    def test_the_baseline_runs_with_ten_normals_alone(self):
        assert engines.BASELINE not in FULL.methods_for(self.draw(normals=5))
        assert engines.BASELINE in FULL.methods_for(self.draw("synthetic"))
        assert engines.BASELINE not in QUICK.methods_for(self.draw())

    def test_options_change_the_plan(self, monkeypatch):
        def plan(*options):
            monkeypatch.setattr("sys.argv", ["bench", *options])
            return engines._plan_from(engines._arguments())

        assert plan() == FULL
        assert plan("--quick") == QUICK
        assert plan("--normals", "5", "3", "--first-seed", "100").normals == (3, 5)
        assert plan("--first-seed", "100").seeds_of("baseline", "motors") == [100]
        one = plan("--seeds", "1", "--elsewhere", "2")
        assert set(one.seeds.values()) == {1}
        assert one.elsewhere == {"light": 2, "slow": 1, "heavy": 1, "baseline": 1}

    def test_elsewhere_there_are_fewer(self):
        names = {method.cost for method in FULL.methods_for(self.draw("synthetic", seed=2))}
        assert names == {"light"}


class TestRun:
    """A tiny run from sounds to lines."""

    @pytest.fixture(scope="class")
    def pool(self):
        from alp_assets.encoders.base import Sound

        rng = np.random.default_rng(0)
        sounds = []
        for name in NAMES.tolist():
            time = np.arange(16_000) / 16_000
            tone = np.sin(2 * np.pi * (300 if name == "a" else 2_500) * time)
            sounds.append(Sound((0.1 * tone + 0.02 * rng.normal(size=16_000)).astype(np.float32)))
        return Pool("motors", embed(sounds), [draw_motors(NAMES, group, 0, 5) for group in ("a", "b")])

    def test_every_recording_is_embedded_by_all(self, pool):
        assert pool.embedded[Feature("logmel", "pooled")].shape == (22, 128, 6)
        assert pool.embedded[Feature("logmel", "frames")].dtype == np.float16
        assert {feature.encoder for feature in pool.embedded} == {"alp_conv", "logmel", "descriptors"}

    def test_methods_tell_two_tones_apart(self, pool):
        light = [method for method in METHODS if method.cost == "light" and not method.name.startswith("PyOD")]
        found = list(engines.outcomes_of(pool.draws[0], pool, light))
        assert [item.method for item in found] == [method.name for method in light]
        by_name = {item.method: item for item in found}
        assert by_name[AUTO].auc == by_name["nearest neighbour"].auc == 1
        assert by_name[AUTO].engine == "memory_bank"
        assert by_name[AUTO].fit_s == by_name["memory_bank (B), fused"].fit_s
        assert by_name[AUTO].promised == pytest.approx(1 / 6)
        assert (by_name[AUTO].test_normals, by_name[AUTO].clips) == (7, 17)

    def test_without_metadata_engine_c_is_refused_in_words(self, pool, capsys):
        chosen = [method for method in METHODS if method.engine in ("meta_prototype", AUTO)]
        found = list(engines.outcomes_of(pool.draws[0], pool, chosen))
        assert all("conditions" in item.refused for item in found if item.engine == "meta_prototype")
        engines._print(means_of(found), found, FULL)
        printed = capsys.readouterr().out
        assert "meta_prototype (C): refused on motors." in printed
        assert "auto chose memory_bank" in printed

    def test_processes_give_the_figures_of_one(self, pool, monkeypatch):
        monkeypatch.setattr(engines, "METHODS", [METHODS[0], METHODS[-1]])
        plan = replace(QUICK, normals=(5,), processes=2)
        found = engines.measure(pool, plan, lambda *_: None)
        assert {item.group for item in found} == {"a", "b"}
        alone = list(engines.outcomes_of(pool.draws[1], pool, plan.methods_for(pool.draws[1])))
        of_b = [item for item in found if item.group == "b"]
        assert [(item.method, item.auc, item.false_alarms) for item in of_b] == [
            (item.method, item.auc, item.false_alarms) for item in alone
        ]
