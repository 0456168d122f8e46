"""Which customers used to send packages and have been silent for too long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from alp_assets.watch.packages import Package
from alp_assets.watch_params import FreshnessParams
from schemas.sections import SLUG

DAY_S = 86_400.0


@dataclass(frozen=True)
class Freshness:
    """How long a customer has been silent.

    Attributes:
        customer: who.
        packages: how many arrived; ``last`` is when the last did, seconds since 1970.
        silent_days: since then.
        usual_days: median time between packages; ``None`` where too few tell.
        allowed_days: silent for longer is too long; ``None`` where nothing says how long that is.
    """

    customer: str
    packages: int
    last: float
    silent_days: float
    usual_days: float | None
    allowed_days: float | None

    @property
    def overdue(self) -> bool:
        """Whether the customer has been silent for too long."""
        return self.allowed_days is not None and self.silent_days > self.allowed_days


def freshness(packages: Iterable[Package], params: FreshnessParams, now: float) -> list[Freshness]:
    """Every customer who sent something, those that are silent for too long first.

    Packages that were refused count: somebody sent them. A folder of the inbox that is named as no customer can be
    is nobody's.
    """
    arrived: dict[str, list[float]] = defaultdict(list)
    for package in packages:
        if SLUG.fullmatch(package.customer):
            arrived[package.customer].append(package.received_at)
    found = [_of(customer, sorted(times), params, now) for customer, times in arrived.items()]
    return sorted(found, key=lambda item: (not item.overdue, -_excess(item), item.customer))


def _of(customer: str, times: list[float], params: FreshnessParams, now: float) -> Freshness:
    between = [later - earlier for earlier, later in pairwise(times)]
    usual = median(between) / DAY_S if len(times) >= params.least_packages else None
    allowed = None
    if params.max_days:
        allowed = params.max_days
    elif usual is not None and params.times_usual:
        # several packages on one day are a delivery in parts, and not a habit of sending every hour
        allowed = max(usual, 1.0) * params.times_usual
    silent = max(0.0, now - times[-1]) / DAY_S
    return Freshness(customer, len(times), times[-1], silent, usual, allowed)


def _excess(item: Freshness) -> float:
    return item.silent_days / item.allowed_days if item.allowed_days else 0.0
