"""Reads the stream of ticks from where its shards' holders stopped, and hands every batch to the watch of its shard."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from alerts.domain.alerts import Alert
from alerts.domain.checkpoint import Mark
from alerts.domain.continuity import Reason, StreamView
from alerts.domain.firing import Firing
from alerts.domain.leases import Lease
from alerts.domain.ports import AlertStore
from alerts.domain.positions import Position
from alerts.domain.ticks import SHARDS
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from alerts.feed.batches import BatchUnreadable, read_batch
from alerts.feed.stream import TickStream
from chassis.bus import TICKS, Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable, DatabaseUnavailable
from chassis.tracing import TRACE_PARENT

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
    """The consumer no longer continues what was evaluated; `gap` is what a message was missing behind, if one was."""

    def __init__(self, gap: Position | None = None) -> None:
        super().__init__()
        self.gap = gap


class Restart(Exception):  # not an error: reading has to begin elsewhere
    """Shards are to be read that this session has not read from where they have to be."""


@dataclass(slots=True)
class Tally:
    """What was read of the shards held here, what was read again after a crash or a change of shards once more.

    Attributes:
        batches: batches handed to the watch of their shard.
        ticks: the ticks in them.
        unreadable: batches passed over because they could not be read.
    """

    batches: int = 0
    ticks: int = 0
    unreadable: int = 0


class _Session:
    """One consumer's life: its messages follow one another without a gap, or it is over.

    It reads all shards in one order, and passes over those that are not held here without looking into them.
    """

    def __init__(
        self, watches: Watches, firing: Firing, after: Position, *, known_gap: Position | None, tally: Tally
    ) -> None:
        """Go on behind a position; what is missing behind `known_gap` was asked for twice now."""
        self.position = after
        self._known_gap = known_gap
        self._tally = tally
        self.turn = asyncio.Lock()  # held while a batch is evaluated, and by whoever must not be interleaved with one
        self._watches = watches
        self._firing = firing
        self._is_first = True
        self._evaluated_at: datetime | None = None
        self._changed = asyncio.Event()
        self._cause: Exception | None = None

    async def receive(self, message: Msg) -> None:
        """Evaluate a message; once one could not be, those behind it are left for the next session."""
        if self._cause is not None:
            return
        try:
            async with self.turn:
                self._take(message)
        except Exception as cause:  # noqa: BLE001  # nats-py would swallow it; the session's owner logs it
            self.end(cause)
            return
        self._firing.notify()
        await self._firing.wait_for_room()

    def end(self, cause: Exception) -> None:
        """Evaluate nothing more."""
        self._cause = self._cause or cause
        self._changed.set()

    def nudge(self) -> None:
        """Let whoever waits go on at once."""
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a while, until it is nudged, or until it is over.

        Raises:
            Exception: what ended it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()
        self.require_no_end()

    def require_no_end(self) -> None:
        """Go on only if it is not over.

        Raises:
            Exception: what ended it.
        """
        if self._cause is not None:
            raise self._cause

    def catch_up(self) -> None:
        """Let the watches know that there was nothing of theirs up to here; when that was, a tick has to have said."""
        # Once it is over there are shards that have to be read from further back.
        if self._evaluated_at is not None and self._cause is None:
            mark = Mark(self.position, self._evaluated_at)
            for watch in self._watches:
                watch.advance(mark)

    def _take(self, message: Msg) -> None:
        if self._cause is not None:
            return
        metadata = message.metadata
        sequence = metadata.sequence.stream
        if sequence <= self.position.sequence:
            return
        if sequence != self.position.sequence + 1:
            if not self._is_first and self.position != self._known_gap:
                raise SessionOver(self.position)
            # Asked for the next message, the server gave a later one: it no longer holds those in between.
            self._lose(Position(self.position.stream, sequence - 1))
        self._is_first = False
        position = Position(self.position.stream, sequence)
        shard = _shard_of(message.subject)
        if shard is None:
            log.warning("batch of no shard", extra={"subject": message.subject})
            self._skip(self._watches, position, metadata.timestamp)
        elif (watch := self._watches.of_shard(shard)) is not None:
            self._evaluate(watch, message, position)
        self.position = position

    def _evaluate(self, watch: Watch, message: Msg, position: Position) -> None:
        if position <= watch.evaluated:
            return
        if self._evaluated_at is not None:
            watch.advance(Mark(self.position, self._evaluated_at))
        try:
            parent = message.headers.get(TRACE_PARENT) if message.headers else None
            batch = read_batch(message.data, position, shard=watch.lease.shard, trace_parent=parent)
            watch.evaluate(batch)
            self._tally.batches += 1
            self._tally.ticks += len(batch.prices)
        except BatchUnreadable as error:
            self._tally.unreadable += 1
            log.warning("batch unreadable", extra={"subject": message.subject, "problem": str(error)})
            watch.skip(position, at=message.metadata.timestamp)
        self._evaluated_at = watch.evaluated_at

    def _skip(self, watches: Iterable[Watch], position: Position, at: datetime) -> None:
        self.catch_up()
        for watch in watches:
            watch.skip(position, at=at)

    def _lose(self, until: Position) -> None:
        for watch in self._watches:
            if watch.evaluated < until:
                watch.lose(Reason.STREAM_TRIMMED)


class TickFeed:
    """Follows the stream in sessions: each begins at what was evaluated last, and ends when NATS or the stream changes.

    That nothing is missed is checked here, message by message, by the stream's own sequence; JetStream and nats-py are
    not relied on for it.

    Attributes:
        tally: what was read so far.
        interruptions: how often following the stream ended for something else than a change of shards, tries to begin
            anew that failed among them.
    """

    def __init__(
        self, bus: Bus, stream: TickStream, alerts: AlertStore, *, watches: Watches, firing: Firing, clock: Clock
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._alerts = alerts
        self._watches = watches
        self._firing = firing
        self._clock = clock
        self._session: _Session | None = None
        self._followed: set[Lease] = set()
        self._has_shards = asyncio.Event()
        self._known_gap: Position | None = None
        self._has_reconnected = False
        self._cause = ""
        self._lag = 0
        self._waiting = 0
        self._looked_at = -CURRENT_SECONDS
        self.tally = Tally()
        self.interruptions = 0
        bus.on_ready(self._note_reconnect)
        bus.on_lost(self._note_loss)

    @property
    def is_current(self) -> bool:
        """Say whether ticks of shards held here are being evaluated, at most a thousand batches behind the stream."""
        return self._is_reading and self._lag <= MAX_LAG_BATCHES and len(self._watches) > 0

    @property
    def lag_batches(self) -> int | None:
        """Return how many batches the stream was ahead, at most a few seconds ago; None when it is not followed."""
        return self._lag if self._is_reading else None

    @property
    def waiting(self) -> int:
        """Return how many alerts of shards held here were to be taken up or armed when that was looked at last."""
        return self._waiting

    @property
    def _is_reading(self) -> bool:
        return self._clock.monotonic() - self._looked_at < CURRENT_SECONDS

    def notify_waiting(self) -> None:
        """Say that an alert was saved that is to be taken up."""
        if self._session is not None:
            self._session.nudge()

    def follow(self, watches: Sequence[Watch]) -> None:
        """Evaluate shards that were taken, from where their holders before them stopped."""
        for watch in watches:
            self._watches.add(watch)
        if watches:
            self._has_shards.set()
            self._begin_anew()

    def _begin_anew(self) -> None:
        """End the session, at once: a later message of it would hide those that are to be read before."""
        if self._session is not None:
            self._session.end(Restart())

    async def run(self) -> None:
        """Follow the stream until cancelled."""
        while True:
            try:
                await self._follow()
            except Restart:
                continue
            except (SessionOver, BusUnavailable, DatabaseUnavailable) as cause:
                self._note_end(cause)
            except (nats.errors.Error, nats.js.errors.Error, OSError) as cause:
                self._note_end(cause)
            except Exception:
                self.interruptions += 1
                log.exception("ticks are not followed")
            self._followed.clear()
            self._looked_at = -CURRENT_SECONDS
            await self._clock.sleep(RETRY_SECONDS)

    def _note_end(self, cause: Exception) -> None:
        """Say why the stream is not followed, once for as long as the cause stays the same."""
        self._known_gap = cause.gap if isinstance(cause, SessionOver) else None
        self.interruptions += 1
        name = type(cause).__name__
        if name != self._cause:
            log.warning("ticks are not followed", extra={"cause": name})
        self._cause = name

    async def _note_reconnect(self) -> None:
        self._has_reconnected = True

    async def _note_loss(self) -> None:
        """End the session at once: a consumer that it has asked for can be made behind the loss, of another stream.

        nats-py keeps what is asked meanwhile and asks it when it is connected again. Positions of the one stream would
        then be taken for those of the other.
        """
        if self._session is not None:
            self._session.end(BusUnavailable())

    async def _follow(self) -> None:
        while not len(self._watches):
            await self._wait_for_shards()
        self._has_reconnected = False
        session = self._session = self._begin(await self._stream.view())
        try:
            await self._look(session)
            async with self._subscribed(session):
                self._cause = ""
                after = session.position
                log.info("ticks are followed", extra={"stream": after.stream, "after_sequence": after.sequence})
                while True:
                    await session.wait(LOOK_EVERY_SECONDS)
                    await self._look(session)
        finally:
            self._session = None

    async def _wait_for_shards(self) -> None:
        """Wait a moment for shards; what is set here meanwhile is armed at once if the stream was asked just before."""
        self._has_shards.clear()
        await self._stream.latest()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_SECONDS):
                await self._has_shards.wait()

    def _begin(self, view: StreamView) -> _Session:
        """Return a session that reads from the earliest place that any shard has to be read from."""
        starts = [watch.follow(view, was_followed=watch.lease in self._followed) for watch in self._watches]
        self._followed = {watch.lease for watch in self._watches}
        after = min(starts, default=view.end)
        return _Session(self._watches, self._firing, after, known_gap=self._known_gap, tally=self.tally)

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
        session.catch_up()
        try:
            await self._take_up(session, view)
        except DatabaseUnavailable as error:
            # Ticks can be evaluated meanwhile, and what waits waits on.
            log.debug("alerts not taken up", extra={"reason": error.reason})
        session.require_no_end()

    async def _take_up(self, session: _Session, view: StreamView) -> None:
        """Watch for what was set by others, and arm what was set while the stream could not be asked."""
        async with self._watches.saving:
            waiting = await self._alerts.waiting([watch.lease.shard for watch in self._watches])
            self._waiting = len(waiting)
            by_watch: defaultdict[Watch, list[Alert]] = defaultdict(list)
            for alert in waiting:
                watch = self._watches.of(alert.instrument)
                if watch is not None:
                    by_watch[watch].append(alert)
            # All in one step: what is read again is not to be hidden by what this session reads meanwhile.
            if any([watch.take_up(alerts) for watch, alerts in by_watch.items()]):  # noqa: C419  # all take up theirs
                self._begin_anew()
        for watch, alerts in by_watch.items():
            if view.is_settled and any(alert.armed is None for alert in alerts):
                await self._arm_waiting(session, watch, view.end)

    async def _arm_waiting(self, session: _Session, watch: Watch, end: Position) -> None:
        """Arm what was set while the stream could not be asked; no batch is evaluated meanwhile."""
        async with session.turn:
            mark = Mark(max(end, watch.evaluated), watch.evaluated_at)
            while armed := await self._alerts.arm_waiting(watch.lease, mark, at=self._clock.now(), watch=watch.load):
                log.info("alerts armed late", extra={"alerts": len(armed)})


_SHARDS = {str(shard): shard for shard in range(SHARDS)}


def _shard_of(subject: str) -> int | None:
    shard = subject.rpartition(".")[2]
    return _SHARDS.get(shard)
