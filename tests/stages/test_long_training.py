"""A training of Time-MoE in the stage models: killed, resumed, labelled, watched."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from alp_assets.params import with_overrides
from alp_assets.stages.metadata import read_problems
from alp_assets.stages.models import models, read_plan, read_threshold
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.scores import read_scores, scores
from alp_assets.stages.validation import unused, validation_part
from schemas.sections import Section
from tests.packages import FAST, machine_files, receive, run_through, table, tree, zipped
from tests.stages.test_signal_packages import POINTS, currents, npy, signal_row

QUICK = {
    "signals.clip_points": POINTS // 2,
    "quality.silence_dbfs": -85.0,
    "models.engine": "time_moe",
    "models.time_moe.size": "tiny",
    "models.time_moe.window": 96,
    "models.time_moe.steps": 8,
    "models.time_moe.batch": 2,
    "models.time_moe.context": 8,
    "models.time_moe.calibration_folds": 2,
    "models.time_moe.heartbeat_steps": 2,
}
PARAMS = with_overrides(FAST, QUICK)
SECTION = "motor__m1"

KILLED = """
import os, signal, sys
from pathlib import Path
from alp_assets.stages.models import models
from alp_assets.stages.package import PackageFolder
from tests.stages.test_long_training import PARAMS

def kill(section, beat):
    if beat.step == 6:
        os.kill(os.getpid(), signal.SIGKILL)

models(PackageFolder(Path(sys.argv[1]), "acme", "first"), PARAMS, watch=kill)
"""


def motors():
    kinds = [("train", "normal")] * 4 + [("test", "normal"), ("test", "anomaly")]
    kinds += [("validation", "normal"), ("validation", "anomaly")] * 2
    files, rows = {}, []
    for number, (split, label) in enumerate(kinds):
        path = f"signals/{split}_{label}_{number}.npy"
        files[path] = npy(currents(number, faulty=label == "anomaly"))
        confirmed = "" if label == "anomaly" else "yes"
        rows.append(signal_row(path, split=split, label=label, operator_confirmed=confirmed))
    return files, rows


def embedded(place, files, rows):
    folder = receive(place, zipped(place / "first.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, until="embeddings", params=PARAMS)
    return folder


def copied(folder, place):
    shutil.copytree(folder.data_root, place)
    return PackageFolder(place, folder.customer, folder.package)


def trained(folder, params=PARAMS):
    beats = []
    models(folder, params, watch=lambda section, beat: beats.append(beat))
    return beats


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A package with recordings for validation, up to its embeddings."""
    return embedded(tmp_path_factory.mktemp("ready"), *motors())


@pytest.fixture(scope="module")
def whole(ready, tmp_path_factory):
    """The same, trained without a disturbance; its heartbeats."""
    folder = copied(ready, tmp_path_factory.mktemp("whole") / "data")
    return folder, trained(folder)


@pytest.fixture(scope="module")
def killed(ready, tmp_path_factory):
    """The same, killed in its sixth step."""
    folder = copied(ready, tmp_path_factory.mktemp("killed") / "data")
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder.data_root)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder


def working_place(folder):
    (place,) = (folder.data_root / "cache" / "training" / folder.key / SECTION).iterdir()
    return place


