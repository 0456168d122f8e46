"""Recordings in a window store, read as an array."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.signals.blocks import BlockStore, BlockWriter
from alp_assets.signals.stored import StoredRecordings, store_recording

VALUES = np.random.default_rng(0).normal(0, 5, (6, 3, 40)).astype(np.float32)
CHANNELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    place = tmp_path_factory.mktemp("store")
    with BlockWriter(place) as writer:
        for number, recording in enumerate(VALUES):
            store_recording(writer, recording, "s", str(number), CHANNELS, "normal")
    return StoredRecordings(BlockStore(place), len(CHANNELS))


def test_it_reads_as_the_array_does(recordings):
    assert (recordings.shape, len(recordings), recordings.dtype) == ((6, 3, 40), 6, np.float32)
    np.testing.assert_array_equal(np.stack(list(recordings)), VALUES)
    np.testing.assert_array_equal(recordings[4], VALUES[4])
    np.testing.assert_array_equal(recordings[-1], VALUES[-1])
    np.testing.assert_array_equal(recordings[2, 1, 10:25], VALUES[2, 1, 10:25])
    np.testing.assert_array_equal(recordings[2, 1, 30:99], VALUES[2, 1, 30:])


@pytest.mark.parametrize("rows", [VALUES[:, 0, 0] > 0, np.array([5, 0]), slice(1, 4)])
def test_rows_of_it_are_recordings_again(recordings, rows):
    some = recordings[rows]
    assert isinstance(some, StoredRecordings)
    np.testing.assert_array_equal(np.stack(list(some)), VALUES[rows])
    np.testing.assert_array_equal(some[1:][0, 2, :5], VALUES[rows][1, 2, :5])


def test_a_recording_of_which_a_part_was_stored_is_completed(tmp_path):
    with BlockWriter(tmp_path) as writer:
        writer.add(VALUES[0, 0], "s", "0", "a")
    with BlockWriter(tmp_path) as writer:
        for number, recording in enumerate(VALUES):
            store_recording(writer, recording, "s", str(number), CHANNELS)
    np.testing.assert_array_equal(np.stack(list(StoredRecordings(BlockStore(tmp_path), 3))), VALUES)


def test_series_that_make_no_recordings_are_refused(tmp_path, recordings):
    with BlockWriter(tmp_path) as writer:
        for name, length in (("a", 10), ("b", 10), ("c", 12)):
            writer.add(np.zeros(length), "s", "r", name)
    for channels in (2, 3):
        with pytest.raises(ValueError, match="not recordings"):
            StoredRecordings(BlockStore(tmp_path), channels)
