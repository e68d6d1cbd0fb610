"""`GET /api/stream`: prices and alerts as Server-Sent Events.

Every client gets a snapshot first and then what changed, folded over a short window: what a slow reader has not been
sent yet is a set of instruments, never a queue of prices. Clients are served in cohorts within the window, so that a
thousand of them do not hold up everybody else at once.
"""

import asyncio
import json
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import grpc
from fastapi import Depends, Request, Response
from nats.aio.msg import Msg
from starlette.types import Receive, Scope, Send

from bourse.alerts.v1 import events_pb2
from bourse.market.v1 import quotes_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.metrics import counter
from chassis.rpc_client import reason_of
from chassis.tasks import running
from gateway.board import Board, BoardFull, Entry, head_of
from gateway.clients import Quotes, QuoteStub
from gateway.errors import InvalidRequest, RateLimited, UpstreamUnavailable
from gateway.models.alerts import Alert
from gateway.params import SHOWN_SYMBOLS
from gateway.security import Caller, Verifier
from gateway.settings import Settings
from gateway.wire import ABORT, WRITE, incoming_of

log = logging.getLogger(__name__)

FIRED_SUBJECT = "events.alerts.fired"
SLICE_SECONDS = 0.02
LEAST_PAUSE_SECONDS = 0.005
CARE_SECONDS = 0.25
QUOTE_BATCH = 50
MAX_WAITING_ALERTS = 100
# A fire that alerts publishes once more is not far behind the first: a batch of its outbox, 256, or a few.
MAX_KNOWN_FIRES = 2_048
FULL_RETRY_SECONDS = 5.0
RECONNECT_MS = 3_000
NO_PRICE = "NO_PRICE"
UNKNOWN = "SYMBOL_UNKNOWN"


DROPPED = counter("bourse_streams_dropped", "Streams that the gateway ended.", ["why"])
REFUSED = counter("bourse_streams_refused", "Streams that were not opened.", ["why"])
ALERTS_LOST = counter("bourse_stream_alerts_lost", "Alerts that readers who were too far behind were not told of.")


class TooManyStreams(UpstreamUnavailable):
    """The gateway serves as many streams as it may."""

    def __init__(self) -> None:
        super().__init__("Too many streams are open; try again shortly", retry_after_seconds=FULL_RETRY_SECONDS)
        REFUSED.labels("full").inc()


class TooManyOfOneCaller(RateLimited):
    """One user, or one address without a token, has as many streams open as one may."""

    def __init__(self) -> None:
        super().__init__(FULL_RETRY_SECONDS)
        REFUSED.labels("caller").inc()


class SymbolsUnknown(InvalidRequest):
    """Symbols that no market knows."""

    def __init__(self, symbols: Sequence[str]) -> None:
        super().__init__(f"Unknown symbols: {', '.join(symbols[:SHOWN_SYMBOLS])}")


