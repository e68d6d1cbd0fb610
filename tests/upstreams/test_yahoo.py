"""Yahoo's stand-in against the real, unmodified library: what that reads is Yahoo's wire form."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from upstreams.egress import WayOut, egress
from upstreams.yahoo import RunningYahoo, yahoo_server
from upstreams.yahoo_market import ISSUES, YahooMarket, dividend_days, session_of
from upstreams.yahoo_payloads import market_state, quote
from upstreams.yahoo_statements import quarter, reported, yearly_earnings_a_share

# The library takes the machine's time for now, and so does the market.
PROGRAM = """
import json, sys
import yfinance
yfinance.set_tz_cache_location(sys.argv[1])
yfinance.config.debug.hide_exceptions = False
apple = yfinance.Ticker("AAPL")
history = apple.history(period="5d", auto_adjust=False)
summer = yfinance.Ticker("NVDA").history(start="2024-06-03", end="2024-06-15", auto_adjust=False)
fives = apple.history(period="5d", interval="5m")
def told(call):
    try:
        return str(call())
    except Exception as error:
        return type(error).__name__
frame = apple.income_stmt
calendar = yfinance.Calendars().get_earnings_calendar(filter_most_active=False, limit=100)
india = yfinance.EquityQuery("and", [
    yfinance.EquityQuery("eq", ["region", "in"]), yfinance.EquityQuery("eq", ["exchange", "NSI"])])
print(json.dumps({
    "closes": [round(float(each), 2) for each in history["Close"]],
    "days": [str(each.date()) for each in history.index],
    "fives": len(fives),
    "splits": {str(day.date()): value for day, value in summer["Stock Splits"].items() if value},
    "info": {name: apple.info[name] for name in ("currentPrice", "sector", "trailingPE", "longName", "bid")},
    "revenue": [float(each) for each in frame.loc["Total Revenue"]],
    "years": [str(each.date()) for each in frame.columns],
    "quarters": len(apple.quarterly_balance_sheet.columns),
    "news": [each["content"]["title"] for each in apple.get_news(count=3)],
    "releases": len(yfinance.Ticker("MSFT").get_news(count=4, tab="press releases")),
    "votes": apple.recommendations.iloc[0].to_dict(),
    "grades": apple.upgrades_downgrades["Firm"].iloc[0],
    "dividends": len(apple.dividends),
    "reports": len(calendar),
    "screen": [each["symbol"] for each in yfinance.screen(india)["quotes"]],
    "gainers": len(yfinance.screen("day_gainers", count=2)["quotes"]),
    "fast": yfinance.Ticker("EURUSD=X").fast_info["currency"],
    "zone": yfinance.Ticker("TCS.NS").history_metadata["exchangeTimezoneName"],
    "unknown": told(lambda: yfinance.Ticker("NOBODY").history(period="5d")),
    "gone": told(lambda: yfinance.Ticker("GONE").history(start="2025-01-06", end="2025-02-01")),
}, default=str))
"""


@pytest.fixture(scope="module")
def yahoo() -> Iterator[RunningYahoo]:
    with yahoo_server() as running:
        yield running


@pytest.fixture(scope="module")
def way_out(yahoo: RunningYahoo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WayOut]:
    with egress(yahoo.server.port, tmp_path_factory.mktemp("egress")) as running:
        yield running


@pytest.fixture(scope="module")
def read(way_out: WayOut, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the library reads."""
    environment = {**os.environ, **way_out.environment, "NO_PROXY": "", "no_proxy": ""}
    folder: Path = tmp_path_factory.mktemp("cache")
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_library_reads_charts(read: Any, yahoo: RunningYahoo) -> None:
    apple = yahoo.market.issues["AAPL"]
    today = date.today()  # noqa: DTZ011  # some days more or less do not matter here
    bars = {str(bar.at.date()): bar.close for bar in yahoo.market.days(apple, today - timedelta(days=12), today)}
    finished = [
        (day, close) for day, close in zip(read["days"], read["closes"], strict=True) if day != read["days"][-1]
    ]
    assert finished
    assert all(bars[day] == close for day, close in finished)
    assert read["fives"] >= 42
    assert read["splits"] == {"2024-06-10": 10.0}
    assert read["dividends"] == len(list(dividend_days(apple, apple.first_day, today)))


