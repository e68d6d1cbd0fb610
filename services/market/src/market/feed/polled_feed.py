"""Publishes as ticks what sources without ticks say, round after round, while venues trade."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from chassis.bus import Bus
from chassis.clock import Clock
from chassis.tasks import running
from market.domain.instruments import Instrument
from market.domain.polled_ticks import Origin, PolledTicks
from market.domain.ports import Leadership
from market.domain.source_failures import SourcesUnavailable
from market.feed.arrivals import Arrivals
from market.feed.publisher import TickPublisher

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
# How often it looks whether a session has begun, or NATS is back.
LOOK_SECONDS = 5.0
PACES_UNTIL_UNWELL = 3


class PolledFeed:
    """Carries polled ticks to NATS while this replica leads; nobody is asked while NATS is away.

    Args:
        ticks: what is asked for, and what is new.
        bus: the connection to NATS.
        clock: what the time is.
        leadership: whether this replica leads.
        arrivals: what learns when ticks went out.
        publisher_id: names this process; source and freshness follow it, since each pair counts for itself.
        pace_seconds: how long after a round the next one begins.
    """

    def __init__(
        self,
        ticks: PolledTicks,
        bus: Bus,
        clock: Clock,
        *,
        leadership: Leadership,
        arrivals: Arrivals,
        publisher_id: str,
        pace_seconds: float,
    ) -> None:
        self._ticks = ticks
        self._bus = bus
        self._clock = clock
        self._leadership = leadership
        self._arrivals = arrivals
        self._publisher_id = publisher_id
        self._pace_seconds = pace_seconds
        self._publishers: dict[Origin, TickPublisher] = {}
        self._turn = 0
        self._well_at = clock.monotonic()

    async def is_well(self) -> bool:
        """Say whether a round succeeded within three paces, or nothing trades, or another replica has to ask."""
        if self._leadership.epoch is None:
            return True
        since = self._clock.monotonic() - self._well_at
        return since <= PACES_UNTIL_UNWELL * self._pace_seconds or not self._ticks.is_trading

    @asynccontextmanager
    async def running(self) -> AsyncIterator["PolledFeed"]:
        """Ask and publish in the background until the block is left."""
        log.info("prices are polled", extra={"pace_seconds": self._pace_seconds})
        async with running(self._run()):
            yield self

    async def _run(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._bus.wait_until_ready()
        while True:
            await self._take_turn()
            await self._clock.sleep(await self._round())

    async def _take_turn(self) -> None:
        """Wait until this replica has a turn; a new one has three paces for its first round."""
        turn = await self._leadership.begun()
        if turn != self._turn:
            self._turn, self._well_at = turn, self._clock.monotonic()

    async def _round(self) -> float:
        """Publish what is new, and return how many seconds to wait for the next round."""
        due = self._ticks.due()
        if not self._ticks.is_trading:
            self._well_at = self._clock.monotonic()
        if not due or not self._bus.is_ready or not self._leadership.is_leading:
            return LOOK_SECONDS
        if any([await self._publish_news(part) for part in due]):
            self._well_at = self._clock.monotonic()
        return self._pace_seconds

    async def _publish_news(self, part: Sequence[Instrument]) -> bool:
        """Publish what is new of some instruments; say whether they were answered."""
        try:
            news = await self._ticks.ask(part)
            for origin, ticks in news.items():
                await self._publisher(origin).publish(ticks)
        except SourcesUnavailable:  # told by the guard of each source
            return False
        except Exception:
            log.exception("prices not polled")
            return False
        return self._ticks.is_answered(part)

    def _publisher(self, origin: Origin) -> TickPublisher:
        publisher = self._publishers.get(origin)
        if publisher is None:
            source, freshness = origin.source, origin.freshness
            publisher = self._publishers[origin] = TickPublisher(
                self._bus,
                self._clock,
                leadership=self._leadership,
                arrivals=self._arrivals,
                publisher_id=f"{self._publisher_id}.{source}.{freshness.lower()}",
                source=source,
                freshness=freshness,
            )
        return publisher
