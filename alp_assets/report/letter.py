"""The letter that a customer gets when a package is refused."""

from __future__ import annotations

from collections.abc import Sequence

from alp_assets.report import text
from alp_assets.report.findings import costs, grouped
from schemas.problems import Problem
from schemas.texts import Language, read_texts


def render_letter(
    customer: str,
    package: str,
    reasons: Sequence[str],
    problems: Sequence[Problem],
    language: Language = "en",
    full_list: str = "problems.csv",
) -> str:
    """One HTML page: the upload is kept, what was wrong in short, every problem, what to do next.

    ``reasons`` are short sentences in the language; ``full_list`` is the file beside the letter that has
    every problem, where the page has no room for all. Whatever the customer wrote is escaped.
    """
    values = {
        "language": language,
        "customer": customer,
        "package": package,
        "reasons": reasons,
        "groups": grouped(problems, language),
        "costs": costs(language),
        "words": read_texts("letter", language),
        "full_list": full_list,
    }
    return text.render("letter.html.j2", values)
