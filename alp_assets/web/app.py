"""The server as an ASGI app: the API under ``/api/v1``, the console beside it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from alp_assets.params import Params
from alp_assets.version import code_version
from alp_assets.web.console import add_console
from alp_assets.web.outside import Outside
from alp_assets.web.problems import API, add_handlers
from alp_assets.web.routes import (
    about,
    diagnoses,
    feedback,
    metrics,
    models,
    packages,
    session,
    thresholds,
    uploads,
)
from alp_assets.web.routes.answers import ERRORS
from alp_assets.web.services import Services, make_services
from alp_assets.web.watched import Metrics, Watched

_TIDY_S = 600.0

_DESCRIPTION = """Models, diagnoses, packages, thresholds and feedback of one data root.

Send an API key or a token of your issuer as `Authorization: Bearer …`; `alp keys add` makes keys. Roles: `viewer`
reads, `operator` also uploads, diagnoses and labels, `admin` also decides about models and thresholds. A key
belongs to one customer, and of the others there is nothing (404). Errors are
`application/problem+json` (RFC 9457)."""


def make_app(data_root: Path, params: Params, *, dev: bool = False) -> FastAPI:
    """The app of a data root. With ``dev`` nobody needs a key; whoever serves it must stay on localhost."""
    services = make_services(data_root, params, dev=dev)
    app = FastAPI(
        title="ALP",
        version=code_version(),
        description=_DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_living,
        responses=ERRORS,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.metrics = Metrics(services)
    add_handlers(app)
    api = APIRouter(prefix=API)
    for part in (session, models, thresholds, feedback, diagnoses, uploads, packages, about):
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(metrics.router)
    add_console(app, services)
    app.add_middleware(Outside, services=services, owner=app)
    app.add_middleware(Watched, metrics=app.state.metrics)
    _document_keys(app)
    return app


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    shutil.rmtree(services.scratch, ignore_errors=True)
    services.scratch.mkdir(mode=0o700, parents=True)
    services.uploads.recover()
    services.desk.warm()
    tidying = asyncio.create_task(_tidy(services))
    try:
        yield
    finally:
        tidying.cancel()
        with suppress(asyncio.CancelledError):
            await tidying
        services.desk.close()
        services.runs.close()
        app.state.metrics.state.close()
        shutil.rmtree(services.scratch, ignore_errors=True)


async def _tidy(services: Services) -> None:
    """Delete uploads that were given up, for as long as the server lives."""
    while True:
        await run_in_threadpool(services.uploads.expire)
        await asyncio.sleep(_TIDY_S)


def _document_keys(app: FastAPI) -> None:
    """Say in the API's documentation how to sign in."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schema.setdefault("components", {})["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer", "description": "API key or OIDC token"}
            }
            schema["security"] = [{"key": []}]
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]
