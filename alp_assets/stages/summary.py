"""What a stage tells of its work: figures, small tables, and the gates that the package passed or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Figure = int | float | str
Status = Literal["passed", "warned", "failed"]


def counted(number: int, noun: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


@dataclass(frozen=True)
class Gate:
    """One requirement. ``failed`` stops the package, ``warned`` is told and the work goes on."""

    name: str
    status: Status
    text: str
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The small result of a stage; drivers show it each in their own way."""

    stage: str
    figures: Mapping[str, Figure]
    gates: tuple[Gate, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether later stages may work on the package."""
        return all(gate.status != "failed" for gate in self.gates)

    def as_json(self) -> dict[str, Any]:
        """Everything but the tables, which stand in files of their own."""
        return {
            "stage": self.stage,
            "figures": dict(self.figures),
            "gates": [asdict(gate) for gate in self.gates],
        }
