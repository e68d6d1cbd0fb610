"""uvicorn's HTTP protocol with what it leaves open: bounds on the request's head, in bytes and in time.

It also bounds clients who keep a connection without asking or without reading.
A request that never gets as far as an application is answered here, in the same envelope as every other error. Answers
that are finished go out in one write, where the server is ours and nothing stands between.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from chassis.metrics import counter
from gateway.errors import AddressTooLong, ApiError, HeadersTooLarge, InvalidRequest
from gateway.wire import ABORT, LEAVE, WRITE, Application, Finished, Incoming, Send, finished_error

MAX_TARGET_BYTES = 32 * 1024
MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_SECONDS = 10.0
LINGER_SECONDS = 2.0
STALL_SECONDS = 60.0
MAX_WAITING_REQUESTS = 256

HEADS_REFUSED = counter("bourse_http_heads_refused", "Requests that got no further than their head.", ["status"])


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
    if type(cycle) is RequestResponseCycle and not cycle.access_log:
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
        self._is_deaf = False
        self._is_in_head = True
        self._has_begun = False
        self._field_bytes = 0
        self._unfinished_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first head its time."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_head_timer()
        self._stop_stall_timer()
        if self._lingering is not None:
            self._lingering.cancel()
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self._running is not None and (leave := self._running.scope.get(LEAVE)) is not None:
            leave()  # type: ignore[operator]  # a key of ours

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and bound what it holds of an unfinished head."""
        if self._is_deaf:
            return
        super().data_received(data)
        if self._is_deaf or not self._is_in_head or self.parser is None:
            return
        # How much of the bytes in which a head began belongs to it is not known; all that follow do.
        self._unfinished_bytes += 0 if self._has_begun else len(data)
        self._has_begun = False
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            self._refusal = HeadersTooLarge(MAX_HEAD_BYTES)
            self.send_400_response("")
        elif self._head_timer is None and self.scope is not None:
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head = self._has_begun = True
        self._field_bytes = self._unfinished_bytes = 0
        # Streams drop a reader who does not read; what waits in the transport would keep it open.
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]  # a key of ours
        self.scope[WRITE] = self.write_part  # type: ignore[literal-required]  # a key of ours

    def write_part(self, make: Callable[[], bytes]) -> bool:
        """Write what `make` returns as the next part of the answer that is under way, past all layers.

        Returns:
            False, with `make` not called, when the connection does not take it now; `send` waits until it does.
        """
        cycle = self.cycle
        if cycle is None or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding:
            return False
        if self.flow.write_paused or self.transport.is_closing():
            return False
        if part := make():
            self.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    def on_url(self, url: bytes) -> None:
        """Bound the path and query."""
        self.url += url
        if len(self.url) > MAX_TARGET_BYTES:
            self._refusal = AddressTooLong(MAX_TARGET_BYTES)
            raise HeadRefused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers."""
        self._field_bytes += len(name) + len(value)
        if self._field_bytes > MAX_HEAD_BYTES:
            self._refusal = HeadersTooLarge(MAX_HEAD_BYTES)
            raise HeadRefused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head, and with it the wait for a request."""
        self._is_in_head = False
        if self._head_timer is not None:
            self._stop_head_timer()
        if self.timeout_keep_alive_task is not None:
            super()._unset_keepalive_if_required()
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            raise HeadRefused
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Application) -> None:  # type: ignore[override]
        # Behind it others may wait for their turn; it alone is being worked on.
        self._running = cycle
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Go on to the next request; no more are read while some that were wait for their turn."""
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()

    def _unset_keepalive_if_required(self) -> None:
        # uvicorn calls this for any bytes at all: the rest of a body that nobody reads, or an empty line, would keep
        # an idle connection for ever. Only a whole head ends the wait for one.
        return

    def timeout_keep_alive_handler(self) -> None:
        """Hang up on who asks nothing more; who has not even read the last answer is not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """Give a client who does not read so much time to go on."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._stop_stall_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text is not ours
        """Refuse what cannot become a request, and hang up once the client has had time to read why."""
        self._stop_head_timer()
        self._is_deaf = True
        if self.transport.is_closing():
            return
        if self._is_answer_owed:
            if self.pipeline or not self.cycle.more_body:
                # In their place this would be taken for an answer to one of the requests before.
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        refusal = self._refusal or MalformedHttp()
        HEADS_REFUSED.labels(str(refusal.status)).inc()
        finished = finished_error(refusal, Incoming({"headers": []}))
        lines = [STATUS_LINE[HTTPStatus(refusal.status)]]
        lines += [b"%s: %s\r\n" % header for header in [*finished.headers, (b"connection", b"close")]]
        self.transport.write(b"".join([*lines, b"\r\n", finished.body]))
        # Closing while the client still sends would reset the connection and take the answer with it.
        self._lingering = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    @property
    def _is_answer_owed(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if not self._is_in_head or self.transport.is_closing():
            return
        if self._is_answer_owed:
            # Nothing is read while requests wait for their turn: whose fault the wait is cannot be told.
            self._start_head_timer()
            return
        self.transport.close()
