"""Yahoo as a source of everything it has."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, TypeVar

from chassis.clock import Clock
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.aliases import yahoo_symbol
from market.domain.capabilities import Capability, NothingKnown
from market.domain.companies import Dividend, Profile, Ratings, Statement, StatementKind
from market.domain.earnings import EarningsReport
from market.domain.history import DailyHistory, IntradayBar
from market.domain.instruments import Instrument
from market.domain.news import Article
from market.domain.ports import FreshnessRule
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Quote
from market.domain.sessions import TIMEZONE_OF_VENUE, venue_of
from market.domain.treasury import TreasuryRates
from market.providers.yahoo.fetch import EARNINGS_PER_PAGE, YahooClient
from market.providers.yahoo.parse_charts import (
    DAY_INTERVAL,
    FIVE_MINUTES_INTERVAL,
    daily_history_of,
    dividends_of,
    intraday_bars_of,
    treasury_rates_of,
)
from market.providers.yahoo.parse_companies import (
    PROFILE_MODULES,
    RATINGS_MODULES,
    profile_of,
    ratings_of,
    statements_of,
    types_of,
)
from market.providers.yahoo.parse_news import articles_of, count_of_reports, earnings_of
from market.providers.yahoo.parse_quotes import (
    NAME,
    after_market_quote_of,
    after_market_trades_of,
    details_of,
    quotes_of,
)
from market.providers.yahoo.symbols import (
    CAPABILITIES,
    MARKET_SYMBOLS,
    PRESS_SYMBOLS,
    SYMBOL_OF_MATURITY,
    by_symbol,
    is_covered,
)

log = logging.getLogger(__name__)

Value = TypeVar("Value")

SYMBOLS_PER_CALL = 200
MOST_ARTICLES = 200
MOST_EARNINGS_PAGES, EARNINGS_PAGES_AT_ONCE = 40, 4
# Bars of five minutes are kept for 60 days, counted by the second.
INTRADAY_DAYS = 59
DAY = timedelta(days=1)
BEGINNING = datetime(1927, 1, 1, tzinfo=UTC)


class YahooSource:
    """Yahoo Finance.

    Args:
        instruments: what can be asked for; what Yahoo does not have among them is passed over.
        client: asks Yahoo.
        rule: how far prices that are not delayed can be relied on.
        clock: what the time is.
    """

    name = NAME
    is_simulated = False
    answers_in_bulk = True
    capabilities = CAPABILITIES

    def __init__(
        self, instruments: Sequence[Instrument], client: YahooClient, *, rule: FreshnessRule, clock: Clock
    ) -> None:
        self._instruments = tuple(each for each in instruments if is_covered(Capability.QUOTES, each))
        self._client = client
        self._rule = rule
        self._clock = clock

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument it may have a price of."""
        return self._instruments

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        """Say whether it may know something of an instrument."""
        return is_covered(capability, instrument)

    # --- prices: one call for hundreds of instruments

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; one without a price is left out."""
        return await self._in_bulk(instruments, partial(quotes_of, rule=self._rule, now=self._clock.now()))

    async def quote_details(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        """Return the figures beside prices by instrument id."""
        return await self._in_bulk(instruments, details_of)

    async def after_market_trades(self, instruments: Sequence[Instrument]) -> Mapping[str, AfterMarketTrade]:
        """Return the last trades outside sessions by instrument id; their sizes Yahoo does not say."""
        return await self._in_bulk(instruments, after_market_trades_of)

    async def after_market_quote(self, instrument: Instrument) -> AfterMarketQuote:
        """Return what is bid and asked.

        Raises:
            NothingKnown: nobody bids or asks.
        """
        asked = {_symbol(instrument): instrument}
        quote = after_market_quote_of(await self._client.quotes(list(asked)), asked)
        if quote is None:
            raise NothingKnown
        return quote

    async def _in_bulk(
        self,
        instruments: Sequence[Instrument],
        parse: Callable[[Any, Mapping[str, Instrument]], Mapping[str, Value]],
    ) -> Mapping[str, Value]:
        asked = by_symbol(instruments)
        symbols = list(asked)
        parts = [symbols[begin : begin + SYMBOLS_PER_CALL] for begin in range(0, len(symbols), SYMBOLS_PER_CALL)]
        answers = await asyncio.gather(*map(self._client.quotes, parts))
        return {instrument: value for answer in answers for instrument, value in parse(answer, asked).items()}

    # --- history

    async def daily_history(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        """Return the finished sessions from `first` to `last`, and the splits since.

        The chart is asked up to now, however early `last` is: its prices are adjusted for all splits up to now.
        """
        now = self._clock.now()
        # A day of the exchange may begin on the day before in UTC.
        begin = datetime.combine(first, time.min, UTC) - DAY
        answer = await self._client.chart(_symbol(instrument), max(begin, BEGINNING), now + DAY, interval=DAY_INTERVAL)
        return await asyncio.to_thread(daily_history_of, answer, instrument, first=first, last=last, now=now)

    async def dividends(self, instrument: Instrument) -> Sequence[Dividend]:
        """Return all dividends, newest first; the days on which holders are entitled Yahoo does not say."""
        answer = await self._client.chart(
            _symbol(instrument), BEGINNING, self._clock.now() + DAY, interval=DAY_INTERVAL
        )
        return await asyncio.to_thread(dividends_of, answer)

    async def intraday_bars(self, instrument: Instrument, first: date, last: date) -> Sequence[IntradayBar]:
        """Return bars of five minutes, oldest first.

        Raises:
            NothingKnown: the days are longer ago than Yahoo keeps such bars.
        """
        now, zone = self._clock.now(), TIMEZONE_OF_VENUE[venue_of(instrument)]
        begin = max(datetime.combine(first, time.min, zone), now - timedelta(days=INTRADAY_DAYS))
        end = datetime.combine(last + DAY, time.min, zone)
        if end <= begin:
            raise NothingKnown
        answer = await self._client.chart(_symbol(instrument), begin, end, interval=FIVE_MINUTES_INTERVAL)
        return intraday_bars_of(answer, instrument, first=first, last=last, zone=zone, now=now)

    async def treasury_rates(self, first: date, last: date) -> Sequence[TreasuryRates]:
        """Return the yields of the four maturities that Yahoo has, in one call each."""
        now = self._clock.now()
        begin, end = datetime.combine(first, time.min, UTC) - DAY, datetime.combine(last + 2 * DAY, time.min, UTC)
        calls = [self._client.chart(each, begin, end, interval=DAY_INTERVAL) for each in SYMBOL_OF_MATURITY.values()]
        answers = dict(zip(SYMBOL_OF_MATURITY, await asyncio.gather(*calls), strict=True))
        return treasury_rates_of(answers, first=first, last=last, now=now)

    # --- companies

    async def profile(self, instrument: Instrument) -> Profile:
        """Return the company's profile."""
        return profile_of(await self._client.summary(_symbol(instrument), PROFILE_MODULES), instrument)

    async def statements(
        self, instrument: Instrument, kind: StatementKind, *, is_annual: bool, limit: int
    ) -> Sequence[Statement]:
        """Return the newest statements; Yahoo has four or five years and five or six quarters."""
        answer = await self._client.figures(_symbol(instrument), types_of(kind, is_annual=is_annual))
        return statements_of(answer, kind, is_annual=is_annual, limit=limit)

    async def ratings(self, instrument: Instrument) -> Ratings:
        """Return what analysts say."""
        return ratings_of(await self._client.summary(_symbol(instrument), RATINGS_MODULES))

    async def earnings(self, first: date, last: date) -> Sequence[EarningsReport]:
        """Return the reports in the United States from `first` to `last`, once a company and day."""
        reports: dict[tuple[date, str], EarningsReport] = {}
        begin = 0
        while begin < MOST_EARNINGS_PAGES:
            # One after the other, the pages of a busy week would take longer than anybody waits.
            end = begin + min(max(1, begin), EARNINGS_PAGES_AT_ONCE)
            # Days begin at midnight in UTC there: the evening of `last` in New York is on the next of them.
            pages = [
                self._client.earnings(first, last + 2 * DAY, offset=page * EARNINGS_PER_PAGE)
                for page in range(begin, end)
            ]
            for answer in await asyncio.gather(*pages):
                for report in earnings_of(answer, first=first, last=last):
                    known = reports.setdefault((report.on, report.symbol), report)
                    if known.eps_actual is None:
                        reports[report.on, report.symbol] = report
                if count_of_reports(answer) < EARNINGS_PER_PAGE:
                    return list(reports.values())
            begin = end
        log.warning("earnings cut short", extra={"source": NAME, "reports": len(reports)})
        return list(reports.values())

    # --- news

    async def latest_news(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the news of the markets' indices, newest first."""
        return await self._articles(MARKET_SYMBOLS, "latestNews", page=page, limit=limit)

    async def stock_news(self, instrument: Instrument, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the news of an instrument, newest first."""
        symbols, symbol = [_symbol(instrument)], instrument.symbol
        return await self._articles(symbols, "latestNews", page=page, limit=limit, symbol=symbol)

    async def press_releases(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the press releases of the largest companies, newest first."""
        return await self._articles(PRESS_SYMBOLS, "pressRelease", page=page, limit=limit)

    async def _articles(
        self, symbols: Sequence[str], kind: str, *, page: int, limit: int, symbol: str | None = None
    ) -> Sequence[Article]:
        """Return a page; Yahoo has no pages, so that the articles before it are asked for too."""
        begin = page * limit
        if begin >= MOST_ARTICLES:
            return []
        end = min(begin + limit, MOST_ARTICLES)
        answer = await self._client.news(symbols, kind=kind, limit=end)
        return articles_of(answer, symbol=symbol)[begin:end]


def _symbol(instrument: Instrument) -> str:
    symbol = yahoo_symbol(instrument)
    if symbol is None:
        raise NothingKnown
    return symbol
