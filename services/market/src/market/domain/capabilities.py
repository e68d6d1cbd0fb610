"""What kinds of question there are, and what a source has to be able to do to answer each.

A source is one class a vendor; it declares the capabilities it has and which instruments it covers for each. Every
method may raise `SourceRefused`, which says why not, or whatever the vendor's client raises, which counts as a failure
of the source; and `NothingKnown` when the source answered and has nothing on what was asked.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol

from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.companies import Dividend, Profile, Ratings, Statement, StatementKind
from market.domain.earnings import EarningsReport
from market.domain.history import DailyHistory, IntradayBar
from market.domain.instruments import Instrument
from market.domain.news import Article
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Quote
from market.domain.treasury import TreasuryRates


class Capability(StrEnum):
    """One kind of question; operators name it so where they order sources."""

    QUOTES = "quotes"
    QUOTE_DETAILS = "quote_details"
    DAILY_HISTORY = "daily_history"
    INTRADAY_BARS = "intraday_bars"
    PROFILES = "profiles"
    STATEMENTS = "statements"
    DIVIDENDS = "dividends"
    RATINGS = "ratings"
    AFTER_MARKET_TRADES = "after_market_trades"
    AFTER_MARKET_QUOTES = "after_market_quotes"
    EARNINGS = "earnings"
    NEWS = "news"
    STOCK_NEWS = "stock_news"
    PRESS_RELEASES = "press_releases"
    TREASURY = "treasury"


class NothingKnown(Exception):
    """The source answered, and has nothing on what was asked: another source may."""


class Source(Protocol):
    """What every source says of itself."""

    @property
    def name(self) -> str:
        """Return the source's name, as provenance shows it."""
        ...

    @property
    def is_simulated(self) -> bool:
        """Say whether its answers are made up or replayed."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what it can be asked."""
        ...

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        """Say whether it may know something of an instrument."""
        ...


class ManyQuotes(Source, Protocol):
    """QUOTES: what instruments cost now."""

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes of up to 500 instruments by id; one without a price is left out."""
        ...


class ManyQuoteDetails(Source, Protocol):
    """QUOTE_DETAILS: figures beside a price."""

    async def quote_details(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        """Return the figures of up to 50 instruments by id; one without any is left out."""
        ...


class DailyHistories(Source, Protocol):
    """DAILY_HISTORY."""

    async def daily_history(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        """Return the finished sessions from `first` to `last`, both with, and what changes them."""
        ...


class IntradayHistories(Source, Protocol):
    """INTRADAY_BARS."""

    async def intraday_bars(self, instrument: Instrument, first: date, last: date) -> Sequence[IntradayBar]:
        """Return the bars of five minutes of the sessions from `first` to `last`, both with, oldest first."""
        ...


class Profiles(Source, Protocol):
    """PROFILES."""

    async def profile(self, instrument: Instrument) -> Profile:
        """Return the company's profile."""
        ...


class Statements(Source, Protocol):
    """STATEMENTS."""

    async def statements(
        self, instrument: Instrument, kind: StatementKind, *, is_annual: bool, limit: int
    ) -> Sequence[Statement]:
        """Return the newest statements, of whole years or of quarters, newest first; perhaps fewer than `limit`."""
        ...


class Dividends(Source, Protocol):
    """DIVIDENDS."""

    async def dividends(self, instrument: Instrument) -> Sequence[Dividend]:
        """Return all dividends known, newest first; empty for a share that never paid one."""
        ...


class AnalystRatings(Source, Protocol):
    """RATINGS."""

    async def ratings(self, instrument: Instrument) -> Ratings:
        """Return what analysts say."""
        ...


class AfterMarketTrades(Source, Protocol):
    """AFTER_MARKET_TRADES."""

    async def after_market_trades(self, instruments: Sequence[Instrument]) -> Mapping[str, AfterMarketTrade]:
        """Return the last trades of up to 50 instruments by id; one without any is left out."""
        ...


class AfterMarketQuotes(Source, Protocol):
    """AFTER_MARKET_QUOTES."""

    async def after_market_quote(self, instrument: Instrument) -> AfterMarketQuote:
        """Return what is bid and asked."""
        ...


class EarningsCalendar(Source, Protocol):
    """EARNINGS."""

    async def earnings(self, first: date, last: date) -> Sequence[EarningsReport]:
        """Return the reports from `first` to `last`, both with, in any order."""
        ...


class News(Source, Protocol):
    """NEWS."""

    async def latest_news(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest articles, newest first; pages count from 0, one past the end is empty."""
        ...


class StockNews(Source, Protocol):
    """STOCK_NEWS."""

    async def stock_news(self, instrument: Instrument, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest articles about an instrument, newest first."""
        ...


class PressReleases(Source, Protocol):
    """PRESS_RELEASES."""

    async def press_releases(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest press releases, newest first."""
        ...


class Treasury(Source, Protocol):
    """TREASURY."""

    async def treasury_rates(self, first: date, last: date) -> Sequence[TreasuryRates]:
        """Return the yields of the days from `first` to `last`, both with, in any order."""
        ...
