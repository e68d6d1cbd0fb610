"""ID tokens verified: signed RS256 with one of Google's keys, for us, by Google, now.

Of a token's header only the key's id is followed, and only among the keys that Google publishes.
"""

import base64
import json
import logging
import re
from collections.abc import Sequence
from typing import Any

import jwt
from pydantic import SecretStr

from auth.domain.google_identities import GoogleIdentity, IdTokenInvalid, identity_of
from auth.providers.google.keys import GoogleKeys
from auth.providers.google.parse import ALGORITHM, KEY_ID_MAX_LENGTH

log = logging.getLogger(__name__)

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
REQUIRED_CLAIMS = ["iss", "aud", "sub", "exp", "iat", "email", "email_verified"]
LEEWAY_SECONDS = 10
MAX_TOKEN_LENGTH = 8_192
# Each says where a key is, or asks that something be understood; Google's tokens have none of them.
REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")


class GoogleIdTokens:
    """Verifies the ID tokens that Google gave out for one client id."""

    def __init__(self, keys: GoogleKeys, *, client_id: str) -> None:
        self._keys = keys
        self._client_id = client_id

    async def verify(self, id_token: SecretStr) -> GoogleIdentity:
        """Return whom a token is about.

        Raises:
            IdTokenInvalid: it is not one that Google gave out for us, or it is over.
            GoogleUnavailable: the keys are out of reach.
        """
        try:
            return await self._verify(id_token.get_secret_value())
        except IdTokenInvalid as error:
            log.info("id token refused", extra={"cause": error.cause})
            raise

    async def _verify(self, token: str) -> GoogleIdentity:
        key = await self._keys.find(_key_id_of(token))
        if key is None:
            raise IdTokenInvalid("unknown key")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._client_id,
                issuer=ISSUERS,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED_CLAIMS, "strict_aud": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # The library's words may quote the token.
            raise IdTokenInvalid(type(error).__name__) from None
        return identity_of(claims)


def _key_id_of(token: str) -> str:
    """Return the key id of a token that is well-formed."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise IdTokenInvalid("too long")
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        raise IdTokenInvalid("not compact")
    header, _ = (_object_of(segment) for segment in segments.groups())
    key_id = header.get("kid")
    if header.get("alg") != ALGORITHM or not REFUSED_HEADERS.isdisjoint(header):
        raise IdTokenInvalid("header not Google's")
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= KEY_ID_MAX_LENGTH:
        raise IdTokenInvalid("no key id")
    return key_id


def _object_of(segment: str) -> dict[str, Any]:
    """Return a segment's JSON object, in which no name stands twice: readers differ about which one counts."""
    try:
        document = json.loads(
            base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)), object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError):
        raise IdTokenInvalid("not JSON") from None
    if not isinstance(document, dict):
        raise IdTokenInvalid("not an object")
    return document


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise IdTokenInvalid("a name twice")
    return document
