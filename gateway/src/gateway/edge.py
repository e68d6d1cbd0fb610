"""The outermost layer: answers what is ready, and gives everything else its id, caller, limits, headers and envelope.

It is plain ASGI in front of FastAPI. Paths whose answers may be ready are found in a dictionary, before any routing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from chassis.logs import request_id
from chassis.tracing import SpanKind, span
from gateway.admission import Admission, Place
from gateway.bodies import CLIENT_LEFT
from gateway.errors import ApiError, InvalidRequest, RateLimited, Unexpected
from gateway.http_cache import HttpCache, accepts_gzip
from gateway.limits import Limits
from gateway.protocol import send_finished
from gateway.security import CSRF_HEADER, Verifier, credential_of, identify
from gateway.traffic import METHODS, OTHER_METHOD, RouteTally, Traffic
from gateway.wire import (
    INCOMING,
    LEAVE,
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
        traffic: Traffic,
        admission: Admission,
    ) -> None:
        self._app = app
        self._answers = answers
        self._cache = cache
        self._limits = limits
        self._verifier = verifier
        self._traffic = traffic
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = perf_counter()
        incoming = scope[INCOMING] = Incoming(scope)
        try:
            finished = self._ready(incoming) if scope["method"] in READING_METHODS else None
        except Exception:
            # The outermost frame of an answer that is ready; what arrives here is a bug.
            log.exception("request failed", extra={"path": scope["path"]})
            finished = finished_error(Unexpected(), incoming)
        tally = self._traffic.tally_of(scope["path"])
        if finished is None:
            work = _Work(incoming, tally, self._admission.place_for(tally.route, tally.service), began_at)
            await self._work(work, receive, send)
            return
        tally.count(scope["method"], finished.status, perf_counter() - began_at)
        await send_finished(finished, send)

    def _ready(self, incoming: Incoming) -> Finished | None:
        return self._at_hand(incoming) if self._recognises(incoming) else None

    def _at_hand(self, incoming: Incoming) -> Finished | None:
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
        incoming.identity = caller
        incoming.user_id = caller.user_id
        return True

    async def _work(self, work: "_Work", receive: Receive, send: Send) -> None:
        incoming = work.incoming
        request_id.set(incoming.request_id.decode())
        body = _Body(incoming, receive, work.place)
        completing = _Completing(work, send, body)
        try:
            if not work.place.is_to_be_had:
                await self._turn_away(work, body, send)
                return
            # A trace begins here: what a client says of one of its own is not to be relied on.
            with work, span(work.name, SpanKind.SERVER, parent=None):
                work.place.take()
                await self._answer(incoming, body, completing)
        except ApiError as error:
            await self._refuse(error, completing, send)
        except Exception:
            # The outermost frame of every request: what arrives here is a bug, told to nobody but the log.
            log.exception("request failed", extra={"path": incoming.scope["path"]})
            await self._refuse(Unexpected(), completing, send)

    async def _turn_away(self, work: "_Work", body: "_Body", send: Send) -> None:
        """Answer without a place: with what is ready, else with the refusal, which must cost next to nothing."""
        finished = self._at_hand_for_anybody(work.incoming)
        if finished is None:
            finished = finished_error(work.place.refused(), work.incoming)
            await body.end()
        work.answered(finished.status)
        await send_finished(finished, send)

    def _at_hand_for_anybody(self, incoming: Incoming) -> Finished | None:
        """Return what is ready, though its path or its caller has not been seen before."""
        scope = incoming.scope
        if scope["method"] not in READING_METHODS:
            return None
        self._cache.key_of(scope["path"], scope["query_string"])
        return self._at_hand(incoming)

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

    async def _refuse(self, error: ApiError, completing: "_Completing", send: Send) -> None:
        if completing.has_started:
            return
        completing.work.answered(error.status)
        await completing.body.end()
        await send_finished(finished_error(error, completing.work.incoming), send)


def _completed(finished: Finished, incoming: Incoming, limit_headers: list[Header]) -> Finished:
    return Finished(
        finished.status,
        [*finished.headers, (b"x-request-id", incoming.request_id), *limit_headers],
        finished.body if incoming.scope["method"] == "GET" else b"",
    )


class _Work:
    """A request without a ready answer, from here to where its answer begins; its place is given back in any case.

    A reader who leaves ends it. Anything else is done to its end, and holds its place until then: whether it was
    done, a client who has left cannot know.
    """

    __slots__ = ("_began_at", "_has_left", "_is_over", "_tally", "_task", "incoming", "place")

    def __init__(self, incoming: Incoming, tally: RouteTally, place: Place, began_at: float) -> None:
        self.incoming = incoming
        self.place = place
        self._tally = tally
        self._began_at = began_at
        self._has_left = False
        self._is_over = False
        self._task: asyncio.Task[Any] | None = None

    @property
    def name(self) -> str:
        """Return what it is called in traces, of as many names as there are routes."""
        method = self.incoming.scope["method"]
        return f"{method if method in METHODS else OTHER_METHOD} {self._tally.route}"

    def __enter__(self) -> None:
        if self.incoming.scope["method"] in READING_METHODS:
            self._task = asyncio.current_task()
            self.incoming.scope[LEAVE] = self._leave

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.place.give_back()
        self.incoming.scope.pop(LEAVE, None)
        if self._task is None or not self._has_left or kind is not asyncio.CancelledError:
            return False
        self._task.uncancel()
        self.answered(CLIENT_LEFT)
        return True

    def answered(self, status: int) -> None:
        """Count the answer that begins now; what is left is its client's affair."""
        if self._is_over:
            return
        self._is_over = True
        self.place.give_back()
        self.incoming.scope.pop(LEAVE, None)
        self._tally.count(self.incoming.scope["method"], status, perf_counter() - self._began_at)

    def _leave(self) -> None:
        self._has_left = True
        if self._task is not None:
            self._task.cancel()


