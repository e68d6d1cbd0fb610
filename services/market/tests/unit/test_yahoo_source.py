"""The source over answers that are put into its client's mouth; how these come about is the integration tests'."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from chassis.clock import ManualClock
from market.domain.capabilities import Capability, NothingKnown
from market.domain.freshness import SimulatedFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quote_sources import SourceRefused
from market.providers.reference.listing import read_listing
from market.providers.yahoo.fetch import YahooClient
from market.providers.yahoo.source import EARNINGS_PAGES_AT_ONCE, MOST_EARNINGS_PAGES, YahooSource

NOW = datetime(2026, 1, 14, 15, 2, tzinfo=UTC)
INSTRUMENTS = [each.instrument for each in read_listing()]
APPLE = next(each for each in INSTRUMENTS if each.id == "NASDAQ:AAPL")
STRANGE = Instrument("INDEX:STRANGE", Exchange.INDEX, "STRANGE", "Strange", InstrumentKind.INDEX, "USD")
COLUMNS = [{"label": name, "type": "X"} for name in ("Symbol", "Event Start Date", "EPS Estimate", "Reported EPS")]


class Client:
    """Remembers what it was asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.bid = 9.0
        self.pages: list[list[list[Any]]] = []
        self.under_way = self.most_at_once = 0

    async def quotes(self, symbols: Sequence[str]) -> Any:
        self.asked.append(list(symbols))
        rows = [
            {"symbol": each, "regularMarketPrice": 10.0, "regularMarketTime": NOW.timestamp(), "bid": self.bid}
            for each in symbols
        ]
        return {"quoteResponse": {"result": rows, "error": None}}

    async def chart(self, symbol: str, begin: datetime, end: datetime, *, interval: str) -> Any:
        self.asked.append((symbol, begin, end, interval))
        result = {"meta": {"exchangeTimezoneName": "America/New_York"}, "indicators": {"quote": [{}]}}
        return {"chart": {"result": [result], "error": None}}

    async def news(self, symbols: Sequence[str], *, kind: str, limit: int) -> Any:
        self.asked.append((kind, limit))
        return {"data": {"tickerStream": {"stream": []}}}

    async def earnings(self, first: date, until: date, *, offset: int) -> Any:
        self.asked.append((first, until, offset))
        rows = self.pages.pop(0)
        self.most_at_once = max(self.most_at_once, self.under_way + 1)
        self.under_way += 1
        await asyncio.sleep(0)
        self.under_way -= 1
        return {"finance": {"result": [{"documents": [{"columns": COLUMNS, "rows": rows}]}], "error": None}}


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def source(client: Client) -> YahooSource:
    return YahooSource(
        [*INSTRUMENTS, STRANGE], cast("YahooClient", client), rule=SimulatedFreshness(), clock=ManualClock(NOW)
    )


def test_it_says_what_it_is(source: YahooSource) -> None:
    assert (source.name, source.is_simulated, source.answers_in_bulk) == ("yahoo", False, True)
    assert source.instruments() == tuple(INSTRUMENTS)
    assert {Capability.QUOTES, Capability.RATINGS, Capability.TREASURY} <= source.capabilities
    assert source.covers(Capability.RATINGS, APPLE)
    assert not source.covers(Capability.QUOTES, STRANGE)


async def test_quotes_are_asked_for_by_two_hundred(source: YahooSource, client: Client) -> None:
    quotes = await source.quotes(INSTRUMENTS[:450])
    assert [len(each) for each in client.asked] == [200, 200, 50]
    assert len(quotes) == 450


async def test_what_yahoo_lacks_is_not_asked_for(source: YahooSource, client: Client) -> None:
    assert await source.quotes([STRANGE]) == {}
    with pytest.raises(NothingKnown):
        await source.dividends(STRANGE)
    with pytest.raises(NothingKnown):
        await source.after_market_quote(STRANGE)
    assert client.asked == []


