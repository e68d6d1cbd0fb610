"""Ticks as the matcher reads them: one batch, in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from alerts.domain.alerts import Freshness
from alerts.domain.positions import Position

SHARDS = 16


def shard_of(instrument: str) -> int:
    """Return the part of the instruments that one belongs to."""
    return crc32(instrument.encode()) % SHARDS


@dataclass(frozen=True, slots=True)
class TickBatch:
    """What one slice of time brought for the instruments of one shard, oldest first.

    Attributes:
        position: where the batch stands in the stream.
        publisher_id: names the process that published it.
        epoch: changes with every start of the publisher; microseconds since 1970 UTC.
        shard: which part of the instruments it is about.
        sequence: counts the batches of this publisher, epoch and shard, from 1 without gaps.
        source: names the source of its prices.
        freshness: how far its prices can be relied on.
        base_at: the time that the offsets count from.
        instruments: the instrument of each tick, `EXCHANGE:SYMBOL`.
        prices: the price of each tick.
        offsets_microseconds: when each price was made, after `base_at`.
        trace_parent: the trace that it came in; None when that is not recorded.
    """

    position: Position
    publisher_id: str
    epoch: int
    shard: int
    sequence: int
    source: str
    freshness: Freshness
    base_at: datetime
    instruments: Sequence[str]
    prices: Sequence[float]
    offsets_microseconds: Sequence[int]
    trace_parent: str | None = None

    def time_of(self, tick: int) -> datetime:
        """Return when the price of a tick was made."""
        return self.base_at + timedelta(microseconds=self.offsets_microseconds[tick])

    @property
    def first_at(self) -> datetime:
        """Return the time of the first tick; of the batch when it has none."""
        return self.time_of(0) if self.offsets_microseconds else self.base_at

    @property
    def last_at(self) -> datetime:
        """Return the time of the last tick; of the batch when it has none."""
        return self.time_of(-1) if self.offsets_microseconds else self.base_at
