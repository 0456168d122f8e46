"""Filling in the templates of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from alp_assets.web.console.static import STATIC_URL
from schemas.texts import LANGUAGES, Language, read_texts

_EVERYWHERE = ("common", "problem", "state", "stage", "verdict", "metric", "event", "alarms")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("alp_assets.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static=STATIC_URL, languages=LANGUAGES)
    return made


def render_page(name: str, language: Language, values: Mapping[str, Any]) -> str:
    """The page of a template ``<name>.html.j2``.

    It sees all texts of the console as ``texts``; its script gets those of its own name and the shared ones.
    """
    texts = read_texts("console", language)
    return (
        _environment()
        .get_template(f"{name}.html.j2")
        .render(page=name, language=language, texts=texts, words=_words(name, language), **values)
    )


@cache
def _words(name: str, language: Language) -> dict[str, Any]:
    """The texts that a page's script speaks with."""
    texts = read_texts("console", language)
    own = {group: texts[group] for group in (*_EVERYWHERE, name) if group in texts}
    letter = read_texts("letter", language)
    return own | {
        "machine": read_texts("report", language)["machine"],
        "findings": letter["findings"],
        "costs": letter["costs"],
    }
