"""The outermost layer: answers what is ready, and gives everything else its id, caller, limits, headers and envelope.

It is plain ASGI in front of FastAPI. Paths whose answers may be ready are found in a dictionary, before any routing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from chassis.logs import request_id
from gateway.errors import ApiError, InvalidRequest, RateLimited, Unexpected
from gateway.http_cache import HttpCache, accepts_gzip
from gateway.limits import Limits
from gateway.protocol import send_finished
from gateway.security import CSRF_HEADER, Verifier, credential_of, identify
from gateway.wire import (
    INCOMING,
    SECURITY_HEADERS,
    Application,
    Finished,
    Header,
    Incoming,
    Message,
    Receive,
    Scope,
    Send,
    finished_error,
    incoming_of,
)

log = logging.getLogger(__name__)

MAX_REST_BYTES = 32 * 1024 * 1024
MAX_REST_SECONDS = 2.0
READING_METHODS = frozenset({"GET", "HEAD"})
EXPOSED_HEADERS = [
    "Age",
    "ETag",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-As-Of",
    "X-Cache",
    "X-Freshness",
    "X-Missing-Symbols",
    "X-Request-ID",
    "X-Source",
]

Answer = Callable[[Incoming], Finished | None]


class Edge:
    """The gateway's application."""

    def __init__(
        self,
        app: Application,
        *,
        answers: Mapping[str, Answer],
        cache: HttpCache,
        limits: Limits,
        verifier: Verifier,
    ) -> None:
        self._app = app
        self._answers = answers
        self._cache = cache
        self._limits = limits
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = scope[INCOMING] = Incoming(scope)
        try:
            finished = self._ready(incoming) if scope["method"] in READING_METHODS else None
        except Exception:
            # The outermost frame of an answer that is ready; what arrives here is a bug.
            log.exception("request failed", extra={"path": scope["path"]})
            finished = finished_error(Unexpected(), incoming)
        if finished is None:
            await self._work(incoming, receive, send)
            return
        await send_finished(finished, send)

    def _ready(self, incoming: Incoming) -> Finished | None:
        if not self._recognises(incoming):
            return None
        answer = self._answers.get(incoming.scope["path"])
        finished = answer(incoming) if answer is not None else None
        if finished is None:
            finished = self._cache.answer(incoming)
        if finished is None:
            return None
        try:
            limit_headers = self._limits.hits.admit(incoming)
        except RateLimited as error:
            return finished_error(error, incoming)
        return _completed(finished, incoming, limit_headers)

    def _recognises(self, incoming: Incoming) -> bool:
        credential = credential_of(incoming.headers)
        if credential is None:
            return True
        caller = self._verifier.recall(credential.token)
        if caller is None:
            return False
        incoming.user_id = caller.user_id
        return True

    async def _work(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        request_id.set(incoming.request_id.decode())
        body = _Body(incoming, receive)
        completing = _Completing(incoming, send, body)
        try:
            await self._answer(incoming, body, completing)
        except ApiError as error:
            await self._refuse(error, incoming, completing, send)
        except Exception:
            # The outermost frame of every request: what arrives here is a bug, told to nobody but the log.
            log.exception("request failed", extra={"path": incoming.scope["path"]})
            await self._refuse(Unexpected(), incoming, completing, send)

    async def _answer(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        await identify(incoming, self._verifier)
        await self._limits.admit(incoming)
        scope = incoming.scope
        key = self._cache.key_of(scope["path"], scope["query_string"]) if scope["method"] in READING_METHODS else None
        if key is None:
            await self._app(scope, receive, send)
            return
        finished = await self._cache.fetch(key, incoming)
        await send_finished(finished, send)

    async def _refuse(self, error: ApiError, incoming: Incoming, completing: "_Completing", send: Send) -> None:
        if not completing.has_started:
            await completing.body.end()
            await send_finished(finished_error(error, incoming), send)


def _completed(finished: Finished, incoming: Incoming, limit_headers: list[Header]) -> Finished:
    return Finished(
        finished.status,
        [*finished.headers, (b"x-request-id", incoming.request_id), *limit_headers],
        finished.body if incoming.scope["method"] == "GET" else b"",
    )


class _Body:
    """A request's body, whose rest is read before an answer that ends the connection.

    To close while the client still sends resets the connection, and the reset takes the answer with it.
    """

    __slots__ = ("_has_rest", "_receive")

    def __init__(self, incoming: Incoming, receive: Receive) -> None:
        self._receive = receive
        ends_connection = incoming.headers.get(b"connection", b"").lower() == b"close"
        # Who waits to be told to send has sent nothing.
        self._has_rest = ends_connection and b"expect" not in incoming.headers and _announces_body(incoming)

    async def __call__(self) -> Message:
        """Receive the next message."""
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._has_rest = False
        return message

    async def end(self) -> None:
        """Read what is left, within bounds, and forget it."""
        allowance = MAX_REST_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_REST_SECONDS):
                while self._has_rest and allowance > 0:
                    message = await self()
                    allowance -= len(message.get("body", b""))


def _announces_body(incoming: Incoming) -> bool:
    return b"content-length" in incoming.headers or b"transfer-encoding" in incoming.headers


class _Completing:
    """Adds to an answer's headers what every answer carries."""

    __slots__ = ("_incoming", "_send", "body", "has_started")

    def __init__(self, incoming: Incoming, send: Send, body: _Body) -> None:
        self._incoming = incoming
        self._send = send
        self.body = body
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            await self.body.end()
            self.has_started = True
            headers = list(message.get("headers", []))
            present = {name for name, _ in headers}
            headers += [header for header in SECURITY_HEADERS if header[0] not in present]
            headers += [(b"x-request-id", self._incoming.request_id), *self._incoming.limit_headers]
            if b"cache-control" not in present:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await self._send(message)


class Packing(GZipMiddleware):
    """Compression of answers that are made for one request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Compress for who takes it; the middleware alone takes `gzip;q=0` for a wish."""
        wanted = scope["type"] == "http" and accepts_gzip(incoming_of(scope).headers)
        await (super().__call__ if wanted else self.app)(scope, receive, send)


class EnvelopedCors(CORSMiddleware):
    """Cross-origin rules by setting; a refused preflight is an error like every other."""

    def __init__(self, app: Application, origins: list[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", CSRF_HEADER],
            # A wildcard with credentials would let any page act for whoever is signed in.
            allow_credentials="*" not in origins,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight."""
        response = super().preflight_response(request_headers)
        if response.status_code != InvalidRequest.status:
            return response
        refusal = InvalidRequest("This origin, method or header is not allowed from other sites")
        finished = finished_error(refusal, Incoming({"headers": request_headers.raw}))
        return Response(
            finished.body, finished.status, {name.decode(): text.decode() for name, text in finished.headers}
        )
