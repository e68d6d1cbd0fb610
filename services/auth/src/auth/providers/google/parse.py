"""What Google publishes, read: a JSON Web Key Set (RFC 7517) and how long it may be kept (RFC 9111)."""

import json
import re
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError
from jwt.algorithms import RSAAlgorithm

from auth.providers.google.fetch import KeyDocument, KeysNotFetched

ALGORITHM = "RS256"
KEY_ID_MAX_LENGTH = 255
MIN_KEY_BITS = 2_048
MAX_KEY_BITS = 8_192
MAX_KEYS = 32

KEPT_SECONDS = 3_600.0
MIN_KEPT_SECONDS = 300.0
MAX_KEPT_SECONDS = 24 * 3_600.0
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})\"?(?=$|[\s,])", re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,9}")


def keys_of(document: KeyDocument) -> Mapping[str, RSAPublicKey]:
    """Return the keys that can verify RS256 signatures, by their ids; others are left out.

    Raises:
        KeysNotFetched: it is no key set, two of its keys have one id, or none of them can be used.
    """
    try:
        published = json.loads(document.body)["keys"][:MAX_KEYS]
        usable = [(jwk["kid"], _key_of(jwk)) for jwk in published if _is_for_signatures(jwk)]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise KeysNotFetched("no key set") from None
    keys = {key_id: key for key_id, key in usable if key is not None}
    if not keys or len({key_id for key_id, _ in usable}) != len(usable):
        raise KeysNotFetched("no keys that can be used")
    return keys


def kept_seconds_of(document: KeyDocument) -> float:
    """Return for how long the keys need not be asked for again, between 5 minutes and a day; an hour when unsaid."""
    said = _MAX_AGE.search(document.cache_control)
    if said is None:
        return KEPT_SECONDS
    age = int(document.age) if _SECONDS.fullmatch(document.age) else 0
    return min(max(float(said.group(1)) - age, MIN_KEPT_SECONDS), MAX_KEPT_SECONDS)


def _is_for_signatures(jwk: Any) -> bool:
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA":
        return False
    key_id = jwk.get("kid")
    is_named = isinstance(key_id, str) and 1 <= len(key_id) <= KEY_ID_MAX_LENGTH
    return is_named and jwk.get("use", "sig") == "sig" and jwk.get("alg", ALGORITHM) == ALGORITHM


def _key_of(jwk: Mapping[str, Any]) -> RSAPublicKey | None:
    try:
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]})
    except (InvalidKeyError, ValueError, TypeError, LookupError):
        return None
    if not isinstance(key, RSAPublicKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        return None
    return key
