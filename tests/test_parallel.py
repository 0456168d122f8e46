"""Many jobs on a few threads: in order, with bounded memory, and nothing swallowed."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alp_assets.parallel import ordered_map, process_map


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_are_in_the_order_of_the_items(threads):
    def work(i):
        time.sleep(0.001 * (i * 7 % 5))
        return i * i

    assert list(ordered_map(work, range(40), threads)) == [i * i for i in range(40)]


@pytest.mark.parametrize("threads", [1, 3])
def test_of_nothing_comes_nothing(threads):
    assert list(ordered_map(str, [], threads)) == []


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_work_at_the_same_time(threads):
    together = threading.Barrier(threads)
    assert list(ordered_map(lambda _: together.wait(5) >= 0, range(3 * threads), threads)) == [True] * 3 * threads


def test_no_more_threads_than_asked():
    running, most, lock = 0, 0, threading.Lock()

    def work(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(ordered_map(work, range(20), 3))
    assert 1 <= most <= 3


def test_one_thread_is_the_caller():
    assert set(ordered_map(lambda _: threading.get_ident(), range(3), 1)) == {threading.get_ident()}


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_endless_source_is_read_only_a_little_ahead(threads):
    read = []

    def source():
        for i in itertools.count(1):
            read.append(i)
            yield i

    results = ordered_map(lambda i: i, source(), threads)
    for expected in range(1, 51):
        assert next(results) == expected
        assert len(read) - expected <= 2 * threads
    results.close()
    assert len(read) <= 50 + 2 * threads


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_before_the_source_ends(threads):
    def source():
        yield from range(2 * threads)
        raise AssertionError("read on before the first result was taken")

    assert next(ordered_map(lambda i: i, source(), threads)) == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_out_where_its_item_was(threads):
    def work(i):
        if i == 5:
            raise LookupError("item 5")
        return i

    results = ordered_map(work, itertools.count(), threads)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(LookupError, match="item 5"):
        next(results)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_source_comes_out(threads):
    def source():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(ordered_map(lambda i: i, source(), threads))


def test_after_an_error_nothing_goes_on_in_the_background():
    done = []

    def work(i):
        if i == 0:
            raise LookupError
        time.sleep(0.005)
        done.append(i)

    with pytest.raises(LookupError):
        list(ordered_map(work, itertools.count(), 2))
    finished = len(done)
    time.sleep(0.03)
    assert len(done) == finished <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("alp")]


def test_a_caller_who_stops_early_stops_the_work():
    """Two threads are at work then; what still waits for one is never begun."""
    begun, release = [], threading.Event()

    def work(i):
        begun.append(i)
        if i:
            release.wait(5)

    results = ordered_map(work, itertools.count(), 2)
    next(results)
    while len(begun) < 3:
        time.sleep(0.001)
    threading.Timer(0.05, release.set).start()
    results.close()
    assert sorted(begun) == [0, 1, 2]


@pytest.mark.parametrize("count", [0, 1, 40])
def test_processes_give_their_results_in_order_too(count):
    assert list(process_map(abs, range(-count, 0), 2)) == list(range(count, 0, -1))


def test_an_error_in_a_process_is_raised():
    with pytest.raises(TypeError):
        list(process_map(len, [[1], 2], 2))


WAITS_FOR_EVER = """
import os, time
from pathlib import Path
from alp_assets.parallel import process_map

def wait(place):
    Path(place, str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    list(process_map(wait, [PLACE] * 32, 2))
"""


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    script = tmp_path / "waits.py"
    script.write_text(WAITS_FOR_EVER.replace("PLACE", repr(str(here))))
    parent = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert within(60, lambda: len(list(here.iterdir())) == 2)
    parent.kill()
    parent.wait()
    assert within(30, lambda: not any(Path("/proc", path.name).exists() for path in here.iterdir()))


def within(seconds, done):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
    return done()
