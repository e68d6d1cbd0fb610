"""Runs a source's ticks through to NATS and to market's own last prices, while this replica leads."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from chassis.tasks import end
from market.domain.last_prices import LastPrices
from market.domain.ports import Leadership, TickSource
from market.feed.publisher import TickPublisher

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0


class TickFeed:
    """Carries one source's ticks.

    Args:
        source: where ticks come from.
        publisher: where they go.
        last_prices: what also learns of them.
        leadership: whether this replica leads; a source begins, or goes on, with each of its turns.
    """

    def __init__(
        self, source: TickSource, publisher: TickPublisher, last_prices: LastPrices, leadership: Leadership
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._last_prices = last_prices
        self._leadership = leadership
        self._task: asyncio.Task[None] | None = None
        self._has_ended = asyncio.Event()

    async def is_well(self) -> bool:
        """Say whether the feed runs, here or on the replica that leads, or has come to its source's end."""
        task = self._task
        return task is not None and (not task.done() or (not task.cancelled() and task.exception() is None))

    async def finished(self) -> None:
        """Wait until the source had nothing more; never returns for one without an end, or one that broke."""
        await self._has_ended.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TickFeed"]:
        """Carry ticks in the background until the block is left."""
        self._task = asyncio.create_task(self._run(), name="feed")
        try:
            yield self
        finally:
            await end(self._task)

    async def _run(self) -> None:
        await self._publisher.wait_until_connected(CONNECT_SECONDS)
        try:
            while not await self._has_carried_all():
                log.info("feed left to another replica", extra={"source": self._source.name})
        except Exception:
            log.exception("feed failed", extra={"source": self._source.name})
            raise
        self._has_ended.set()
        log.info("feed finished", extra={"source": self._source.name, "ticks": self._publisher.published_ticks})

    async def _has_carried_all(self) -> bool:
        """Carry ticks for a turn; say whether the source had nothing more before it was over."""
        turn = await self._leadership.begun()
        send = self._publisher.publish if self._source.is_paced else self._publisher.publish_all
        async with aclosing(self._source.slices()) as slices:
            async for ticks in slices:
                self._last_prices.record(self._source.name, ticks)
                await send(ticks)
                # Before the source goes on: what was not sent is still to be had.
                if self._leadership.epoch != turn:
                    return False
        return True
