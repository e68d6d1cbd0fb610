"""Compact JSON Web Tokens put together by hand, as no library would: any header, any payload, any signature."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Sign = Callable[[bytes], bytes]


def compact(header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, sign: Sign) -> str:
    """Put a token together from anything; objects are written as JSON."""
    signed = ".".join(base64url(part if isinstance(part, bytes) else json_bytes(part)) for part in (header, claims))
    return f"{signed}.{base64url(sign(signed.encode()))}"


def rs256(key: RSAPrivateKey) -> Sign:
    """Sign as Google does."""
    return lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def hs256(secret: bytes) -> Sign:
    """Sign with a secret that both sides know."""
    return lambda message: hmac.new(secret, message, hashlib.sha256).digest()


def unsigned(_: bytes) -> bytes:
    """Sign with nothing."""
    return b""


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Write an object as tokens have it."""
    return json.dumps(document, separators=(",", ":")).encode()


def base64url(raw: bytes) -> str:
    """Write bytes as tokens have them."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