class _Body:
    """A request's body, whose rest is read before an answer that ends the connection.

    To close while the client still sends resets the connection, and the reset takes the answer with it.
    """

    __slots__ = ("_ends_connection", "_has_rest", "_is_whole", "_place", "_receive")

    def __init__(self, incoming: Incoming, receive: Receive, place: Place) -> None:
        self._receive = receive
        self._place = place
        self._is_whole = False
        self._ends_connection = incoming.headers.get(b"connection", b"").lower() == b"close"
        # Who waits to be told to send has sent nothing.
        self._has_rest = b"expect" not in incoming.headers and _announces_body(incoming)

    async def __call__(self) -> Message:
        """Receive the next message.

        Raises:
            Overloaded: the client was slow, and others have taken the place meanwhile.
        """
        is_aside = not self._is_whole and self._place.give_back()
        message = await self._read()
        if is_aside:
            self._place.take()
        return message

    async def end(self, *, ends_connection: bool = False) -> None:
        """Read what is left, within bounds, and forget it, when the client or the answer ends the connection."""
        if not self._has_rest or not (ends_connection or self._ends_connection):
            return
        allowance = MAX_REST_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_REST_SECONDS):
                while self._has_rest and allowance > 0:
                    message = await self._read()
                    allowance -= len(message.get("body", b""))

    async def _read(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_whole = True
            self._has_rest = False
        return message


def _announces_body(incoming: Incoming) -> bool:
    return b"content-length" in incoming.headers or b"transfer-encoding" in incoming.headers


class _Completing:
    """Adds to an answer's headers what every answer carries."""

    __slots__ = ("_send", "body", "has_started", "work")

    def __init__(self, work: _Work, send: Send, body: _Body) -> None:
        self._send = send
        self.work = work
        self.body = body
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            incoming = self.work.incoming
            self.work.answered(message["status"])
            headers = list(message.get("headers", []))
            await self.body.end(ends_connection=(b"connection", b"close") in headers)
            self.has_started = True
            present = {name for name, _ in headers}
            headers += [header for header in SECURITY_HEADERS if header[0] not in present]
            headers += [(b"x-request-id", incoming.request_id), *incoming.limit_headers]
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
