"""A session and its tokens: the claims of access tokens, and refresh tokens that only their bearer knows."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import SecretStr

from auth.domain.users import IdentityProvider

ACCESS_TOKEN_TYPE = "access"  # noqa: S105  # a claim's value, not a secret
IDENTIFIER_BYTES = 16
SECRET_BYTES = 32

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """How tokens are made.

    Attributes:
        issuer: the `iss` claim.
        audience: the `aud` claim.
        access_lifetime: how long a password account's access token is accepted, in whole seconds.
        google_access_lifetime: how long a Google account's is.
        refresh_lifetime: how long a refresh token waits to be used.
    """

    issuer: str
    audience: str
    access_lifetime: timedelta
    google_access_lifetime: timedelta
    refresh_lifetime: timedelta

    def access_lifetime_of(self, identity_provider: IdentityProvider) -> timedelta:
        """Return how long an account's access tokens are accepted."""
        if identity_provider is IdentityProvider.GOOGLE:
            return self.google_access_lifetime
        return self.access_lifetime


class Opening(StrEnum):
    """What a session was opened by."""

    PASSWORD = "password"  # noqa: S105  # a name, not a password
    REGISTER = "register"
    GOOGLE = "google"


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in, which is also the family of its refresh tokens.

    Attributes:
        id: the `sid` claim of its access tokens.
        user_id: whose it is.
        opened_by: what its owner did to open it.
        opened_from: the network it was opened from, see `throttle.network_of`.
        created_at: when it was opened.
        access_expires_at: when the last access token given out for it expires.
        refresh_expires_at: when its newest refresh token expires, and it with it.
    """

    id: str
    user_id: str
    opened_by: Opening
    opened_from: str
    created_at: datetime
    access_expires_at: datetime
    refresh_expires_at: datetime


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What one access token says about its bearer."""

    issuer: str
    audience: str
    user_id: str
    session_id: str
    token_id: str
    issued_at: datetime
    expires_at: datetime
    is_admin: bool

    def as_registered(self) -> dict[str, str | int | bool]:
        """Return the claims by their names in a JWT; `adm` is there only when it is true."""
        issued_at = int(self.issued_at.timestamp())
        claims: dict[str, str | int | bool] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.user_id,
            "sid": self.session_id,
            "jti": self.token_id,
            "typ": ACCESS_TOKEN_TYPE,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": int(self.expires_at.timestamp()),
        }
        if self.is_admin:
            claims["adm"] = True
        return claims


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the bearer of a session is given, this once.

    Attributes:
        access_token: a signed JWT.
        refresh_token: opaque; exchanged once for the next pair.
        expires_in_seconds: how long the access token is accepted from now.
    """

    access_token: SecretStr
    refresh_token: SecretStr
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as storage knows it.

    Attributes:
        digest: SHA-256 of the token, 32 bytes; 256 random bits need no salt and no slow hash.
        expires_at: until when it can be used.
    """

    digest: bytes
    expires_at: datetime


def make_refresh_token(random_bytes: RandomBytes) -> SecretStr:
    """Return a new refresh token of 256 random bits."""
    return make_secret(random_bytes)


def make_secret(random_bytes: RandomBytes) -> SecretStr:
    """Return 256 random bits as 43 characters that need no quoting anywhere."""
    return SecretStr(_text_of(random_bytes(SECRET_BYTES)))


def make_identifier(random_bytes: RandomBytes) -> str:
    """Return a new identifier of 128 random bits, 22 characters that need no quoting anywhere."""
    return _text_of(random_bytes(IDENTIFIER_BYTES))


def digest_of(token: SecretStr) -> bytes:
    """Return what storage keeps of an opaque token, its SHA-256."""
    return hashlib.sha256(token.get_secret_value().encode()).digest()


def _text_of(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()
