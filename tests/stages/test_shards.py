"""Embedding in shards: what was done is kept, and however it was done the arrays are the same."""

import shutil

import numpy as np
import pytest

from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.params import with_overrides
from alp_assets.stages.catalog import run_stage
from tests.packages import FAST, machine_package, receive, run_through, tree

PLAIN = with_overrides(FAST, {"embeddings.encoder": "logmel", "run.shard_clips": 4})
CLIPS = 14


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A package with its clips and their embeddings, made in shards of four."""
    place = tmp_path_factory.mktemp("shards")
    folder = receive(place / "data", machine_package(place / "p.zip"))
    assert all(summary.passed for summary in run_through(folder, until="embeddings", params=PLAIN).values())
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it without embeddings."""
    shutil.copytree(whole.data_root, tmp_path / "data")
    copy = type(whole)(tmp_path / "data", whole.customer, whole.package)
    shutil.rmtree(copy.stage("embeddings"))
    return copy


@pytest.fixture
def encoded(monkeypatch):
    """How many clips were encoded."""
    counted = []
    encode = LogmelEncoder.encode

    def counting(self, sounds, views):
        counted.append(len(sounds))
        return encode(self, sounds, views)

    monkeypatch.setattr(LogmelEncoder, "encode", counting)
    return counted


def stopped_after(clips):
    """A progress that stands for a kill as soon as some clips are done."""

    def progress(done, total, what):
        if done > clips:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("shard_clips", [1, 3, 1000])
def test_the_size_of_a_shard_changes_nothing(folder, whole, shard_clips):
    run_stage("embeddings", folder, with_overrides(PLAIN, {"run.shard_clips": shard_clips}))
    assert tree(folder.stage("embeddings")) == tree(whole.stage("embeddings"))


@pytest.mark.slow
def test_two_processes_make_what_one_makes(folder, whole):
    told = []
    params = with_overrides(PLAIN, {"run.processes": 2})
    run_stage("embeddings", folder, params, lambda done, total, what: told.append((done, total)))
    assert tree(folder.stage("embeddings")) == tree(whole.stage("embeddings"))
    assert told[-1] == (CLIPS, CLIPS)


def test_a_killed_run_goes_on_where_it_stopped(folder, whole, encoded):
    with pytest.raises(KeyboardInterrupt):
        run_stage("embeddings", folder, PLAIN, stopped_after(8))
    assert not folder.stage("embeddings").exists()
    encoded.clear()
    told = []
    run_stage("embeddings", folder, PLAIN, lambda done, total, what: told.append(done))
    assert sum(encoded) == CLIPS - 8
    assert told[-1] == CLIPS
    assert tree(folder.stage("embeddings")) == tree(whole.stage("embeddings"))
    assert not list((folder.data_root / "cache" / "embeddings").glob("*"))


def test_what_was_made_with_other_settings_is_not_taken(folder, encoded):
    with pytest.raises(KeyboardInterrupt):
        run_stage("embeddings", folder, PLAIN, stopped_after(8))
    encoded.clear()
    other = with_overrides(PLAIN, {"embeddings.logmel.n_mels": 64})
    run_stage("embeddings", folder, other)
    assert sum(encoded) == CLIPS
    array = np.load(folder.stage("embeddings") / "logmel" / "pooled.npy")
    assert array.shape[1] == 64
    assert not list((folder.data_root / "cache" / "embeddings").glob("*"))
