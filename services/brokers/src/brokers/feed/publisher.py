"""Puts Kite's ticks on NATS, one `TickBatch` a shard for whatever a slice of time brought, more where that is much."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter

from bourse.market.v1 import quotes_pb2, ticks_pb2
from brokers.domain.brokers import Broker
from brokers.domain.ticks import SHARDS, Freshness, Tick, shard_of
from brokers.feed.kite_ticks import microseconds_of
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.01
PUBLISH_TIMEOUT_SECONDS = 2.0
# Some twenty seconds of what three full connections bring.
MAX_WAITING_TICKS = 200_000
# NATS refuses messages over 1 MiB, and a tick takes at most some 70 bytes.
MAX_TICKS_PER_BATCH = 4_096

_Slice = tuple[Freshness, Sequence[Tick]]


class _Hole(set[int]):
    """The shards of ticks that were dropped at this place among those that wait."""


class TickPublisher:
    """Publishes ticks in the order in which they were offered; none is folded into another.

    A batch's sequence is used up even when its ticks are dropped, and in their place among those that wait, so that
    whoever reads sees the hole behind what went before them. What was dropped
    last before the end of a process has no batch behind it that would show the hole, nor had Kite's ticks anybody to
    take them until the next start. So each epoch begins at 2: its first hole stands for all that may be lost by then.

    Args:
        bus: the connection to NATS.
        clock: what the time is.
        publisher_id: names this process to those who watch for holes; the same after a restart.

    Attributes:
        published_ticks: how many were handed to NATS.
        dropped_ticks: how many were not, since NATS was away or too slow.
    """

    def __init__(self, bus: Bus, clock: Clock, *, publisher_id: str) -> None:
        self._bus = bus
        self._clock = clock
        self._publisher_id = publisher_id
        self._epoch = microseconds_of(clock.now())
        self._sequences = [1] * SHARDS
        self._shards: dict[str, int] = {}
        self._waiting: deque[_Slice | _Hole] = deque()
        self._waiting_ticks = 0
        self._has_waiting = asyncio.Event()
        self._is_dropping = False
        self.published_ticks = 0
        self.dropped_ticks = 0

    @property
    def waiting_ticks(self) -> int:
        """Return how many ticks wait for the next slice."""
        return self._waiting_ticks

    @property
    def epoch(self) -> int:
        """Return what tells this start of the publisher from others: microseconds since 1970."""
        return self._epoch

    def offer(self, ticks: Sequence[Tick], freshness: Freshness) -> None:
        """Have ticks published within the next slice; dropped when too many wait already."""
        if self._waiting_ticks + len(ticks) > MAX_WAITING_TICKS:
            self._leave_hole(shard for shard, _ in self._by_shard(ticks))
            self._note_drop(len(ticks))
            return
        self._waiting.append((freshness, ticks))
        self._waiting_ticks += len(ticks)
        self._has_waiting.set()

    async def run(self) -> None:
        """Publish what is offered, slice by slice, until cancelled."""
        while True:
            await self._has_waiting.wait()
            await self._clock.sleep(SLICE_SECONDS)
            await self.publish_waiting()

    async def publish_waiting(self) -> None:
        """Publish all that waits; what cannot be sent now is dropped and counted."""
        for batch in self._batches(self._take()):
            try:
                async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                    await self._bus.publish(f"ticks.{batch.shard}", batch.SerializeToString())
            except (BusUnavailable, TimeoutError):
                self._note_drop(len(batch.ticks))
            else:
                self.published_ticks += len(batch.ticks)
                self._is_dropping = False

    def _leave_hole(self, shards: Iterable[int]) -> None:
        if not self._waiting or not isinstance(hole := self._waiting[-1], _Hole):
            self._waiting.append(hole := _Hole())
        hole.update(shards)

    def _take(self) -> list[_Slice | _Hole]:
        taken = list(self._waiting)
        self._waiting.clear()
        self._waiting_ticks = 0
        self._has_waiting.clear()
        return taken

    def _batches(self, taken: Sequence[_Slice | _Hole]) -> Iterator[ticks_pb2.TickBatch]:
        slices: list[_Slice] = []
        for each in taken:
            if isinstance(each, _Hole):
                yield from self._batches_of(slices)
                slices = []
                for shard in each:
                    self._sequences[shard] += 1
            else:
                slices.append(each)
        yield from self._batches_of(slices)

    def _batches_of(self, slices: Sequence[_Slice]) -> Iterator[ticks_pb2.TickBatch]:
        for freshness, group in groupby(slices, key=itemgetter(0)):
            ticks = [tick for _, part in group for tick in part]
            for shard, of_shard in self._by_shard(ticks):
                for begin in range(0, len(of_shard), MAX_TICKS_PER_BATCH):
                    yield self._batch(shard, of_shard[begin : begin + MAX_TICKS_PER_BATCH], freshness)

    def _by_shard(self, ticks: Sequence[Tick]) -> Iterator[tuple[int, list[Tick]]]:
        by_shard: dict[int, list[Tick]] = {}
        for tick in ticks:
            shard = self._shards.get(tick.instrument)
            if shard is None:
                shard = self._shards[tick.instrument] = shard_of(tick.instrument)
            by_shard.setdefault(shard, []).append(tick)
        yield from by_shard.items()

    def _batch(self, shard: int, ticks: list[Tick], freshness: Freshness) -> ticks_pb2.TickBatch:
        self._sequences[shard] += 1
        # Exchanges name the second of an instrument's own last change, which can lie long before its neighbours'.
        ticks.sort(key=attrgetter("at_microseconds"))
        base = ticks[0].at_microseconds
        batch = ticks_pb2.TickBatch(
            publisher_id=self._publisher_id,
            epoch=self._epoch,
            shard=shard,
            sequence=self._sequences[shard],
            source=Broker.ZERODHA.value,
            freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness.value}"),
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
            log.warning("ticks dropped", extra={"source": Broker.ZERODHA.value, "dropped_ticks": self.dropped_ticks})
