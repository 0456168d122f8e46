"""A problem in what a customer sent: where it is, what is wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["refusal", "error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One finding about a package.

    ``severity`` says what it costs: ``refusal`` the whole package, ``error`` this row or recording
    (it is set aside and the rest goes on), ``warning`` nothing.
    ``row`` is the row as Excel numbers it (the header is row 1); ``file`` is a path inside the zip.
    """

    severity: Severity
    problem: str
    remedy: str
    row: int | None = None
    column: str | None = None
    value: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        where = [
            f"row {self.row}" if self.row is not None else "",
            f"column {self.column}" if self.column else "",
            self.file or "",
        ]
        place = ", ".join(part for part in where if part)
        return f"{place}: {self.problem} {self.remedy}" if place else f"{self.problem} {self.remedy}"


PROBLEM_COLUMNS = ("row", "column", "value", "file", "severity", "problem", "remedy")
assert set(PROBLEM_COLUMNS) == {field.name for field in fields(Problem)}


def problems_frame(problems: list[Problem]) -> pd.DataFrame:
    """The problems as a table in the order of ``PROBLEM_COLUMNS``, rows as nullable integers."""
    import pandas as pd

    frame = pd.DataFrame([asdict(problem) for problem in problems], columns=list(PROBLEM_COLUMNS))
    return frame.astype({"row": "Int64"})
