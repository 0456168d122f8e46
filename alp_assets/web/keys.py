"""API keys: made once, shown once, kept as hashes in the data root."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import read_json, write_json
from alp_assets.web.identity import EVERYONE, Role
from schemas.sections import SLUG

_PREFIX = "alp"
_NOBODY = hashlib.sha256(b"nobody").hexdigest()
_LONGEST_LABEL = 100


class KeysUnreadable(AlpError):
    """The file of the keys is damaged, so nobody can be told from anybody else."""


@dataclass(frozen=True)
class Key:
    """What is kept of a key. Times are ISO 8601, UTC; empty where there is none.

    ``digest`` is the plain SHA-256 of the key. A key holds 256 random bits, so unlike a password it can
    neither be guessed nor looked up from its hash, and a slow hash would only slow every request down.
    """

    id: str
    digest: str
    role: Role
    customer: str
    label: str
    created_at: str
    expires_at: str = ""
    revoked_at: str = ""

    @property
    def name(self) -> str:
        """What logs and histories call its owner."""
        return f"{self.label or 'key'} ({self.id})"

    @property
    def expires(self) -> datetime | None:
        """When it ends by itself."""
        return datetime.fromisoformat(self.expires_at) if self.expires_at else None

    def over(self, now: datetime) -> bool:
        """Whether it has been revoked or has expired."""
        return bool(self.revoked_at) or (self.expires is not None and self.expires <= now)


class KeyStore:
    """The keys of a data root, in ``web/keys.json``. What another process changes is seen at once."""

    def __init__(self, data_root: Path) -> None:
        self.path = data_root / "web" / "keys.json"
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Every key, also revoked ones, oldest first."""
        return list(self._current().values())

    def usable(self, now: datetime | None = None) -> list[Key]:
        """The keys that can sign in."""
        now = now or datetime.now(UTC)
        return [key for key in self.all() if not key.over(now)]

    def find(self, text: str) -> Key | None:
        """The key that a text is, also where it is over. The time that it takes tells nothing of the keys."""
        parts = text.split("_", 2)
        key = self._current().get(parts[1]) if len(parts) == 3 and parts[0] == _PREFIX else None
        same = hmac.compare_digest(_digest(text), key.digest if key else _NOBODY)
        return key if same else None

    def get(self, key_id: str) -> Key | None:
        """A key by its id."""
        return self._current().get(key_id)

    def add(self, role: Role, customer: str, label: str, expires: datetime | None) -> tuple[Key, str]:
        """Make a key; the text that signs in with it is in no file.

        Raises:
            AlpError: no customer can be called that, or the label is too long.
        """
        if customer != EVERYONE and not SLUG.fullmatch(customer):
            raise AlpError(
                f"{customer!r} cannot be a customer: use small letters, digits and hyphens, or {EVERYONE} for all."
            )
        if len(label) > _LONGEST_LABEL or not label.isprintable():
            raise AlpError(f"The label must be one line of at most {_LONGEST_LABEL} characters.")
        with self._changing() as keys:
            key_id = next(made for made in iter(lambda: secrets.token_hex(4), None) if made not in keys)
            text = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
            expires_at = expires.astimezone(UTC).isoformat(timespec="seconds") if expires else ""
            key = Key(key_id, _digest(text), role, customer, label, _now(), expires_at)
            keys[key_id] = key
        return key, text

    def revoke(self, key_id: str) -> Key:
        """End a key. One that has ended stays as it is.

        Raises:
            AlpError: there is no such key.
        """
        with self._changing() as keys:
            if key_id not in keys:
                raise AlpError(f"{key_id}: there is no such key. `alp keys list` shows them.")
            if not keys[key_id].revoked_at:
                keys[key_id] = replace(keys[key_id], revoked_at=_now())
            return keys[key_id]

    def _current(self) -> dict[str, Key]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        stamp = (status.st_mtime_ns, status.st_ino)
        with self._lock:
            if stamp != self._stamp:
                self._keys = self._read()
                self._stamp = stamp
            return self._keys

    def _read(self) -> dict[str, Key]:
        try:
            found = [Key(**{**item, "role": Role(item["role"])}) for item in read_json(self.path)["keys"]]
        except FileNotFoundError:
            return {}
        except (KeyError, TypeError, ValueError) as error:
            raise KeysUnreadable(
                f"{self.path}: cannot be read ({error}). Restore the file, or delete it and make new keys."
            ) from error
        return {key.id: key for key in found}

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.path.parent / ".keys.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            keys = self._read()
            yield keys
            write_json(self.path, {"keys": [asdict(key) for key in keys.values()]})
            os.chmod(self.path, 0o600)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
