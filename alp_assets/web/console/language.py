"""The language of a page: what the reader chose, else what the browser asks for, else English."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.texts import LANGUAGES, Language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_COOKIE = "alp_language"
_YEAR_S = 365 * 24 * 3600


def language_of(request: Request) -> Language:
    """The language to answer a request in."""
    return (
        _known(request.cookies.get(_COOKIE, "")) or _accepted(request.headers.get("accept-language", "")) or "en"
    )


def keep_language(response: Response, wanted: str, *, secure: bool) -> None:
    """Have the browser remember a choice; one that is no language of ours is not kept."""
    if language := _known(wanted):
        response.set_cookie(_COOKIE, language, max_age=_YEAR_S, samesite="lax", secure=secure, httponly=True)


def _accepted(header: str) -> Language | None:
    """The first known language of an Accept-Language header by its weights."""
    weighted = []
    for place, part in enumerate(header.split(",")):
        tag, _, weight = part.partition(";")
        try:
            value = float(weight.partition("=")[2] or 1)
        except ValueError:
            value = 0.0
        weighted.append((-value, place, tag.strip().lower().partition("-")[0]))
    wanted = (_known(tag) for weight, _, tag in sorted(weighted) if weight < 0)
    return next((language for language in wanted if language), None)


def _known(tag: str) -> Language | None:
    return next((language for language in LANGUAGES if language == tag), None)
