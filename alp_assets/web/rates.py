"""How often somebody may ask, by key and by address."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from alp_assets.params import WebParams
from alp_assets.web.problems import Problem, busy


class Rates:
    """Counts of the last minute, in memory."""

    def __init__(self, params: WebParams) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(_Memory())
        self._requests = RateLimitItemPerMinute(params.requests_per_minute)
        self._failures = RateLimitItemPerMinute(params.failed_sign_ins_per_minute)

    def count(self, kind: str, who: str) -> None:
        """Count a request of an address or a key; ``Problem`` when it is one too many."""
        if not self._limiter.hit(self._requests, kind, who):
            raise self._refused(self._requests, kind, who, "There were too many requests.")

    def count_failure(self, address: str) -> None:
        """Count a sign-in that failed; ``Problem`` when an address has had too many.

        Right keys still sign in from there: they cannot be guessed, and neighbours behind one address must
        not be able to shut each other out.
        """
        if not self._limiter.hit(self._failures, "failed", address):
            raise self._refused(self._failures, "failed", address, "There were too many failed sign-ins.")

    def refuse_after_failures(self, address: str) -> None:
        """``Problem`` for an address that has had too many failed sign-ins."""
        if not self._limiter.test(self._failures, "failed", address):
            raise self._refused(self._failures, "failed", address, "There were too many failed sign-ins.")

    def _refused(self, item: RateLimitItemPerMinute, kind: str, who: str, detail: str) -> Problem:
        reset = self._limiter.get_window_stats(item, kind, who).reset_time
        seconds = max(1, math.ceil(reset - time.time()))
        return busy(f"{detail} Ask again in {seconds} s.", seconds, "too-many-requests")


class _Memory(MemoryStorage):
    """The library's memory, which begins a thread to tidy up at nearly every count: here only at new keys."""

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        if key not in self.expirations:
            return super().incr(key, expiry, amount)
        with self.locks[key]:
            self.storage[key] += amount
            return self.storage[key]
