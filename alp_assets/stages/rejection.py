"""What a refused package gets: letters that say exactly what to mend, in ``rejected/``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alp_assets.files import write_bytes, write_csv
from alp_assets.report.findings import costs
from alp_assets.report.letter import render_letter
from alp_assets.stages.gate_texts import failure_text
from alp_assets.stages.metadata import PROBLEMS_FILE, read_problems
from alp_assets.stages.package import REJECTED, STAGES, PackageFolder
from alp_assets.stages.quality import quality_problems
from schemas.problems import Problem, problems_frame
from schemas.texts import LANGUAGES, Language, read_texts

LETTER_FILE = "letter.html"
LETTER_FILES: dict[Language, str] = {"en": LETTER_FILE, "ko": "letter.ko.html"}
LIST_FILES: dict[Language, str] = {"en": PROBLEMS_FILE, "ko": "problems.ko.csv"}


def reject(folder: PackageFolder) -> list[str]:
    """Write the letters and lists of problems of a package that failed a gate; returns the reasons.

    There is one letter and one list in each language, for the one that the customer reads.
    """
    problems = known_problems(folder)
    with folder.publish(REJECTED) as part:
        for language in LANGUAGES:
            reasons = refusal_reasons(folder, problems, language)
            full_list = LIST_FILES[language]
            page = render_letter(folder.customer, folder.package, reasons, problems, language, full_list)
            write_bytes(part / LETTER_FILES[language], page.encode())
            listed = problems_frame(problems, language)
            write_csv(
                part / full_list, listed if language == "en" else _translated(listed, language), for_excel=True
            )
    return failed_gates(folder)


def withdraw(folder: PackageFolder) -> None:
    """Take back a rejection, because the package got through."""
    folder.withdraw(REJECTED)


def failed_gates(folder: PackageFolder) -> list[str]:
    """What the failed gates say, of the first stage that has any: later ones can only be of an earlier run."""
    return [str(gate["text"]) for gate in _failed(folder)]


def refusal_reasons(folder: PackageFolder, problems: list[Problem], language: Language) -> list[str]:
    """The same in a language. What no gate of table and recordings says stays as the gate has it."""
    if language == "en":
        return failed_gates(folder)
    return [
        failure_text(gate["name"], gate["figures"], problems, language) or str(gate["text"])
        for gate in _failed(folder)
    ]


def known_problems(folder: PackageFolder) -> list[Problem]:
    """Every problem of table and recordings that the stages that ran have found."""
    problems = read_problems(folder) if folder.summary("metadata") else []
    return problems + (quality_problems(folder) if folder.summary("quality") else [])


def _failed(folder: PackageFolder) -> list[dict[str, Any]]:
    for name in STAGES:
        gates = (folder.summary(name) or {"gates": []})["gates"]
        if failed := [gate for gate in gates if gate["status"] == "failed"]:
            return failed
    return []


def _translated(listed: pd.DataFrame, language: Language) -> pd.DataFrame:
    """A list for people alone: headers and effects in their language, nothing for machines."""
    words = read_texts("letter", language)["list"]
    effects = listed["severity"].map({str(name): effect for name, effect in costs(language).items()})
    return listed.assign(severity=effects)[list(words)].rename(columns=words)
