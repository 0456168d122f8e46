"""What anybody may read: whether the server is up, its documentation, and what errors mean."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from markupsafe import escape

from alp_assets.web.problems import API, TITLES, Problem
from alp_assets.web.routes.answers import shows

router = APIRouter(tags=["about"])

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ALP HTTP API</title></head><body><main>
<h1>ALP HTTP API</h1>
<p>All endpoints with their parameters, bodies and examples: <a href="{api}/openapi.json">openapi.json</a>.
Send an API key as <code>Authorization: Bearer KEY</code>. Errors are
<code>application/problem+json</code> (RFC 9457).</p>
{groups}
<h2>Errors</h2><table><thead><tr><th scope="col">type</th><th scope="col">status</th>
<th scope="col">title</th></tr></thead><tbody>{errors}</tbody></table>
</main></body></html>
"""


@router.get("/health", responses=shows({"status": "ok"}))
async def health() -> JSONResponse:
    """Whether the server answers."""
    return JSONResponse({"status": "ok"})


@router.get("/docs", response_class=HTMLResponse)
def docs(request: Request) -> HTMLResponse:
    """This API on one page."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in request.app.openapi()["paths"].items():
        for method, about in methods.items():
            lines = str(about.get("description", "")).split("\n")
            row = f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(lines[0])}</td></tr>"
            by_tag.setdefault(about["tags"][0], []).append(row)
    groups = "".join(
        f"<h2>{escape(tag)}</h2><table><thead><tr><th scope='col'>endpoint</th><th scope='col'>what it does</th>"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        for tag, rows in by_tag.items()
    )
    errors = "".join(
        f"<tr><td><code>{kind}</code></td><td>{status}</td><td>{title}</td></tr>"
        for kind, (status, title) in TITLES.items()
    )
    return HTMLResponse(_PAGE.format(api=API, groups=groups, errors=errors))


@router.get("/problems/{kind}", responses=shows({"kind": "busy", "status": 503, "title": "Busy"}))
def problem(kind: str) -> JSONResponse:
    """What a kind of error is."""
    if kind not in TITLES:
        raise Problem("not-found", f"There is no error of the kind {kind}.")
    status, title = TITLES[kind]
    return JSONResponse({"kind": kind, "status": status, "title": title})
