"""Reads the stream of ticks from where the last process stopped, and hands every batch to the watch."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from alerts.domain.checkpoint import Mark
from alerts.domain.continuity import Reason
from alerts.domain.firing import Firing
from alerts.domain.ports import AlertStore
from alerts.domain.positions import Position
from alerts.domain.watch import Watch
from alerts.feed.batches import BatchUnreadable, read_batch
from alerts.feed.stream import TickStream
from chassis.bus import TICKS, Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable, DatabaseUnavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.25
LOOK_EVERY_SECONDS = 1.0
HEARTBEAT_SECONDS = 2.0
STOP_SECONDS = 1.0
CURRENT_SECONDS = 5.0
MAX_LAG_BATCHES = 1_000
# What the server sends faster than it is evaluated waits here; beyond it nats-py drops, and the session begins anew.
PENDING_MESSAGES = 65_536
PENDING_BYTES = 64 * 1024 * 1024


class SessionOver(Exception):  # not an error: reading has to begin anew
    """The consumer no longer continues what was evaluated."""


class _Session:
    """One consumer's life: its messages follow one another without a gap, or it is over."""

    def __init__(self, watch: Watch, firing: Firing, after: Position) -> None:
        self.position = after
        self.turn = asyncio.Lock()  # held while a batch is evaluated, and by whoever must not be interleaved with one
        self._watch = watch
        self._firing = firing
        self._is_first = True
        self._ended = asyncio.Event()
        self._cause: Exception | None = None

    async def receive(self, message: Msg) -> None:
        """Evaluate a message; once one could not be, those behind it are left for the next session."""
        if self._ended.is_set():
            return
        try:
            async with self.turn:
                self._take(message)
        except Exception as cause:  # noqa: BLE001  # nats-py would swallow it; the session's owner logs it
            self._cause = cause
            self._ended.set()
            return
        self._firing.notify()
        await self._firing.wait_for_room()

    async def wait(self, seconds: float) -> None:
        """Wait for a while, or until it is over.

        Raises:
            Exception: what ended it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        if self._cause is not None:
            raise self._cause

    def _take(self, message: Msg) -> None:
        metadata = message.metadata
        sequence = metadata.sequence.stream
        if sequence <= self.position.sequence:
            return
        if sequence != self.position.sequence + 1:
            if not self._is_first:
                raise SessionOver
            # Asked for the next message, the server gave a later one: it no longer holds those in between.
            self._watch.lose(Reason.STREAM_TRIMMED)
        self._is_first = False
        position = Position(self.position.stream, sequence)
        try:
            self._watch.evaluate(read_batch(message.data, position))
        except BatchUnreadable as error:
            log.warning("batch unreadable", extra={"subject": message.subject, "problem": str(error)})
            self._watch.skip(position, shard=_shard_of(message.subject), at=metadata.timestamp)
        self.position = position


class TickFeed:
    """Follows the stream in sessions: each begins at what was evaluated last, and ends when NATS or the stream changes.

    That nothing is missed is checked here, message by message, by the stream's own sequence; JetStream and nats-py are
    not relied on for it.
    """

    def __init__(
        self, bus: Bus, stream: TickStream, alerts: AlertStore, *, watch: Watch, firing: Firing, clock: Clock
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._alerts = alerts
        self._watch = watch
        self._firing = firing
        self._clock = clock
        self._has_reconnected = False
        self._has_waiting_alerts = False
        self._cause = ""
        self._lag = 0
        self._looked_at = -CURRENT_SECONDS
        bus.on_ready(self._note_reconnect)

    @property
    def is_current(self) -> bool:
        """Say whether ticks are being evaluated, at most a thousand batches behind the stream's end."""
        is_reading = self._clock.monotonic() - self._looked_at < CURRENT_SECONDS
        return is_reading and self._lag <= MAX_LAG_BATCHES

    def notify_waiting(self) -> None:
        """Say that an alert was saved that could not be armed."""
        self._has_waiting_alerts = True

    async def run(self) -> None:
        """Follow the stream until cancelled."""
        while True:
            try:
                await self._follow()
            except (SessionOver, BusUnavailable, DatabaseUnavailable) as cause:
                self._note_end(cause)
            except (nats.errors.Error, nats.js.errors.Error, OSError) as cause:
                self._note_end(cause)
            except Exception:
                log.exception("ticks are not followed")
            self._looked_at = -CURRENT_SECONDS
            await self._clock.sleep(RETRY_SECONDS)

    def _note_end(self, cause: Exception) -> None:
        """Say why the stream is not followed, once for as long as the cause stays the same."""
        name = type(cause).__name__
        if name != self._cause:
            log.warning("ticks are not followed", extra={"cause": name})
        self._cause = name

    async def _note_reconnect(self) -> None:
        self._has_reconnected = True

    async def _follow(self) -> None:
        self._has_reconnected = False
        self._has_waiting_alerts = True
        session = _Session(self._watch, self._firing, self._watch.follow(await self._stream.view()))
        await self._look(session)
        async with self._subscribed(session):
            self._cause = ""
            after = session.position
            log.info("ticks are followed", extra={"stream": after.stream, "after_sequence": after.sequence})
            while True:
                await session.wait(LOOK_EVERY_SECONDS)
                await self._look(session)

    @asynccontextmanager
    async def _subscribed(self, session: _Session) -> AsyncIterator[None]:
        start = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=session.position.sequence + 1
        )
        subscription = await self._bus.jetstream.subscribe(
            "ticks.*",
            cb=session.receive,
            stream=TICKS.name,
            config=start,
            ordered_consumer=True,
            idle_heartbeat=HEARTBEAT_SECONDS,
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )
        try:
            yield
        finally:
            with suppress(nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await subscription.unsubscribe()

    async def _look(self, session: _Session) -> None:
        """Make sure that this is still the stream, see how far behind we are, and arm what waits."""
        if self._has_reconnected:
            raise SessionOver
        view = await self._stream.view()
        if view.ordinal != session.position.stream:
            raise SessionOver
        self._lag = max(view.last - session.position.sequence, 0)
        self._looked_at = self._clock.monotonic()
        if self._has_waiting_alerts:
            self._has_waiting_alerts = False
            async with session.turn:
                await self._arm_waiting(view.end)

    async def _arm_waiting(self, end: Position) -> None:
        """Arm what was set while the stream could not be asked; no batch is evaluated meanwhile."""
        mark = Mark(max(end, self._watch.evaluated), self._watch.evaluated_at)
        try:
            while armed := await self._alerts.arm_waiting(mark, at=self._clock.now(), watch=self._watch.load):
                log.info("alerts armed late", extra={"alerts": len(armed)})
        except DatabaseUnavailable:
            self._has_waiting_alerts = True
            raise


def _shard_of(subject: str) -> int | None:
    shard = subject.rpartition(".")[2]
    return int(shard) if shard.isdecimal() and len(shard) <= 2 else None  # noqa: PLR2004