def event(name: str, data: bytes) -> bytes:
    """Return one event as it goes over the wire."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def slice_after(due: float, now: float) -> float:
    """Return when the slice after the one due at `due` is: what a slice costs does not stretch everybody's window.

    One that comes too late is not made up for, and everything else gets its turn in between.
    """
    return max(due + SLICE_SECONDS, now + LEAST_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Feed:
    """How the feed stands: silent since when and why, or live."""

    is_silent: bool
    reason: str = ""
    since: str = ""

    def as_event(self) -> bytes:
        """Return the event that tells so."""
        if not self.is_silent:
            return event("live", b"{}")
        return event("stale", json.dumps({"reason": self.reason, "since": self.since}).encode())


class Client:
    """One reader: what it watches and what it has not been sent yet."""

    __slots__ = (
        "abort",
        "alerts",
        "caller",
        "dirty",
        "ending",
        "heads",
        "holder",
        "is_heartbeat_due",
        "last_sent_at",
        "notices",
        "sending_since",
        "wake",
        "write",
    )

    def __init__(self, heads: dict[Entry, bytes], caller: Caller | None) -> None:
        self.heads = heads
        self.caller = caller
        self.dirty: set[Entry] = set()
        self.alerts: deque[bytes] = deque(maxlen=MAX_WAITING_ALERTS)
        self.notices: dict[str, bytes] = {}
        self.wake = asyncio.Event()
        self.ending: str | None = None
        self.is_heartbeat_due = False
        self.last_sent_at = 0.0
        self.sending_since: float | None = None
        self.holder = ""
        self.abort: Any = None
        self.write: Callable[[Callable[[], bytes]], bool] | None = None

    def prices(self, entries: Iterable[Entry]) -> bytes:
        """Return entries' prices as an event's data, in this client's forms of their symbols."""
        heads = self.heads
        return b'{"quotes":[' + b",".join([heads[entry] + (entry.kept_tail or entry.tail) for entry in entries]) + b"]}"

    def take(self) -> bytes:
        """Return all that waits, as it goes over the wire, and forget it."""
        parts: list[bytes] = []
        if self.notices:
            parts += self.notices.values()
            self.notices.clear()
        if self.dirty:
            entries, self.dirty = self.dirty, set()
            parts.append(b"event: prices\ndata: " + self.prices(entries) + b"\n\n")
        while self.alerts:
            parts.append(self.alerts.popleft())
        if self.is_heartbeat_due:
            self.is_heartbeat_due = False
            if not parts:
                parts.append(b": heartbeat\n\n")
        if self.ending is not None:
            parts.append(event("end", json.dumps({"reason": self.ending}).encode()))
        return b"".join(parts)

    def end(self, reason: str) -> None:
        """Let the stream end after what waits."""
        self.ending = self.ending or reason
        self.wake.set()

    def drop(self, reason: str) -> None:
        """End the stream of a reader who has not left; the first reason counts."""
        if self.ending is None:
            DROPPED.labels(reason).inc()
        self.end(reason)

    def tell(self, alert: bytes) -> None:
        """Let an alert's event wait to be sent; the oldest makes room for it."""
        if len(self.alerts) == MAX_WAITING_ALERTS:
            ALERTS_LOST.inc()
        self.alerts.append(alert)
        self.wake.set()


class EventStream(Response):
    """The answer that goes on: an ASGI application for one reader."""

    media_type = "text/event-stream"

    def __init__(self, streams: "Streams", client: Client) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "Connection": "close", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the reader leaves or the stream ends."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
        else:
            self._client.holder = incoming_of(scope).limit_key
            self._client.abort = scope.get(ABORT)
            self._client.write = scope.get(WRITE)
            # Many may have been let through to market for the last place; here only one gets it.
            with self._streams.joined(self._client):
                await send(start)
                await self._until_over(receive, send)
        await send({"type": "http.response.body", "body": b""})

    async def _until_over(self, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self._watch_for_leaving(receive))
        try:
            await self._streams.serve(self._client, send)
        finally:
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving

    async def _watch_for_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client.end("left")


