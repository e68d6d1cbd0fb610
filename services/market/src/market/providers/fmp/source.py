"""Financial Modeling Prep as a source of everything that a vendor can be asked."""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import chain
from typing import TypeVar

from chassis.clock import Clock
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.aliases import fmp_symbol
from market.domain.capabilities import Capability, NothingKnown
from market.domain.companies import MAX_PRICE_TARGETS, Dividend, Profile, Ratings, Statement, StatementKind
from market.domain.earnings import EarningsReport
from market.domain.history import DailyHistory, IntradayBar
from market.domain.instruments import Instrument, InstrumentKind
from market.domain.news import Article
from market.domain.ports import Calendar, FreshnessRule
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Quote
from market.domain.sessions import TIMEZONE_OF_VENUE, venue_of
from market.domain.treasury import TreasuryRates
from market.providers.fmp import parse
from market.providers.fmp.fetch import FmpApi, Question, Row
from market.providers.fmp.parse import NAME
from market.providers.fmp.symbols import AMERICAN

# A batch is named in the address, which proxies cut somewhere above 8,000 characters.
SYMBOLS_A_CALL = 200
# At most 5,000 days come at once: as many weekdays as there are in the first span, as days in that of pairs.
DAILY_SPAN, DAILY_SPAN_OF_PAIRS = timedelta(days=7_000), timedelta(days=5_000)
# How much comes at once is not documented; a month of five minutes is about what a year of hours is.
INTRADAY_SPAN = timedelta(days=30)
FIVE_MINUTES = timedelta(minutes=5)
TREASURY_SPAN = timedelta(days=90)
# The vendor gives as many of the newest at most, and does not say that there are more.
MAX_EARNINGS_A_CALL = 4_000
MAX_EVENTS = 1_000
EVENTS = ("splits", "dividends")
# How long after its close a session's bar may still change: prices of India come late, and bars are kept for good.
SETTLED_AFTER = timedelta(minutes=30)
LAST_PAGE = 100

PATH_OF_STATEMENT = {
    StatementKind.INCOME: "income-statement",
    StatementKind.BALANCE_SHEET: "balance-sheet-statement",
    StatementKind.CASH_FLOW: "cash-flow-statement",
}
_OF_COMPANIES = frozenset({Capability.STATEMENTS, Capability.RATINGS})
_OF_SHARES = frozenset({Capability.PROFILES, Capability.DIVIDENDS, Capability.STOCK_NEWS})
_AFTER_MARKET = frozenset({Capability.AFTER_MARKET_TRADES, Capability.AFTER_MARKET_QUOTES})
_SHARES = (InstrumentKind.EQUITY, InstrumentKind.FUND)

Value = TypeVar("Value")


