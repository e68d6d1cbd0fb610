"""One HTTP request and one finished answer, as the layers in front of FastAPI see them."""

import ipaddress
import os
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from gateway.errors import ApiError, envelope

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

INCOMING = "bourse.incoming"
ABORT = "bourse.abort"
WRITE = "bourse.write"
LEAVE = "bourse.leave"
JSON = b"application/json"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_REQUEST_ID_LENGTH = 64
REQUEST_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")
IPV6_SITE_BITS = 64

SECURITY_HEADERS: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]

_PROCESS = os.urandom(6).hex()
_numbers = count(1)


class Finished(NamedTuple):
    """An answer with nothing left to compute."""

    status: int
    headers: list[Header]
    body: bytes


class Incoming:
    """What the layers read from a request more than once.

    Attributes:
        headers: the last value of each header, names in lower case.
        request_id: the client's own where it is sane, else a fresh one.
        identity: the verified caller, the reason why there is none, or None without a token; set by the edge.
        user_id: the verified caller's; None when nobody is signed in.
        limit_headers: what the rate limiter says about this request.
    """

    __slots__ = ("headers", "identity", "limit_headers", "request_id", "scope", "user_id")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        self.request_id = given if given is not None and _is_sane(given) else _fresh_request_id()
        self.identity: Any = None
        self.user_id: str | None = None
        self.limit_headers: list[Header] = []

    @property
    def limit_key(self) -> str:
        """Return whom limits count this request against: the user, else the address."""
        return f"user:{self.user_id}" if self.user_id is not None else self.address

    @property
    def address(self) -> str:
        """Return the client's address as limits count it: an IPv6 site counts as one."""
        client = self.scope.get("client")
        return counted_address(client[0]) if client else "unknown"


def _fresh_request_id() -> bytes:
    return b"%s-%x" % (_PROCESS.encode(), next(_numbers))


def _is_sane(text: bytes) -> bool:
    return 0 < len(text) <= MAX_REQUEST_ID_LENGTH and REQUEST_ID_CHARACTERS.issuperset(text)


@lru_cache(maxsize=10_000)
def counted_address(host: str) -> str:
    """Return an address, an IPv6 one cut to its site; what is no address counts as one unknown caller."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_SITE_BITS), strict=False))


def incoming_of(scope: Scope) -> Incoming:
    """Return what the edge noted about a request; outside the edge, as in a unit test, it is read afresh."""
    noted = scope.get(INCOMING)
    if isinstance(noted, Incoming):
        return noted
    incoming: Incoming = scope.setdefault(INCOMING, Incoming(scope))
    return incoming


def finished_error(error: ApiError, incoming: Incoming) -> Finished:
    """Return an error as a finished answer, complete with what every answer carries."""
    body = envelope(error.status, error.code, error.detail, for_request=incoming.request_id.decode())
    headers: list[Header] = [
        (b"content-type", JSON),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", incoming.request_id),
        *SECURITY_HEADERS,
        *((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()),
    ]
    return Finished(error.status, headers, body)
