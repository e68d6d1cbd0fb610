"""Financial Modeling Prep as a source, against its stand-in on loopback: each call, and each way it can go wrong."""

import asyncio
import gzip
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.clock import ManualClock
from chassis.testing import free_port
from market.domain.capabilities import (
    AfterMarketQuotes,
    AfterMarketTrades,
    AnalystRatings,
    Capability,
    DailyHistories,
    Dividends,
    EarningsCalendar,
    IntradayHistories,
    ManyQuoteDetails,
    ManyQuotes,
    News,
    NothingKnown,
    PressReleases,
    Profiles,
    Statements,
    StockNews,
    Treasury,
)
from market.domain.companies import Period, StatementKind
from market.domain.freshness import SessionFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.ports import QuoteSource
from market.domain.quotes import Freshness
from market.domain.sessions import TIMEZONE_OF_VENUE, Session, Venue, VenueSessions
from market.domain.source_failures import SourceRefused
from market.providers.fmp import fetch
from market.providers.fmp import source as fmp_source
from market.providers.fmp.fetch import (
    AWAY,
    MAX_CALLS_AT_ONCE,
    NOT_SOLD,
    REFUSES_KEY,
    THROTTLED,
    TOO_SLOW,
    UNREADABLE,
    FmpApi,
    Question,
    open_client,
)
from market.providers.fmp.source import FmpSource
from upstreams import fmp_faults
from upstreams.faults import EVERY_PATH, Fault
from upstreams.fmp import RunningFmp, fmp_server
from upstreams.fmp_market import BY_SYMBOL

NOW = datetime(2026, 11, 20, 18, 2, tzinfo=UTC)  # a Friday: New York trades, Mumbai has closed
TODAY = date(2026, 11, 20)
KEY = "loopback-key-for-the-source"


def instrument(written: str, kind: InstrumentKind = InstrumentKind.EQUITY, currency: str = "USD") -> Instrument:
    exchange, symbol = written.split(":")
    return Instrument(written, Exchange(exchange), symbol, f"{symbol} by name", kind, currency)


APPLE, MICROSOFT, NVIDIA = instrument("NASDAQ:AAPL"), instrument("NASDAQ:MSFT"), instrument("NASDAQ:NVDA")
BERKSHIRE, TWITTER, ODD = instrument("NYSE:BRK.B"), instrument("NYSE:TWTR"), instrument("NASDAQ:ODDS")
TCS, RELIANCE = instrument("NSE:TCS", currency="INR"), instrument("NSE:RELIANCE", currency="INR")
BANK = instrument("BSE:HDFCBANK", currency="INR")
EURO = instrument("FX:EURUSD", InstrumentKind.CURRENCY_PAIR)
SP500 = instrument("INDEX:SP500", InstrumentKind.INDEX)
NIFTY = instrument("INDEX:NIFTY50", InstrumentKind.INDEX, "INR")
UNHEARD_OF = instrument("NASDAQ:ZZZZ")
NEXT_50 = instrument("INDEX:NIFTYNEXT50", InstrumentKind.INDEX, "INR")
ALL = [APPLE, MICROSOFT, NVIDIA, BERKSHIRE, TWITTER, ODD, TCS, RELIANCE, BANK, EURO, SP500, NIFTY, UNHEARD_OF, NEXT_50]


HOURS = {
    Venue.INDIA: (time(9, 15), time(15, 30)),
    Venue.UNITED_STATES: (time(9, 30), time(16, 0)),
    Venue.CURRENCIES: (time(0, 0), time(23, 55)),
}


