"""NATS: one connection a process, which connects by itself, comes back by itself, and says when it is ready.

Ready means connected and the streams exist. Core subscriptions survive a reconnect; what JetStream consumers need
after one is their owner's affair (`on_ready`).
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ClusterInfo, DiscardPolicy, StorageType, StreamConfig

from chassis.errors import BusUnavailable
from chassis.metrics import counter, histogram, reading
from chassis.settings import ProcessSettings
from chassis.tasks import end
from chassis.tracing import TRACE_PARENT, SpanKind, parent_here, span

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 2
RECONNECT_WAIT_SECONDS = 0.25
PING_INTERVAL_SECONDS = 2
REQUEST_TIMEOUT_SECONDS = 2.0
CLOSE_TIMEOUT_SECONDS = 2.0
PROBE_SECONDS = 0.5
# Servers hear of one another every second.
PEER_SILENCE_SECONDS = 3.0
MEBIBYTE = 1024 * 1024

EVENTS_PUBLISHED = counter("bourse_events_published", "Events that JetStream has stored or refused.", ["outcome"])
EVENT_SECONDS = histogram("bourse_event_publish_seconds", "How long JetStream took to store an event.")
MESSAGES_FAILED = counter("bourse_messages_failed", "Messages whose handler raised, which are given up.", ["subject"])
STORED, REFUSED = EVENTS_PUBLISHED.labels("stored"), EVENTS_PUBLISHED.labels("refused")
CONNECTIONS_LOST = counter("bourse_nats_connections_lost", "How often the connection to NATS was lost.")

EVENTS = StreamConfig(
    name="EVENTS",
    description="What must arrive: published with a message id, acknowledged, kept on disk.",
    subjects=["events.>"],
    storage=StorageType.FILE,
    max_age=7 * 24 * 3600,
    max_bytes=256 * MEBIBYTE,
    discard=DiscardPolicy.OLD,
    duplicate_window=3600,
)
TICKS = StreamConfig(
    name="TICKS",
    description="The last ticks, in memory, for those who were away; it dies with its server.",
    subjects=["ticks.*"],
    storage=StorageType.MEMORY,
    max_age=1800,
    max_bytes=128 * MEBIBYTE,
    discard=DiscardPolicy.OLD,
    no_ack=True,
)

# A password may have commas of its own.
_BETWEEN_ADDRESSES = re.compile(r",(?=\w+://)")

Callback = Callable[[], Awaitable[None]]
MessageHandler = Callable[[Msg], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A place in one incarnation of a stream: what was stored up to and including `last_sequence`.

    Attributes:
        leader: the server that leads the stream's copies, which says so; None where there is one copy.
    """

    created_at: datetime
    first_sequence: int
    last_sequence: int
    leader: str | None = None


def addresses_in(url: str) -> list[str]:
    """Return the addresses of NATS_URL: one, or those of a cluster's servers with commas between them."""
    return _BETWEEN_ADDRESSES.split(url)


def speaks_for_all(cluster: ClusterInfo | None) -> bool:
    """Say whether a server's answer about a stream is that of who leads its copies.

    A server that was cut off from the others answers too, with what it held then: while it has not noticed, as the
    leader that it was; afterwards, until another is chosen, without one.

    Args:
        cluster: what the answer says of the copies; nothing, or the server alone, where there is one.
    """
    if cluster is None:
        return True
    others = cluster.replicas or []
    heard = [each for each in others if not each.offline and (each.active or 0) <= PEER_SILENCE_SECONDS * 1e9]
    return bool(cluster.leader) and 2 * (len(heard) + 1) > len(others) + 1


class _Client(Client):
    """nats-py's client, whose reader outlives a flush that was given up.

    A flush that times out cancels what its pong is to answer. The library then sets the result of that all the same,
    and its reader ends with the error: the connection looks well and hears nothing, until pings that are not answered
    are noticed seconds later. This can go when nats-py's `_process_pong` looks first.
    """

    async def _process_pong(self) -> None:
        if not self._pongs:
            return
        answered = self._pongs.pop(0)
        if not answered.done():
            answered.set_result(True)
        self._pongs_received += 1
        self._pings_outstanding = 0


