"""Zerodha's live prices: over Kite's ticker onto NATS, for as long as the server-wide session lives."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlencode

from brokers.domain.feed_watch import state_of
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession, FeedState, FeedStatus
from brokers.domain.ticks import Freshness
from brokers.domain.trading_hours import TradingHours
from brokers.feed.kite_frames import FrameMalformed, read_prices
from brokers.feed.kite_link import KiteLink, LinkTiming, TokenRefused
from brokers.feed.kite_ticks import TickMaker
from brokers.feed.publisher import TickPublisher
from chassis.clock import Clock
from chassis.tasks import end, running

log = logging.getLogger(__name__)

TOKENS_PER_CONNECTION = 3_000
MAX_CONNECTIONS = 3
WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TickerOptions:
    """Where the ticker is and how patient we are.

    Attributes:
        url: Kite's ticker, `wss://host`.
        stale_after: without a price for so long, while the market is open, the feed is stale.
        reconnect_after: a feed that has been stale for so long is connected anew, and again after as long.
        timing: how long its connections wait for what.
    """

    url: str
    stale_after: timedelta
    reconnect_after: timedelta = timedelta(seconds=60)
    timing: LinkTiming = field(default_factory=LinkTiming)


class KiteTicker:
    """Feeds over one session at a time; fits `ports.ZerodhaFeed`.

    Args:
        publisher: where ticks go.
        hours: asks when the market trades; answers None while that is not known.
        refuse: is told of a session whose token Kite did not take.
        clock: what the time is.
        options: where the ticker is and how patient we are.

    Attributes:
        malformed_frames: how many messages could not be read; only the first is logged.
        received_ticks: how many prices came.
    """

    def __init__(
        self,
        publisher: TickPublisher,
        *,
        hours: Callable[[], TradingHours | None],
        refuse: Callable[[ActiveSession], None],
        clock: Clock,
        options: TickerOptions,
    ) -> None:
        self._publisher = publisher
        self._hours = hours
        self._refuse = refuse
        self._clock = clock
        self._options = options
        self._links: Sequence[KiteLink] = ()
        self._task: asyncio.Task[None] | None = None
        self._last_tick_at: datetime | None = None
        self.malformed_frames = 0
        self.received_ticks = 0

    @property
    def links(self) -> int:
        """Return how many connections there should be."""
        return len(self._links)

    @property
    def connected_links(self) -> int:
        """Return how many connections there are."""
        return sum(link.report.connected_at is not None for link in self._links)

    @property
    def subscribed(self) -> int:
        """Return how many instruments are subscribed to over the connections there are."""
        return sum(link.subscribed for link in self._links)

    @property
    def status(self) -> FeedStatus:
        """Return how the feed stands now."""
        reports = [link.report for link in self._links]
        state = state_of(reports, self._hours(), now=self._clock.now(), stale_after=self._options.stale_after)
        return FeedStatus(state, self._last_tick_at)

    async def is_well(self) -> bool:
        """Say whether prices come whenever they should; a health check."""
        return self.status.state not in (FeedState.CONNECTING, FeedState.STALE)

    async def start(self, session: ActiveSession, tokens: Mapping[str, int]) -> None:
        """Feed from now on over this session, in place of any earlier one; returns without waiting for prices."""
        await self.stop()
        numbers = list(tokens.values())
        fed = numbers[: TOKENS_PER_CONNECTION * MAX_CONNECTIONS]
        if len(fed) < len(numbers):
            log.warning("kite takes no more instruments", extra={"fed": len(fed), "left_out": len(numbers) - len(fed)})
        receive = partial(self._receive, TickMaker(tokens))
        address = _address(self._options.url, session)
        self._links = [
            KiteLink(
                address,
                fed[begin : begin + TOKENS_PER_CONNECTION],
                receive,
                clock=self._clock,
                timing=self._options.timing,
                random=random.random,
            )
            for begin in range(0, len(fed), TOKENS_PER_CONNECTION)
        ]
        self._task = asyncio.create_task(self._run(session, self._links), name="kite ticker")

    async def stop(self) -> None:
        """Disconnect and be OFF; nothing happens when it is."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    async def _run(self, session: ActiveSession, links: Sequence[KiteLink]) -> None:
        is_refused = False
        try:
            async with running(self._watch()), asyncio.TaskGroup() as group:
                for link in links:
                    group.create_task(link.run(session.expires_at))
        except* TokenRefused:
            is_refused = True
        finally:
            self._links = ()
        if is_refused:
            self._refuse(session)
        log.info("kite ticker ended", extra={"is_refused": is_refused})

    async def _watch(self) -> None:
        """Say once when the feed's state has changed, and connect anew what stays stale."""
        state, since = FeedState.OFF, self._clock.monotonic()
        while True:
            before, state = state, self.status.state
            now = self._clock.monotonic()
            if state is not before:
                since = now
                level = logging.WARNING if state is FeedState.STALE else logging.INFO
                log.log(level, "kite feed changed", extra={"state": state.value, "last_tick_at": self._last_tick_at})
            if state is FeedState.STALE and now - since >= self._options.reconnect_after.total_seconds():
                since = now
                self._reconnect()
            await self._clock.sleep(WATCH_SECONDS)

    def _reconnect(self) -> None:
        log.warning("kite feed stays stale", extra={"links": len(self._links)})
        for link in self._links:
            link.reconnect()

    def _receive(self, maker: TickMaker, frame: bytes, received_at: datetime) -> bool:
        try:
            prices = read_prices(frame)
        except FrameMalformed as error:
            if not self.malformed_frames:
                log.warning("kite sent a frame that cannot be read", extra={"problem": str(error)})
            self.malformed_frames += 1
            return False
        ticks = maker.ticks(prices, received_at)
        if not ticks:
            return False
        self._last_tick_at = received_at
        self.received_ticks += len(ticks)
        self._publisher.offer(ticks, self._freshness(received_at))
        return True

    def _freshness(self, moment: datetime) -> Freshness:
        """Return how far a price can be relied on: between sessions Kite tells each instrument's last one."""
        hours = self._hours()
        if hours is not None and hours.knows(moment) and hours.session_at(moment) is None:
            return Freshness.CLOSED
        return Freshness.LIVE


def _address(url: str, session: ActiveSession) -> Secret:
    query = urlencode({"api_key": session.api_key.reveal(), "access_token": session.token.reveal()})
    return Secret(f"{url}/?{query}")
