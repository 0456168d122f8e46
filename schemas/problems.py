"""A problem in what a customer sent: where it is, what is wrong, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from schemas.texts import Language, read_texts

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["refusal", "error", "warning"]
Value = str | int | float | Sequence[str]

LONGEST_VALUE = 200
"""Characters of a customer's cell that are kept: a longer one would fill the page that tells of it."""


class Told(NamedTuple):
    """The two sentences of a problem in one language."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class Problem:
    """One finding about a package.

    ``severity`` says what it costs: ``refusal`` the whole package, ``error`` this row or recording
    (it is set aside and the rest goes on), ``warning`` nothing.
    ``code`` names the sentences in ``schemas/texts/problems.*.toml``, or in ``signals.*.toml`` where it begins
    with ``signal_``, and ``values`` fills their gaps.
    ``row`` is the row as Excel numbers it (the header is row 1), ``letter`` and ``header`` the column as
    Excel and the customer call it, ``column`` as the contract does; ``file`` is a path inside the zip.
    """

    severity: Severity
    code: str
    values: Mapping[str, Value] = field(default_factory=dict)
    row: int | None = None
    column: str | None = None
    value: str | None = None
    file: str | None = None
    letter: str | None = None
    header: str | None = None

    @classmethod
    def said(cls, severity: Severity, problem: str, remedy: str, **place: Any) -> Problem:
        """A problem that exists as two sentences only; they are told alike in every language."""
        return cls(severity, "said", {"problem": problem, "remedy": remedy}, **place)

    def told(self, language: Language) -> Told:
        """What is wrong and how to mend it.

        Raises:
            KeyError: no text has this code, or the text has a gap that ``values`` does not fill.
        """
        texts = read_texts("problems", language)
        topic = read_texts("signals", language) if self.code.startswith("signal_") else texts
        words = topic["problems"][self.code]
        shown = {**self.values, **_choices_worded(self, language)}
        values = {name: _worded(name, value, texts) for name, value in shown.items()}
        return Told(words["problem"].format_map(values), words["remedy"].format_map(values))

    @property
    def problem(self) -> str:
        """What is wrong, in English."""
        return self.told("en").problem

    @property
    def remedy(self) -> str:
        """How to mend it, in English."""
        return self.told("en").remedy

    def place(self, language: Language) -> str:
        """Row, column and file in words; empty where none is known."""
        words = read_texts("problems", language)["words"]
        parts = [
            words["row"].format(row=self.row) if self.row is not None else "",
            words["column"].format(column=self.named_column(language)) if self.column else "",
            self.file or "",
        ]
        return ", ".join(part for part in parts if part)

    def named_column(self, language: Language) -> str:
        """The column as Excel shows it, with the customer's header; else as the contract calls it."""
        if not self.letter:
            return self.column or ""
        words = read_texts("problems", language)["words"]
        named: str = words["named"].format(letter=self.letter, header=self.header or self.column or "")
        return named

    def __str__(self) -> str:
        place = self.place("en")
        return f"{place}: {self.problem} {self.remedy}" if place else f"{self.problem} {self.remedy}"


PROBLEM_COLUMNS = (
    "row",
    "letter",
    "header",
    "column",
    "value",
    "file",
    "severity",
    "problem",
    "remedy",
    "code",
    "values",
)


def problems_frame(problems: Sequence[Problem], language: Language = "en") -> pd.DataFrame:
    """The problems as a table in the order of ``PROBLEM_COLUMNS``, rows as nullable integers.

    ``problem`` and ``remedy`` are in the language; ``code`` and ``values`` (JSON) tell them in any other.
    """
    import pandas as pd

    frame = pd.DataFrame([_record(problem, language) for problem in problems], columns=list(PROBLEM_COLUMNS))
    return frame.astype({"row": "Int64"})


def problems_of(frame: pd.DataFrame) -> list[Problem]:
    """The problems of a table of texts that ``problems_frame`` made, or an earlier version without codes."""
    return [_problem(record) for record in frame.to_dict("records")]


def as_values(values: Mapping[str, Value]) -> str:
    """The values of a problem as JSON text."""
    return json.dumps(dict(values), ensure_ascii=False, sort_keys=True)


def shortened(text: str) -> str:
    """A customer's text, cut where it is longer than anybody would read."""
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _worded(name: str, value: Value, texts: Mapping[str, Any]) -> Any:
    """A value as the sentence takes it: some are keys of texts themselves, lists are joined."""
    if name in ("why", "what"):
        return texts["phrases"].get(value, value)
    if name == "meaning":
        return texts["columns"][value]
    if name == "more":
        return texts["words"]["more"].format(count=value) if value else ""
    return value if isinstance(value, str | int | float) else ", ".join(value)


def _choices_worded(problem: Problem, language: Language) -> dict[str, Value]:
    """The values to choose from as the drop-downs of the form have them, beside the contract's own."""
    if not problem.code.startswith("value_unknown"):
        return {}
    words = read_texts("form", language)["sheet"]["values"].get(problem.column, {})

    def worded(value: str) -> str:
        word = words.get(value, value)
        return value if word == value else f"{word}({value})"

    allowed, near = problem.values.get("allowed", ()), problem.values.get("near")
    return {
        "allowed": [worded(value) for value in allowed] if isinstance(allowed, Sequence) else allowed,
        **({"near": worded(near)} if isinstance(near, str) else {}),
    }


def _record(problem: Problem, language: Language) -> dict[str, Any]:
    told = problem.told(language)
    return {
        "row": problem.row,
        "letter": problem.letter,
        "header": problem.header,
        "column": problem.column,
        "value": problem.value,
        "file": problem.file,
        "severity": problem.severity,
        "problem": told.problem,
        "remedy": told.remedy,
        "code": problem.code,
        "values": as_values(problem.values),
    }


def _problem(record: Mapping[Any, Any]) -> Problem:
    place = {name: record.get(name) or None for name in ("column", "value", "file", "letter", "header")}
    row = int(record["row"]) if record["row"] else None
    if not record.get("code"):
        return Problem.said(record["severity"], record["problem"], record["remedy"], row=row, **place)
    return Problem(record["severity"], record["code"], json.loads(record["values"]), row=row, **place)