class Bus:
    """A process's connection to NATS."""

    def __init__(self, url: str, *, name: str, streams: Sequence[StreamConfig] = ()) -> None:
        self._url = url
        self._name = name
        self._streams = streams
        self._client = _Client()
        self._ready = asyncio.Event()
        self._on_ready: list[Callback] = []
        self._on_lost: list[Callback] = []
        self._subscriptions: list[tuple[str, MessageHandler]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_connected = False
        self._was_heard = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: ProcessSettings, *, name: str, streams: Sequence[StreamConfig] = ()
    ) -> AsyncIterator["Bus"]:
        """Connect in the background and close on leaving; a server that is away keeps nobody from starting.

        Args:
            settings: NATS_URL, with user and password where the server asks for them.
            name: what the server's monitor shows.
            streams: the streams that must exist before the bus is ready.
        """
        bus = cls(settings.nats_url.get_secret_value(), name=name, streams=streams)
        bus.start()
        try:
            with reading("bourse_nats_ready", "Whether NATS can be used: 1 or 0.", lambda: float(bus.is_ready)):
                yield bus
        finally:
            await bus.close()

    def start(self) -> None:
        """Begin to connect."""
        self._spawn(self._connect())

    @property
    def is_ready(self) -> bool:
        """Say whether messages can be published and streams be used now."""
        return self._ready.is_set() and self._client.is_connected

    @property
    def is_heard(self) -> bool:
        """Say whether the server can be used, and answered when it was last asked (`is_answering`)."""
        return self.is_ready and self._was_heard

    async def is_answering(self) -> bool:
        """Say whether the server answers now, within half a second; a health check.

        A server that hangs looks connected for seconds, until its missing pongs are noticed; this is not fooled.
        """
        self._was_heard = self.is_ready and await self._is_there()
        return self._was_heard

    async def _is_there(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._client.flush()
        except (nats.errors.Error, OSError, TimeoutError):
            return False
        return True

    @property
    def client(self) -> Client:
        """Return the nats-py client."""
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """Return a JetStream context with a bounded request time."""
        return self._client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)

    async def wait_until_ready(self) -> None:
        """Wait for the connection; callers bound the wait."""
        await self._ready.wait()

    def on_ready(self, callback: Callback) -> None:
        """Call back after each time the bus has become ready; at once when it is ready now."""
        self._on_ready.append(callback)
        if self.is_ready:
            self._spawn(callback())

    def on_lost(self, callback: Callback) -> None:
        """Call back each time the connection is lost."""
        self._on_lost.append(callback)

    async def subscribe(self, subject: str, handler: MessageHandler) -> None:
        """Hand every message of a subject to `handler`, one after the other, now and after each reconnect.

        What the handler raises is logged and the message is given up: core NATS has no redelivery.
        """
        self._subscriptions.append((subject, handler))
        if self._has_connected:
            await self._client.subscribe(subject, cb=_logged(handler))

    async def publish(self, subject: str, payload: bytes) -> None:
        """Publish without acknowledgement.

        Raises:
            BusUnavailable: there is no connection; nothing was kept for later.
        """
        if not self.is_ready:
            raise BusUnavailable
        try:
            await self._client.publish(subject, payload, headers=_trace_header() or None)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable from error

    async def publish_event(
        self, subject: str, payload: bytes, *, message_id: str, trace_parent: str | None = None
    ) -> None:
        """Publish to JetStream and wait until it is stored; the same message id is stored once.

        Args:
            subject: one of `EVENTS`.
            payload: the serialised message.
            message_id: what it is known by.
            trace_parent: the span that it comes from, where that is recorded.

        Raises:
            BusUnavailable: it was not acknowledged in time; publishing it again is safe.
        """
        if not self.is_ready:
            raise BusUnavailable
        outcome = REFUSED
        try:
            with EVENT_SECONDS.time(), _sending(subject, trace_parent):
                headers = {"Nats-Msg-Id": message_id, **_trace_header()}
                await self.jetstream.publish(subject, payload, headers=headers, timeout=REQUEST_TIMEOUT_SECONDS)
            outcome = STORED
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable from error
        finally:
            outcome.inc()

    async def stream_position(self, stream: str) -> StreamPosition:
        """Ask where a stream stands.

        Raises:
            BusUnavailable: there is no connection, no answer in time, or no such stream; or, of a stream with copies,
                nobody who has heard of most of them lately has answered.
        """
        if not self.is_ready:
            raise BusUnavailable
        try:
            info = await self.jetstream.stream_info(stream)
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable from error
        if info.created is None or not speaks_for_all(info.cluster):
            raise BusUnavailable
        leader = info.cluster.leader if info.cluster is not None and info.cluster.replicas else None
        return StreamPosition(info.created, info.state.first_seq, info.state.last_seq, leader)

    async def close(self) -> None:
        """Flush what is waiting and close, within two seconds, whatever the server does."""
        self._ready.clear()
        await end(*self._tasks)
        with suppress(nats.errors.Error, OSError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                if self._client.is_connected:
                    await self._client.flush(timeout=1)
        with suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._client.close()

    async def _connect(self) -> None:
        await self._client.connect(
            addresses_in(self._url),
            name=self._name,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            reconnect_time_wait=RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type]  # any number of seconds will do
            max_reconnect_attempts=-1,
            ping_interval=PING_INTERVAL_SECONDS,
            max_outstanding_pings=2,
            error_cb=self._log_error,
            disconnected_cb=self._lost,
            reconnected_cb=self._prepare,
        )
        await self._prepare()

    async def _prepare(self) -> None:
        await self._ensure_streams()
        if not self._has_connected:
            self._has_connected = True
            # What is subscribed to from here on sees that there is a connection, and is not this loop's.
            for subject, handler in tuple(self._subscriptions):
                await self._client.subscribe(subject, cb=_logged(handler))
        self._ready.set()
        self._was_heard = True
        log.info("bus ready")
        for callback in self._on_ready:
            self._spawn(callback())

    async def _ensure_streams(self) -> None:
        for stream in self._streams:
            while not await self._has_stream(stream):  # noqa: ASYNC110  # nothing here can signal that it is there
                await asyncio.sleep(RECONNECT_WAIT_SECONDS)

    async def _has_stream(self, stream: StreamConfig) -> bool:
        try:
            await self.jetstream.add_stream(stream)
        except nats.js.errors.BadRequestError:
            # It exists with other settings: an operator's (replicas, limits), which are theirs to choose.
            return True
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            return False
        return True

    async def _lost(self) -> None:
        was_ready = self._ready.is_set()
        self._ready.clear()
        if not was_ready:
            return
        log.warning("bus lost")
        CONNECTIONS_LOST.inc()
        for callback in self._on_lost:
            self._spawn(callback())

    async def _log_error(self, error: Exception) -> None:
        log.debug("bus error", extra={"error": type(error).__name__})

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("bus callback failed", exc_info=task.exception())


def _sending(subject: str, trace_parent: str | None) -> AbstractContextManager[object]:
    if trace_parent is None:
        return nullcontext()
    return span(f"{subject} publish", SpanKind.PRODUCER, parent=trace_parent)


def _trace_header() -> dict[str, str]:
    parent = parent_here()
    return {} if parent is None else {TRACE_PARENT: parent}


def _logged(handler: MessageHandler) -> MessageHandler:
    async def handle(message: Msg) -> None:
        try:
            await handler(message)
        except Exception:
            MESSAGES_FAILED.labels(message.subject).inc()
            log.exception("message handler failed", extra={"subject": message.subject})

    return handle