async def test_where_nobody_bids_or_asks_nothing_is_known(source: YahooSource, client: Client) -> None:
    assert (await source.after_market_quote(APPLE)).bid_price == 9.0
    client.bid = 0.0
    with pytest.raises(NothingKnown):
        await source.after_market_quote(APPLE)


async def test_a_chart_reaches_to_now(source: YahooSource, client: Client) -> None:
    await source.daily_history(APPLE, date(2024, 3, 1), date(2024, 3, 5))
    [(symbol, begin, end, interval)] = client.asked
    assert (symbol, interval) == ("AAPL", "1d")
    assert begin <= datetime(2024, 3, 1, tzinfo=UTC)
    assert end >= NOW


async def test_a_chart_does_not_begin_before_there_were_any(source: YahooSource, client: Client) -> None:
    await source.daily_history(APPLE, date.min + timedelta(days=1), date(2024, 3, 5))
    assert client.asked[0][1].year == 1927


async def test_earnings_end_with_a_page_that_is_not_full(source: YahooSource, client: Client) -> None:
    day = "2026-01-14T12:00:00.000Z"
    client.pages = [[[f"A{place}", day, 1, 1] for place in range(100)], [["LAST", day, 1, 1]]]
    reports = await source.earnings(date(2026, 1, 13), date(2026, 1, 29))
    assert len(reports) == 101
    assert client.asked == [(date(2026, 1, 13), date(2026, 1, 31), offset) for offset in (0, 100)]


async def test_a_long_calendar_of_earnings_is_asked_for_some_pages_at_a_time(
    source: YahooSource, client: Client
) -> None:
    day = "2026-01-14T12:00:00.000Z"
    full = [[[f"A{page}X{place}", day, 1, 1] for place in range(100)] for page in range(9)]
    client.pages = [*full, [], [], []]
    reports = await source.earnings(date(2026, 1, 13), date(2026, 1, 29))
    assert len(reports) == 900
    assert [offset for *_, offset in client.asked] == [page * 100 for page in range(12)]
    assert client.most_at_once == EARNINGS_PAGES_AT_ONCE


async def test_a_report_that_is_listed_twice_counts_once(source: YahooSource, client: Client) -> None:
    day = "2026-01-14T12:00:00.000Z"
    client.pages = [[["AAPL", day, 1.5, 0], ["AAPL", day, 1.5, 1.6], ["AAPL", day, 1.5, 0]]]
    [report] = await source.earnings(date(2026, 1, 13), date(2026, 1, 29))
    assert report.eps_actual == 1.6


async def test_a_calendar_without_end_is_cut_short(
    source: YahooSource, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.pages = [[["AAPL", "2026-01-14T12:00:00.000Z", 1, 1]] * 100] * (MOST_EARNINGS_PAGES + 5)
    assert len(await source.earnings(date(2026, 1, 13), date(2026, 1, 29))) == 1
    assert len(client.asked) == MOST_EARNINGS_PAGES
    assert "earnings cut short" in caplog.messages


async def test_pages_of_news_have_an_end(source: YahooSource, client: Client) -> None:
    assert await source.latest_news(page=1, limit=50) == []
    assert await source.press_releases(page=3, limit=50) == []
    assert await source.stock_news(APPLE, page=4, limit=50) == []
    assert client.asked == [("latestNews", 100), ("pressRelease", 200)]


async def test_fives_of_long_ago_are_cut_to_what_is_kept(source: YahooSource, client: Client) -> None:
    await source.intraday_bars(APPLE, date(2025, 1, 1), date(2026, 1, 14))
    [(_, begin, _, interval)] = client.asked
    assert (begin, interval) == (NOW - timedelta(days=59), "5m")


async def test_a_refusal_of_one_maturity_is_one_of_all(source: YahooSource, client: Client) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(0)
        raise SourceRefused("is not answering")

    client.chart = refuse  # type: ignore[method-assign]
    with pytest.raises(SourceRefused):
        await source.treasury_rates(date(2026, 1, 1), date(2026, 1, 14))
