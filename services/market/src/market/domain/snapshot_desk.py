"""Keeps the market's snapshot fresh, so that whoever reads it never waits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from chassis.tasks import running
from market.domain.answers import LONGEST_AHEAD
from market.domain.instruments import Exchange, Instrument, InstrumentDirectory
from market.domain.last_prices import LastPrices
from market.domain.ports import Calendar, CurrentSignals, Leadership, SharedSnapshot
from market.domain.quote_sources import KEEP_SECONDS, QuoteSources, SourceFailed, SourcesUnavailable
from market.domain.quotes import Quote
from market.domain.sessions import Venue
from market.domain.signals import Signal
from market.domain.snapshot import BANK_NIFTY, NIFTY, SENSEX, Snapshot, build_snapshot, market_state

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
WARM_SECONDS = 5.0
# Vendors count what they are asked, also what nobody reads.
UNREAD_SECONDS = 60.0
# How long a replica that does not lead waits for the one that does beyond its time, which is that of a takeover.
FOLLOW_SECONDS = 10.0
# How often replicas are told that somebody reads it.
TELL_SECONDS = 10.0


class SnapshotWarming(ServiceError):
    """No snapshot has been made yet."""

    code = Code.UNAVAILABLE
    reason = "SNAPSHOT_WARMING"
    retry_after_seconds = REFRESH_SECONDS

    def __init__(self) -> None:
        super().__init__("the snapshot is being made; try again in a second")


class SnapshotDesk:
    """Makes a snapshot every second and hands out the newest.

    Sources that may not be asked at will are left alone while nobody reads it; who is the first to read it again waits
    until they have answered. One replica asks them, and those that follow it take over what it was answered. They ask
    themselves when that is too old.

    Args:
        directory: which instruments there are.
        sources: where quotes come from.
        last_prices: newer prices than quotes may hold.
        signals: the current signals.
        calendar: when NSE trades.
        clock: what the time is.
        quote_seconds: how long what sources answered is shown, newer ticks in it, before they are asked again; 0 asks
            for every snapshot.
        leadership: whether it is this replica that asks.
        shared: what replicas tell each other; None when they cannot.
    """

    def __init__(
        self,
        directory: InstrumentDirectory,
        sources: QuoteSources,
        *,
        last_prices: LastPrices,
        signals: CurrentSignals,
        calendar: Calendar,
        clock: Clock,
        quote_seconds: float = 0.0,
        leadership: Leadership,
        shared: SharedSnapshot | None = None,
    ) -> None:
        self._sources = sources
        self._last_prices = last_prices
        self._signals = signals
        self._calendar = calendar
        self._clock = clock
        self._quote_seconds = quote_seconds
        self._leadership = leadership
        self._shared = shared if quote_seconds > 0 else None
        self._told_at = float("-inf")
        self.asked_out_of_turn = 0
        self._indices = [each for each in directory.instruments if each.id in (NIFTY, BANK_NIFTY, SENSEX)]
        self._equities = [each for each in directory.instruments if each.exchange is Exchange.NSE]
        self._quotes: Mapping[str, Quote] = {}
        self._asked_at = float("-inf")
        self._newest: Snapshot | None = None
        self._failures: Sequence[SourceFailed] = ()
        self._refreshed_at = float("-inf")
        self._first_tried = asyncio.Event()
        self._read_at = float("-inf")
        self._waking = asyncio.Lock()

    @property
    def age_seconds(self) -> float | None:
        """Return how long ago the newest snapshot was made; None when there is none."""
        return None if self._newest is None else self._clock.monotonic() - self._refreshed_at

    async def is_warm(self) -> bool:
        """Say whether there is a snapshot, made in the last five seconds."""
        return self.age_seconds is not None and self.age_seconds <= WARM_SECONDS

    async def wait_until_warm(self, seconds: float) -> None:
        """Wait for the first snapshot, or for the news that no source answers, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._first_tried.wait()

    def current(self) -> Snapshot:
        """Return the newest snapshot.

        Raises:
            SnapshotWarming: none has been made yet.
            SourcesUnavailable: there is no price to show, because no source answers.
        """
        if self._newest is not None:
            return self._newest
        if self._failures:
            raise SourcesUnavailable(self._failures)
        raise SnapshotWarming

    async def read(self) -> Snapshot:
        """Return the newest snapshot to a reader.

        Raises:
            SnapshotWarming: none has been made yet.
            SourcesUnavailable: there is no price to show, because no source answers.
        """
        async with self._waking:
            was_unread, self._read_at = self._is_unread, self._clock.monotonic()
            if was_unread:
                await self.refresh()
        return self.current()

    @property
    def _is_unread(self) -> bool:
        return self._quote_seconds > 0 and self._clock.monotonic() - self._read_at >= UNREAD_SECONDS

    async def refresh(self) -> None:
        """Make the snapshot of now; without a source that answers there is none."""
        signals = await self._current_signals()
        try:
            quotes = await self._current_quotes()
        except SourcesUnavailable as error:
            self._newest, self._failures = None, error.failures
        else:
            state = market_state(self._calendar.sessions_of(Venue.INDIA), self._clock.now())
            self._newest = build_snapshot(quotes, signals, state)
            self._refreshed_at = self._clock.monotonic()
        self._first_tried.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SnapshotDesk"]:
        """Refresh in the background until the block is left."""
        async with running(self._keep_fresh()):
            yield self

    async def _keep_fresh(self) -> None:
        while True:
            try:
                await self._tell_readers()
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

    async def _tell_readers(self) -> None:
        """Have the replica that leads know that somebody reads it here."""
        now = self._clock.monotonic()
        if self._shared is not None and not self._is_unread and now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            await self._shared.note_reader()

    async def _current_quotes(self) -> Mapping[str, Quote]:
        is_due = self._clock.monotonic() - self._asked_at >= self._quote_seconds
        if is_due and not (self._quotes and await self._is_unread_anywhere()):
            self._quotes = await self._followed_quotes() or await self._told_quotes()
            self._asked_at = self._clock.monotonic()
        return {instrument: self._last_prices.refreshed(quote) for instrument, quote in self._quotes.items()}

    async def _is_unread_anywhere(self) -> bool:
        """Say whether nobody has read it for a minute: here, or for the replica that leads, on any."""
        if not self._is_unread or self._shared is None or not self._leadership.is_leading:
            return self._is_unread
        return not await self._shared.has_reader()

    async def _followed_quotes(self) -> Mapping[str, Quote] | None:
        """Return what the replica that leads was answered; None when this one has to ask."""
        if self._quote_seconds == 0 or self._leadership.is_leading:
            return None
        told = None if self._shared is None else await self._shared.read()
        if told is None or not self._serves(told[1]):
            self.asked_out_of_turn += 1
            return None
        # The other replica's directory may call the instruments something else.
        known = {each.id: each for each in (*self._indices, *self._equities)}
        quotes = [each for each in told[0] if each.instrument.id in known]
        return {each.instrument.id: replace(each, instrument=known[each.instrument.id]) for each in quotes}

    def _serves(self, asked_at: datetime) -> bool:
        """Say whether another replica's answer is new enough; an old one is where nobody reads it yet."""
        age = self._clock.now() - asked_at
        longest = timedelta(seconds=KEEP_SECONDS if self._is_unread else self._quote_seconds + FOLLOW_SECONDS)
        return -LONGEST_AHEAD <= age <= longest

    async def _told_quotes(self) -> Mapping[str, Quote]:
        """Ask sources, and tell other replicas what they answered."""
        quotes = await self._asked_quotes()
        if self._shared is not None:
            await self._shared.keep(list(quotes.values()), self._clock.now())
        return quotes

    async def _asked_quotes(self) -> Mapping[str, Quote]:
        """Ask for the indices of every source, and for the heatmap of those that can be asked for it all the time."""
        levels, changes = await asyncio.gather(
            self._answer(self._indices, in_bulk=False), self._answer(self._equities, in_bulk=True)
        )
        failures = [each for each in (levels, changes) if isinstance(each, SourcesUnavailable)]
        quotes = {
            instrument: quote
            for answer in (levels, changes)
            if not isinstance(answer, SourcesUnavailable)
            for instrument, quote in answer.items()
        }
        if failures and not quotes:
            raise failures[0]
        return quotes

    async def _answer(
        self, instruments: Sequence[Instrument], *, in_bulk: bool
    ) -> Mapping[str, Quote] | SourcesUnavailable:
        try:
            return await self._sources.latest(instruments, in_bulk=in_bulk)
        except SourcesUnavailable as error:
            return error
