"""The checklist of a machine type as one A4 page that needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from alp_assets.audio.standardize import CLIP_SECONDS, SAMPLE_RATE
from alp_assets.params import ModelParams, Params
from alp_assets.report.form.amounts import (
    LEAST_SIGNAL_RATE_HZ,
    SIGNAL_RATE_HZ,
    SIGNAL_SECONDS,
    Amount,
    amounts,
    megabytes,
    signal_amounts,
    signal_megabytes,
)
from alp_assets.report.form.fields import words_of
from schemas.form import CONTRACT_VERSION
from schemas.texts import Language, read_texts

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class _Row:
    """A line of the table of amounts, in words."""

    need: str
    label: str
    what: str
    amount: str
    size: str
    opens: str


def render_checklist(machine_type: str, language: Language, params: ModelParams) -> str:
    """The page as text. ``machine_type`` is a name of ``schemas.machines``."""
    texts = read_texts("form", language)
    machine = texts["machines"][machine_type]
    asked = amounts(params)
    gaps = {name: value for amount in asked if amount.name == "noise" for name, value in amount.gaps.items()}
    gaps |= {
        "machine": machine["name"],
        "distance": machine["distance"],
        "version": CONTRACT_VERSION,
        "rate_khz": f"{SAMPLE_RATE / 1000:g}",
        "clip_mb": f"{megabytes(CLIP_SECONDS):.2f}",
        "thousand_mb": f"{megabytes(1000 * CLIP_SECONDS):.0f}",
    }
    values = {
        "language": language,
        "page": _filled(texts["page"], gaps),
        "columns": texts["amounts"]["columns"],
        "rows": [
            _row(amount, texts["amounts"], f"{megabytes(amount.least_s):.1f}–{megabytes(amount.most_s):.1f}")
            for amount in asked
        ],
        "machine": machine,
        "steps": _filled(texts["steps"], gaps),
        "picture": _filled(texts["picture"], gaps),
    }
    return _environment().get_template("form.html.j2").render(values)


def render_signal_checklist(machine_type: str, language: Language, params: Params) -> str:
    """The page for motor current, flux and vibration as text."""
    texts = words_of(language, signals=True)
    machine, clip_points = texts["machines"][machine_type], params.signals.clip_points
    gaps = {
        "machine": machine["name"],
        "version": CONTRACT_VERSION,
        "rate_khz": f"{SIGNAL_RATE_HZ / 1000:g}",
        "least_khz": f"{LEAST_SIGNAL_RATE_HZ / 1000:g}",
        "points": f"{clip_points:,}",
        "clip_s": f"{clip_points / SIGNAL_RATE_HZ:.2g}",
        "each_s": f"{max(SIGNAL_SECONDS, math.ceil(clip_points / LEAST_SIGNAL_RATE_HZ))}",
    }
    values = {
        "language": language,
        "page": _filled(texts["page"], gaps),
        "columns": texts["amounts"]["columns"],
        "rows": [
            _row(
                amount,
                texts["amounts"],
                f"{signal_megabytes(amount.least_s):,.0f}–{signal_megabytes(amount.most_s):,.0f}",
            )
            for amount in signal_amounts(params)
        ],
        "machine": machine,
        "signals": _filled(texts["signals"], gaps),
    }
    return _environment().get_template("form_signals.html.j2").render(values)


def _row(amount: Amount, texts: Mapping[str, Any], size: str) -> _Row:
    words = _filled(texts[amount.name], amount.gaps)
    many = "opens_from" in words and amount.gaps.get("clips")
    return _Row(
        need=amount.need,
        label=texts["need"][amount.need],
        what=words["what"],
        amount=words["amount"],
        size=f"{size} MB",
        opens=words["opens_from" if many else "opens"],
    )


def _filled(texts: Any, gaps: Mapping[str, str]) -> Any:
    """Texts of any nesting with their gaps filled."""
    if isinstance(texts, str):
        return texts.format_map(gaps)
    if isinstance(texts, list):
        return [_filled(text, gaps) for text in texts]
    return {name: _filled(text, gaps) for name, text in texts.items()}


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("alp_assets.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
