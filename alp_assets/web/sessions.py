"""Browser sessions: a random name in a cookie, everything else on the server."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from alp_assets.web.identity import Identity

COOKIE = "alp_session"
_MOST = 10_000


@dataclass(frozen=True)
class Session:
    """Who signed in, until when, and the id of the key that they did it with, or empty."""

    identity: Identity
    key_id: str
    ends: datetime


class Sessions:
    """The sessions of one server, in memory: they end with it. Tokens are kept as hashes."""

    def __init__(self, hours: float) -> None:
        self._lasting = timedelta(hours=hours)
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, identity: Identity, key_id: str) -> tuple[str, Session]:
        """The token for the cookie, and the session."""
        token, ends = secrets.token_urlsafe(32), datetime.now(UTC) + self._lasting
        if identity.expires_at is not None:
            ends = min(ends, identity.expires_at)
        signed_in = Identity(identity.name, identity.role, identity.customer, "session", ends)
        session = Session(signed_in, key_id, ends)
        with self._lock:
            if len(self._sessions) >= _MOST:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[_digest(token)] = session
        return token, session

    def find(self, token: str) -> Session | None:
        """The session of a token, if it still goes on."""
        name = _digest(token)
        with self._lock:
            session = self._sessions.get(name)
            if session is not None and session.ends <= datetime.now(UTC):
                del self._sessions[name]
                return None
            return session

    def end(self, token: str) -> None:
        """Sign out."""
        with self._lock:
            self._sessions.pop(_digest(token), None)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