def test_the_library_reads_what_is_known_of_companies(read: Any, yahoo: RunningYahoo) -> None:
    apple = yahoo.market.issues["AAPL"]
    assert (read["info"]["sector"], read["info"]["longName"]) == ("Technology", "Apple Inc.")
    years = reported(apple, yahoo.market.now().date(), is_annual=True)
    assert read["revenue"] == [years[date.fromisoformat(day)]["TotalRevenue"] for day in read["years"]]
    assert read["quarters"] == 6
    assert (read["votes"]["buy"], read["grades"]) == (21, "Harbor Research")


def test_the_library_reads_lists(read: Any) -> None:
    assert len(read["news"]) == 3
    assert read["releases"] == 4
    assert read["reports"] > 20
    assert set(read["screen"]) == {"TCS.NS", "RELIANCE.NS", "HDFCBANK.BO"}
    assert read["gainers"] == 2
    assert (read["fast"], read["zone"]) == ("USD", "Asia/Kolkata")


def test_the_library_says_what_there_is_not(read: Any) -> None:
    assert (read["unknown"], read["gone"]) == ("HTTPError", "HTTPError")


def test_no_other_host_was_asked_for(read: Any, way_out: WayOut) -> None:
    assert all(host.endswith(".yahoo.com") for host in way_out.asked)


class TestMarket:
    # In the middle of New York's session.
    NOW = datetime(2026, 1, 14, 17, 31, tzinfo=UTC)

    @pytest.fixture
    def market(self) -> YahooMarket:
        return YahooMarket(now=lambda: self.NOW)

    def test_the_same_moment_has_the_same_prices(self, market: YahooMarket) -> None:
        for issue in ISSUES:
            assert quote(market, issue) == quote(YahooMarket(now=lambda: self.NOW), issue)

    def test_quotes_are_those_of_the_bars(self, market: YahooMarket) -> None:
        for issue in (each for each in ISSUES if each.last_day is None):
            row = quote(market, issue)
            bars = list(market.days(issue, date(2025, 1, 14), date(2026, 1, 14)))
            assert row["regularMarketPrice"] == bars[-1].close
            assert row["fiftyTwoWeekLow"] == min(bar.low for bar in bars)
            assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)

    def test_fives_make_the_day(self, market: YahooMarket) -> None:
        for issue in (each for each in ISSUES if each.last_day is None):
            fives = list(market.fives(issue, date(2026, 1, 13), date(2026, 1, 13)))
            [day] = market.days(issue, date(2026, 1, 13), date(2026, 1, 13))
            assert (fives[0].open, fives[-1].close) == (day.open, day.close)
            assert (max(each.high for each in fives), min(each.low for each in fives)) == (day.high, day.low)
            assert sum(each.volume for each in fives) == day.volume

    def test_earnings_a_share_make_the_ratio(self, market: YahooMarket) -> None:
        apple = market.issues["AAPL"]
        row = quote(market, apple)
        assert row["trailingPE"] == row["regularMarketPrice"] / yearly_earnings_a_share(apple, self.NOW.date())

    def test_books_balance(self, market: YahooMarket) -> None:
        sheet = quarter(market.issues["MSFT"], date(2025, 9, 30))
        assert sheet["TotalAssets"] == sheet["TotalLiabilitiesNetMinorityInterest"] + sheet["StockholdersEquity"]

    def test_half_days_end_at_one_in_new_york(self) -> None:
        session = session_of(ISSUES[0].place, date(2025, 11, 28))
        assert session is not None
        assert session.closes_at == datetime(2025, 11, 28, 18, tzinfo=UTC)
        assert session_of(ISSUES[0].place, date(2025, 11, 27)) is None

    @pytest.mark.parametrize(
        ("now", "state", "shown"),
        [
            (datetime(2026, 1, 14, 8, 59, tzinfo=UTC), "PREPRE", {"post"}),
            (datetime(2026, 1, 14, 9, tzinfo=UTC), "PRE", {"pre", "post"}),
            (datetime(2026, 1, 14, 15, tzinfo=UTC), "REGULAR", set()),
            (datetime(2026, 1, 14, 21, tzinfo=UTC), "POST", {"post"}),
            (datetime(2026, 1, 15, 1, tzinfo=UTC), "POSTPOST", {"post"}),
            (datetime(2026, 1, 17, 15, tzinfo=UTC), "CLOSED", {"post"}),
        ],
    )
    def test_the_day_has_its_states(self, now: datetime, state: str, shown: set[str]) -> None:
        market = YahooMarket(now=lambda: now)
        apple = market.issues["AAPL"]
        row = quote(market, apple)
        assert (market_state(market, apple), row["marketState"]) == (state, state)
        assert {part for part in ("pre", "post") if f"{part}MarketPrice" in row} == shown
        assert row["regularMarketTime"] <= now.timestamp()
