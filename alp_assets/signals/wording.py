"""The sentences of problems with signals."""

from __future__ import annotations

from schemas.problems import Problem, Told
from schemas.texts import Language, read_texts


def told(problem: Problem, language: Language = "en") -> Told:
    """What is wrong and how to mend it; ``KeyError`` where no text of signals has the problem's code."""
    words = read_texts("signals", language)["problems"][problem.code]
    values = {
        name: value if isinstance(value, str | int | float) else ", ".join(value)
        for name, value in problem.values.items()
    }
    return Told(words["problem"].format_map(values), words["remedy"].format_map(values))
