"""What a drill is, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from drills.ground import Ground

Verdict = Literal["passed", "failed", "skipped"]


class DrillFailed(Exception):
    """What was seen is not what should be."""


class DrillSkipped(Exception):
    """This machine does not allow the drill. The text says what is missing."""


@dataclass(frozen=True)
class Drill:
    """A fault. ``work`` makes it, checks what must hold, and says what was seen.

    Attributes:
        name: small letters and hyphens; drills of one kind begin alike.
        done: what is done, for people.
        work: raises ``DrillFailed`` or ``DrillSkipped``; any other error counts as a failure too.
    """

    name: str
    done: str
    work: Callable[[Ground], str]


@dataclass(frozen=True)
class Result:
    """How a drill ended, after how many seconds, on which day (ISO) and machine."""

    drill: str
    done: str
    seen: str
    seconds: float
    verdict: Verdict
    date: str
    machine: str


def expect(holds: object, otherwise: str) -> None:
    """``DrillFailed`` unless something holds."""
    if not holds:
        raise DrillFailed(otherwise)


def chosen(drills: Sequence[Drill], names: Sequence[str]) -> list[Drill]:
    """The drills of some names, or whose names begin with one and a hyphen; all where none is given.

    Raises:
        KeyError: no drill is called so.
    """
    found: list[Drill] = []
    for name in names:
        some = [drill for drill in drills if drill.name == name or drill.name.startswith(f"{name}-")]
        if not some:
            raise KeyError(name)
        found += [drill for drill in some if drill not in found]
    return found if names else list(drills)
