"""Counting and logging the requests of the server, and who may read the counts."""

from __future__ import annotations

import hmac
import logging
import os
import time

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alp_assets.watch.exporter import StateCollector
from alp_assets.web.problems import API
from alp_assets.web.services import Services

TOKEN = "ALP_METRICS_TOKEN"  # noqa: S105 - the variable that holds it
_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = logging.getLogger("alp.requests")


class Metrics:
    """What one server exports: the state of its data root, and its own requests."""

    def __init__(self, services: Services) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.state = StateCollector(services.data_root, services.params)
        self.registry.register(self.state)
        self._requests = Counter(
            "alp_http_requests",
            "Requests by endpoint and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "alp_http_request_seconds",
            "Seconds until the whole answer was sent.",
            ["route"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Watched:
    """Counts every request and writes a log line for it. Addresses are told by their route, without ids."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            seconds, route = time.perf_counter() - began, _route(scope)
            self._metrics.count(scope["method"], route, status, seconds)
            told = {"route": route, "status": status, "seconds": round(seconds, 4), **_whose(scope)}
            _log.info("%s %s %d", scope["method"], route, status, extra={"fields": told})


def may_scrape(request: Request) -> bool:
    """Whether a request carries the token that opens the metrics and nothing else."""
    token = os.environ.get(TOKEN, "")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return (
        bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
    )


def _route(scope: Scope) -> str:
    """The endpoint's pattern; one word for what is none, so that nobody can make names at will."""
    path = getattr(scope.get("route"), "path", None)
    if not path:
        return "other"
    # the router of the API knows its endpoints without what stands before all of them
    inside = scope["path"].startswith(f"{API}/") and not str(path).startswith(API)
    return f"{API}{path}" if inside else str(path)


def _whose(scope: Scope) -> dict[str, str]:
    """The package or section that a request is about, where its address names one."""
    parts = scope.get("path_params") or {}
    if "customer" in parts and "package" in parts:
        return {"package": f"{parts['customer']}__{parts['package']}"}
    return {"section": str(parts["section"])} if "section" in parts else {}
