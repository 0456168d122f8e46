"""Who works on what: quick models, slow encoders and checks of packages each have processes of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.params import Params
from alp_assets.web.problems import Problem, busy
from alp_assets.web.workers.asked import Job, Look, Start
from alp_assets.web.workers.pool import Pool, Terms, WorkerLost, WorkerTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable

QUICK_ENCODERS = frozenset({"logmel", "alp_conv", "descriptors"})
_CHECKS_WAITING = 20


class Desk:
    """The worker processes of a server."""

    def __init__(self, data_root: Path, params: Params) -> None:
        web = params.web
        diagnosing = "alp_assets.web.workers.diagnosing.answer"
        start = Start(data_root, params, web.cache_bytes)
        cores = web.quick_workers or len(os.sched_getaffinity(0))
        self.quick = Pool(
            Terms("quick", cores, web.quick_queue, web.quick_seconds, web.quick_memory_bytes), diagnosing, start
        )
        self.slow = Pool(
            Terms("slow", 1, web.slow_queue, web.slow_seconds, web.slow_memory_bytes, patient=True),
            diagnosing,
            start,
        )
        checking = "alp_assets.web.workers.checking.answer"
        self.checks = Pool(
            Terms("check", 1, _CHECKS_WAITING, web.check_seconds, web.check_memory_bytes, once=True, patient=True),
            checking,
            params,
        )
        # a look at an archive's rules is short, and must not wait for somebody's check of an hour
        self.rules = Pool(
            Terms("rules", 1, _CHECKS_WAITING, web.check_seconds, web.check_memory_bytes, once=True, patient=True),
            checking,
            params,
        )

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All of them."""
        return self.quick, self.slow, self.checks, self.rules

    async def diagnose(self, job: Job) -> bytes:
        """The diagnosis as JSON.

        Raises:
            Problem: whatever prevents one, with the reason.
        """
        pool = self.quick if all(map(_is_quick, job.looks)) else self.slow
        return unpacked(await answered(pool, job, "Send the recording again; if it fails again, it is at fault."))

    def warm(self) -> None:
        """Start the quick workers."""
        self.quick.warm()

    def close(self) -> None:
        """End all workers."""
        for pool in self.pools:
            pool.close()


async def answered(pool: Pool, argument: Any, remedy: str) -> bytes:
    """What a pool's worker answers; ``Problem`` when it died or took too long."""
    try:
        return await pool.run(argument)
    except WorkerLost as error:
        raise Problem("worker-lost", "The process that worked on it ended unexpectedly.", remedy=remedy) from error
    except WorkerTimeout as error:
        raise Problem("timeout", f"It was {error}.", remedy=remedy) from error


def unpacked(answer: bytes) -> bytes:
    """The good part of a worker's answer; ``Problem`` when it is none."""
    if answer[:1] == b"+":
        return answer[1:]
    told = json.loads(answer[1:])
    if told["kind"] == "busy":
        raise busy(told["detail"], 5)
    raise Problem(told["kind"], told["detail"], **told["more"])


def encoders_of(looks: Iterable[Look]) -> set[str]:
    """The encoders that models were fitted with; second opinions have quick ones of their own."""
    return {look.version.encoder for look in looks if not look.second}


def _is_quick(look: Look) -> bool:
    return encoders_of([look]) <= QUICK_ENCODERS
