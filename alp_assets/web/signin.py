"""Signing in: from a request to somebody, or to the reason why not."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request

from alp_assets.web.identity import EVERYONE, Identity, Role
from alp_assets.web.keys import KeyStore
from alp_assets.web.oidc import TokenExpired, TokenRefused, Tokens
from alp_assets.web.problems import Problem
from alp_assets.web.rates import Rates
from alp_assets.web.sessions import COOKIE, Session, Sessions

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_HEADER = "x-alp-request"
"""No other site can send it without asking first, and nobody answers that question with yes."""

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_DEVELOPER = Identity("developer", Role.ADMIN, EVERYONE, "dev")


class SignIn:
    """API keys, tokens, sessions; and anybody at all on a server that was started with ``--dev``."""

    def __init__(self, keys: KeyStore, sessions: Sessions, tokens: Tokens, rates: Rates, *, dev: bool) -> None:
        self.keys, self.sessions, self.tokens, self.rates, self.dev = keys, sessions, tokens, rates, dev

    def identity(self, request: Request) -> Identity:
        """Who sends a request.

        Raises:
            Problem: nobody who is known, somebody whose key, token or session is over, or another site in
                the name of somebody whose browser is signed in.
        """
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer" or not text.strip():
                raise Problem("wrong-key", "Send the key as `Authorization: Bearer KEY`.", headers=_CHALLENGE)
            return self.by_text(text.strip(), address_of(request))[0]
        found = self._by_cookie(request)
        if found is None and self.dev:
            found = _DEVELOPER
        if found is None:
            raise Problem(
                "sign-in-needed", "Send an API key as `Authorization: Bearer KEY`, or sign in.", headers=_CHALLENGE
            )
        refuse_other_sites(request, found)
        return found

    def by_text(self, text: str, address: str) -> tuple[Identity, str]:
        """Who a key or token belongs to, and the key's id or empty."""
        if self.tokens.taken and text.count(".") == 2:
            # an unknown signer makes us ask the issuer for its keys, which nobody may do at will
            self.rates.refuse_after_failures(address)
            try:
                return self.tokens.identity(text), ""
            except TokenExpired as error:
                raise Problem("expired", str(error), headers=_CHALLENGE) from error
            except TokenRefused as error:
                self.rates.count_failure(address)
                raise Problem("wrong-key", str(error), headers=_CHALLENGE) from error
        key = self.keys.find(text)
        if key is None:
            self.rates.count_failure(address)
            raise Problem("wrong-key", "No such key.", headers=_CHALLENGE)
        if key.over(datetime.now(UTC)):
            raise Problem("expired", "This key has expired or was revoked. Ask for a new one.", headers=_CHALLENGE)
        return Identity(key.name, key.role, key.customer, "key", key.expires), key.id

    def _by_cookie(self, request: Request) -> Identity | None:
        token = request.cookies.get(COOKIE)
        if not token:
            return None
        session = self.sessions.find(token)
        if session is None or not self._still_good(session):
            if self.dev:
                return None
            raise Problem("expired", "The session is over. Sign in again.", headers=_CHALLENGE)
        return session.identity

    def _still_good(self, session: Session) -> bool:
        """A session ends with the key that began it."""
        if not session.key_id:
            return True
        key = self.keys.get(session.key_id)
        return key is not None and not key.over(datetime.now(UTC))


def refuse_other_sites(request: Request, identity: Identity) -> None:
    """``Problem`` where another site may be acting through somebody's browser.

    A request that changes something must carry our own header or come from our own pages, as the browser
    says. Without a key (``--dev``) programs that are no browsers, and hence name no origin, may do without.
    """
    if request.method in SAFE_METHODS or not identity.ambient or OWN_HEADER in request.headers:
        return
    site = request.headers.get("sec-fetch-site")
    if site == "same-origin":
        return
    if identity.via == "dev" and site is None and "origin" not in request.headers:
        return
    raise Problem("cross-site", "Send the header `X-ALP-Request: 1` with requests that change something.")


def address_of(request: Request) -> str:
    """Where a request comes from; of a trusted proxy, what that says."""
    return request.client.host if request.client else "unknown"
