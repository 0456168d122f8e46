"""Problems of packages, and checks before they are sent, as JSON in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from schemas.texts import LANGUAGES, Language, read_texts

if TYPE_CHECKING:
    from alp_assets.params import Params
    from alp_assets.stages.preflight import Preflight, Prospect
    from schemas.problems import Problem

MOST_PROBLEMS = 500
_ORDER = ("refusal", "error", "warning")


def running(stage: str = "upload", done: int = 0, total: int = 0, unit: str = "") -> dict[str, Any]:
    """A check that is under way."""
    progress = {"stage": stage, "done": done, "total": total, "unit": unit}
    return {"state": "running", "progress": progress, "error": ""}


def failed(error: str) -> dict[str, Any]:
    """A check that could not be done."""
    return {"state": "failed", "progress": None, "error": error}


def found(result: Preflight, params: Params) -> dict[str, Any]:
    """A check that is done."""
    return {
        "state": "done",
        "progress": None,
        "error": "",
        "verdict": result.verdict,
        "recordings": {"sent": result.recordings, "usable": result.usable},
        "serious": result.serious,
        "reasons": {language: list(result.reasons[language]) for language in LANGUAGES},
        **listed(result.problems),
        "sections": [_prospect(prospect, params) for prospect in result.prospects],
    }


def listed(problems: Sequence[Problem]) -> dict[str, Any]:
    """The worst problems, and how many found no room."""
    ordered = sorted(problems, key=lambda item: (_ORDER.index(item.severity), item.row or 0))
    return {
        "problems": [problem(item) for item in ordered[:MOST_PROBLEMS]],
        "problems_left_out": max(0, len(ordered) - MOST_PROBLEMS),
    }


def problem(item: Problem) -> dict[str, Any]:
    """A problem with its place and its sentences."""
    return {
        "severity": item.severity,
        "code": item.code,
        "row": item.row,
        "column": item.column,
        "value": item.value,
        "file": item.file,
        "texts": {
            language: {**item.told(language)._asdict(), "column": item.named_column(language)}
            for language in LANGUAGES
        },
    }


def _prospect(prospect: Prospect, params: Params) -> dict[str, Any]:
    return {
        **asdict(prospect),
        "texts": {language: _prospect_texts(prospect, params, language) for language in LANGUAGES},
    }


def _prospect_texts(prospect: Prospect, params: Params, language: Language) -> dict[str, str]:
    words = read_texts("check", language)
    if prospect.state == "model":
        why = str(words["why"][prospect.why])
    else:
        count = prospect.source_normals + prospect.target_normals
        why = str(words["missing"][prospect.state]).format(count=count, least=params.models.min_normals)
    return {"state": str(words["state"][prospect.state]), "why": why}
