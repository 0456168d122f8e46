"""Who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

EVERYONE = "*"
"""In place of a customer: all of them."""

Via = Literal["key", "session", "oidc", "dev"]


class Role(StrEnum):
    """What somebody may do; each role includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def included(self) -> tuple[Role, ...]:
        """The role and those before it."""
        roles = tuple(Role)
        return roles[: roles.index(self) + 1]


@dataclass(frozen=True)
class Identity:
    """Somebody who is signed in. ``customer`` is whose data they see, or ``EVERYONE``."""

    name: str
    role: Role
    customer: str
    via: Via
    expires_at: datetime | None = None

    def may(self, role: Role) -> bool:
        """Whether their role includes another."""
        return role in self.role.included

    def sees(self, customer: str) -> bool:
        """Whether a customer's data are theirs to see."""
        return self.customer in (EVERYONE, customer)

    @property
    def ambient(self) -> bool:
        """Whether a browser vouches for them by itself, so that other sites could act in their name."""
        return self.via in ("session", "dev")
