"""The letter that a customer gets when a package is refused."""

from __future__ import annotations

from collections.abc import Sequence

from alp_assets.report import text
from schemas.problems import Problem


def render_letter(customer: str, package: str, reasons: Sequence[str], problems: Sequence[Problem]) -> str:
    """One HTML page: the upload is kept, what was wrong in short, every problem, what to do next.

    ``reasons`` are short sentences. More than 200 equal problems become one line that counts them; the
    full list is in ``problems.csv``. Whatever the customer wrote is escaped.
    """
    values = {
        "customer": customer,
        "package": package,
        "reasons": reasons,
        "findings": text.findings(problems),
        "costs": text.COSTS,
    }
    return text.render("letter.html.j2", values)
