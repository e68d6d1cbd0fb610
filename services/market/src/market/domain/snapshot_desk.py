"""Keeps the market's snapshot fresh, so that whoever reads it never waits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from market.domain.instruments import Exchange, Instrument, InstrumentDirectory
from market.domain.last_prices import LastPrices
from market.domain.ports import Calendar
from market.domain.quote_sources import QuoteSources, SourcesUnavailable
from market.domain.quotes import Quote
from market.domain.sessions import Venue
from market.domain.signal_book import SignalBook
from market.domain.signals import Signal
from market.domain.snapshot import BANK_NIFTY, NIFTY, SENSEX, Snapshot, build_snapshot, market_state

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
WARM_SECONDS = 5.0


class SnapshotWarming(ServiceError):
    """No snapshot has been made yet."""

    code = Code.UNAVAILABLE
    reason = "SNAPSHOT_WARMING"
    retry_after_seconds = REFRESH_SECONDS

    def __init__(self) -> None:
        super().__init__("the snapshot is being made; try again in a second")


class SnapshotDesk:
    """Makes a snapshot every second and hands out the newest.

    Args:
        directory: which instruments there are.
        sources: where quotes come from.
        last_prices: newer prices than quotes may hold.
        signals: the current signals.
        calendar: when NSE trades.
        clock: what the time is.
    """

    def __init__(
        self,
        directory: InstrumentDirectory,
        sources: QuoteSources,
        *,
        last_prices: LastPrices,
        signals: SignalBook,
        calendar: Calendar,
        clock: Clock,
    ) -> None:
        self._sources = sources
        self._last_prices = last_prices
        self._signals = signals
        self._calendar = calendar
        self._clock = clock
        self._shown = [each for each in directory.instruments if _is_shown(each)]
        self._newest: Snapshot | None = None
        self._refreshed_at = float("-inf")
        self._first_made = asyncio.Event()

    async def is_warm(self) -> bool:
        """Say whether a snapshot was made in the last five seconds."""
        return self._clock.monotonic() - self._refreshed_at <= WARM_SECONDS

    async def wait_until_warm(self, seconds: float) -> None:
        """Wait for the first snapshot, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._first_made.wait()

    def current(self) -> Snapshot:
        """Return the newest snapshot.

        Raises:
            SnapshotWarming: none has been made yet.
        """
        if self._newest is None:
            raise SnapshotWarming
        return self._newest

    async def refresh(self) -> None:
        """Make the snapshot of now; without a source that answers it holds no prices."""
        signals = await self._current_signals()
        quotes = await self._current_quotes()
        state = market_state(self._calendar.sessions_of(Venue.INDIA), self._clock.now())
        self._newest = build_snapshot(quotes, signals, state)
        self._refreshed_at = self._clock.monotonic()
        self._first_made.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SnapshotDesk"]:
        """Refresh in the background until the block is left."""
        task = asyncio.create_task(self._keep_fresh(), name="snapshot warmer")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_fresh(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception:
                log.exception("snapshot not made")
            await self._clock.sleep(REFRESH_SECONDS)

    async def _current_signals(self) -> Sequence[Signal]:
        try:
            return await self._signals.current()
        except Exception:
            log.exception("signals not made")
            return ()

    async def _current_quotes(self) -> Mapping[str, Quote]:
        try:
            quotes = await self._sources.latest(self._shown)
        except SourcesUnavailable:
            return {}
        return {instrument: self._last_prices.refreshed(quote) for instrument, quote in quotes.items()}


def _is_shown(instrument: Instrument) -> bool:
    return instrument.exchange is Exchange.NSE or instrument.id in (NIFTY, BANK_NIFTY, SENSEX)
