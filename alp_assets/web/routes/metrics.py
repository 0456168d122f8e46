"""Metrics for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import exposition
from starlette.concurrency import run_in_threadpool

from alp_assets.web.guard import needs
from alp_assets.web.identity import EVERYONE, Role
from alp_assets.web.problems import Problem
from alp_assets.web.watched import Metrics, may_scrape

router = APIRouter(tags=["about"])

_signed_in = needs(Role.VIEWER)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """The state of the data root and of this server, as Prometheus reads it.

    Open to the token in ALP_METRICS_TOKEN, and to those who see all customers: the names of customers are in it.
    """
    if not may_scrape(request):
        identity = await _signed_in(request)
        if identity.customer != EVERYONE:
            raise Problem("forbidden", "Metrics are of all customers; this key sees one.")
    exported: Metrics = request.app.state.metrics
    encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
    body = await run_in_threadpool(encode, exported.registry)
    return Response(body, media_type=content_type, headers={"Cache-Control": "no-store"})
