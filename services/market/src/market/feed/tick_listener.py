"""Ticks that others publish, taken into market's own last prices."""

import logging
import math
from collections.abc import Collection, Sequence
from datetime import timedelta

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from market.domain.last_prices import LastPrices
from market.domain.sessions import VenueSessions
from market.domain.ticks import Tick, microseconds_of
from market.feed.arrivals import Arrivals

log = logging.getLogger(__name__)

SUBJECT = "ticks.*"
# A price that is dated later than this by our clock would keep every true one out.
LONGEST_AHEAD = timedelta(seconds=60)
QUIET_AFTER = timedelta(seconds=30)


class TickBatchMalformed(ValueError):
    """A batch is not what the contract says."""


class TickListener:
    """Takes in the ticks of some real sources; whoever publishes them owns the feed.

    Args:
        last_prices: what learns of them.
        clock: what the time is.
        sources: the names of the sources that are believed.
        instruments: ids; ticks of others are passed over.
        sessions: when ticks can be expected.
        arrivals: what learns when ticks came.
    """

    def __init__(
        self,
        last_prices: LastPrices,
        clock: Clock,
        *,
        sources: Collection[str],
        instruments: Collection[str],
        sessions: VenueSessions,
        arrivals: Arrivals,
    ) -> None:
        self._last_prices = last_prices
        self._clock = clock
        self._sources = frozenset(sources)
        self._instruments = frozenset(instruments)
        self._sessions = sessions
        self._arrivals = arrivals
        self._heard_at = clock.now()
        self.malformed_batches = 0

    async def listen(self, bus: Bus) -> None:
        """Take in what is published from now on."""
        await bus.subscribe(SUBJECT, self._take)

    async def is_well(self) -> bool:
        """Say whether ticks come, or need not: none are expected between sessions and in their first half minute."""
        now = self._clock.now()
        session = self._sessions.last_begun(now)
        if session is None or not session.is_open_at(now):
            return True
        return now - max(self._heard_at, session.opens_at) <= QUIET_AFTER

    async def _take(self, message: Msg) -> None:
        try:
            batch = ticks_pb2.TickBatch.FromString(message.data)
            if batch.source not in self._sources or batch.freshness == quotes_pb2.FRESHNESS_SIMULATED:
                return
            latest = microseconds_of(self._clock.now() + LONGEST_AHEAD)
            ticks = [each for each in read_ticks(batch, latest) if each.instrument in self._instruments]
        except (DecodeError, TickBatchMalformed) as error:
            self._note_malformed(message.subject, error)
            return
        self._last_prices.record(batch.source, ticks)
        self._heard_at = self._clock.now()
        self._arrivals.note(batch.source)

    def _note_malformed(self, subject: str, error: Exception) -> None:
        self.malformed_batches += 1
        if self.malformed_batches.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, ...: told, and not too often
            log.warning(
                "tick batch skipped",
                extra={"subject": subject, "error": type(error).__name__, "malformed_batches": self.malformed_batches},
            )


def read_ticks(batch: ticks_pb2.TickBatch, latest: int) -> Sequence[Tick]:
    """Return the ticks of a batch in their order.

    Args:
        batch: what was published.
        latest: the latest time a price can have been made, in microseconds since 1970.

    Raises:
        TickBatchMalformed: a price is not above 0, or a time is not possible.
    """
    base = batch.base_time.ToMicroseconds()
    if base <= 0:
        raise TickBatchMalformed("it has no time")
    return [_tick(each, base, latest) for each in batch.ticks]


def _tick(message: ticks_pb2.Tick, base: int, latest: int) -> Tick:
    at = base + message.offset_microseconds
    if message.offset_microseconds < 0 or at > latest:
        raise TickBatchMalformed("a tick's time is not possible")
    previous_close = message.previous_close if message.HasField("previous_close") else None
    if not _is_price(message.last_price) or not (previous_close is None or _is_price(previous_close)):
        raise TickBatchMalformed("a tick's price is not above 0")
    volume = message.volume if message.HasField("volume") else None
    return Tick(message.instrument, message.last_price, at, previous_close, volume)


def _is_price(value: float) -> bool:
    return math.isfinite(value) and value > 0
