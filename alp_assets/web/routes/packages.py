"""Packages that have arrived: how far they are, what was found, reports and letters."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from alp_assets.stages.clips import clip_path, read_clips
from alp_assets.stages.package import REJECTED, PackageFolder
from alp_assets.web.guard import Shared, Viewer, customer_for, visible_package, visible_section
from alp_assets.web.problems import Problem, busy
from alp_assets.web.routes.answers import PACKAGE, shows
from alp_assets.web.services import Services
from alp_assets.web.views import packages as views
from alp_assets.web.views.models import finite

router = APIRouter(prefix="/packages", tags=["packages"])

PAGE_CSP = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; media-src data: blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""Reports hold what customers wrote: their pages get an origin of their own, without cookies and network."""

_KEPT = {"Cache-Control": "private, max-age=3600", "Vary": "Authorization, Cookie"}
"""A browser keeps clips, but not for whoever signs in there next."""

_POLL_S = 1.0
_HEARTBEAT_S = 15.0
_LONGEST_STREAM_S = 6 * 3600.0
_PATIENCE_S = 10.0
"""A stream of a package that is not going on is ended after this long, in case its run is about to begin."""

Language = Literal["en", "ko"]


@router.get("", responses=shows({"packages": [PACKAGE]}))
def list_packages(identity: Viewer, services: Shared, customer: str | None = None) -> JSONResponse:
    """The packages that one may see, newest first."""
    folders = views.packages_of(services.data_root, customer_for(identity, customer))
    runs = services.runs.all()
    found = [views.overview(folder, runs.last(folder.key)) for folder in folders]
    found.sort(key=lambda item: item["received_at"] or "", reverse=True)
    return JSONResponse({"packages": found})


@router.get("/{customer}/{package}", responses=shows({**PACKAGE, "stages": [], "problems": [], "run": None}))
def show(customer: str, package: str, identity: Viewer, services: Shared) -> JSONResponse:
    """A package with its stages, problems, machines and run."""
    folder = visible_package(services, identity, customer, package)
    return JSONResponse(views.details(folder, services.runs.last(folder), services.dagster_url))


@router.get("/{customer}/{package}/report", response_class=Response)
def report(customer: str, package: str, identity: Viewer, services: Shared, download: bool = False) -> Response:
    """The report, one page that needs nothing beside itself."""
    folder = visible_package(services, identity, customer, package)
    return _page(folder.file("report", views.REPORT_FILE), f"{customer}-{package}-report.html", download=download)


@router.get("/{customer}/{package}/letter", response_class=Response)
def letter(
    customer: str,
    package: str,
    identity: Viewer,
    services: Shared,
    lang: Language = "en",
    download: bool = False,
) -> Response:
    """The letter to the customer of a refused package."""
    from alp_assets.stages.rejection import LETTER_FILES

    folder = visible_package(services, identity, customer, package)
    path = folder.stage(REJECTED) / LETTER_FILES[lang]
    return _page(path, f"{customer}-{package}-letter.{lang}.html", download=download)


@router.get("/{customer}/{package}/problems.csv", response_class=Response)
def problems(customer: str, package: str, identity: Viewer, services: Shared, lang: Language = "en") -> Response:
    """The list of problems of a refused package, for Excel."""
    from alp_assets.stages.rejection import LIST_FILES

    folder = visible_package(services, identity, customer, package)
    path = folder.stage(REJECTED) / LIST_FILES[lang]
    _refuse_missing(path, "The package was not refused, so there is no list.")
    return FileResponse(path, media_type="text/csv", filename=f"{customer}-{package}-problems.{lang}.csv")


