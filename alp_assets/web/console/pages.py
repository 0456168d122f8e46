"""The addresses of the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from alp_assets.web.console.language import keep_language, language_of
from alp_assets.web.console.templates import render_page
from alp_assets.web.sessions import COOKIE
from schemas.texts import read_texts

if TYPE_CHECKING:
    from alp_assets.web.services import Services

HOME = "/packages"


def console_router(services: Services) -> APIRouter:
    """Every page. Without a sign-in they lead to the sign-in page, and from there back."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    def page(request: Request, name: str, **data: str) -> Response:
        who = services.identity(request)
        if who is None:
            asked = {"next": _address(request)}
            over = {"why": "over"} if COOKIE in request.cookies else {}
            return RedirectResponse(f"/sign-in?{urlencode(asked | over)}", 303)
        return _page(request, name, who=who.name, via=who.via, data=data)

    @router.get("/")
    def home() -> Response:
        return RedirectResponse(HOME, 303)

    @router.get("/sign-in")
    def sign_in(request: Request) -> Response:
        leads_to = _own_address(request.query_params.get("next", ""))
        if services.identity(request) is not None:
            return RedirectResponse(leads_to, 303)
        over = request.query_params.get("why") == "over"
        return _page(request, "sign_in", who="", via="", over=over, data={"next": leads_to})

    @router.get("/language")
    def language(request: Request) -> Response:
        answer = RedirectResponse(_own_address(request.query_params.get("next", ""), doors=True), 303)
        wanted = request.query_params.get("language", "")
        keep_language(answer, wanted, secure=request.url.scheme == "https")
        return answer

    @router.get("/packages")
    def packages(request: Request) -> Response:
        return page(request, "packages")

    @router.get("/packages/{customer}/{package}")
    def package(request: Request, customer: str, package: str) -> Response:
        return page(request, "package", customer=customer, package=package)

    @router.get("/diagnose")
    def diagnose(request: Request) -> Response:
        return page(request, "diagnose")

    @router.get("/models")
    def models(request: Request) -> Response:
        return page(request, "models")

    @router.get("/models/section")
    def section(request: Request, section: str = "") -> Response:
        return page(request, "section", section=section)

    @router.get("/models/{model}")
    def model(request: Request, model: str) -> Response:
        return page(request, "model", model=model)

    @router.get("/threshold")
    def threshold(request: Request, model: str = "") -> Response:
        return page(request, "threshold", model=model)

    @router.get("/feedback")
    def feedback(request: Request, package: str = "") -> Response:
        return page(request, "feedback", package=package)

    return router


def console_error(request: Request, status: int, title: str, detail: str) -> Response:
    """A page that tells of an error, for addresses that are no page."""
    texts = read_texts("console", language_of(request))["failed"]
    told = texts["missing"] if status == 404 else detail or title
    return _page(request, "failed", status=status, who="", via="", told=told, data={})


def _page(request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
    language = language_of(request)
    content = render_page(name, language, {"address": _address(request), **values})
    return HTMLResponse(content, status, {"Cache-Control": "no-store", "Vary": "Accept-Language, Cookie"})


def _address(request: Request) -> str:
    """Path and query of a request."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{quote(request.url.path)}{query}"


def _own_address(wanted: str, *, doors: bool = False) -> str:
    """An address of this server to go on to; whatever could lead elsewhere becomes the home page.

    With ``doors`` it may be the sign-in page too.
    """
    refused = ("//", "/\\", "/language", "/api", *(() if doors else ("/sign-in",)))
    own = wanted.startswith("/") and not wanted.startswith(refused) and wanted.isprintable()
    return wanted if own else HOME
