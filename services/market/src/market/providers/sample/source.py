"""The sample market as a source of every kind of answer."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date, datetime, timedelta
from operator import attrgetter

import numpy as np

from chassis.clock import Clock
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.bars import DailyBars
from market.domain.capabilities import Capability, NothingKnown
from market.domain.companies import Dividend, Profile, Ratings, Statement, StatementKind
from market.domain.earnings import EarningsReport
from market.domain.history import DailyHistory, IntradayBar
from market.domain.instruments import Instrument, InstrumentKind
from market.domain.news import Article
from market.domain.ports import Calendar
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Venue, venue_of
from market.domain.ticks import Tick, microseconds_of, moment_of
from market.domain.treasury import TreasuryRates
from market.providers.reference.listing import Listed
from market.providers.sample.after_market import AfterMarket
from market.providers.sample.daily import FIRST_DAY, KINDS_WITH_VOLUME, DailyPrices, day_number
from market.providers.sample.earnings import Earnings
from market.providers.sample.fundamentals import Fundamentals
from market.providers.sample.history import History
from market.providers.sample.hours import SessionTimes, simulated_sessions
from market.providers.sample.intraday import Intraday
from market.providers.sample.news import NewsDesk
from market.providers.sample.noise import key_of
from market.providers.sample.profiles import Profiles
from market.providers.sample.ratings import RatingsDesk
from market.providers.sample.stretches import Stretches
from market.providers.sample.treasury import TreasuryDesk
from market.providers.sample.venue import Standing, VenuePrices

NAME = "sample"
MODEL = 1  # changes whenever the same seed would give other bars
SLICE_MICROSECONDS = 10_000
LONGEST_CATCH_UP_MICROSECONDS = 1_000_000
LONGEST_REST_SECONDS = 1.0
DAYS_AHEAD = 400

SHARES = frozenset({InstrumentKind.EQUITY})
SHARES_AND_FUNDS = SHARES | {InstrumentKind.FUND}
# What has answers of some kinds of instrument alone.
KINDS_OF_CAPABILITY = {
    Capability.QUOTE_DETAILS: SHARES,
    Capability.PROFILES: SHARES_AND_FUNDS,
    Capability.STATEMENTS: SHARES,
    Capability.DIVIDENDS: SHARES,
    Capability.RATINGS: SHARES,
    Capability.AFTER_MARKET_TRADES: SHARES_AND_FUNDS,
    Capability.AFTER_MARKET_QUOTES: SHARES_AND_FUNDS,
}


class SampleSource:
    """A deterministic market: the same listing, seed, calendar and time give the same prices in any process.

    Building one blocks for a few tenths of a second.

    Args:
        listing: its instruments.
        calendar: when their venues trade.
        clock: what the time is.
        seed: what all randomness starts from, not negative.
        tick_seconds: seconds between two ticks of an instrument, at most 60.
        is_always_open: whether prices go on moving between sessions.
    """

    name = NAME
    is_simulated = True
    capabilities = frozenset(Capability)
    answers_in_bulk = True
    is_paced = True
    freshness = Freshness.SIMULATED

    def __init__(
        self,
        listing: Sequence[Listed],
        calendar: Calendar,
        clock: Clock,
        *,
        seed: int,
        tick_seconds: float,
        is_always_open: bool,
    ) -> None:
        self._listing = listing
        self._clock = clock
        self._seed = seed
        self._tick_interval = round(tick_seconds * 1e6)
        self._is_always_open = is_always_open
        today = clock.now().date()
        self._daily = DailyPrices.make(listing, seed, today + timedelta(days=DAYS_AHEAD))
        members: defaultdict[Venue, list[int]] = defaultdict(list)
        self._places: dict[str, tuple[Venue, int, int]] = {}
        for column, listed in enumerate(listing):
            venue = venue_of(listed.instrument)
            self._places[listed.instrument.id] = (venue, len(members[venue]), column)
            members[venue].append(column)
        times = {venue: SessionTimes.of(simulated_sessions(calendar.sessions_of(venue), today)) for venue in members}
        self._venues = {venue: self._open(times[venue], columns) for venue, columns in members.items()}
        self._history = History(listing, times, daily=self._daily_until, seed=seed)
        self._fundamentals = Fundamentals(self._history, seed=seed)
        self._profiles = Profiles(self._history, self._fundamentals)
        self._intraday = Intraday(self._history, seed=seed, tick_interval=self._tick_interval)
        self._after_market = AfterMarket(self._history, seed=seed, tick_interval=self._tick_interval)
        self._earnings = Earnings(self.instruments(), self._fundamentals, seed=seed)
        self._ratings = RatingsDesk(self._history, seed=seed)
        self._news = NewsDesk(self.instruments(), seed=seed)
        self._treasury = TreasuryDesk(seed=seed)

    @property
    def configuration(self) -> Mapping[str, str | int]:
        """Return the seed, the model's version and a checksum of the listing."""
        listing = hashlib.sha256(repr(self._listing).encode()).hexdigest()
        return {"seed": self._seed, "model": MODEL, "listing": listing}

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument of the sample market."""
        return [each.instrument for each in self._listing]

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        """Say whether it has an answer of a kind for an instrument."""
        kinds = KINDS_OF_CAPABILITY.get(capability)
        return self._history.has(instrument) and (kinds is None or instrument.kind in kinds)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes of now, by instrument id."""
        return self.quotes_at(instruments, self._clock.now())

    async def daily_bars(self, instruments: Sequence[Instrument], *, count: int) -> Sequence[DailyBars]:
        """Return the newest `count` finished bars of each instrument."""
        return [self.bars_at(each, self._clock.now(), count) for each in instruments]

    async def quote_details(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        """Return the figures beside the prices of shares; their averages and extremes follow from the daily bars."""
        now = self._clock.now()
        shares = self._covered(Capability.QUOTE_DETAILS, instruments)
        return {each: self._fundamentals.details(quote, now) for each, quote in self.quotes_at(shares, now).items()}

    async def daily_history(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        """Return the finished sessions, back to FIRST_PAST_DAY, and dividends; nothing is ever split.

        Raises:
            NothingKnown: the instrument is not in the listing.
        """
        now = self._clock.now()
        bars = self._history.bars(instrument, first, last, now)
        paid = self._fundamentals.dividends(instrument, now) if instrument.kind in SHARES else ()
        return DailyHistory(bars, dividends=[each for each in paid if first <= each.ex_date <= last])

    async def intraday_bars(self, instrument: Instrument, first: date, last: date) -> Sequence[IntradayBar]:
        """Return the bars of five minutes of the newest 66 sessions between two dates, oldest first.

        Raises:
            NothingKnown: the instrument is not in the listing.
        """
        now = self._clock.now()
        bars: list[IntradayBar] = []
        for position in self._intraday.sessions(instrument, first, last, now):
            bars += self._intraday.bars(instrument, position, now)
            await asyncio.sleep(0)  # a session takes milliseconds, which others may need
        return bars

    async def profile(self, instrument: Instrument) -> Profile:
        """Return the profile of a share or a fund.

        Raises:
            NothingKnown: it is neither, or has no price yet.
        """
        now = self._clock.now()
        self._require(Capability.PROFILES, instrument)
        quote = self.quotes_at([instrument], now).get(instrument.id)
        if quote is None:
            raise NothingKnown(instrument.id)
        return self._profiles.profile(quote, now)

    async def statements(
        self, instrument: Instrument, kind: StatementKind, *, is_annual: bool, limit: int
    ) -> Sequence[Statement]:
        """Return the newest statements filed, back to fiscal year 2010, newest first.

        Raises:
            NothingKnown: it is no share of the listing.
        """
        self._require(Capability.STATEMENTS, instrument)
        return self._fundamentals.statements(instrument, kind, self._clock.now(), is_annual=is_annual, limit=limit)

    async def dividends(self, instrument: Instrument) -> Sequence[Dividend]:
        """Return what a share paid since fiscal year 2010, newest first.

        Raises:
            NothingKnown: it is no share of the listing.
        """
        self._require(Capability.DIVIDENDS, instrument)
        return self._fundamentals.dividends(instrument, self._clock.now())

    async def ratings(self, instrument: Instrument) -> Ratings:
        """Return what made-up analysts say of a share.

        Raises:
            NothingKnown: it is no share of the listing.
        """
        self._require(Capability.RATINGS, instrument)
        return self._ratings.ratings(instrument, self._clock.now())

    async def after_market_trades(self, instruments: Sequence[Instrument]) -> Mapping[str, AfterMarketTrade]:
        """Return the last trades in the two hours after and before sessions, by instrument id."""
        covered = self._covered(Capability.AFTER_MARKET_TRADES, instruments)
        return self._after_market.trades(covered, self._clock.now())

    async def after_market_quote(self, instrument: Instrument) -> AfterMarketQuote:
        """Return what is bid and asked around the last trade outside a session.

        Raises:
            NothingKnown: it is neither share nor fund, or nothing was traded yet.
        """
        self._require(Capability.AFTER_MARKET_QUOTES, instrument)
        quote = self._after_market.quote(instrument, self._clock.now())
        if quote is None:
            raise NothingKnown(instrument.id)
        return quote

    async def earnings(self, first: date, last: date) -> Sequence[EarningsReport]:
        """Return the reports of American companies of at most the last 92 days between two dates."""
        return self._earnings.reports(first, last, self._clock.now())

    async def latest_news(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest made-up articles, newest first."""
        return self._news.latest(self._clock.now(), page=page, limit=limit)

    async def stock_news(self, instrument: Instrument, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of made-up articles about an instrument, newest first.

        Raises:
            NothingKnown: the instrument is not in the listing.
        """
        self._require(Capability.STOCK_NEWS, instrument)
        return self._news.about(instrument, self._clock.now(), page=page, limit=limit)

    async def press_releases(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of made-up press releases, newest first."""
        return self._news.press_releases(self._clock.now(), page=page, limit=limit)

    async def treasury_rates(self, first: date, last: date) -> Sequence[TreasuryRates]:
        """Return made-up yields of weekdays since FIRST_PAST_DAY, oldest first."""
        return self._treasury.rates(first, last, self._clock.now())

    async def slices(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Yield the ticks of each 10 ms as they fall due, for ever; what a stalled process missed stays unseen."""
        seen = microseconds_of(self._clock.now())
        while True:
            await self._clock.sleep(self._rest_seconds())
            now = microseconds_of(self._clock.now())
            ticks = self.ticks_between(max(seen, now - LONGEST_CATCH_UP_MICROSECONDS), now)
            seen = now
            if ticks:
                yield ticks

    def quotes_at(self, instruments: Sequence[Instrument], moment: datetime) -> Mapping[str, Quote]:
        """Return the quotes of any moment, by instrument id; what has none or is not in the listing is left out."""
        members: defaultdict[Venue, dict[int, Instrument]] = defaultdict(dict)
        for instrument in self._covered(Capability.QUOTES, instruments):
            venue, member, _ = self._places[instrument.id]
            members[venue][member] = instrument
        at = microseconds_of(moment)
        return {
            wanted[member].id: _quote(wanted[member], standing)
            for venue, wanted in members.items()
            for member, standing in self._venues[venue].standings(list(wanted), at).items()
        }

    def bars_at(self, instrument: Instrument, moment: datetime, count: int) -> DailyBars:
        """Return the newest `count` bars that are finished at a moment."""
        venue, _, column = self._places[instrument.id]
        dates, rows = self._venues[venue].stretches.finished_sessions(microseconds_of(moment), count)
        daily = self._daily_until(int(rows[-1]) if len(rows) else 0)
        steps_per_unit = self._listing[column].steps_per_unit
        return DailyBars(
            instrument=instrument.id,
            sessions=dates.copy(),
            open=daily.open[rows, column] / steps_per_unit,
            high=daily.high[rows, column] / steps_per_unit,
            low=daily.low[rows, column] / steps_per_unit,
            close=daily.close[rows, column] / steps_per_unit,
            volume=daily.volume[rows, column] if instrument.kind in KINDS_WITH_VOLUME else None,
        )

    def ticks_between(self, after: int, until: int) -> Sequence[Tick]:
        """Return the ticks later than `after` and not later than `until`, in microseconds since 1970, oldest first."""
        ticks = [tick for prices in self._venues.values() for tick in prices.ticks_between(after, until)]
        ticks.sort(key=attrgetter("at_microseconds", "instrument"))
        return ticks

    def _rest_seconds(self) -> float:
        """Return how long until the next slice that can bring something."""
        now = microseconds_of(self._clock.now())
        begins = [prices.stretches.next_begin(now) for prices in self._venues.values()]
        if None in begins:
            return (SLICE_MICROSECONDS - now % SLICE_MICROSECONDS) / 1e6
        soonest = min(each for each in begins if each is not None)
        return min(LONGEST_REST_SECONDS, (soonest - now) / 1e6)

    def _daily_until(self, row: int) -> DailyPrices:
        if row > day_number(self._daily.last_day):
            self._daily = DailyPrices.make(self._listing, self._seed, FIRST_DAY + timedelta(days=row + DAYS_AHEAD))
        return self._daily

    def _covered(self, capability: Capability, instruments: Sequence[Instrument]) -> list[Instrument]:
        return [each for each in instruments if self.covers(capability, each)]

    def _require(self, capability: Capability, instrument: Instrument) -> None:
        if not self.covers(capability, instrument):
            raise NothingKnown(instrument.id)

    def _open(self, times: SessionTimes, columns: Sequence[int]) -> VenuePrices:
        listing = [self._listing[column] for column in columns]
        keys = np.array([key_of(each.instrument.id) for each in listing])
        stretches = Stretches(
            times,
            columns=np.array(columns),
            keys=keys,
            daily=self._daily_until,
            seed=self._seed,
            tick_interval=self._tick_interval,
            is_always_open=self._is_always_open,
        )
        return VenuePrices(listing, stretches, keys=keys, seed=self._seed, tick_interval=self._tick_interval)


def _quote(instrument: Instrument, standing: Standing) -> Quote:
    as_of = moment_of(standing.at)
    return Quote(
        instrument=instrument,
        last_price=standing.last_price,
        provenance=Provenance(NAME, as_of, Freshness.SIMULATED),
        previous_close=standing.previous_close,
        open=standing.open,
        high=standing.high,
        low=standing.low,
        volume=standing.volume,
    )
