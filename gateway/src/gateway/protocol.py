"""uvicorn's HTTP protocol with what it leaves open: bounds on the request's head, in bytes and in time.

A request that never gets as far as an application is answered here, in the same envelope as every other error. Answers
that are finished go out in one write, where the server is ours and nothing stands between.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.errors import AddressTooLong, ApiError, HeadersTooLarge, InvalidRequest
from gateway.wire import ABORT, Finished, Incoming, Send, finished_error

MAX_TARGET_BYTES = 32 * 1024
MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_SECONDS = 10.0
LINGER_SECONDS = 2.0


class HeadRefused(ValueError):
    """Stops the parser; the reason stands on the protocol."""


class MalformedHttp(InvalidRequest):
    """Bytes that are not HTTP."""

    def __init__(self) -> None:
        super().__init__("The request is not valid HTTP")


async def send_finished(finished: Finished, send: Send) -> None:
    """Send a finished answer: in one write to uvicorn's connection, else as two ASGI messages.

    uvicorn's own `send` looks at every header of every answer anew, which costs as much as all the rest of a hit.
    """
    cycle = getattr(send, "__self__", None)
    if type(cycle) is RequestResponseCycle:
        await _write(finished, cycle)
        return
    await send({"type": "http.response.start", "status": finished.status, "headers": finished.headers})
    await send({"type": "http.response.body", "body": finished.body})


async def _write(finished: Finished, cycle: RequestResponseCycle) -> None:
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    lines = [b"%s: %s\r\n" % header for header in finished.headers]
    date = [b"%s: %s\r\n" % header for header in cycle.default_headers]
    ending = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    body = b"" if cycle.scope["method"] == "HEAD" else finished.body
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join([STATUS_LINE[finished.status], *date, *lines, ending, body]))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: ApiError | None = None
        self._is_in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first head its time."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_head_timer()
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and bound what it holds of an unfinished head."""
        if self._lingering is not None:
            return
        super().data_received(data)
        if not self._is_in_head or self.parser is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refusal = HeadersTooLarge(MAX_HEAD_BYTES)
            self.send_400_response("")
        elif self._head_timer is None and self.scope is not None:
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0
        # Streams drop a reader who does not read; what waits in the transport would keep it open.
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]  # a key of ours

    def on_url(self, url: bytes) -> None:
        """Bound the path and query."""
        self.url += url
        if len(self.url) > MAX_TARGET_BYTES:
            self._refusal = AddressTooLong(MAX_TARGET_BYTES)
            raise HeadRefused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refusal = HeadersTooLarge(MAX_HEAD_BYTES)
            raise HeadRefused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head."""
        self._is_in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text is not ours
        """Refuse what cannot become a request, and hang up once the client has had time to read why."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        refusal = self._refusal or MalformedHttp()
        finished = finished_error(refusal, Incoming({"headers": []}))
        lines = [STATUS_LINE[HTTPStatus(refusal.status)]]
        lines += [b"%s: %s\r\n" % header for header in [*finished.headers, (b"connection", b"close")]]
        self.transport.write(b"".join([*lines, b"\r\n", finished.body]))
        # Closing while the client still sends would reset the connection and take the answer with it.
        self._lingering = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._is_in_head and not self.transport.is_closing():
            self.transport.close()
