"""Training on recordings in a window store: as on an array, and in memory that does not grow with them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from alp_assets.engines.base import Normals
from alp_assets.engines.time_moe import engine as module
from alp_assets.engines.time_moe.engine import Labelled, TimeMoe
from alp_assets.errors import EngineUnfit
from alp_assets.signal_params import TimeMoeParams
from alp_assets.stages.window_store import stored
from schemas.sections import Section
from tests.engines.time_moe.currents import currents, normals_of

SECTION = Section("acme", "motor", "1")


def quick(**others):
    return TimeMoeParams(**{"size": "tiny", "window": 96, "steps": 3, "batch": 2, "context": 8, **others})


def four(count, **more):
    """Recordings of the four standard rows, the last one silent."""
    return np.pad(currents(count, points=300, **more), ((0, 0), (0, 1), (0, 0)))


def kept(place, values):
    return stored(place, SECTION, ((str(row), "normal", values, row) for row in range(len(values))))


@pytest.mark.parametrize("count", [4, 21])
def test_it_is_the_training_on_an_array_bit_for_bit(tmp_path, count):
    values = four(count)
    known = normals_of(values)
    lazy = Normals(kept(tmp_path, values), known.domains, known.recordings)
    engine = TimeMoe(quick(calibration_folds=2, scaling="section"))
    first, second = engine.fit(known), engine.fit(lazy)
    assert first.settings == second.settings
    for name, value in first.tensors().items():
        np.testing.assert_array_equal(value, second.tensors()[name])
    np.testing.assert_array_equal(engine.calibrate(known), engine.calibrate(lazy))


def test_labelled_recordings_may_lie_in_a_store(tmp_path):
    values = np.concatenate([four(3, seed=5), four(3, seed=6, ripple=5)])
    anomalous = np.arange(6) >= 3
    found = []
    for recordings in (values, kept(tmp_path, values)):
        beats = []
        engine = TimeMoe(quick(heartbeat_steps=3), None, beats.append, Labelled(recordings, anomalous))
        engine.fit(normals_of(four(3)))
        found.append(beats[0].threshold)
    assert found[0] == found[1]


def test_both_kinds_are_looked_at_however_many_there_are(monkeypatch):
    monkeypatch.setattr("alp_assets.engines.time_moe.series._MOST_WINDOWS", 12)
    labelled = Labelled(four(40), np.arange(40) == 39)
    scale = module.fit_scale(labelled.recordings, "section")
    looked = module._looked_at(labelled, scale, 96)
    assert looked.labelled
    assert len(looked.windows) < 40


@pytest.mark.parametrize(("asked", "steps"), [({"heartbeat_steps": 7, "heartbeat_points": 1}, 7), ({}, 0)])
def test_a_heartbeat_comes_by_steps_before_hours(asked, steps):
    assert TimeMoe(quick(**asked))._steps_between_beats(96) == steps


@pytest.mark.parametrize(("points", "steps"), [(1, 1), (192, 1), (193, 2), (1920, 10)])
def test_points_learnt_from_are_whole_steps(points, steps):
    assert TimeMoe(quick(heartbeat_points=points, accumulation=1))._steps_between_beats(96) == steps


def test_a_calibration_that_was_cut_off_goes_on_with_the_fold_that_it_was_at(tmp_path, monkeypatch):
    known = normals_of(four(4))
    engine = TimeMoe(quick(calibration_folds=2, steps=4), tmp_path)
    whole = engine.calibrate(known)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold-1", "fold-2"]
    monkeypatch.setattr("alp_assets.engines.time_moe.training.Trainer.step", None)  # nothing is left to train
    np.testing.assert_array_equal(engine.calibrate(known), whole)


def test_of_very_many_normals_some_calibrate():
    known = normals_of(four(12))
    found = TimeMoe(quick(calibration_clips=4, calibration_folds=2)).calibrate(known)
    for domain in ("source", "target"):
        assert np.isfinite(found[known.domains == domain]).sum() == 4


def test_values_that_are_not_finite_are_refused_by_name(tmp_path):
    values = four(3)
    values[1, 2, 7] = np.nan
    with pytest.raises(EngineUnfit, match="embeddings of 1 are not finite"):
        kept(tmp_path, values)


_TRAIN = """
import sys
from pathlib import Path

import numpy as np

from alp_assets.engines.base import Normals
from alp_assets.engines.time_moe import series
from alp_assets.engines.time_moe.engine import TimeMoe
from alp_assets.signal_params import TimeMoeParams
from alp_assets.stages.window_store import stored
from schemas.sections import Section

series._MOST_WINDOWS = 64
values = np.load(sys.argv[1], mmap_mode="r")
count = len(values)
sources = ((str(row), "normal", values, row) for row in range(count))
recordings = stored(Path(sys.argv[2]), Section("acme", "motor", "1"), sources)
params = TimeMoeParams(size="tiny", window=256, steps=3, batch=2, heartbeat_steps=2)
TimeMoe(params, Path(sys.argv[2]) / "training").fit(Normals(recordings, np.full(count, "target")))
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_eight_times_the_data_takes_hardly_more_memory(tmp_path):
    peaks, block = [], np.random.default_rng(0).normal(0, 1, (8, 4, 2**13)).astype(np.float32)
    for megabytes in (48, 384):
        path, place = tmp_path / "values.npy", tmp_path / str(megabytes)
        values = np.lib.format.open_memmap(path, "w+", np.float32, (8 * megabytes, 4, 2**13))
        for start in range(0, len(values), len(block)):
            values[start : start + len(block)] = block
        values.flush()
        del values
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN, str(path), str(place)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 100, peaks
