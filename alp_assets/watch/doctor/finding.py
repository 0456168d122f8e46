"""One finding of ``alp doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def collected(what: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of a look; one that breaks is a finding too, and the others go on."""
    try:
        return list(look())
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        return [problem(what, f"could not be looked at: {text}", "Set ALP_DEBUG=1 and run `alp doctor` again.")]
