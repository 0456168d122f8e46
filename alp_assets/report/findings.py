"""Problems put together for people: worst first, equal ones told once with the places where they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from schemas.problems import Problem, Severity, Told
from schemas.texts import Language, read_texts

if TYPE_CHECKING:
    import pandas as pd

GROUP_ABOVE = 200  # equal findings beyond this many are told in one line
MOST_LINES = 2_000  # a longer table would not open on a phone
MOST_GROUPS = 300
MOST_PLACES = 50

_ORDER: tuple[Severity, ...] = ("refusal", "error", "warning")
_RANGES_SHOWN = 6
_TABLE_ROWS = 20


@dataclass(frozen=True)
class Place:
    """Where a problem is: ``row`` and ``column`` as Excel shows them, what stands there, in which file.

    ``told`` are the sentences where those of the group's problems differ, else ``None``.
    """

    row: int | None
    column: str
    value: str
    file: str
    told: Told | None

    @property
    def known(self) -> bool:
        """Whether there is anything to say of it."""
        return self.row is not None or bool(self.column or self.value or self.file or self.told)


@dataclass(frozen=True)
class Group:
    """Problems of one kind in one column. ``rows`` is text such as ``2-4, 9``.

    ``problem`` or ``remedy`` is empty where the sentences differ from place to place; ``left_out`` places
    found no room.
    """

    severity: Severity
    cost: str
    code: str
    column: str
    problem: str
    remedy: str
    rows: str
    count: int
    places: tuple[Place, ...]
    left_out: int


@dataclass(frozen=True)
class Groups:
    """The groups to show, worst first, and how many problems found no room, of how many."""

    shown: tuple[Group, ...]
    left_out: int
    total: int


@dataclass(frozen=True)
class Finding:
    """One line of a table of problems: a single problem, or many equal ones.

    ``rows`` is text such as ``7`` or ``2-4, 9``; ``column`` is as Excel shows it; ``value`` and ``file`` are
    examples where ``count`` is more than 1.
    """

    cost: str
    severity: Severity
    rows: str
    column: str
    value: str
    file: str
    problem: str
    remedy: str
    count: int


@dataclass(frozen=True)
class Findings:
    """Lines to show, worst first, and how many problems found no room."""

    lines: tuple[Finding, ...]
    left_out: int
    total: int


def grouped(problems: Sequence[Problem], language: Language, *, most_places: int = MOST_PLACES) -> Groups:
    """Problems by kind and column, what stops the package first, then in the order of the rows."""
    kinds: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        key = (problem.severity, problem.code, problem.column or "")
        kinds.setdefault((*key, problem.problem) if problem.code == "said" else key, []).append(problem)
    groups = sorted(kinds.values(), key=lambda group: (_ORDER.index(group[0].severity), _first_row(group)))
    left_out = sum(len(group) for group in groups[MOST_GROUPS:])
    shown = tuple(_group(group, language, most_places) for group in groups[:MOST_GROUPS])
    return Groups(shown, left_out, len(problems))


def findings(problems: Sequence[Problem], language: Language = "en") -> Findings:
    """Problems as lines: what stops the package first, then in the order of the rows.

    More than ``GROUP_ABOVE`` problems that differ only in where they are become one line that counts them.
    """
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.severity, problem.column or "", *problem.told(language)), []).append(problem)
    groups: list[list[Problem]] = []
    for group in alike.values():
        groups.extend([group] if len(group) > GROUP_ABOVE else [[problem] for problem in group])
    groups.sort(key=lambda group: (_ORDER.index(group[0].severity), _first_row(group)))
    shown = groups[:MOST_LINES]
    left_out = sum(len(group) for group in groups[MOST_LINES:])
    return Findings(tuple(_line(group, language) for group in shown), left_out, len(problems))


def findings_table(problems: Sequence[Problem]) -> pd.DataFrame:
    """The first kinds of problems as a small English table: effect, how often, where, and the sentences."""
    import pandas as pd

    rows = [
        {
            "effect": group.cost,
            "count": group.count,
            "rows": group.rows,
            "column": group.column,
            "example": group.places[0].value or group.places[0].file,
            "problem": group.problem or _told_first(group).problem,
            "remedy": group.remedy or _told_first(group).remedy,
        }
        for group in grouped(problems, "en", most_places=1).shown[:_TABLE_ROWS]
    ]
    return pd.DataFrame(rows, columns=["effect", "count", "rows", "column", "example", "problem", "remedy"])


def costs(language: Language) -> dict[Severity, str]:
    """What a problem of each severity costs, in two words."""
    words = read_texts("letter", language)["costs"]
    return {severity: words[severity] for severity in _ORDER}


def _group(group: list[Problem], language: Language, most_places: int) -> Group:
    first = group[0]
    all_told = [problem.told(language) for problem in group]
    same_problem = len({told.problem for told in all_told}) == 1
    same_remedy = len({told.remedy for told in all_told}) == 1
    places = [
        Place(
            problem.row,
            problem.named_column(language),
            problem.value or "",
            problem.file or "",
            None if same_problem and same_remedy else told,
        )
        for problem, told in zip(group[:most_places], all_told, strict=False)
    ]
    return Group(
        severity=first.severity,
        cost=costs(language)[first.severity],
        code=first.code,
        column=first.named_column(language),
        problem=all_told[0].problem if same_problem else "",
        remedy=all_told[0].remedy if same_remedy else "",
        rows=_rows(group, language),
        count=len(group),
        places=tuple(places),
        left_out=len(group) - len(places),
    )


def _told_first(group: Group) -> Told:
    told = group.places[0].told
    assert told is not None
    return told


def _first_row(group: list[Problem]) -> int:
    return min((problem.row for problem in group if problem.row is not None), default=0)


def _line(group: list[Problem], language: Language) -> Finding:
    first = group[0]
    told = first.told(language)
    return Finding(
        cost=costs(language)[first.severity],
        severity=first.severity,
        rows=_rows(group, language),
        column=first.named_column(language),
        value=_example([problem.value for problem in group], language),
        file=_example([problem.file for problem in group], language),
        problem=told.problem,
        remedy=told.remedy,
        count=len(group),
    )


def _example(values: list[str | None], language: Language) -> str:
    """The one value that all share, or the first of several with a word on the others."""
    several = list(dict.fromkeys(value for value in values if value is not None))
    if len(several) < 2:
        return several[0] if several else ""
    return str(_words(language)["more_values"]).format(value=several[0], count=len(several) - 1)


def _rows(group: Iterable[Problem], language: Language) -> str:
    ordered = sorted({problem.row for problem in group if problem.row is not None})
    if not ordered:
        return ""
    breaks = [i for i, (a, b) in enumerate(pairwise(ordered), start=1) if b != a + 1]
    runs = [ordered[i:j] for i, j in pairwise([0, *breaks, len(ordered)])]
    told = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs[:_RANGES_SHOWN])
    left = sum(map(len, runs[_RANGES_SHOWN:]))
    return str(_words(language)["more_rows"]).format(rows=told, count=left) if left else told


def _words(language: Language) -> Any:
    return read_texts("letter", language)["findings"]
