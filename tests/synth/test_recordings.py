from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from alp_assets.audio.decode import open_recording
from alp_assets.audio.measure import measure
from alp_assets.params import QualityParams
from alp_assets.synth import recordings
from alp_assets.synth.anomalies import ANOMALIES
from alp_assets.synth.machines import LOADS, SPEEDS
from alp_assets.synth.recordings import record, scene_of, tasks
from alp_assets.synth.shapes import gain_db, rms
from alp_assets.synth.spec import SynthSpec
from alp_assets.synth.surroundings import DOMAINS

RATE = 16_000
SPEC = SynthSpec(
    machines=("fan", "bearing"),
    source_normals=3,
    target_normals=3,
    test_normals=1,
    test_anomalies=8,
    noise_only=2,
    clean_machine=2,
    duration_s=4.0,
)
TASKS = list(tasks(SPEC))
ANOMALOUS = [task for task in TASKS if task.group.what == "anomaly"]
ECHO_S = 0.02


@pytest.mark.parametrize("channels", [1, 2])
def test_machine_and_surroundings_are_as_far_apart_as_the_table_says(channels):
    spec = replace(SPEC, channels=channels)
    for task in tasks(spec):
        if task.group.what != "normal":
            continue
        scene = scene_of(spec, task)
        low, high = DOMAINS[task.group.domain].snr_db
        assert low <= float(scene.conditions["snr_db"]) <= high
        assert len(scene.machine) == len(scene.surroundings) == channels
        for machine, around in zip(scene.machine, scene.surroundings, strict=True):
            assert gain_db(rms(machine) / rms(around)) == pytest.approx(
                float(scene.conditions["snr_db"]), abs=0.01
            )


def healthy_scene(task, monkeypatch):
    """The same recording of the same machine without its fault; what is drawn after it differs."""
    with monkeypatch.context() as patch:
        patch.setattr(recordings, "add_anomaly", lambda kind, signal, rate, rng: (signal, []))
        return scene_of(SPEC, task)


def test_a_fault_is_heard_inside_its_regions_and_their_echo_only(monkeypatch):
    for task in ANOMALOUS:
        scene = scene_of(SPEC, task)
        changed = scene.machine[0] - healthy_scene(task, monkeypatch).machine[0]
        time_s = np.arange(len(changed)) / RATE
        regions = json.loads(scene.conditions["anomaly_regions"])
        inside = np.any([(time_s >= start) & (time_s <= end + ECHO_S) for start, end in regions], axis=0)
        assert np.any(changed[inside])
        assert not np.any(changed[~inside])


def test_a_fault_leaves_the_surroundings_as_loud_as_they_are(monkeypatch):
    for task in ANOMALOUS:
        scene, healthy = scene_of(SPEC, task), healthy_scene(task, monkeypatch)
        asked = float(scene.conditions["snr_db"])
        assert gain_db(rms(healthy.machine[0]) / rms(scene.surroundings[0])) == pytest.approx(asked, abs=0.01)


def test_the_kinds_of_anomaly_take_turns():
    kinds = [scene_of(SPEC, task).conditions["anomaly_type"] for task in ANOMALOUS[:8]]
    assert kinds == [*ANOMALIES, *ANOMALIES]


def test_a_supplement_is_the_machine_or_its_surroundings_and_not_both():
    for task in TASKS:
        if task.group.split != "supplemental":
            continue
        scene, row = scene_of(SPEC, task), record(SPEC, task).row
        assert bool(scene.machine) is (row["supp_type"] == "machine")
        assert bool(scene.surroundings) is (row["supp_type"] == "noise")
        assert row["label"] == ("normal" if row["supp_type"] == "machine" else "unknown")
        assert ("noise_id" in row) is (row["supp_type"] == "noise")
        assert "snr_db" not in row


def test_the_operating_condition_tells_speed_and_load():
    for task in TASKS:
        row, machine = record(SPEC, task).row, task.section.machine
        condition = json.loads(row["operating_condition"])
        if row["supp_type"] == "noise":
            assert condition == {"running": False}
            continue
        speed, load = SPEEDS[row["speed_level"]], LOADS[row["load_level"]]
        assert condition["load_percent"] == round(100 * load)
        assert condition["shaft_rpm"] == pytest.approx(60.0 * machine.cycle_at(speed, load), abs=0.1)


def test_the_measures_are_those_of_the_quality_stage():
    for task in (TASKS[0], ANOMALOUS[0], TASKS[-1], next(task for task in TASKS if task.group.what == "noise")):
        made = record(SPEC, task)
        with open_recording(io.BytesIO(made.wav)) as recording:
            found = measure(recording, 1, QualityParams())
        for name, value in made.measures.items():
            assert float(value) == pytest.approx(getattr(found, name), abs=0.011)


def test_clipping_and_silence_are_measured_where_they_are():
    samples = np.zeros(RATE, dtype=np.int16)
    samples[:4000] = 32767
    found = recordings._measures(samples, RATE)
    assert float(found["clipping_ratio"]) == 0.25
    assert float(found["silence_ratio"]) == 0.75
    assert float(found["peak_dbfs"]) == pytest.approx(0.0, abs=0.01)
    assert float(found["rms_dbfs"]) == pytest.approx(-6.02, abs=0.01)
