"""Puts ticks on NATS, one `TickBatch` a shard for whatever a slice of time brought, more where it brought too much."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import nats.errors

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable
from chassis.metrics import counter
from chassis.tracing import SpanKind, span
from market.domain.ports import Leadership
from market.domain.quotes import Freshness
from market.domain.ticks import SHARDS, Tick, shard_of
from market.feed.arrivals import Arrivals

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 2.0
# A tick takes at most some 70 bytes, and NATS refuses messages over 1 MiB: a replay that was held up for a moment at a
# high speed has far more than that to send.
MAX_TICKS_PER_BATCH = 4_096

TICKS_PUBLISHED = counter("bourse_ticks_published", "Ticks handed to NATS.", ["source"])
BATCHES_PUBLISHED = counter("bourse_tick_batches_published", "Batches of ticks handed to NATS.", ["source"])
TICKS_DROPPED = counter(
    "bourse_ticks_dropped", "Ticks not published: NATS was away, or another replica may lead.", ["source", "reason"]
)
NO_BUS, NOT_LEADING = "no_bus", "not_leading"


class TickPublisher:
    """Publishes the ticks of one source while this replica leads; each is sent, none is folded into another.

    A batch's sequence is used up even when the batch cannot be sent, so that whoever reads sees the hole. Sequences
    begin anew with each turn at leading, whose epoch they bear: at 1 when nothing can have been lost in front of the
    turn, else at 2. What the turn before dropped last has no batch behind it that would show the hole. Where one
    publisher sends all there is, the leadership is told when every shard that it has ticks of has shown that hole.

    Args:
        bus: the connection to NATS.
        clock: what the time is.
        leadership: whether this replica leads; asked right before each batch.
        arrivals: what learns when ticks went out.
        publisher_id: names this process to those who watch for holes; the same after a restart.
        source: the source of all ticks.
        freshness: how far all ticks can be relied on.
        only_of: the shards that there are ticks of, where nobody else sends any while this replica leads.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        leadership: Leadership,
        arrivals: Arrivals,
        publisher_id: str,
        source: str,
        freshness: Freshness,
        only_of: Collection[int] = (),
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._leadership = leadership
        self._arrivals = arrivals
        self._publisher_id = publisher_id
        self._source = source
        self._freshness = quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness.value}")
        self._epoch = 0
        self._sequences = [0] * SHARDS
        self._only_of = frozenset(only_of)
        self._unshown: set[int] = set()
        self._shards: dict[str, int] = {}
        self._is_dropping = False
        self._ticks_published = TICKS_PUBLISHED.labels(source)
        self._batches_published = BATCHES_PUBLISHED.labels(source)
        self.published_ticks = 0
        self.dropped_ticks = 0

    async def wait_until_connected(self, seconds: float) -> None:
        """Wait for NATS, for so long at most, so that no start begins with a hole."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bus.wait_until_ready()

    async def publish(self, ticks: Sequence[Tick]) -> None:
        """Publish ticks, oldest first; what cannot be sent now is dropped and counted."""
        with self._accounting():
            for shard, batch in self._batches(ticks):
                if not self._leads(batch):
                    self._note_drop(len(batch.ticks), NOT_LEADING)
                    continue
                try:
                    await self._send(shard, batch)
                except BusUnavailable:
                    self._note_drop(len(batch.ticks), NO_BUS)
                else:
                    self._note_sent([batch])
                    self._is_dropping = False

    async def publish_all(self, ticks: Sequence[Tick]) -> bool:
        """Publish ticks, oldest first, and wait until the server has them, however long it is away.

        A batch whose arrival is in doubt is sent again under the same sequence; who follows sequences knows it. Return
        False when the turn was over before that, so that some may have been sent and some not.
        """
        batches = [batch for _, batch in self._batches(ticks)]
        delay = RETRY_SECONDS
        with self._accounting():
            while not await self._has_sent(batches):
                if self._leadership.epoch != self._epoch:
                    return False
                await self._clock.sleep(delay)
                delay = min(2 * delay, LONGEST_RETRY_SECONDS)
        self._note_sent(batches)
        return True

    @contextmanager
    def _accounting(self) -> Iterator[None]:
        """Note what is left unsent when sending is broken off, as by the end of the process."""
        try:
            yield
        except BaseException:
            self._leadership.note_loss()
            raise

    async def _has_sent(self, batches: Sequence[ticks_pb2.TickBatch]) -> bool:
        try:
            for batch in batches:
                if not self._leads(batch):
                    return False
                await self._send(batch.shard, batch)
            await self._bus.client.flush(timeout=FLUSH_TIMEOUT_SECONDS)  # type: ignore[arg-type]  # any number will do
        except (BusUnavailable, nats.errors.Error, OSError, TimeoutError):
            return False
        return True

    async def _send(self, shard: int, batch: ticks_pb2.TickBatch) -> None:
        with span("ticks publish", SpanKind.PRODUCER, parent=None):
            await self._bus.publish(_subject(shard), batch.SerializeToString())

    def _leads(self, batch: ticks_pb2.TickBatch) -> bool:
        return self._leadership.is_leading and self._leadership.epoch == batch.epoch

    def _begin_turn(self) -> None:
        """Count anew in a new turn; between two, what is dropped is counted in the last."""
        epoch = self._leadership.epoch
        if epoch is not None and epoch != self._epoch:
            before = 0 if self._leadership.is_seamless else 1
            self._epoch, self._sequences = epoch, [before] * SHARDS
            self._unshown = set(self._only_of) if before else set()

    def _batches(self, ticks: Sequence[Tick]) -> Sequence[tuple[int, ticks_pb2.TickBatch]]:
        self._begin_turn()
        by_shard: dict[int, list[Tick]] = {}
        for tick in ticks:
            by_shard.setdefault(self._shard_of(tick.instrument), []).append(tick)
        return [
            (shard, self._batch(shard, part[begin : begin + MAX_TICKS_PER_BATCH]))
            for shard, part in by_shard.items()
            for begin in range(0, len(part), MAX_TICKS_PER_BATCH)
        ]

    def _shard_of(self, instrument: str) -> int:
        shard = self._shards.get(instrument)
        if shard is None:
            shard = self._shards[instrument] = shard_of(instrument)
        return shard

    def _batch(self, shard: int, ticks: Sequence[Tick]) -> ticks_pb2.TickBatch:
        self._sequences[shard] += 1
        base = ticks[0].at_microseconds
        batch = ticks_pb2.TickBatch(
            publisher_id=self._publisher_id,
            epoch=self._epoch,
            shard=shard,
            sequence=self._sequences[shard],
            source=self._source,
            freshness=self._freshness,
        )
        batch.base_time.FromMicroseconds(base)
        batch.published_at.FromDatetime(self._clock.now())
        add = batch.ticks.add
        for tick in ticks:
            add(
                instrument=tick.instrument,
                last_price=tick.last_price,
                previous_close=tick.previous_close,
                offset_microseconds=tick.at_microseconds - base,
                volume=tick.volume,
            )
        return batch

    def _note_sent(self, batches: Sequence[ticks_pb2.TickBatch]) -> None:
        ticks = sum(len(batch.ticks) for batch in batches)
        self.published_ticks += ticks
        self._ticks_published.inc(ticks)
        self._batches_published.inc(len(batches))
        self._arrivals.note(self._source)
        self._show(batches)

    def _show(self, batches: Sequence[ticks_pb2.TickBatch]) -> None:
        if not self._unshown or self._leadership.epoch != self._epoch:
            return
        self._unshown.difference_update(batch.shard for batch in batches)
        if not self._unshown:
            self._leadership.note_shown()

    def _note_drop(self, ticks: int, reason: str) -> None:
        self.dropped_ticks += ticks
        self._leadership.note_loss()
        TICKS_DROPPED.labels(self._source, reason).inc(ticks)
        if not self._is_dropping:
            self._is_dropping = True
            log.warning("ticks dropped", extra={"source": self._source, "reason": reason})


def _subject(shard: int) -> str:
    return f"ticks.{shard}"