@router.get("/{customer}/{package}/clips", responses=shows({"clips": [], "total": 0}))
def clips(
    customer: str,
    package: str,
    identity: Viewer,
    services: Shared,
    section: str | None = None,
    decision: Literal["normal", "anomaly"] | None = None,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 500,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> JSONResponse:
    """The scored clips of a package, the highest scores first, with what people said of them."""
    from alp_assets.stages.scores import read_scores

    folder = visible_package(services, identity, customer, package)
    try:
        table = read_scores(folder)
    except FileNotFoundError as error:
        raise Problem("not-found", "The package has not been scored yet.") from error
    if section is not None:
        wanted = visible_section(identity, section)
        if wanted.customer != customer:
            raise Problem("not-found", f"{wanted} is no machine of {customer}.")
        table = table[(table["machine_type"] == wanted.machine_type) & (table["section_id"] == wanted.section_id)]
    if decision is not None:
        table = table[table["decision"] == decision]
    table = table.sort_values("score", ascending=False, kind="stable")
    said = {item.clip_id: item for item in services.models.labels(customer, package)}
    rows = [_clip(folder, row, said) for row in table.iloc[offset : offset + limit].to_dict("records")]
    return JSONResponse({"clips": rows, "total": len(table)})


@router.get("/{customer}/{package}/clips/audio", response_class=Response)
def clip_audio(customer: str, package: str, clip_id: str, identity: Viewer, services: Shared) -> Response:
    """A clip as WAV: mono, 16 kHz, 10 s."""
    folder = visible_package(services, identity, customer, package)
    missing = Problem("not-found", f"{customer}/{package} has no clip {clip_id}.")
    try:
        table = read_clips(folder)
    except OSError as error:
        raise missing from error
    found = table.loc[table["clip_id"] == clip_id, "path"]
    path = clip_path(folder, str(found.iloc[0])) if len(found) else None
    if (
        path is None
        or path.suffix != ".wav"
        or not path.is_file()
        or not path.resolve().is_relative_to(folder.path.resolve())
    ):
        raise missing
    return FileResponse(path, media_type="audio/wav", headers=_KEPT)


@router.get("/{customer}/{package}/events", response_class=StreamingResponse)
async def events(customer: str, package: str, identity: Viewer, services: Shared) -> StreamingResponse:
    """How far a package is, as server-sent events until its run has ended."""
    folder = visible_package(services, identity, customer, package)
    if services.open_streams >= services.params.web.streams:
        raise busy("Too many progress streams are open. Ask for the package itself instead.", 30)
    services.open_streams += 1
    return _Stream(services, _told(services, folder))


class _Stream(StreamingResponse):
    """A stream that is counted for as long as it is open, also where nobody reads it."""

    def __init__(self, services: Services, content: AsyncIterator[str]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._services = services

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._services.open_streams -= 1


async def _told(services: Services, folder: PackageFolder) -> AsyncIterator[str]:
    began = told_at = changed_at = time.monotonic()
    last = None
    while time.monotonic() - began < _LONGEST_STREAM_S:
        found = await run_in_threadpool(_progress, services, folder)
        now = time.monotonic()
        if found != last:
            last, told_at, changed_at = found, now, now
            yield _event("state", found)
        elif now - told_at >= _HEARTBEAT_S:
            told_at = now
            yield ": heartbeat\n\n"
        if found["state"] in ("finished", "refused", "failed") or (
            found["state"] == "stopped" and now - changed_at > _PATIENCE_S
        ):
            yield _event("end", {"state": found["state"]})
            return
        await asyncio.sleep(_POLL_S)


def _progress(services: Services, folder: PackageFolder) -> dict[str, Any]:
    return views.progress(folder, services.runs.last(folder), services.dagster_url)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _clip(folder: PackageFolder, row: dict[Any, Any], said: dict[str, Any]) -> dict[str, Any]:
    label = said.get(row["clip_id"])
    section = f"{folder.customer}/{row['machine_type']}/{row['section_id']}"
    told = {name: getattr(label, name) for name in ("label", "note", "who", "at")} if label else None
    audio = f"{views.link(folder)}/clips/audio?clip_id={quote(row['clip_id'], safe='')}"
    shown: dict[str, Any] = finite({**row, "section": section, "feedback": told, "links": {"audio": audio}})
    return shown


def _page(path: Path, name: str, *, download: bool) -> Response:
    _refuse_missing(path, "There is no such page of this package.")
    return FileResponse(
        path,
        media_type="text/html; charset=utf-8",
        filename=name,
        content_disposition_type="attachment" if download else "inline",
        headers={"Content-Security-Policy": PAGE_CSP},
    )


def _refuse_missing(path: Path, detail: str) -> None:
    if not path.is_file():
        raise Problem("not-found", detail)
