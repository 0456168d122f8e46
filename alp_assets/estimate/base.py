"""What every estimate holds, whatever is recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from alp_assets.errors import ParameterError

MOST = 1_000_000
MOST_RATE_HZ = 10_000_000


class SomePlan(Protocol):
    """What is to be recorded of some machines."""

    @property
    def machine_types(self) -> tuple[str, ...]:
        """Their kinds."""
        ...

    @property
    def machines(self) -> int:
        """All machines of all types."""
        ...


@dataclass(frozen=True)
class Amount:
    """Recordings in figures: standard clips (normal, noise), hours, bytes as recorded and standardised."""

    normal_clips: int
    noise_clips: int
    hours: float
    raw_bytes: int
    standard_bytes: int

    @property
    def clips(self) -> int:
        """All clips."""
        return self.normal_clips + self.noise_clips

    def times(self, count: int) -> Amount:
        """The same of so many machines."""
        return Amount(
            self.normal_clips * count,
            self.noise_clips * count,
            self.hours * count,
            self.raw_bytes * count,
            self.standard_bytes * count,
        )


@dataclass(frozen=True)
class Outlook:
    """Whether an engine could learn from a machine of the plan, and whether ``auto`` takes it."""

    engine: str
    letter: str
    possible: bool
    automatic: bool
    note: str


@dataclass(frozen=True)
class Estimate:
    """What a plan comes to. ``basis`` says where ``compute_s`` comes from, ``warnings`` what is wrong with it."""

    plan: SomePlan
    machine: Amount
    total: Amount
    encoder: str
    engines: tuple[Outlook, ...]
    compute_s: float
    basis: str
    warnings: tuple[str, ...]


def within(name: str, value: float, least: int, most: int, *, above: bool = False) -> None:
    """Refuse, as ``ParameterError``, a figure of a plan that is not within its bounds."""
    fits = math.isfinite(value) and (value > least if above else value >= least) and value <= most
    if not fits:
        word = "more than" if above else "at least"
        raise ParameterError(f"{name} is {value:g}; it must be {word} {least} and at most {most:,}.")