class Streams:
    """All open streams."""

    def __init__(
        self, *, board: Board, quotes: QuoteStub, bus: Bus, verifier: Verifier, settings: Settings, clock: Clock
    ) -> None:
        self._board = board
        self._quotes = quotes
        self._bus = bus
        self._verifier = verifier
        self._settings = settings
        self._clock = clock
        count = max(1, round(settings.gateway_stream_window_ms / 1000 / SLICE_SECONDS))
        self._cohorts: list[set[Client]] = [set() for _ in range(count)]
        self._by_user: dict[str, set[Client]] = {}
        self._by_holder: Counter[str] = Counter()
        self._known_fires: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._feed = Feed(is_silent=False)
        self._started_at = clock.monotonic()
        self._is_closing = False
        self.count = 0
        self.frames_sent = 0

    @property
    def waiting_prices(self) -> int:
        """Return how many prices wait to be sent, to all readers together."""
        return sum(len(client.dirty) for client in self._clients())

    @property
    def waiting_alerts(self) -> int:
        """Return how many alerts wait to be sent, to all readers together."""
        return sum(len(client.alerts) for client in self._clients())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve streams in the background until the block is left."""
        await self._bus.subscribe(FIRED_SUBJECT, self._on_fired)
        async with running(self._run()):
            yield

    def close(self) -> None:
        """Let every stream end now, and refuse new ones."""
        self._is_closing = True
        for client in self._clients():
            client.drop("shutdown")

    async def open(self, symbols: Sequence[str], caller: Caller | None) -> EventStream:
        """Return the stream of some symbols' prices, and of the caller's alerts.

        Raises:
            SymbolsUnknown: some are not known.
            TooManyStreams: there is no place for another.
            grpc.aio.AioRpcError: market was needed and did not answer.
        """
        if self._is_closing or self.count >= self._settings.gateway_stream_max_clients:
            raise TooManyStreams
        entries = await self._entries(symbols)
        return EventStream(self, Client({entries[symbol]: head_of(symbol) for symbol in symbols}, caller))

    async def _entries(self, symbols: Sequence[str]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for symbol in symbols:
            entry = self._board.get(symbol.upper())
            if entry is not None and self._board.is_fresh(entry):
                entries[symbol] = entry
        wanted = [symbol for symbol in symbols if symbol not in entries]
        unknown: list[str] = []
        try:
            for start in range(0, len(wanted), QUOTE_BATCH):
                found, missing = await self._ask(wanted[start : start + QUOTE_BATCH])
                entries |= found
                unknown += missing
        except BoardFull as error:
            raise TooManyStreams from error
        if unknown:
            raise SymbolsUnknown(unknown)
        return entries

    async def _ask(self, symbols: Sequence[str]) -> tuple[dict[str, Entry], list[str]]:
        request = quotes_pb2.GetQuotesRequest(symbols=symbols, listing=quotes_pb2.LISTING_UNSPECIFIED)
        try:
            reply = await self._quotes.GetQuotes(request)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == UNKNOWN:
                return {}, list(symbols)
            raise
        by_form = {symbol.upper(): symbol for symbol in symbols}
        entries = {by_form[quote.symbol.upper()]: self._board.adopt(quote) for quote in reply.quotes}
        unpriced = [missing.symbol for missing in reply.missing if missing.code == NO_PRICE]
        entries |= {by_form[symbol.upper()]: self._board.place(symbol.upper()) for symbol in unpriced}
        return entries, [missing.symbol for missing in reply.missing if missing.code != NO_PRICE]

    # --- one client -------------------------------------------------------------------------------------------------

    def joined(self, client: Client) -> "_Membership":
        """Return the context in which a client takes part."""
        return _Membership(self, client)

    async def serve(self, client: Client, send: Send) -> None:
        """Send a client its snapshot, and then what changes, until it ends."""
        priced = [entry for entry in client.heads if entry.has_price]
        opening = b"retry: %d\n\n" % RECONNECT_MS + event("snapshot", client.prices(priced))
        if self._feed.is_silent:
            opening += self._feed.as_event()
        await self._send(client, send, opening)
        while client.ending != "left":
            await client.wake.wait()
            client.wake.clear()
            await self._send(client, send, client.take())
            if client.ending is not None:
                return

    async def _send(self, client: Client, send: Send, body: bytes) -> None:
        if not body:
            return
        client.last_sent_at = client.sending_since = self._clock.monotonic()
        self.frames_sent += 1
        await send({"type": "http.response.body", "body": body, "more_body": True})
        client.sending_since = None

    def add(self, client: Client) -> None:
        """Let a client hear of changes.

        Raises:
            TooManyStreams: there is no place for another, or its holder has as many as one may.
        """
        if self.count >= self._settings.gateway_stream_max_clients:
            raise TooManyStreams
        if self._by_holder[client.holder] >= self._settings.gateway_stream_max_per_caller:
            raise TooManyOfOneCaller
        self._by_holder[client.holder] += 1
        for entry in client.heads:
            entry.watchers.add(client)
        min(self._cohorts, key=len).add(client)
        if client.caller is not None:
            self._by_user.setdefault(client.caller.user_id, set()).add(client)
        self.count += 1
        if self._is_closing:
            client.end("shutdown")

    def remove(self, client: Client) -> None:
        """Forget a client."""
        for entry in client.heads:
            entry.watchers.discard(client)
        for cohort in self._cohorts:
            cohort.discard(client)
        if client.caller is not None:
            readers = self._by_user[client.caller.user_id]
            readers.discard(client)
            if not readers:
                del self._by_user[client.caller.user_id]
        self._by_holder[client.holder] -= 1
        if not self._by_holder[client.holder]:
            del self._by_holder[client.holder]
        self.count -= 1

    # --- all clients ------------------------------------------------------------------------------------------------

    def _clients(self) -> list[Client]:
        return [client for cohort in self._cohorts for client in cohort]

    async def _run(self) -> None:
        turn = 0
        due = care_at = self._clock.monotonic()
        while True:
            due = slice_after(due, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            turn = (turn + 1) % len(self._cohorts)
            try:
                self._spread_changes()
                for client in self._cohorts[turn]:
                    if client.dirty:
                        self._serve_at_once(client)
                if self._clock.monotonic() >= care_at:
                    care_at = self._clock.monotonic() + CARE_SECONDS
                    self.take_care()
            except Exception:
                # The outermost frame of the task that serves everybody: one slice that fails must not be the last.
                log.exception("slice failed")

    def _serve_at_once(self, client: Client) -> None:
        """Write what waits where the connection takes it now: to wake the task under all layers costs twice as much."""
        is_idle = client.sending_since is None and not client.wake.is_set()
        if is_idle and client.write is not None and client.write(client.take):
            client.last_sent_at = self._clock.monotonic()
            self.frames_sent += 1
            return
        client.wake.set()

    def _spread_changes(self) -> None:
        changed = self._board.changed
        for entry in changed:
            for client in entry.watchers:
                client.dirty.add(entry)
        changed.clear()

    def take_care(self) -> None:
        """Tell of a silent feed, send heartbeats, drop who does not read and end who is signed out."""
        self._look_at_feed()
        now = self._clock.monotonic()
        for client in self._clients():
            if client.sending_since is not None:
                self._drop_if_stuck(client, now)
            elif now - client.last_sent_at >= self._settings.gateway_stream_heartbeat_seconds:
                client.is_heartbeat_due = True
                client.wake.set()
            if client.caller is not None and not self._verifier.is_current(client.caller):
                client.drop("signed_out")

    def _drop_if_stuck(self, client: Client, now: float) -> None:
        if client.sending_since is None or now - client.sending_since < self._settings.gateway_stream_drop_seconds:
            return
        if client.ending != "left":
            DROPPED.labels("stuck").inc()
        # Nobody reads what could still be told; `left` ends the stream without it.
        client.ending = "left"
        client.wake.set()
        if client.abort is not None:
            client.abort()

    def _look_at_feed(self) -> None:
        feed = self._feed_now()
        if (feed.is_silent, feed.reason) == (self._feed.is_silent, self._feed.reason):
            return
        self._feed = feed
        log.info("feed changed", extra={"is_silent": feed.is_silent, "reason": feed.reason})
        notice = feed.as_event()
        for client in self._clients():
            client.notices["feed"] = notice
            client.wake.set()

    def _feed_now(self) -> Feed:
        last_at = self._board.last_batch_at or self._started_at
        silence = self._clock.monotonic() - last_at
        if self._bus.is_ready and silence < self._settings.gateway_stream_silence_seconds:
            return Feed(is_silent=False)
        since = self._clock.now() - timedelta(seconds=silence)
        reason = "no ticks" if self._bus.is_ready else "disconnected"
        return Feed(is_silent=True, reason=reason, since=since.isoformat().replace("+00:00", "Z"))

    async def _on_fired(self, message: Msg) -> None:
        alert = events_pb2.AlertFired.FromString(message.data).alert
        readers = self._by_user.get(alert.user_id)
        fire = (alert.id, alert.generation)
        if not readers or fire in self._known_fires:
            return
        self._known_fires[fire] = None
        if len(self._known_fires) > MAX_KNOWN_FIRES:
            self._known_fires.popitem(last=False)
        # The event has no note; null would say that the alert has none.
        told = event("alert", Alert.model_validate(alert).model_dump_json(exclude={"note"}).encode())
        for client in readers:
            client.tell(told)


class _Membership:
    def __init__(self, streams: Streams, client: Client) -> None:
        self._streams = streams
        self._client = client

    def __enter__(self) -> None:
        self._streams.add(self._client)

    def __exit__(self, *_: object) -> None:
        self._streams.remove(self._client)


async def _streams(request: Request, _: Quotes) -> Streams:
    # Of what the board does not hold, a stream asks market first: that is whom its operation calls.
    streams: Streams = request.app.state.streams
    return streams


OpenStreams = Annotated[Streams, Depends(_streams)]
