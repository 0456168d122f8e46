"""What every estimate holds, whatever is recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alp_assets.audio.standardize import SAMPLE_RATE
from alp_assets.errors import ParameterError

MOST = 1_000_000
MOST_RATE_HZ = 10_000_000


@dataclass(frozen=True)
class SomePlan:
    """What is to be recorded of some machines. Counts are of one machine, but for ``machine_types``.

    Each condition is recorded for ``minutes`` in so many ``recordings`` of equal length, as normal running.

    Raises:
        ParameterError: a figure that no plan can have.
    """

    machine_types: tuple[str, ...]
    sections: int = 1
    conditions: int = 1
    minutes: float = 3.0
    recordings: int = 1
    sample_rate_hz: int = SAMPLE_RATE
    channels: int = 1

    def __post_init__(self) -> None:
        for name in ("sections", "conditions", "recordings", "channels"):
            within(name, getattr(self, name), 1, MOST)
        within("minutes", self.minutes, 0, MOST, above=True)
        within("sample_rate_hz", self.sample_rate_hz, 1, MOST_RATE_HZ)
        if not self.machine_types:
            raise ParameterError("The plan names no machine type.")

    @property
    def machines(self) -> int:
        """All machines of all types."""
        return self.sections * len(self.machine_types)


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
