"""Signing in with a browser, and who one is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from alp_assets.web.guard import Shared, Viewer
from alp_assets.web.identity import EVERYONE, Identity, Role
from alp_assets.web.problems import Problem
from alp_assets.web.routes.answers import SESSION, shows
from alp_assets.web.services import Services
from alp_assets.web.sessions import COOKIE
from alp_assets.web.signin import address_of
from alp_assets.web.views.packages import customers

router = APIRouter(prefix="/session", tags=["session"])


class SignInForm(BaseModel):
    """A key or a token."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"key": "alp_3f2a91c0_…"}}
    )

    key: str = Field(min_length=1, max_length=8_192)


@router.post("", status_code=201, responses=shows(SESSION, 201))
async def begin(form: SignInForm, request: Request, services: Shared) -> JSONResponse:
    """Sign in with an API key or token. The answer sets the session's cookie."""
    sign_in = services.signin
    request.state.audit = "signed in"
    identity, key_id = await run_in_threadpool(sign_in.by_text, form.key.strip(), address_of(request))
    token, session = sign_in.sessions.begin(identity, key_id)
    request.state.identity = session.identity
    answer = JSONResponse(_shown(session.identity, services), 201)
    answer.set_cookie(
        COOKIE,
        token,
        expires=session.ends,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.get("", responses=shows(SESSION))
def show(identity: Viewer, services: Shared) -> JSONResponse:
    """Who one is, what one may do, and how large files may be."""
    return JSONResponse(_shown(identity, services))


@router.get("/all-customers", status_code=204)
def sees_all(identity: Viewer, role: Role = Role.VIEWER) -> Response:
    """Whether one sees all customers and has the role: what a reverse proxy asks before it shows Dagster."""
    if identity.customer != EVERYONE or not identity.may(role):
        raise Problem("forbidden", f"This is for keys that see all customers, with the role {role} at least.")
    return Response(status_code=204)


@router.delete("", status_code=204)
def end(request: Request, services: Shared) -> Response:
    """Sign out."""
    token = request.cookies.get(COOKIE)
    if token:
        services.signin.sessions.end(token)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _shown(identity: Identity, services: Services) -> dict[str, Any]:
    limits = ("recording_bytes", "recording_seconds", "package_bytes", "chunk_bytes")
    return {
        "name": identity.name,
        "role": str(identity.role),
        "roles": [str(role) for role in identity.role.included],
        "customer": identity.customer,
        "customers": customers(services.data_root) if identity.customer == EVERYONE else [identity.customer],
        "via": identity.via,
        "expires_at": identity.expires_at.isoformat() if identity.expires_at else None,
        "dagster_url": services.dagster_url,
        "limits": {name: getattr(services.params.web, name) for name in limits},
    }
