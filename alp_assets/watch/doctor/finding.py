"""One finding of ``alp doctor``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from alp_assets.watch.redact import redact

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to do where that is not well."""

    what: str
    state: Verdict
    found: str
    fix: str = ""


def ok(what: str, found: str) -> Finding:
    """All is well."""
    return Finding(what, "ok", redact(found))


def warning(what: str, found: str, fix: str) -> Finding:
    """ALP works, but something is worse than it could be."""
    return Finding(what, "warning", redact(found), fix)


def problem(what: str, found: str, fix: str) -> Finding:
    """Something will fail."""
    return Finding(what, "problem", redact(found), fix)


def collected(looks: Mapping[str, Callable[[], Finding | Iterable[Finding]]]) -> list[Finding]:
    """The findings of looks, by what they look at; one that breaks is a finding too, and the others go on."""
    return [finding for what, look in looks.items() for finding in _findings(what, look)]


def _findings(what: str, look: Callable[[], Finding | Iterable[Finding]]) -> list[Finding]:
    try:
        found = look()
        return [found] if isinstance(found, Finding) else list(found)
    except Exception as error:
        if os.environ.get("ALP_DEBUG"):
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        fix = "Mend what the text names; `ALP_DEBUG=1 alp doctor` shows where it comes from."
        return [problem(what, f"could not be looked at ({text})", fix)]
