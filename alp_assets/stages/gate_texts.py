"""What the gates of table and recordings say, in the language of whoever reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from alp_assets.stages.summary import Figure
from schemas.problems import Problem
from schemas.texts import Language, read_texts

_REFUSALS_TOLD = 3


def failure_text(gate: str, figures: Mapping[str, Figure], problems: Sequence[Problem], language: Language) -> str:
    """Why a package failed a gate, from the gate's figures and all known problems; ``""`` for other gates."""
    words = read_texts("letter", language)["gates"]
    if gate == "contract_holds":
        refusals = [problem for problem in problems if problem.severity == "refusal"]
        told = "; ".join(_with_place(problem, language) for problem in refusals[:_REFUSALS_TOLD])
        return told or str(words["no_row"])
    if gate == "audio_quality":
        text = str(words["no_normals"] if figures["usable"] else words["no_recording"]).format(**figures)
        common = most_often(problems, language)
        return text + str(words["most_often"]).format(problem=common) if common else text
    return str(words.get(gate, ""))


def most_often(problems: Sequence[Problem], language: Language) -> str:
    """The sentence that most recordings were set aside for; empty where none was."""
    first = {problem.row: problem for problem in reversed(problems) if problem.severity == "error"}
    counts = Counter(problem.told(language).problem for problem in reversed(first.values()))
    return counts.most_common(1)[0][0] if counts else ""


def _with_place(problem: Problem, language: Language) -> str:
    told, place = problem.told(language), problem.place(language)
    return f"{place}: {told.problem} {told.remedy}" if place else f"{told.problem} {told.remedy}"
