"""What every request goes through first, and every answer last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alp_assets.params import WebParams
from alp_assets.web.problems import API, Problem, crash, respond
from alp_assets.web.services import Services
from alp_assets.web.signin import SAFE_METHODS, address_of

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; worker-src 'self' blob:; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_GONE = 499
"""In the audit log: whoever asked did not wait for the answer."""

_JSON_BYTES = 256 * 2**10
_FORM_BYTES = 2**20
"""What a form may take beside its recording."""

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Body:
    """What a request may hold: its content type, and how many bytes."""

    content_type: str
    limit: int


class Outside:
    """Limits on bodies, addresses and hosts; security headers; the audit log.

    A body that is longer than it may be is cut off while it arrives, whatever its header said.
    """

    def __init__(self, app: ASGIApp, services: Services, owner: Any) -> None:
        self.app, self.services, self._owner = app, services, owner
        self._bodies = _bodies(services.params.web)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        scope["app"] = self._owner
        request = Request(scope, receive)
        status, begun = 500, False
        extra = self._headers(request)

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in extra.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._refuse(request)
            body = self._body(request)
            await self.app(scope, _limited(receive, body.limit), sending)
        except ClientDisconnect:
            status = _GONE
        except Problem as problem:
            await respond(request, problem)(scope, receive, sending)
        except Exception as error:
            told = crash(request, error)
            if begun:
                raise
            await respond(request, told)(scope, receive, sending)
        finally:
            self._note(request, status)

    def _headers(self, request: Request) -> dict[str, str]:
        found = dict(_HEADERS)
        if request.url.path.startswith("/api/"):
            found["Cache-Control"] = "no-store"
        if request.url.scheme == "https" and self.services.params.web.hsts_seconds:
            found["Strict-Transport-Security"] = f"max-age={self.services.params.web.hsts_seconds}"
        return found

    def _refuse(self, request: Request) -> None:
        """``Problem`` for what nobody needs to look at: too many, too long, of the wrong type or host."""
        # another site's name could be made to lead here, where nobody is asked for a key
        if self.services.signin.dev and not _LOOPBACK.fullmatch(request.headers.get("host", "")):
            raise Problem("wrong-host", "With --dev only localhost is served.")
        self.services.rates.count("address", address_of(request))
        # no name holds it, and PostgreSQL fails at it
        if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
            raise Problem("invalid", "The address holds a NUL character.")
        headers, body = request.headers, self._body(request)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise Problem("invalid", "Content-Length: give a number of bytes.")
        if int(length) > body.limit:
            raise Problem("too-large", f"{int(length):,} bytes; at most {body.limit:,} are taken here.")
        has_body = int(length) > 0 or "transfer-encoding" in headers
        if has_body and request.method not in SAFE_METHODS and _type_of(headers) != body.content_type:
            raise Problem("wrong-content-type", f"Send it as {body.content_type}.")

    def _body(self, request: Request) -> _Body:
        for method, path, body in self._bodies:
            if request.method == method and path.fullmatch(request.url.path):
                return body
        return _Body("application/json", _JSON_BYTES)

    def _note(self, request: Request, status: int) -> None:
        """Write down what was changed or tried to be, and what was refused; not what is turned away in masses."""
        identity = getattr(request.state, "identity", None)
        what = getattr(request.state, "audit", "")
        changes = request.method not in SAFE_METHODS and identity is not None
        refused = status == 403 or (status == 401 and ("authorization" in request.headers or bool(what)))
        if not (changes or refused or what) or status == 429:
            return
        more = getattr(request.state, "about", {})
        who = identity.name if identity else "nobody"
        action = what or f"{request.method} {request.url.path}"
        self.services.audit.write(who, action, status, address=address_of(request), **more)


def _bodies(web: WebParams) -> list[tuple[str, re.Pattern[str], _Body]]:
    """Where bodies are something else than short JSON."""
    return [
        (
            "POST",
            re.compile(f"{API}/diagnoses"),
            _Body("multipart/form-data", web.recording_bytes + _FORM_BYTES),
        ),
        ("POST", re.compile(f"{API}/packages"), _Body("application/zip", web.package_bytes)),
        (
            "PATCH",
            re.compile(f"{API}/uploads/[^/]*"),
            _Body("application/offset+octet-stream", web.chunk_bytes),
        ),
    ]


def _type_of(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _limited(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise Problem("too-large", f"At most {limit:,} bytes are taken here.")
        return message

    return limited