def test_a_kill_leaves_lines_and_checkpoints_with_their_figure(killed):
    assert not killed.stage("models").exists()
    place = working_place(killed) / "training"
    kinds = [json.loads(line)["kind"] for line in (place / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count("step") == 6
    assert kinds.count("beat") == 3
    assert [path.name[:15] for path in sorted(place.glob("beat-*-f1-*.safetensors"))] == [
        "beat-0000002-f1",
        "beat-0000004-f1",
        "beat-0000006-f1",
    ]


def test_a_killed_run_that_is_started_again_ends_as_an_undisturbed_one(killed, whole, tmp_path):
    again = copied(killed, tmp_path / "data")
    assert [beat.step for beat in trained(again)] == [8]
    undisturbed, beats = whole
    assert [beat.step for beat in beats] == [2, 4, 6, 8]
    assert tree(again.stage("models")) == tree(undisturbed.stage("models"))


def test_what_another_run_left_is_not_gone_on_with(killed, whole, tmp_path):
    again = copied(killed, tmp_path / "data")
    working_place(again).rename(working_place(again).with_name("of-others"))
    assert [beat.step for beat in trained(again)] == [2, 4, 6, 8]
    assert tree(again.stage("models")) == tree(whole[0].stage("models"))


def test_the_working_place_is_gone_and_the_lines_stay_with_the_model(whole):
    folder, beats = whole
    assert not (folder.data_root / "cache" / "training" / folder.key).exists()
    lines = (folder.stage("models") / SECTION / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows if row["kind"] == "beat"] == [beat.step for beat in beats]
    assert all("seconds" not in row for row in rows)


def test_recordings_for_validation_set_the_threshold_and_are_neither_learnt_from_nor_scored(whole):
    folder, beats = whole
    assert {beat.basis for beat in beats} == {"labels"}
    place = folder.stage("models") / SECTION
    threshold, said = read_threshold(place), json.loads((place / "validation.json").read_text())
    assert threshold["policy"] == "labels"
    assert threshold["value"] == said["best"]["threshold"] == said["in_force"]["threshold"]
    assert (said["normal_clips"], said["anomalous_clips"]) == (4, 4)
    above = np.array([item["score"] for item in threshold["calibration"]]) > threshold["value"]
    assert threshold["promised"] == pytest.approx((above.mean() * 4 + 1) / 5)
    learnt = {item["clip_id"].split("@")[0] for item in threshold["calibration"]}
    assert all(name.startswith("train") for name in learnt)
    scores(folder, PARAMS)
    assert set(read_scores(folder)["split"]) == {"train", "test"}


def test_normals_alone_set_the_threshold_where_that_was_asked(ready, tmp_path):
    folder = copied(ready, tmp_path / "data")
    asked = with_overrides(PARAMS, {"models.time_moe.threshold_on": "normals", "models.time_moe.steps": 2})
    trained(folder, asked)
    place = folder.stage("models") / SECTION
    assert read_threshold(place)["policy"] == "alarms_per_day"
    assert json.loads((place / "validation.json").read_text())["in_force"]["set_on"] == "normals"


class TestValidationPart:
    section = Section("acme", "motor", "m1")

    def clips(self, labels, **more):
        count = len(labels)
        about = {"machine_type": "motor", "section_id": "m1", "split": "validation", **more}
        ids = {"clip_id": [f"c{row}" for row in range(count)], "audio_sha256": ["f"] * count}
        return pd.DataFrame({**ids, "label": labels}).assign(**about)

    def test_it_is_what_is_known_to_be_normal_or_anomalous(self):
        part = validation_part(self.clips(["normal", "unknown", "anomaly"]), self.section)
        assert (part.positions.tolist(), part.anomalous.tolist()) == ([0, 2], [False, True])

    @pytest.mark.parametrize(
        "more", [{"split": "test"}, {"split": "supplemental"}, {"section_id": "m2"}, {"label": "anomaly"}]
    )
    def test_other_recordings_and_one_kind_alone_make_none(self, more):
        assert validation_part(self.clips(["normal", "anomaly"], **more), self.section) is None

    def test_what_is_not_looked_at_is_told(self):
        both, one = self.clips(["normal", "anomaly"]), self.clips(["normal"])
        assert unused(both, self.section, {"time_moe"}) == ""
        assert "which only time_moe does" in unused(both, self.section, {"signal_pca"})
        assert "takes normal and anomalous ones" in unused(one, self.section, {"time_moe"})
        assert unused(self.clips(["normal"], split="test"), self.section, {"signal_pca"}) == ""


def test_a_machine_with_sound_says_that_it_does_not_use_them(tmp_path):
    files, rows = machine_files(train=3, normal=2, anomaly=2)
    for row in rows[3:]:
        row["split"] = "validation"
    rows[-1]["label"] = ""
    folder = receive(tmp_path, zipped(tmp_path / "first.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, until="scores", params=FAST)
    assert [problem.code for problem in read_problems(folder)] == ["validation_without_label"]
    assert "which only time_moe does" in read_plan(folder.stage("models") / "fan__1")["reason"]
    assert set(read_scores(folder)["split"]) == {"train"}
