"""Keeping secrets out of what is written down: logs, notices, findings."""

from __future__ import annotations

import os
import re

HIDDEN = "***"

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY|NOTICE|WEBHOOK")
_ADDRESS_NAME = re.compile(r"_DSN$|_URL$|BROKER")
_SHORTEST = 6
"""Shorter values are words that stand in many texts by chance."""

# quantifiers are bounded where they could meet again and again: a log line may hold anything, however long
_PATTERNS = (
    # scheme://user:password@host, and scheme://token@host
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{0,20}://)[^\s/'\"]+@", re.IGNORECASE), rf"\g<keep>{HIDDEN}@"),
    # ?token=..., &sig=..., password: ..., "api_key": "..."
    (
        re.compile(
            r"(?P<keep>(?:(?:token|secret|passwo?r?d|api[_-]?key|access[_-]?key|signature|credential)[\w-]{0,40}|\bsig)"
            r"[\"']?\s{0,9}[=:]\s{0,9}[\"']?)(?!Bearer\b)[^\s&\"',;)}\]]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{HIDDEN}",
    ),
    (
        re.compile(r"(?P<keep>\bBearer\s{1,9}|\bAuthorization\W{1,9}Basic\s{1,9})[\w.~+/=-]+", re.IGNORECASE),
        rf"\g<keep>{HIDDEN}",
    ),
    (re.compile(r"(?P<keep>\balp_[0-9a-f]{8}_)[\w-]+"), rf"\g<keep>{HIDDEN}"),
)


def redact(text: str) -> str:
    """A text without passwords in addresses, tokens, keys, and the values of secret environment variables."""
    for value in _secret_values():
        text = text.replace(value, HIDDEN)
    for pattern, kept in _PATTERNS:
        text = pattern.sub(kept, text)
    return text


def shown_address(url: str) -> str:
    """Scheme and host of an address: what may be told of one whose path can be a secret."""
    match = re.match(r"([a-z][a-z0-9+.-]*)://(?:[^/?#]*@)?([^/?#]*)", url, re.IGNORECASE)
    return f"{match[1]}://{match[2]}" if match else HIDDEN


def _secret_values() -> list[str]:
    """The longest first, as one may hold another. Addresses without a secret in them stay readable."""
    found = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST and _holds_secret(name.upper(), value)
    }
    return sorted(found, key=len, reverse=True)


def _holds_secret(name: str, value: str) -> bool:
    if value.startswith(("/", ".")):
        return False  # a file that holds one is named openly
    return bool(_SECRET_NAME.search(name)) or bool(_ADDRESS_NAME.search(name) and ("@" in value or "?" in value))
