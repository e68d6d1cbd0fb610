"""One call to where Google publishes its keys, bounded in time and size; in a thread, since urllib blocks.

No redirect is followed: whoever could redirect the call could choose the keys.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

CALL_SECONDS = 3.0
MAX_BODY_BYTES = 64 * 1024
PART_BYTES = 8 * 1024


class KeysNotFetched(Exception):
    """The address did not answer with a document; the cause is its error's name, never its words."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the keys were not fetched: {cause}")


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """What was answered.

    Attributes:
        body: the document.
        cache_control: the header; empty when there was none.
        age: the header of a cache on the way; empty when there was none.
    """

    body: bytes
    cache_control: str
    age: str


Fetch = Callable[[], KeyDocument]


class KeyAddress:
    """An address that keys are published at."""

    def __init__(self, url: str, *, call_seconds: float = CALL_SECONDS) -> None:
        self._url = url
        self._call_seconds = call_seconds
        self._opener = _opener_for(url)

    def fetch(self) -> KeyDocument:
        """Return what is published there now.

        Raises:
            KeysNotFetched: no answer in time, another status than 200, or too long a body.
        """
        deadline = time.monotonic() + self._call_seconds
        request = Request(self._url, headers={"Accept": "application/json"})  # noqa: S310  # settings check the scheme
        try:
            with self._opener.open(request, timeout=self._call_seconds) as response:
                if response.status != HTTPStatus.OK:
                    raise KeysNotFetched(f"status {response.status}")
                body = _read(response, deadline)
                return KeyDocument(body, response.headers["Cache-Control"] or "", response.headers["Age"] or "")
        except (OSError, HTTPException, ValueError) as error:
            raise KeysNotFetched(type(error).__name__) from error


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917  # urllib's shape
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow none: what stays is the answer's status, an error."""


def _opener_for(url: str) -> OpenerDirector:
    if url.startswith("https:"):
        return build_opener(_NoRedirects)
    # Plain HTTP is for loopback alone, which no proxy can reach.
    return build_opener(_NoRedirects, ProxyHandler({}))


def _read(response: IO[bytes], deadline: float) -> bytes:
    # The socket's time-out is for each part; one that drips must not hold the thread for ever.
    body = bytearray()
    while part := response.read1(PART_BYTES):  # type: ignore[attr-defined]  # an HTTPResponse, which urllib does not say
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise KeysNotFetched("too long a document")
        if time.monotonic() > deadline:
            raise KeysNotFetched("too slow an answer")
    return bytes(body)
