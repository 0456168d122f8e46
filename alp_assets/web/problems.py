"""Errors as ``application/problem+json`` (RFC 9457): what went wrong, in words, and what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from alp_assets.errors import (
    AlpError,
    ArchiveRefused,
    AudioUnreadable,
    EngineUnfit,
    ModelCorrupt,
    ModelUnsuited,
    NameRefused,
    PackageBusy,
    StageMissing,
    UploadConflict,
    WeightsMissing,
)
from alp_assets.registry.records import ModelMissing, RegistryAway, RegistryRefused
from alp_assets.web.keys import KeysUnreadable

API = "/api/v1"
MEDIA_TYPE = "application/problem+json"

TITLES: dict[str, tuple[int, str]] = {
    "sign-in-needed": (401, "Sign in first"),
    "wrong-key": (401, "The key is not accepted"),
    "expired": (401, "The key or session is over"),
    "forbidden": (403, "Not allowed"),
    "cross-site": (403, "Request from another site"),
    "not-found": (404, "Not found"),
    "model-missing": (404, "No such model"),
    "package-missing": (404, "No such package"),
    "method-not-allowed": (405, "Method not allowed"),
    "conflict": (409, "Conflict"),
    "check-first": (409, "Check the package first"),
    "model-archived": (409, "The model is archived"),
    "model-unsuited": (409, "The model cannot be used here"),
    "length-needed": (411, "Length needed"),
    "tus-version": (412, "Another version of tus"),
    "too-large": (413, "Too large"),
    "wrong-content-type": (415, "Wrong content type"),
    "wrong-host": (421, "Another host"),
    "invalid": (422, "The request cannot be used"),
    "audio-unusable": (422, "The recording cannot be used"),
    "archive-refused": (422, "The zip cannot be taken"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Something broke"),
    "model-corrupt": (503, "The model is damaged"),
    "weights-missing": (503, "The encoder's weights are missing"),
    "busy": (503, "Busy"),
    "worker-lost": (503, "The analysis ended unexpectedly"),
    "timeout": (503, "The analysis took too long"),
    "disk-full": (507, "No room"),
}
"""Every kind of error: its status and title."""

_OF_STATUS = {
    400: "invalid",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "wrong-content-type",
}

_OF_ERROR: tuple[tuple[type[AlpError], str], ...] = (
    (ModelMissing, "model-missing"),
    (RegistryRefused, "conflict"),
    (ModelCorrupt, "model-corrupt"),
    (ModelUnsuited, "model-unsuited"),
    (WeightsMissing, "weights-missing"),
    (EngineUnfit, "model-unsuited"),
    (AudioUnreadable, "audio-unusable"),
    (ArchiveRefused, "archive-refused"),
    (NameRefused, "invalid"),
    (UploadConflict, "conflict"),
    (PackageBusy, "conflict"),
    (StageMissing, "not-found"),
)

_log = logging.getLogger(__name__)


class Problem(HTTPException):
    """An error of a kind in ``TITLES``; ``more`` are further members of its JSON."""

    def __init__(self, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(TITLES[kind][0], detail, dict(headers or {}))
        self.kind, self.more = kind, more


def busy(detail: str, seconds: int, kind: str = "busy") -> Problem:
    """A refusal for now, with the time after which it is worth asking again."""
    return Problem(kind, detail, headers={"Retry-After": str(seconds)}, retry_after_s=seconds)


def problem_of(error: AlpError) -> Problem:
    """An error that ALP raised on purpose, as a problem of its kind; by default the request is at fault."""
    kind = next((kind for known, kind in _OF_ERROR if isinstance(error, known)), "invalid")
    return Problem(kind, str(error))


def respond(request: Request, problem: Problem) -> Response:
    """The answer that tells of a problem; pages of the console get one that people can read."""
    status, title = TITLES[problem.kind]
    page = getattr(request.app.state, "console_error", None)
    if page is not None and not request.url.path.startswith("/api/"):
        shown: Response = page(request, status, title, str(problem.detail))
        return shown
    # where the server keeps its data is nobody's business
    detail = str(problem.detail).replace(f"{request.app.state.services.data_root}/", "")
    body = {
        "type": f"{API}/problems/{problem.kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **problem.more,
    }
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    return Response(text, status, {**(problem.headers or {})}, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let every error that is raised on purpose be told as a problem; ``crash`` is for the others."""

    @app.exception_handler(HTTPException)
    async def raised(request: Request, error: HTTPException) -> Response:
        return respond(request, error if isinstance(error, Problem) else _of_http(error))

    @app.exception_handler(RequestValidationError)
    async def refused(request: Request, error: RequestValidationError) -> Response:
        return respond(request, _of_validation(error))

    @app.exception_handler(RegistryAway)
    @app.exception_handler(OperationalError)
    async def unanswered(request: Request, error: RegistryAway | OperationalError) -> Response:
        _log.error("the registry's database does not answer: %s", error)
        return respond(request, busy("The registry's database does not answer.", 10))

    @app.exception_handler(KeysUnreadable)
    async def locked(request: Request, error: KeysUnreadable) -> Response:
        return respond(request, crash(request, error))

    @app.exception_handler(AlpError)
    async def told(request: Request, error: AlpError) -> Response:
        return respond(request, problem_of(error))


def crash(request: Request, error: Exception) -> Problem:
    """The problem of an error that nobody meant. Its trace goes to the log alone."""
    _log.error("%s %s broke", request.method, request.url.path, exc_info=error)
    return Problem("internal", "The server's log says what happened.")


def _of_http(error: HTTPException) -> Problem:
    kind = _OF_STATUS.get(error.status_code, "invalid" if error.status_code < 500 else "internal")
    return Problem(kind, str(error.detail), headers=error.headers)


def _of_validation(error: RequestValidationError) -> Problem:
    found = [
        {"where": ".".join(map(str, item["loc"])), "message": str(item["msg"]).removeprefix("Value error, ")}
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['where']}: {item['message']}" for item in found)
    return Problem("invalid", detail, errors=found)
