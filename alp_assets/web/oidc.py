"""Bearer tokens of an OpenID Connect issuer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.errors import AlpError
from alp_assets.params import OidcParams
from alp_assets.web.identity import EVERYONE, Identity, Role
from schemas.sections import SLUG

if TYPE_CHECKING:
    from jwt import PyJWK

_LEEWAY_S = 30


class TokenRefused(AlpError):
    """A token that says nothing, or nothing that can be believed."""


class TokenExpired(TokenRefused):
    """A token that was good once."""


class Tokens:
    """Checks tokens against the issuer's public keys, which are fetched once in five minutes at most.

    The algorithms are those of the parameters, whatever a token asks for.
    """

    def __init__(self, params: OidcParams) -> None:
        self.params = params
        self._client: Any = None

    @property
    def taken(self) -> bool:
        """Whether any token can be good."""
        return bool(self.params.issuer)

    def identity(self, token: str) -> Identity:
        """Who a token says it is.

        Raises:
            TokenRefused: it is not of the issuer, for somebody else, over, or names no role and customer.
        """
        import jwt

        params = self.params
        try:
            claims = jwt.decode(
                token,
                self._key(token),
                algorithms=list(params.algorithms),
                audience=params.audience,
                issuer=params.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired("The token has expired. Sign in again.") from error
        except jwt.PyJWTError as error:
            raise TokenRefused(f"The token is not accepted: {error}.") from error
        return Identity(
            name=f"{claims.get('preferred_username') or claims.get('email') or claims['sub']} (oidc)",
            role=_role(_claim(claims, params.role_claim), params.role_claim),
            customer=_customer(_claim(claims, params.customer_claim), params.customer_claim),
            via="oidc",
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    def _key(self, token: str) -> PyJWK:
        import jwt

        if self.params.jwks.startswith("https://"):
            if self._client is None:
                self._client = jwt.PyJWKClient(self.params.jwks, cache_jwk_set=True, lifespan=300, timeout=10)
            found: PyJWK = self._client.get_signing_key_from_jwt(token)
            return found
        try:
            keys = jwt.PyJWKSet.from_json(Path(self.params.jwks).read_text(encoding="utf-8")).keys
        except (OSError, ValueError) as error:
            raise TokenRefused(f"web.oidc.jwks: the issuer's keys cannot be read ({error}).") from error
        wanted = jwt.get_unverified_header(token).get("kid")
        matching = [key for key in keys if key.key_id == wanted]
        if len(matching) != 1:
            raise TokenRefused("The token was signed with a key that the issuer's list does not have.")
        return matching[0]


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, else by its dotted path."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _role(value: Any, claim: str) -> Role:
    """The highest of the roles that a claim names."""
    names = value if isinstance(value, list) else [value]
    roles = [role for role in Role if role.value in names]
    if not roles:
        raise TokenRefused(f"The token's claim {claim} names no role (viewer, operator or admin).")
    return roles[-1]


def _customer(value: Any, claim: str) -> str:
    if value == EVERYONE or (isinstance(value, str) and SLUG.fullmatch(value)):
        return str(value)
    raise TokenRefused(f"The token's claim {claim} names no customer.")
