"""Worker processes: bounded, replaced when they die or hang, and never waited for in vain."""

from __future__ import annotations

import asyncio
import time

import pytest

from alp_assets.web.problems import Problem
from alp_assets.web.workers.pool import Pool, Terms, WorkerLost, WorkerTimeout
from tests.web.conftest import in_a_loop

JOB = "tests.web.jobs.answer"


@pytest.fixture
def pool():
    made = []

    def make(workers=1, waiting=0, seconds=20.0, once=False):
        made.append(Pool(Terms("test", workers, waiting, seconds, 1 << 30, once), JOB))
        return made[-1]

    yield make
    for item in made:
        item.close()


def ask(pool, argument):
    return in_a_loop(pool.run(argument))


def test_a_process_stays_and_a_dead_one_is_replaced(pool):
    workers = pool()
    first, second = ask(workers, "a").split(), ask(workers, "b").split()
    assert first[0] == second[0]
    assert (first[1], second[1]) == (b"1", b"2")
    with pytest.raises(WorkerLost):
        ask(workers, "die")
    assert ask(workers, "c").split()[0] != first[0]


def test_a_stuck_one_is_ended_in_time(pool):
    workers = pool(seconds=0.5)
    ask(workers, "a")
    began = time.monotonic()
    with pytest.raises(WorkerTimeout):
        ask(workers, "hang")
    assert time.monotonic() - began < 60
    assert ask(workers, "b")
    assert len(workers.process_ids) == 1


def test_memory_is_bounded(pool):
    assert ask(pool(), "eat") == b"full"


def test_of_too_many_the_last_are_told_to_come_back(pool):
    workers = pool(waiting=1)

    async def three():
        return await asyncio.gather(*(workers.run("slow") for _ in range(3)), return_exceptions=True)

    answers = in_a_loop(three())
    refused = [item for item in answers if isinstance(item, Problem)]
    assert len(refused) == 1
    assert refused[0].status_code == 503
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert workers.inside == 0


def test_a_pool_for_single_use_keeps_no_process(pool):
    workers = pool(once=True)
    assert ask(workers, "a").split()[0] != ask(workers, "b").split()[0]
    assert workers.process_ids == []


def test_closing_ends_the_processes(pool):
    workers = pool()
    ask(workers, "a")
    workers.close()
    assert workers.process_ids == []


def test_closing_does_not_wait_for_a_process_that_starts(pool):
    workers = pool()
    workers.warm()
    time.sleep(0.1)
    began = time.monotonic()
    workers.close()
    assert time.monotonic() - began < 60
    assert workers.process_ids == []
