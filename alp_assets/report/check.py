"""The preflight page: what to mend before a package is sent, and what would become of it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alp_assets.report import text
from alp_assets.report.findings import grouped
from schemas.problems import Problem
from schemas.texts import Language, read_texts


@dataclass(frozen=True)
class MachineRow:
    """A machine's line on the page, in the language of the page. ``able`` says whether it can be watched."""

    name: str
    able: bool
    state: str
    usable: str
    normals: str
    engine: str
    why: str


@dataclass(frozen=True)
class CheckView:
    """What the page shows, in its language. ``verdict`` is ok, problems or refused."""

    archive: str
    verdict: str
    headline: str
    lead: str
    reasons: Sequence[str]
    machines: Sequence[MachineRow]
    problems: Sequence[Problem]


def render_check(view: CheckView, language: Language) -> str:
    """One HTML page that needs nothing beside itself. Whatever the customer wrote is escaped."""
    serious = sum(problem.severity != "warning" for problem in view.problems)
    values = {
        "language": language,
        "view": view,
        "groups": grouped(view.problems, language),
        "serious": serious,
        "warnings": len(view.problems) - serious,
        "words": read_texts("check", language),
        "shared": read_texts("letter", language),
    }
    return text.render("check.html.j2", values)
