"""Parameters of watching: who is told of what, and when a customer has been silent for too long."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

NoticeKind = Literal["failed", "refused", "drift", "promise", "snapshot", "silent"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoticeParams(_Group):
    """Notices by webhook and mail. Addresses hold secrets: the environment has them, and here are their names."""

    webhook: str = Field(default="", description="environment variable with the address; empty: no webhook")
    secret: str = Field(default="", description="environment variable with the key that signs the webhook's body")
    mail_server: str = Field(
        default="", description="environment variable with smtp://user:password@host:587; empty: no mail"
    )
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()
    kinds: tuple[NoticeKind, ...] = Field(
        default=("failed", "refused", "drift", "promise", "snapshot", "silent"), description="what is told"
    )
    language: Literal["en", "ko"] = "en"
    timeout_seconds: float = Field(default=5.0, gt=0, le=20, description="longest wait for a receiver")
    tries: int = Field(default=32, ge=1, le=50, description="then a notice is kept as undelivered")

    @field_validator("webhook", "secret", "mail_server")
    @classmethod
    def _a_name(cls, value: str) -> str:
        # the value is not told: whoever wrote a secret here must not find it in a log as well
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError("give the name of an environment variable, such as ALP_NOTICE_URL, not its value")
        return value

    @field_validator("mail_to", mode="before")
    @classmethod
    def _one_alone(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.webhook or self.mail_server)


class FreshnessParams(_Group):
    """When a customer who used to send packages counts as silent."""

    max_days: float = Field(default=0.0, ge=0, description="without a package; 0 leaves it to what was usual")
    times_usual: float = Field(
        default=3.0, ge=0, description="as long as the median time between packages; 0 means never"
    )
    least_packages: int = Field(default=4, ge=2, description="packages that tell what is usual")
