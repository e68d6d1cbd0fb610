"""Brings the Zerodha feed up for each session, and takes it down at the session's end."""

import asyncio
import logging
from collections.abc import Mapping
from itertools import islice

from brokers.domain.brokers import Broker
from brokers.domain.errors import BrokerTokenInvalid, FeedUnwanted
from brokers.domain.ports import Listings, TokenDirectory, ZerodhaFeed
from brokers.domain.sessions import ActiveSession, FeedState, FeedStatus, SessionBook
from chassis.clock import Clock
from chassis.errors import ServiceError
from chassis.tasks import end

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0


class Feeding:
    """Feeds what market lists, as far as Kite has it, over the Zerodha session in use; never over the sandbox's.

    Market or Kite being away delays the feed; both are asked again, at most once a minute, while the session lasts. So
    does a market that takes its prices from elsewhere: real ticks among simulated ones would pass for the same.

    Args:
        feed: what is started and stopped.
        listings: says what there is to feed.
        directory: says what Kite calls it.
        book: says when sessions begin and end.
        clock: spaces the questions.
        max_instruments: how many are subscribed to.
    """

    def __init__(
        self,
        feed: ZerodhaFeed,
        listings: Listings,
        directory: TokenDirectory,
        *,
        book: SessionBook,
        clock: Clock,
        max_instruments: int,
    ) -> None:
        self._feed = feed
        self._listings = listings
        self._directory = directory
        self._book = book
        self._clock = clock
        self._max_instruments = max_instruments
        self._task: asyncio.Task[None] | None = None
        self._is_unwanted = False
        self._ended: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        book.on_opened(self._begin)
        book.on_refused(self._end)
        book.on_ended(self._end)

    @property
    def status(self) -> FeedStatus:
        """Return how the feed stands; one that is being brought up is connecting."""
        status = self._feed.status
        if self._task is not None and status.state is FeedState.OFF and not self._is_unwanted:
            return FeedStatus(FeedState.CONNECTING, status.last_tick_at)
        return status

    async def finish(self) -> None:
        """Take the feed down for good."""
        self._stop()
        await end(*self._ended)

    def _begin(self, session: ActiveSession) -> None:
        if session.broker is not Broker.ZERODHA:
            return
        self._stop()
        self._is_unwanted = False
        if not session.is_simulated:
            self._task = asyncio.create_task(self._run(session))
            self._task.add_done_callback(self._finished)

    def _end(self, session: ActiveSession) -> None:
        if session.broker is Broker.ZERODHA:
            self._stop()

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            self._ended.add(task)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._ended.discard(task)
        if self._task is task:
            self._task = None
        if not task.cancelled() and not isinstance(error := task.exception(), BrokerTokenInvalid):
            log.error("feed failed", exc_info=error)

    async def _run(self, session: ActiveSession) -> None:
        # The earlier session's feed is down before this one's is brought up.
        async with self._turn:
            tokens = await self._tokens(session)
            try:
                await self._feed.start(session, tokens)
                await asyncio.Event().wait()
            finally:
                await self._feed.stop()

    async def _tokens(self, session: ActiveSession) -> Mapping[str, int]:
        wait, said = FIRST_WAIT_SECONDS, None
        while True:
            try:
                return await self._ask(session)
            except BrokerTokenInvalid:
                self._book.refuse(session)
                raise
            except ServiceError as error:
                self._is_unwanted = isinstance(error, FeedUnwanted)
                if error.reason != said:
                    log.warning("feed waits for its instruments", extra={"reason": error.reason})
                said = error.reason
            await self._clock.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)

    async def _ask(self, session: ActiveSession) -> Mapping[str, int]:
        listed = await self._listings.indian_instruments()
        self._is_unwanted = False
        tokens = await self._directory.tokens(session, listed)
        fed = dict(islice(tokens.items(), self._max_instruments))
        log.info("feed knows its instruments", extra={"listed": len(listed), "at_kite": len(tokens), "fed": len(fed)})
        return fed
