"""Prometheus metrics of a data root, read when they are asked for.

Labels are few words each: states, stages, outcomes, gates, kinds of failures. Only the days since a customer's
last package carry a customer's name, for the ``MOST_CUSTOMERS`` that are silent longest relative to what is usual.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from alp_assets.params import Params
from alp_assets.version import code_version
from alp_assets.watch.ledger import BUCKETS_S, KINDS, Ledger, Seconds, Sums
from alp_assets.watch.look import PARTS, Look, Looker
from alp_assets.watch.packages import Package
from alp_assets.watch.runs import QUEUED

MOST_CUSTOMERS = 100
_KEEP_S = 5.0
_PATIENCE_S = 2.0

_log = logging.getLogger(__name__)


class StateCollector(Collector):
    """Tells Prometheus the state of a data root. What it found is kept for a few seconds."""

    def __init__(self, data_root: Path, params: Params, keep_s: float = _KEEP_S) -> None:
        self._looker = Looker(data_root, params, keep_s, promises=True)
        self._ledger = Ledger(data_root)
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="alp-ledger")
        self._reading: Future[Sums] | None = None
        self._sums, self._due, self._failed = self._ledger.known(), 0.0, False

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry must not read the data root to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        look = self._looker.look()
        sums = self._ended_runs(look)
        yield _gauge("alp_build_info", "Which ALP this is.", "version", {code_version(): 1})
        yield from _packages(look)
        yield from _alarms(look)
        yield from _customers(look)
        yield from _rest(look, ledger_failed=self._failed)
        yield from _ended(sums)

    def close(self) -> None:
        """Let go of Dagster's instance."""
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._ledger.close()

    def _ended_runs(self, look: Look) -> Sums:
        """The sums as they are known. Reading on goes on beside the scrape, which waits for it a moment only."""
        with self._lock:
            if self._reading is None and time.monotonic() >= self._due:
                by_key: Mapping[str, Package] = {package.key: package for package in look.packages}
                self._reading = self._reader.submit(self._ledger.advance, by_key)
            if self._reading is not None:
                self._take(self._reading)
            return self._sums

    def _take(self, reading: Future[Sums]) -> None:
        try:
            self._sums, self._failed = reading.result(_PATIENCE_S), False
        except TimeoutError:
            return  # importing Dagster takes seconds: the next scrape has it
        except Exception:  # whatever Dagster's storage raises, the rest is still worth telling
            _log.warning("the ended runs cannot be read", exc_info=True)
            self._failed = True
        self._reading, self._due = None, time.monotonic() + self._keep_s


def _packages(look: Look) -> Iterator[Metric]:
    yield _gauge("alp_packages", "Packages by state.", "state", look.by_state)
    gates: dict[tuple[str, str], int] = {}
    for package in look.packages:
        for gate in package.gates:
            gates[gate] = gates.get(gate, 0) + 1
    family = GaugeMetricFamily(
        "alp_package_gates", "Packages that a gate warned of or failed.", labels=["gate", "status"]
    )
    for labels, count in sorted(gates.items()):
        family.add_metric(labels, count)
    yield family
    going = [run.status for run in look.runs.going]
    queued = sum(status in QUEUED for status in going)
    yield _gauge(
        "alp_runs_going", "Runs that have not ended.", "state", {"queued": queued, "started": len(going) - queued}
    )
    yield _one("alp_queue_age_seconds", "How long the oldest waiting package has waited.", look.queue_age_s)


def _alarms(look: Look) -> Iterator[Metric]:
    alarms = [package.alarms for package in look.packages]
    yield _one("alp_test_clips", "Scored test clips of all packages.", sum(item.clips for item in alarms))
    yield _one("alp_alarms", "Test clips above their threshold.", sum(item.flagged for item in alarms))
    yield _one("alp_unseen_normals", "Test clips labelled normal.", sum(item.normals for item in alarms))
    yield _one(
        "alp_false_alarms_promised",
        "Unseen normals that the thresholds promised at most to ring.",
        sum(item.promised for item in alarms),
    )
    yield _one("alp_false_alarms_observed", "Unseen normals that rang.", sum(item.observed for item in alarms))


def _customers(look: Look) -> Iterator[Metric]:
    yield _one("alp_customers", "Customers who have sent a package.", len(look.customers))
    yield _one("alp_customers_overdue", "Customers who are silent for too long.", len(look.overdue))
    silent = {item.customer: item.silent_days for item in look.customers[:MOST_CUSTOMERS]}
    yield _gauge("alp_customer_silent_days", "Days since a customer's last package.", "customer", silent)


def _rest(look: Look, *, ledger_failed: bool) -> Iterator[Metric]:
    total, free, taken = look.disk
    yield _gauge("alp_models", "Registered model versions by state.", "state", look.models)
    yield _one("alp_disk_bytes", "Size of the disk that holds the data root.", total)
    yield _one("alp_disk_free_bytes", "What is free of it.", free)
    yield _one("alp_packages_bytes", "What the packages' stages say they take.", taken)
    yield _gauge("alp_notices", "Notices by what became of them.", "state", asdict(look.notices))
    unread = {part: int(part in look.problems) for part in PARTS}
    unread["dagster"] |= int(ledger_failed)
    yield _gauge("alp_unreadable", "1 where a part of the state cannot be read.", "part", unread)
    yield _one("alp_look_seconds", "How long the last look at the data root took.", look.seconds)


def _ended(sums: Sums) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "alp_stage_seconds", "Seconds that a stage took, of every ended run.", labels=["stage"]
    )
    for stage, taken in sorted(sums.stages.items()):
        seconds.add_metric([stage], _buckets(taken), taken.total)
    yield seconds
    yield _counter("alp_stage_clips", "Clips of the packages that got through a stage.", "stage", sums.clips)
    outcomes = {name: sums.runs.get(name, 0) for name in ("success", "failure", "canceled")}
    yield _counter("alp_runs", "Ended runs by outcome.", "outcome", outcomes)
    yield _counter("alp_failures", "Failed runs by kind.", "kind", {**dict.fromkeys(KINDS, 0), **sums.failures})
    if sums.clips_per_second is not None:
        yield _one(
            "alp_clips_per_second", "Clips over seconds of the last runs of all stages.", sums.clips_per_second
        )


def _buckets(seconds: Seconds) -> list[tuple[str, float]]:
    total, found = 0, []
    for bound, count in zip((*BUCKETS_S, float("inf")), seconds.counts, strict=True):
        total += count
        found.append((floatToGoString(bound), float(total)))  # type: ignore[no-untyped-call]
    return found


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
