"""Embedding in shards: what was done is kept, and however it was done the arrays are the same."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.errors import StoreFailed
from alp_assets.params import with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.shards import Arrays
from alp_assets.store.disk import Disk
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


def test_when_the_bucket_takes_nothing_the_shards_stay_for_the_next_run(folder, whole, encoded, monkeypatch):
    def refuse(*_):
        raise StoreFailed("s3://plant: cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(Disk, "publish", refuse)
        with pytest.raises(StoreFailed):
            run_stage("embeddings", folder, PLAIN)
    assert not folder.stage("embeddings").exists()
    assert sum(encoded) == CLIPS
    run_stage("embeddings", folder, PLAIN)
    assert sum(encoded) == CLIPS, "none is embedded twice"
    assert tree(folder.stage("embeddings")) == tree(whole.stage("embeddings"))
    assert not list((folder.data_root / "cache" / "embeddings").glob("*"))


def test_killed_once_it_was_published_the_folder_is_whole_and_stays_so(folder, whole, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("alp_assets.stages.unfinished.shutil", SimpleNamespace(rmtree=die))
        with pytest.raises(KeyboardInterrupt):
            run_stage("embeddings", folder, PLAIN)
    for params in (PLAIN, with_overrides(PLAIN, {"run.shard_clips": 3})):
        with pytest.raises(KeyboardInterrupt):
            run_stage("embeddings", folder, params, stopped_after(3))
        folder.prove("embeddings")
        assert tree(folder.stage("embeddings")) == tree(whole.stage("embeddings"))


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


def held(place):
    """A clip that is never loaded. Whoever waits for it says so."""
    (place / str(os.getpid())).touch()
    time.sleep(600)


def fill_for_ever(place):
    """Fill two arrays' rows, each in a process of its own, with clips that are never loaded."""
    (done := place / "done").mkdir()
    (waiting := place / "waiting").mkdir()
    again = partial(LogmelEncoder, PLAIN.embeddings.logmel)
    arrays = Arrays(place, done, again(), again, ["pooled"], 2)
    run = with_overrides(PLAIN, {"run.processes": 2, "run.shard_clips": 1}).run
    arrays.fill({row: partial(held, waiting) for row in range(2)}, run, lambda _: None)


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def within(seconds, happened):
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.05)
    return happened()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are told by /proc")
def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    code = f"""
        from pathlib import Path
        from tests.stages.test_shards import fill_for_ever
        if __name__ == "__main__":
            fill_for_ever(Path({str(tmp_path)!r}))
    """
    (script := tmp_path / "run.py").write_text(textwrap.dedent(code))
    parent = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    try:
        assert within(120, lambda: parent.poll() is not None or len(list((tmp_path / "waiting").glob("*"))) == 2)
    finally:
        parent.kill()
        parent.wait()
    pids = [int(path.name) for path in (tmp_path / "waiting").iterdir()]
    assert len(pids) == 2
    assert within(10, lambda: not any(map(alive, pids)))
