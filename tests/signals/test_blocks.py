"""The window store: one file of points, an index, and conversions that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from alp_assets.signals.blocks import INDEX_FILE, POINTS_FILE, BlockStore, BlockWriter, StoreDamaged
from alp_assets.signals.windows import Feed, WindowPlan, z_score


def series(seed, length=500):
    return np.random.default_rng(seed).normal(3, 2, length).astype(np.float32)


def write(folder, names, length=500):
    with BlockWriter(folder) as writer:
        for seed, name in enumerate(names):
            writer.add(series(seed, length), "acme/motor/1", name, "phase_a", label="normal")


def test_what_was_written_is_read_in_its_own_scale(tmp_path):
    write(tmp_path, ["one", "two"])
    store = BlockStore(tmp_path)
    assert [item.recording for item in store.series] == ["one", "two"]
    assert store.series[1].offset == 500
    assert (store.series[1].section, store.series[1].channel, store.series[1].label) == (
        "acme/motor/1",
        "phase_a",
        "normal",
    )
    np.testing.assert_array_equal(store.read(1, 100, 50), z_score(series(1))[100:150])


def test_the_file_holds_the_points_as_they_were(tmp_path):
    values = np.array([1.0, np.nan, np.inf, -2.0], np.float32)
    with BlockWriter(tmp_path) as writer:
        writer.add(values, "s", "r", "c")
    np.testing.assert_array_equal(np.fromfile(tmp_path / POINTS_FILE, "<f4"), values)
    assert np.isfinite(BlockStore(tmp_path).read(0, 0, 4)).all()


@pytest.mark.parametrize("lost", [1, 40, 400, 2_500])
def test_a_killed_conversion_goes_on_to_the_same_bytes(tmp_path, lost):
    names = ["one", "two", "three"]
    write(tmp_path / "whole", names)
    write(tmp_path / "cut", names[:2])
    index = tmp_path / "cut" / INDEX_FILE
    index.write_bytes(index.read_bytes()[: -min(lost, 60)])
    if lost <= 40:
        points = tmp_path / "cut" / POINTS_FILE
        points.write_bytes(points.read_bytes() + b"half")
    write(tmp_path / "cut", names)
    for name in (INDEX_FILE, POINTS_FILE):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_there_is_not_written_again(tmp_path):
    write(tmp_path, ["one"])
    before = (tmp_path / POINTS_FILE).read_bytes()
    with BlockWriter(tmp_path) as writer:
        assert writer.has("acme/motor/1", "one", "phase_a")
        assert not writer.has("acme/motor/1", "one", "phase_b")
        writer.add(series(9), "acme/motor/1", "one", "phase_a")
    assert (tmp_path / POINTS_FILE).read_bytes() == before


def test_some_of_the_series_make_a_store_of_their_own(tmp_path):
    write(tmp_path, ["one", "two", "three"])
    some = BlockStore(tmp_path).chosen([2, 0])
    assert [item.recording for item in some.series] == ["three", "one"]
    np.testing.assert_array_equal(some.read(0, 0, 500), z_score(series(2)))


def test_a_feed_reads_windows_from_it(tmp_path):
    write(tmp_path, ["one", "two"])
    store = BlockStore(tmp_path)
    found = Feed(store, WindowPlan(store.lengths, window=64, stride=32)).take(40)
    assert found.shape == (40, 64)
    whole = np.concatenate([z_score(series(0)), z_score(series(1))])
    for window in found:
        assert any(
            np.array_equal(window, whole[start : start + 64]) for start in np.flatnonzero(whole == window[0])
        )


def test_nothing_is_read_beyond_the_ends_of_a_series(tmp_path):
    write(tmp_path, ["one", "two"])
    for start, length in ((-1, 5), (498, 3), (0, 501)):
        with pytest.raises(IndexError, match="500"):
            BlockStore(tmp_path).read(0, start, length)


def test_damage_is_told_with_what_to_do(tmp_path):
    with pytest.raises(StoreDamaged, match="convert again"):
        BlockStore(tmp_path)
    write(tmp_path, ["one", "two"])
    points = tmp_path / POINTS_FILE
    points.write_bytes(points.read_bytes()[:-4])
    with pytest.raises(StoreDamaged, match="convert again"):
        BlockStore(tmp_path)
    with pytest.raises(StoreDamaged, match="convert again"):
        BlockWriter(tmp_path)
    (tmp_path / INDEX_FILE).write_text('{"offset": 0}\n')
    with pytest.raises(StoreDamaged, match="line 1"):
        BlockStore(tmp_path)


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros((2, 3))])
def test_what_is_no_series_is_refused(tmp_path, values):
    with BlockWriter(tmp_path) as writer, pytest.raises(ValueError, match="points"):
        writer.add(values, "s", "r", "c")


_READ_ALL = """
import sys
from pathlib import Path
from alp_assets.signals.blocks import BlockStore
from alp_assets.signals.windows import Feed, WindowPlan

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

store = BlockStore(Path(sys.argv[1]))
feed = Feed(store, WindowPlan(store.lengths, 2048, 2048))
feed.take(64)
before = peak()
for _ in range(feed.plan.epoch(0).count // 64 - 1):
    feed.take(64)
print(peak() - before)
"""


def test_reading_all_of_a_file_takes_no_memory_of_its_size(tmp_path):
    points, rows = 4 * 2**20, 6
    write(tmp_path, ["one"], length=1)
    line = json.loads((tmp_path / INDEX_FILE).read_text())
    lines = [{**line, "recording": str(row), "offset": row * points, "length": points} for row in range(rows)]
    (tmp_path / INDEX_FILE).write_text("".join(json.dumps(item) + "\n" for item in lines))
    os.truncate(tmp_path / POINTS_FILE, 4 * points * rows)
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 4 * points * rows / 3
