"""Puts ticks on NATS, one `TickBatch` a shard for whatever a slice of time brought, more where it brought too much."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import nats.errors

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable
from market.domain.quotes import Freshness
from market.domain.ticks import SHARDS, Tick, microseconds_of, shard_of

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 2.0
# A tick takes at most some 70 bytes, and NATS refuses messages over 1 MiB: a replay that was held up for a moment at a
# high speed has far more than that to send.
MAX_TICKS_PER_BATCH = 4_096


class TickPublisher:
    """Publishes the ticks of one source; each is sent, none is folded into another.

    A batch's sequence is used up even when the batch cannot be sent, so that whoever reads sees the hole.

    Args:
        bus: the connection to NATS.
        clock: what the time is.
        publisher_id: names this process to those who watch for holes; the same after a restart.
        source: the source of all ticks.
        freshness: how far all ticks can be relied on.
    """

    def __init__(self, bus: Bus, clock: Clock, *, publisher_id: str, source: str, freshness: Freshness) -> None:
        self._bus = bus
        self._clock = clock
        self._publisher_id = publisher_id
        self._source = source
        self._freshness = quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness.value}")
        self._epoch = microseconds_of(clock.now())
        self._sequences = [0] * SHARDS
        self._shards: dict[str, int] = {}
        self._is_dropping = False
        self.published_ticks = 0
        self.dropped_ticks = 0

    @property
    def epoch(self) -> int:
        """Return what tells this start of the publisher from others: microseconds since 1970."""
        return self._epoch

    async def wait_until_connected(self, seconds: float) -> None:
        """Wait for NATS, for so long at most, so that no start begins with a hole."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bus.wait_until_ready()

    async def publish(self, ticks: Sequence[Tick]) -> None:
        """Publish ticks, oldest first; what cannot be sent now is dropped and counted."""
        for shard, batch in self._batches(ticks):
            try:
                await self._bus.publish(_subject(shard), batch.SerializeToString())
            except BusUnavailable:
                self._note_drop(len(batch.ticks))
            else:
                self.published_ticks += len(batch.ticks)
                self._is_dropping = False

    async def publish_all(self, ticks: Sequence[Tick]) -> None:
        """Publish ticks, oldest first, and wait until the server has them, however long it is away.

        A batch whose arrival is in doubt is sent again under the same sequence; who follows sequences knows it.
        """
        waiting = [(shard, batch.SerializeToString()) for shard, batch in self._batches(ticks)]
        delay = RETRY_SECONDS
        while not await self._has_sent(waiting):
            await self._clock.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_SECONDS)
        self.published_ticks += len(ticks)

    async def _has_sent(self, batches: Sequence[tuple[int, bytes]]) -> bool:
        try:
            for shard, payload in batches:
                await self._bus.publish(_subject(shard), payload)
            await self._bus.client.flush(timeout=FLUSH_TIMEOUT_SECONDS)  # type: ignore[arg-type]  # any number will do
        except (BusUnavailable, nats.errors.Error, OSError, TimeoutError):
            return False
        return True

    def _batches(self, ticks: Sequence[Tick]) -> Sequence[tuple[int, ticks_pb2.TickBatch]]:
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

    def _note_drop(self, ticks: int) -> None:
        self.dropped_ticks += ticks
        if not self._is_dropping:
            self._is_dropping = True
            log.warning("ticks dropped", extra={"source": self._source, "dropped_ticks": self.dropped_ticks})


def _subject(shard: int) -> str:
    return f"ticks.{shard}"