class Weekdays:
    """A calendar that knows the weekdays of this November."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        opens, closes = HOURS[venue]
        zone, first = TIMEZONE_OF_VENUE[venue], date(2026, 11, 1)
        days = [first + timedelta(days=index) for index in range(30)]
        sessions = [
            Session(day, datetime.combine(day, opens, zone), datetime.combine(day, closes, zone))
            for day in days
            if day.weekday() < 5
        ]
        return VenueSessions(venue, sessions, known_from=days[0], known_through=days[-1])


class CountedBudget:
    """Allows so many calls."""

    def __init__(self, left: int = 10_000) -> None:
        self.left = left
        self.taken: list[int] = []

    async def take(self, calls: int = 1) -> None:
        if calls > self.left:
            raise SourceRefused("may not be asked more often now")
        self.left -= calls
        self.taken.append(calls)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningFmp]:
    with fmp_server(key=KEY, now=lambda: NOW) as server:
        yield server


@pytest.fixture
def fmp(running: RunningFmp) -> Iterator[RunningFmp]:
    running.journal.clear()
    yield running
    running.faults.clear()


@pytest.fixture
def budget() -> CountedBudget:
    return CountedBudget()


Open = Callable[..., FmpSource]


@pytest.fixture
async def open_source(fmp: RunningFmp, budget: CountedBudget, clock: ManualClock) -> AsyncIterator[Open]:
    async with open_client() as client:

        def build(*, key: str = KEY, base_url: str = fmp.url, **bounds: Any) -> FmpSource:
            api = FmpApi(client, key=SecretStr(key), budget=budget, base_url=base_url, **bounds)
            rule = SessionFreshness(Weekdays(), clock)
            return FmpSource(ALL, api=api, rule=rule, calendar=Weekdays(), clock=clock)

        yield build


@pytest.fixture
def source(open_source: Open) -> FmpSource:
    return open_source()


def asked(fmp: RunningFmp) -> list[tuple[str, dict[str, str]]]:
    return [(request.path.removeprefix("/stable/"), dict(request.query)) for request in fmp.journal.requests]


Ask = Callable[[FmpSource], Awaitable[Any]]
ASK_OF: dict[Capability, Ask] = {
    Capability.QUOTES: lambda source: source.quotes([APPLE, TCS]),
    Capability.QUOTE_DETAILS: lambda source: source.quote_details([APPLE]),
    Capability.DAILY_HISTORY: lambda source: source.daily_history(APPLE, date(2026, 1, 1), TODAY),
    Capability.INTRADAY_BARS: lambda source: source.intraday_bars(APPLE, TODAY, TODAY),
    Capability.PROFILES: lambda source: source.profile(APPLE),
    Capability.STATEMENTS: lambda source: source.statements(APPLE, StatementKind.INCOME, is_annual=True, limit=1),
    Capability.DIVIDENDS: lambda source: source.dividends(APPLE),
    Capability.RATINGS: lambda source: source.ratings(APPLE),
    Capability.AFTER_MARKET_TRADES: lambda source: source.after_market_trades([APPLE]),
    Capability.AFTER_MARKET_QUOTES: lambda source: source.after_market_quote(APPLE),
    Capability.EARNINGS: lambda source: source.earnings(TODAY, TODAY),
    Capability.NEWS: lambda source: source.latest_news(page=0, limit=5),
    Capability.STOCK_NEWS: lambda source: source.stock_news(APPLE, page=0, limit=5),
    Capability.PRESS_RELEASES: lambda source: source.press_releases(page=0, limit=5),
    Capability.TREASURY: lambda source: source.treasury_rates(TODAY, TODAY),
}


class TestWhatItSaysOfItself:
    def test_it_fits_every_port(self, source: FmpSource) -> None:
        ports: tuple[
            QuoteSource, ManyQuotes, ManyQuoteDetails, DailyHistories, IntradayHistories, Profiles, Statements,
            Dividends, AnalystRatings, AfterMarketTrades, AfterMarketQuotes, EarningsCalendar, News, StockNews,
            PressReleases, Treasury,
        ] = (source,) * 16  # fmt: skip
        assert {port.name for port in ports} == {"fmp"}
        assert source.capabilities == frozenset(Capability) == ASK_OF.keys()
        assert source.answers_in_bulk
        assert not source.is_simulated

    def test_it_has_what_it_has_a_name_for(self, source: FmpSource) -> None:
        assert source.instruments() == tuple(ALL[:-1])

    @pytest.mark.parametrize(
        ("capability", "covered"),
        [
            (Capability.QUOTES, {APPLE, TCS, EURO, SP500}),
            (Capability.DAILY_HISTORY, {APPLE, TCS, EURO, SP500}),
            (Capability.PROFILES, {APPLE, TCS}),
            (Capability.STATEMENTS, {APPLE, TCS}),
            (Capability.AFTER_MARKET_TRADES, {APPLE}),
            (Capability.AFTER_MARKET_QUOTES, {APPLE}),
            (Capability.STOCK_NEWS, {APPLE, TCS}),
        ],
    )
    def test_not_everything_is_known_of_everything(
        self, source: FmpSource, capability: Capability, covered: set[Instrument]
    ) -> None:
        assert {each for each in (APPLE, TCS, EURO, SP500, NEXT_50) if source.covers(capability, each)} == covered


class TestPrices:
    async def test_many_quotes_are_one_call(self, source: FmpSource, fmp: RunningFmp, budget: CountedBudget) -> None:
        quotes = await source.quotes(ALL)
        assert quotes.keys() == {each.id for each in ALL} - {TWITTER.id, UNHEARD_OF.id, NEXT_50.id}
        apple, tcs, euro, odd = (quotes[each.id] for each in (APPLE, TCS, EURO, ODD))
        assert (apple.provenance.as_of, apple.provenance.freshness) == (NOW, Freshness.LIVE)
        assert (tcs.provenance.as_of.hour, tcs.provenance.freshness) == (10, Freshness.CLOSED)
        assert apple.low is not None
        assert apple.high is not None
        assert apple.low <= apple.last_price <= apple.high
        assert (euro.volume, odd.last_price, odd.low) == (None, 12.5, None)
        [(path, parameters)] = asked(fmp)
        assert path == "batch-quote"
        assert parameters["symbols"].startswith("AAPL,MSFT,NVDA,BRK-B,TWTR,ODDS,TCS.NS,RELIANCE.NS,HDFCBANK.BO")
        assert budget.taken == [1]

    async def test_hundreds_are_several_calls(
        self, source: FmpSource, fmp: RunningFmp, budget: CountedBudget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fmp_source, "SYMBOLS_A_CALL", 4)
        assert len(await source.quotes(ALL)) == 11
        assert (fmp.journal.count(), budget.taken) == (4, [4])

    async def test_nobody_is_asked_about_nothing(
        self, source: FmpSource, fmp: RunningFmp, budget: CountedBudget
    ) -> None:
        assert await source.quotes([NEXT_50]) == {}
        assert (fmp.journal.count(), budget.taken) == (0, [])

    async def test_details(self, source: FmpSource) -> None:
        details = await source.quote_details([APPLE, EURO, ODD])
        apple = details[APPLE.id]
        assert apple.year_low is not None
        assert apple.price_avg200 is not None
        assert apple.market_cap is not None
        assert (apple.avg_volume, apple.eps, apple.pe) == (None, None, None)
        assert details[EURO.id].market_cap is None
        assert ODD.id not in details

    async def test_history_ends_with_the_last_finished_session(self, source: FmpSource, fmp: RunningFmp) -> None:
        apple = await source.daily_history(APPLE, date(2026, 11, 1), TODAY)
        tcs = await source.daily_history(TCS, date(2026, 11, 1), TODAY)
        assert (apple.bars.last_session, tcs.bars.last_session) == (date(2026, 11, 19), TODAY)
        assert str(apple.bars.sessions[0]) == "2026-11-02"
        assert [each.ex_date for each in apple.dividends] == [date(2026, 11, 10)]
        paths = [path for path, _ in asked(fmp)[:3]]
        assert sorted(paths) == ["dividends", "historical-price-eod/full", "splits"]

    async def test_a_session_counts_half_an_hour_after_its_close(
        self, open_source: Open, fmp: RunningFmp, clock: ManualClock
    ) -> None:
        source = open_source()
        await clock.advance((datetime(2026, 11, 20, 21, 29, tzinfo=UTC) - clock.now()).total_seconds())
        await source.daily_history(APPLE, date(2026, 11, 16), TODAY)
        await clock.advance(60)
        await source.daily_history(APPLE, date(2026, 11, 16), TODAY)
        assert [each["to"] for path, each in asked(fmp) if "full" in path] == ["2026-11-19", "2026-11-20"]

    async def test_history_says_what_was_split_since(self, source: FmpSource) -> None:
        history = await source.daily_history(NVIDIA, date(2021, 1, 1), date(2022, 12, 31))
        ratios = [(each.ex_date, each.new_units, each.old_units) for each in history.splits]
        assert ratios == [(date(2021, 7, 20), 4, 1), (date(2024, 6, 10), 10, 1)]
        assert history.dividends[-1].amount == pytest.approx(0.01 / 40)
        assert history.bars.last_session == date(2022, 12, 30)

    async def test_long_history_is_several_calls(
        self, source: FmpSource, fmp: RunningFmp, budget: CountedBudget
    ) -> None:
        history = await source.daily_history(APPLE, date(1990, 1, 1), TODAY)
        spans = [parameters for path, parameters in asked(fmp) if "full" in path]
        assert [(each["from"], each["to"]) for each in sorted(spans, key=lambda each: each["from"])] == [
            ("1990-01-01", "2009-03-01"),
            ("2009-03-02", "2026-11-19"),
        ]
        told = BY_SYMBOL["AAPL"].sessions(date(1990, 1, 1), date(2026, 11, 19))
        assert history.bars.sessions.tolist() == told
        assert budget.taken == [4]

    async def test_pairs_and_indices_are_neither_split_nor_pay(self, source: FmpSource, fmp: RunningFmp) -> None:
        for each in (EURO, SP500, NIFTY):
            history = await source.daily_history(each, date(2026, 11, 2), date(2026, 11, 6))
            assert (len(history.bars), history.bars.volume, history.splits, history.dividends) == (5, None, [], [])
        assert {path for path, _ in asked(fmp)} == {"historical-price-eod/full"}

    async def test_odd_days_are_left_out(self, source: FmpSource) -> None:
        history = await source.daily_history(ODD, date(2026, 11, 10), date(2026, 11, 19))
        assert history.bars.sessions.astype(str).tolist() == ["2026-11-13", "2026-11-19"]

    async def test_what_is_listed_no_longer_has_its_past(self, source: FmpSource) -> None:
        history = await source.daily_history(TWITTER, date(2022, 10, 1), TODAY)
        assert history.bars.last_session == date(2022, 10, 27)

    async def test_beyond_the_calendar_yesterday_is_the_last(self, open_source: Open, clock: ManualClock) -> None:
        await clock.advance(86_400 * 30)
        history = await open_source().daily_history(TCS, date(2026, 11, 1), date(2026, 12, 31))
        assert history.bars.last_session == TODAY  # the stand-in's clock stands

    async def test_backwards_asks_nothing(self, source: FmpSource, fmp: RunningFmp) -> None:
        with pytest.raises(NothingKnown):
            await source.daily_history(EURO, TODAY + timedelta(days=1), TODAY)
        with pytest.raises(NothingKnown):
            await source.intraday_bars(EURO, TODAY, TODAY - timedelta(days=1))
        assert fmp.journal.count() == 0

    async def test_five_minutes(self, source: FmpSource, fmp: RunningFmp) -> None:
        bars = await source.intraday_bars(APPLE, date(2026, 10, 1), TODAY)
        assert bars[0].begins_at == datetime(2026, 10, 1, 13, 30, tzinfo=UTC)
        # At 18:02 those that began at 18:00 still run.
        assert bars[-1].begins_at == datetime(2026, 11, 20, 17, 55, tzinfo=UTC)
        # In between the clocks of New York went back an hour.
        first_of_november = next(each for each in bars if each.begins_at.month == 11)
        assert first_of_november.begins_at == datetime(2026, 11, 2, 14, 30, tzinfo=UTC)
        assert [each.begins_at for each in bars] == sorted({each.begins_at for each in bars})
        assert [parameters["to"] for _, parameters in asked(fmp)] == ["2026-10-30", "2026-11-20"]

    async def test_half_a_day(self, source: FmpSource) -> None:
        bars = await source.intraday_bars(APPLE, date(2025, 11, 28), date(2025, 11, 28))
        assert (len(bars), bars[-1].begins_at) == (42, datetime(2025, 11, 28, 17, 55, tzinfo=UTC))

    async def test_after_the_session(self, source: FmpSource) -> None:
        trades = await source.after_market_trades([APPLE, NVIDIA, TWITTER])
        assert trades.keys() == {APPLE.id, NVIDIA.id}
        assert (trades[APPLE.id].size, trades[NVIDIA.id].size) == (80, None)
        quote = await source.after_market_quote(APPLE)
        assert quote.bid_price is not None
        assert quote.ask_price is not None
        assert quote.bid_price < trades[APPLE.id].price < quote.ask_price
        assert quote.at == trades[APPLE.id].at


class TestCompanies:
    async def test_a_profile(self, source: FmpSource) -> None:
        profile = await source.profile(BERKSHIRE)
        assert (profile.company_name, profile.zip, profile.phone) == ("Berkshire Hathaway Inc.", "00501", None)
        delisted = await source.profile(TWITTER)
        assert (delisted.is_actively_trading, delisted.price) == (False, None)

    @pytest.mark.parametrize("kind", StatementKind)
    async def test_statements(self, source: FmpSource, fmp: RunningFmp, kind: StatementKind) -> None:
        years = await source.statements(TCS, kind, is_annual=True, limit=3)
        quarters = await source.statements(TCS, kind, is_annual=False, limit=8)
        assert [each.period for each in years] == [Period.FY] * 3
        assert [each.period for each in quarters[:4]] == [Period.Q2, Period.Q1, Period.Q4, Period.Q3]
        assert (years[0].ends_on, years[0].fiscal_year) == (date(2026, 3, 31), 2026)
        assert (len(quarters), quarters[0].reported_currency) == (8, "INR")
        assert [parameters["period"] for _, parameters in asked(fmp)] == ["annual", "quarter"]

    async def test_dividends(self, source: FmpSource) -> None:
        dividends = await source.dividends(APPLE)
        assert (dividends[0].ex_date, dividends[0].record_date) == (date(2027, 2, 10), None)
        assert dividends[-1].ex_date == date(2012, 2, 10)
        assert dividends[-1].amount == pytest.approx(0.25 / 28, abs=1e-6)
        assert await source.dividends(BERKSHIRE) == []

    async def test_ratings_are_two_calls(self, source: FmpSource, budget: CountedBudget) -> None:
        ratings = await source.ratings(APPLE)
        assert len(ratings.price_targets) == 50
        assert ratings.recommendation is not None
        assert ratings.recommendation.consensus == "Buy"
        assert budget.taken == [2]


class TestOthers:
    async def test_earnings_are_of_exchanges_that_we_have(self, source: FmpSource) -> None:
        reports = await source.earnings(date(2026, 11, 19), date(2026, 12, 5))
        assert {each.exchange for each in reports} <= {None, Exchange.NSE, Exchange.BSE}
        assert {"KO", "PFE"} <= {each.symbol for each in reports}
        assert "VOD.L" not in {each.symbol for each in reports}
        nothing_said = next(each for each in reports if each.symbol == "PFE")
        assert (nothing_said.eps_estimated, nothing_said.revenue_actual, nothing_said.last_updated) == (None,) * 3

    async def test_a_calendar_that_was_cut_off_is_asked_for_in_halves(
        self, source: FmpSource, fmp: RunningFmp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = await source.earnings(date(2026, 11, 16), date(2026, 11, 27))
        fmp.journal.clear()
        monkeypatch.setattr(fmp.upstream, "max_earnings", 20)
        monkeypatch.setattr(fmp_source, "MAX_EARNINGS_A_CALL", 20)
        halves = await source.earnings(date(2026, 11, 16), date(2026, 11, 27))
        assert sorted(halves, key=repr) == sorted(whole, key=repr)
        assert fmp.journal.count("earnings-calendar") > 2

    async def test_a_day_that_was_cut_off_is_all_there_is(
        self, source: FmpSource, fmp: RunningFmp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fmp_source, "MAX_EARNINGS_A_CALL", 1)
        assert await source.earnings(TODAY, TODAY)
        assert fmp.journal.count() == 1

    async def test_news_newest_first_by_pages(self, source: FmpSource, fmp: RunningFmp) -> None:
        first, second = [await source.latest_news(page=page, limit=10) for page in (0, 1)]
        assert first[0].published_at == datetime(2026, 11, 20, 17, 45, 37, tzinfo=UTC)
        assert [len(first), len(second)] == [10, 10]
        assert first[-1].published_at > second[0].published_at
        assert {each.symbol for each in first} == {None}
        assert await source.latest_news(page=50, limit=10) == []
        fmp.journal.clear()
        assert await source.latest_news(page=101, limit=10) == []
        assert fmp.journal.count() == 0

    async def test_news_of_a_share(self, source: FmpSource, fmp: RunningFmp) -> None:
        articles = await source.stock_news(BERKSHIRE, page=0, limit=5)
        assert [each.symbol for each in articles] == ["BRK.B"] * 5
        assert asked(fmp) == [("news/stock", {"symbols": "BRK-B", "page": "0", "limit": "5"})]

    async def test_news_of_other_shares_are_left_out(self, source: FmpSource, fmp: RunningFmp) -> None:
        row = b'{"symbol":"%s","publishedDate":"2026-11-20 09:00:00","title":"T","url":"https://example.com/a"}'
        fmp.faults.next("/news/stock", Fault.answer(200, b"[" + row % b"AAPL" + b"," + row % b"MSFT" + b"]"))
        assert [each.symbol for each in await source.stock_news(APPLE, page=0, limit=5)] == ["AAPL"]

    async def test_press_releases(self, source: FmpSource) -> None:
        releases = await source.press_releases(page=0, limit=20)
        assert {"TCS", "AAPL", "BRK.B", None} <= {each.symbol for each in releases}

    async def test_treasuries_are_asked_for_ninety_days_at_a_time(self, source: FmpSource, fmp: RunningFmp) -> None:
        rates = await source.treasury_rates(date(2026, 1, 1), TODAY)
        days = [each.on for each in rates]
        assert (days[0], days[-1], len(days)) == (TODAY, date(2026, 1, 1), 232)
        assert days == sorted(set(days), reverse=True)
        assert fmp.journal.count("treasury-rates") == 4
        assert "month2" not in next(each for each in rates if each.on.day == 1).yields
        assert isinstance(next(each for each in rates if each.on.day == 2).yields["year20"], float)


class TestNothingKnown:
    @pytest.mark.parametrize(
        "capability",
        [
            Capability.DAILY_HISTORY,
            Capability.INTRADAY_BARS,
            Capability.PROFILES,
            Capability.STATEMENTS,
            Capability.RATINGS,
            Capability.AFTER_MARKET_QUOTES,
            Capability.NEWS,
            Capability.STOCK_NEWS,
            Capability.PRESS_RELEASES,
        ],
    )
    async def test_an_empty_list(self, source: FmpSource, fmp: RunningFmp, capability: Capability) -> None:
        fmp.faults.always(EVERY_PATH, Fault.answer(200, b"[]"))
        with pytest.raises(NothingKnown):
            await ASK_OF[capability](source)

    @pytest.mark.parametrize(
        ("capability", "nothing"),
        [
            (Capability.QUOTES, {}),
            (Capability.QUOTE_DETAILS, {}),
            (Capability.AFTER_MARKET_TRADES, {}),
            (Capability.DIVIDENDS, []),
            (Capability.EARNINGS, []),
            (Capability.TREASURY, []),
        ],
    )
    async def test_an_empty_list_that_is_an_answer(
        self, source: FmpSource, fmp: RunningFmp, capability: Capability, nothing: Any
    ) -> None:
        fmp.faults.always(EVERY_PATH, Fault.answer(200, b"[]"))
        assert await ASK_OF[capability](source) == nothing

    async def test_a_symbol_that_the_plan_does_not_have(self, source: FmpSource, fmp: RunningFmp) -> None:
        fmp.faults.next("/profile", fmp_faults.not_sold(fmp_faults.SYMBOL_NOT_SOLD))
        with pytest.raises(NothingKnown):
            await source.profile(TCS)

    async def test_a_row_of_which_nothing_can_be_used(self, source: FmpSource, fmp: RunningFmp) -> None:
        fmp.faults.always(EVERY_PATH, Fault.answer(200, b'[{"symbol":"AAPL","timestamp":null}]'))
        with pytest.raises(NothingKnown):
            await source.after_market_quote(APPLE)


ERRORS: list[tuple[str, Fault, str]] = [
    ("key", fmp_faults.bad_key(), REFUSES_KEY),
    ("key, forbidden", fmp_faults.bad_key(403), REFUSES_KEY),
    ("legacy", fmp_faults.legacy(), NOT_SOLD),
    ("exclusive", fmp_faults.exclusive(), NOT_SOLD),
    ("not sold", fmp_faults.not_sold(), NOT_SOLD),
    ("throttled", fmp_faults.throttled(), THROTTLED),
    ("throttled in 200", fmp_faults.throttled_in_200(), THROTTLED),
    ("error in 200", fmp_faults.error(200, "Something else."), UNREADABLE),
    ("page", Fault.html(), UNREADABLE),
    ("page of 429", Fault.html(429), THROTTLED),
    ("page of 503", Fault.server_error(), AWAY),
    ("no body", Fault.empty(), UNREADABLE),
    ("half a body", Fault.truncated(), UNREADABLE),
    ("no list", Fault.answer(200, b'{"symbol": "AAPL"}'), UNREADABLE),
    ("broken off", Fault.drop(), AWAY),
    ("reset", Fault.reset(), AWAY),
]


class TestRefusals:
    @pytest.mark.parametrize(("fault", "problem"), [each[1:] for each in ERRORS], ids=[each[0] for each in ERRORS])
    async def test_each_error_of_each_call(
        self, source: FmpSource, fmp: RunningFmp, caplog: pytest.LogCaptureFixture, *, fault: Fault, problem: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        fmp.faults.always(EVERY_PATH, fault)
        told = {}
        for capability, ask in ASK_OF.items():
            with pytest.raises(SourceRefused) as refused:
                await ask(source)
            told[capability] = refused.value.problem
            assert KEY not in "".join(traceback.format_exception(refused.value))
        assert told == dict.fromkeys(Capability, problem)
        assert KEY not in caplog.text

    @pytest.mark.parametrize("fault", [Fault.hang(), Fault.half_open()], ids=["silent", "half open"])
    async def test_what_takes_too_long(self, open_source: Open, fmp: RunningFmp, fault: Fault) -> None:
        fmp.faults.always(EVERY_PATH, fault)
        with pytest.raises(SourceRefused, match=TOO_SLOW):
            await open_source(call_seconds=0.2).profile(APPLE)

    async def test_nobody_there(self, open_source: Open) -> None:
        with pytest.raises(SourceRefused, match=AWAY):
            await open_source(base_url=f"http://127.0.0.1:{free_port()}/stable").profile(APPLE)

    async def test_a_body_without_end(self, open_source: Open) -> None:
        with pytest.raises(SourceRefused, match=UNREADABLE):
            await open_source(max_body_bytes=100).profile(APPLE)

    async def test_a_body_that_unpacks_without_end(self, open_source: Open) -> None:
        async with packed(gzip.compress(b"[" + b" " * 10_000_000)) as url:
            with pytest.raises(SourceRefused, match=UNREADABLE):
                await open_source(base_url=url, max_body_bytes=1_000_000).profile(APPLE)

    async def test_a_body_that_cannot_be_unpacked(self, open_source: Open) -> None:
        async with packed(b"not packed at all") as url:
            with pytest.raises(SourceRefused, match=UNREADABLE):
                await open_source(base_url=url).profile(APPLE)

    async def test_a_wrong_key(self, open_source: Open) -> None:
        with pytest.raises(SourceRefused, match=REFUSES_KEY):
            await open_source(key="another").profile(APPLE)

    async def test_no_redirect_is_followed(self, open_source: Open, fmp: RunningFmp) -> None:
        async with answering(b"HTTP/1.1 302 Found\r\nLocation: %s/profile\r\n" % fmp.url.encode(), b"") as url:
            with pytest.raises(SourceRefused, match=UNREADABLE):
                await open_source(base_url=url).profile(APPLE)
        assert fmp.journal.count() == 0

    async def test_one_part_that_fails_fails_the_whole(
        self, source: FmpSource, fmp: RunningFmp, budget: CountedBudget
    ) -> None:
        fmp.faults.next("/splits", fmp_faults.throttled())
        with pytest.raises(SourceRefused, match=THROTTLED):
            await source.daily_history(APPLE, date(2026, 1, 1), TODAY)
        assert budget.taken == [3]


class TestBounds:
    async def test_a_spent_budget_lets_nothing_out(
        self, source: FmpSource, fmp: RunningFmp, budget: CountedBudget
    ) -> None:
        budget.left = 2
        with pytest.raises(SourceRefused, match="may not be asked"):
            await source.daily_history(APPLE, date(2026, 1, 1), TODAY)
        assert (fmp.journal.count(), budget.left) == (0, 2)
        await source.ratings(APPLE)
        assert (fmp.journal.count(), budget.left) == (2, 0)

    async def test_few_calls_go_out_at_once(self, source: FmpSource, fmp: RunningFmp) -> None:
        fmp.faults.always(EVERY_PATH, Fault.slow(0.05))
        await asyncio.gather(*(source.profile(APPLE) for _ in range(3 * MAX_CALLS_AT_ONCE)))
        assert 1 < fmp.journal.max_concurrency <= MAX_CALLS_AT_ONCE

    async def test_who_leaves_leaves_no_call_behind(self, source: FmpSource, fmp: RunningFmp) -> None:
        fmp.faults.always(EVERY_PATH, Fault.hang())
        waiting = asyncio.create_task(source.ratings(APPLE))
        await asyncio.to_thread(fmp.journal.wait_for, "", times=2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(fmp.journal.wait_until_idle)


class TestKey:
    async def test_it_travels_in_the_header_alone(
        self, open_source: Open, fmp: RunningFmp, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        source = open_source()
        for ask in ASK_OF.values():
            await ask(source)
        assert {request.headers["apikey"] for request in fmp.journal.requests} == {"[redacted]"}
        assert "apikey" not in {name for request in fmp.journal.requests for name, _ in request.query}
        assert "/stable/batch-quote" in caplog.text  # httpx writes addresses to the log
        assert KEY not in caplog.text
        assert KEY not in repr([vars(source), vars(source._api)])

    async def test_the_address_may_end_with_a_slash(self, open_source: Open, fmp: RunningFmp) -> None:
        assert await open_source(base_url=fmp.url + "/").profile(APPLE)

    async def test_nothing_goes_out_without_a_question(self, source: FmpSource, budget: CountedBudget) -> None:
        assert await source._api.ask() == ()
        assert budget.taken == []

    async def test_the_default_address_is_the_vendor_s(self) -> None:
        async with open_client() as client:
            api = FmpApi(client, key=SecretStr(KEY), budget=CountedBudget())
        assert api._base_url == fetch.BASE_URL
        assert Question("profile").parameters == {}


def answering(head: bytes, body: bytes) -> Any:
    """Serve one canned answer; return a context manager of the address."""
    return _Answering(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


def packed(body: bytes) -> Any:
    return answering(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n", body)


class _Answering:
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        writer.close()

    async def __aenter__(self) -> str:
        port = free_port()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return f"http://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
