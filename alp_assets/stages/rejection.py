"""What a refused package gets: a letter that says exactly what to mend, in ``rejected/``."""

from __future__ import annotations

import shutil

from alp_assets.files import write_bytes, write_csv
from alp_assets.report.letter import render_letter
from alp_assets.stages.metadata import PROBLEMS_FILE, read_problems
from alp_assets.stages.package import REJECTED, STAGES, PackageFolder
from alp_assets.stages.quality import read_quality, recording_problems
from schemas.problems import Problem, problems_frame

LETTER_FILE = "letter.html"


def reject(folder: PackageFolder) -> list[str]:
    """Write letter and list of problems of a package that failed a gate; returns the reasons."""
    reasons = failed_gates(folder)
    problems = known_problems(folder)
    with folder.publish(REJECTED) as part:
        page = render_letter(folder.customer, folder.package, reasons, problems)
        write_bytes(part / LETTER_FILE, page.encode())
        write_csv(part / PROBLEMS_FILE, problems_frame(problems), for_excel=True)
    return reasons


def withdraw(folder: PackageFolder) -> None:
    """Take back a rejection, because the package got through."""
    shutil.rmtree(folder.stage(REJECTED), ignore_errors=True)


def failed_gates(folder: PackageFolder) -> list[str]:
    """What the failed gates say, of the first stage that has any: later ones can only be of an earlier run."""
    for name in STAGES:
        gates = (folder.summary(name) or {"gates": []})["gates"]
        if failed := [gate["text"] for gate in gates if gate["status"] == "failed"]:
            return failed
    return []


def known_problems(folder: PackageFolder) -> list[Problem]:
    """Every problem of table and recordings that the stages that ran have found."""
    problems = read_problems(folder) if folder.summary("metadata") else []
    return problems + (recording_problems(read_quality(folder)) if folder.summary("quality") else [])