class FmpSource:
    """The vendor's answers; its words become ours in `parse`.

    Args:
        instruments: what it may be asked about; those that it has no name for are left out.
        api: its API.
        rule: how far prices that are not delayed can be relied on.
        calendar: when sessions are over.
        clock: what the time is.
    """

    name = NAME
    is_simulated = False
    answers_in_bulk = True
    capabilities = frozenset(Capability)

    def __init__(
        self, instruments: Iterable[Instrument], *, api: FmpApi, rule: FreshnessRule, calendar: Calendar, clock: Clock
    ) -> None:
        self._instruments = tuple(each for each in instruments if fmp_symbol(each) is not None)
        self._api = api
        self._rule = rule
        self._calendar = calendar
        self._clock = clock

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument the source has."""
        return self._instruments

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        """Say whether it may know something of an instrument; after-market trading is America's alone."""
        if fmp_symbol(instrument) is None:
            return False
        if capability in _OF_COMPANIES:
            return instrument.kind is InstrumentKind.EQUITY
        if capability in _AFTER_MARKET:
            return instrument.exchange in AMERICAN
        return capability not in _OF_SHARES or instrument.kind in _SHARES

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; an instrument without a price is left out."""
        rows, asked = await self._batch("batch-quote", instruments)
        read = partial(parse.read_quote, rule=self._rule, now=self._clock.now())
        return parse.by_instrument(rows, asked, read)

    async def quote_details(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        """Return the figures beside a price by instrument id; one without any is left out."""
        rows, asked = await self._batch("batch-quote", instruments)
        return parse.by_instrument(rows, asked, lambda row, _: parse.read_quote_details(row))

    async def daily_history(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        """Return the finished sessions between two dates, both with, the splits since and the dividends between."""
        last_session = min(last, self._last_finished(instrument))
        length = DAILY_SPAN_OF_PAIRS if instrument.kind is InstrumentKind.CURRENCY_PAIR else DAILY_SPAN
        spans = _spans(first, last_session, length)
        days = [_about(instrument, "historical-price-eod/full", **_dates(*span)) for span in spans]
        # Neither pairs nor indices are split, or pay.
        events = [_about(instrument, path, limit=str(MAX_EVENTS)) for path in EVENTS if instrument.kind in _SHARES]
        answers = await self._api.ask(*days, *events)
        if not any(answers):
            raise NothingKnown
        splits, dividends = answers[len(days) :] if events else ((), ())
        rows = chain(*answers[: len(days)])
        return DailyHistory(
            bars=await asyncio.to_thread(parse.read_daily_bars, rows, instrument, first, last_session),
            splits=parse.read_splits(splits, instrument, first, self._today(instrument)),
            dividends=[each for each in parse.read_dividends(dividends) if first <= each.ex_date <= last],
        )

    async def intraday_bars(self, instrument: Instrument, first: date, last: date) -> Sequence[IntradayBar]:
        """Return the finished bars of five minutes between two dates, both with, oldest first."""
        spans = _spans(first, last, INTRADAY_SPAN)
        rows = await self._rows([_about(instrument, "historical-chart/5min", **_dates(*span)) for span in spans])
        begun_by = self._clock.now() - FIVE_MINUTES
        bars = parse.read_intraday_bars(rows, instrument, first, last)
        return _something([each for each in bars if each.begins_at <= begun_by])

    async def profile(self, instrument: Instrument) -> Profile:
        """Return the company's profile."""
        rows = await self._rows([_about(instrument, "profile")])
        return parse.read_profile(_something(rows)[0], instrument)

    async def statements(
        self, instrument: Instrument, kind: StatementKind, *, is_annual: bool, limit: int
    ) -> Sequence[Statement]:
        """Return the newest statements, of whole years or of quarters, newest first."""
        period = "annual" if is_annual else "quarter"
        question = _about(instrument, PATH_OF_STATEMENT[kind], period=period, limit=str(limit))
        return _something(parse.read_statements(await self._rows([question]), kind))

    async def dividends(self, instrument: Instrument) -> Sequence[Dividend]:
        """Return all dividends known, newest first; empty for a share that never paid one.

        The vendor says the same of one that it does not know.
        """
        return parse.read_dividends(await self._rows([_about(instrument, "dividends", limit=str(MAX_EVENTS))]))

    async def ratings(self, instrument: Instrument) -> Ratings:
        """Return what analysts say."""
        targets, grades = await self._api.ask(
            _about(instrument, "price-target-news", page="0", limit=str(MAX_PRICE_TARGETS)),
            _about(instrument, "grades-consensus"),
        )
        return _known(parse.read_ratings(targets, grades))

    async def after_market_trades(self, instruments: Sequence[Instrument]) -> Mapping[str, AfterMarketTrade]:
        """Return the last trades outside the session by instrument id; an instrument without any is left out."""
        rows, asked = await self._batch("batch-aftermarket-trade", instruments)
        return parse.by_instrument(rows, asked, lambda row, _: parse.read_after_market_trade(row))

    async def after_market_quote(self, instrument: Instrument) -> AfterMarketQuote:
        """Return what is bid and asked; the vendor's volume is that of the whole day."""
        rows = await self._rows([_about(instrument, "aftermarket-quote")])
        return _known(parse.read_after_market_quote(_something(rows)[0]))

    async def earnings(self, first: date, last: date) -> Sequence[EarningsReport]:
        """Return the reports between two dates, both with, of exchanges that we have."""
        rows = await self._rows([Question("earnings-calendar", _dates(first, last))])
        if len(rows) < MAX_EARNINGS_A_CALL or first == last:
            return parse.read_earnings(rows, first, last)
        middle = first + (last - first) // 2
        return [*await self.earnings(first, middle), *await self.earnings(middle + timedelta(days=1), last)]

    async def latest_news(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest articles about markets at large, newest first."""
        return parse.read_articles(await self._page("news/general-latest", page, limit))

    async def stock_news(self, instrument: Instrument, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest articles about an instrument, newest first."""
        symbol = fmp_symbol(instrument) or ""
        rows = await self._page("news/stock", page, limit, symbols=symbol)
        return parse.read_articles(row for row in rows if row.get("symbol") == symbol)

    async def press_releases(self, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the latest press releases, newest first."""
        return parse.read_articles(await self._page("news/press-releases-latest", page, limit))

    async def treasury_rates(self, first: date, last: date) -> Sequence[TreasuryRates]:
        """Return the yields of the days between two dates, both with, newest first."""
        spans = _spans(first, last, TREASURY_SPAN)
        rows = await self._rows([Question("treasury-rates", _dates(*span)) for span in spans])
        return parse.read_treasury_rates(rows, first, last)

    async def _batch(
        self, path: str, instruments: Sequence[Instrument]
    ) -> tuple[Sequence[Row], Mapping[str, Instrument]]:
        """Ask for many instruments; return the rows, and the instruments by the vendor's symbols."""
        named = [(fmp_symbol(each), each) for each in instruments]
        asked = {symbol: each for symbol, each in named if symbol is not None}
        symbols = list(asked)
        parts = [symbols[begin : begin + SYMBOLS_A_CALL] for begin in range(0, len(symbols), SYMBOLS_A_CALL)]
        return await self._rows([Question(path, {"symbols": ",".join(part)}) for part in parts]), asked

    async def _page(self, path: str, page: int, limit: int, **parameters: str) -> Sequence[Row]:
        """Return the rows of a page; the vendor has none after a hundred.

        Raises:
            NothingKnown: the first page is empty.
        """
        if page > LAST_PAGE:
            return ()
        rows = await self._rows([Question(path, {**parameters, "page": str(page), "limit": str(limit)})])
        return _something(rows) if page == 0 else rows

    async def _rows(self, questions: Sequence[Question]) -> Sequence[Row]:
        """Return the rows of all answers together."""
        return list(chain.from_iterable(await self._api.ask(*questions)))

    def _today(self, instrument: Instrument) -> date:
        """Return the date where an instrument trades."""
        return self._clock.now().astimezone(TIMEZONE_OF_VENUE[venue_of(instrument)]).date()

    def _last_finished(self, instrument: Instrument) -> date:
        """Return the date of the newest session that is over and settled; yesterday where the calendar ends."""
        now = self._clock.now()
        sessions = self._calendar.sessions_of(venue_of(instrument))
        session = sessions.last_finished(now - SETTLED_AFTER) if sessions.knows(now) else None
        return self._today(instrument) - timedelta(days=1) if session is None else session.date


def _about(instrument: Instrument, path: str, **parameters: str) -> Question:
    return Question(path, {"symbol": fmp_symbol(instrument) or "", **parameters})


def _dates(first: date, last: date) -> dict[str, str]:
    return {"from": first.isoformat(), "to": last.isoformat()}


def _spans(first: date, last: date, length: timedelta) -> Sequence[tuple[date, date]]:
    """Return the days from `first` to `last`, both with, in spans that are no longer than allowed; none backwards."""
    count = math.ceil(((last - first).days + 1) / length.days)
    begins = [first + index * length for index in range(count)]
    return [(begin, min(begin + length - timedelta(days=1), last)) for begin in begins]


def _something(found: Sequence[Value]) -> Sequence[Value]:
    """Return what was found.

    Raises:
        NothingKnown: it is empty.
    """
    if not found:
        raise NothingKnown
    return found


def _known(found: Value | None) -> Value:
    """Return what was found.

    Raises:
        NothingKnown: it is None.
    """
    if found is None:
        raise NothingKnown
    return found
