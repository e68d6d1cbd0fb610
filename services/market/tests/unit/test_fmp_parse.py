"""Rows in Financial Modeling Prep's exact form, ordinary and odd, made values of ours."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

from bourse.market.v1 import companies_pb2
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.companies import Dividend, Period, Ratings, Recommendation, StatementKind
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance
from market.domain.splits import Split
from market.providers.fmp import parse
from market.providers.fmp.statements import OURS_BY_VENDOR

APPLE = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple", InstrumentKind.EQUITY, "USD")
TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS", InstrumentKind.EQUITY, "INR")
EURO = Instrument("FX:EURUSD", Exchange.FX, "EURUSD", "Euro", InstrumentKind.CURRENCY_PAIR, "USD")
Rows = list[dict[str, Any]]
NOW = datetime(2025, 2, 4, 21, 0, 31, tzinfo=UTC)
FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)

QUOTE = {
    "symbol": "AAPL",
    "name": "Apple Inc.",
    "price": 232.8,
    "changePercentage": 2.1008,
    "change": 4.79,
    "volume": 44489128,
    "dayLow": 226.65,
    "dayHigh": 233.13,
    "yearHigh": 260.1,
    "yearLow": 164.08,
    "marketCap": 3500823120000,
    "priceAvg50": 240.2278,
    "priceAvg200": 219.98755,
    "exchange": "NASDAQ",
    "open": 227.2,
    "previousClose": 228.01,
    "timestamp": 1738702801,
}
DAY = {
    "symbol": "AAPL",
    "date": "2025-02-04",
    "open": 227.2,
    "high": 233.13,
    "low": 226.65,
    "close": 232.8,
    "volume": 44489128,
    "change": 5.6,
    "changePercent": 2.46479,
    "vwap": 230.86,
}
FIVE_MINUTES = {
    "date": "2025-02-04 15:55:00",
    "open": 232.87,
    "low": 232.72,
    "high": 233.13,
    "close": 232.79,
    "volume": 1555040,
}
ARTICLE = {
    "symbol": None,
    "publishedDate": "2025-02-03 23:51:37",
    "publisher": "Example Wire",
    "title": "Shares rise",
    "image": "https://images.example.com/a.jpg",
    "site": "example.com",
    "text": "They rose.",
    "url": "https://www.example.com/shares-rise",
}


class Always:
    def __init__(self, freshness: Freshness = Freshness.LIVE) -> None:
        self._freshness = freshness

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        return self._freshness


def changed(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return row | changes


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


class TestQuotes:
    def test_a_quote(self) -> None:
        quote = parse.read_quote(QUOTE, APPLE, rule=Always(), now=NOW)
        assert quote is not None
        assert quote.provenance == Provenance("fmp", datetime(2025, 2, 4, 21, 0, 1, tzinfo=UTC), Freshness.LIVE)
        assert (quote.last_price, quote.previous_close, quote.open) == (232.8, 228.01, 227.2)
        assert (quote.high, quote.low, quote.volume) == (233.13, 226.65, 44489128)

    def test_numbers_may_be_strings(self) -> None:
        quote = parse.read_quote(
            changed(QUOTE, price="232.80", volume="5", timestamp="1738702801"), APPLE, rule=Always(), now=NOW
        )
        assert quote is not None
        assert (quote.last_price, quote.volume) == (232.8, 5)

    def test_what_has_not_happened_is_not_told_as_nothing(self) -> None:
        row = changed(without(QUOTE, "volume"), open=0, dayHigh=None, dayLow="", previousClose="NaN")
        quote = parse.read_quote(row, APPLE, rule=Always(), now=NOW)
        assert quote is not None
        assert (quote.open, quote.high, quote.low, quote.previous_close, quote.volume) == (None,) * 5

    @pytest.mark.parametrize(
        "row", [changed(QUOTE, price=0), changed(QUOTE, price=None), without(QUOTE, "timestamp"), {}]
    )
    def test_without_a_price_or_a_time_there_is_no_quote(self, row: dict[str, Any]) -> None:
        assert parse.read_quote(row, APPLE, rule=Always(), now=NOW) is None

    @pytest.mark.parametrize(
        ("minutes", "judged", "expected"),
        [
            (0, Freshness.LIVE, Freshness.DELAYED),
            (16, Freshness.STALE, Freshness.DELAYED),
            (21, Freshness.STALE, Freshness.STALE),
            (-2, Freshness.STALE, Freshness.STALE),
            (16, Freshness.CLOSED, Freshness.DELAYED),  # the session's last price is still to come
            (21, Freshness.CLOSED, Freshness.CLOSED),
        ],
    )
    def test_prices_of_india_come_late(self, minutes: int, judged: Freshness, expected: Freshness) -> None:
        row = changed(QUOTE, timestamp=int(NOW.timestamp()) - 60 * minutes)
        indian = parse.read_quote(row, TCS, rule=Always(judged), now=NOW)
        american = parse.read_quote(row, APPLE, rule=Always(judged), now=NOW)
        assert indian is not None
        assert american is not None
        assert (indian.provenance.freshness, american.provenance.freshness) == (expected, judged)

    def test_a_pair_has_no_volume(self) -> None:
        quote = parse.read_quote(QUOTE, EURO, rule=Always(), now=NOW)
        assert quote is not None
        assert quote.volume is None

    def test_details(self) -> None:
        assert parse.read_quote_details(QUOTE) == QuoteDetails(
            year_high=260.1, year_low=164.08, price_avg50=240.2278, price_avg200=219.98755, market_cap=3500823120000.0
        )
        assert parse.read_quote_details({"symbol": "AAPL", "yearHigh": None, "marketCap": ""}) is None

    def test_rows_go_to_the_instruments_that_were_asked_for(self) -> None:
        rows: Rows = [{"symbol": "AAPL"}, {"symbol": "MSFT"}, {}, {"symbol": None}, {"symbol": "TCS.NS", "odd": True}]
        asked = {"AAPL": APPLE, "TCS.NS": TCS}
        read = parse.by_instrument(rows, asked, lambda row, each: None if "odd" in row else each.name)
        assert read == {"NASDAQ:AAPL": "Apple"}


class TestHistory:
    def test_days_oldest_first(self) -> None:
        rows = [DAY, changed(DAY, date="2025-02-03", close="228.01", volume=73063301.6)]
        bars = parse.read_daily_bars(rows, APPLE, FIRST, LAST)
        assert bars.sessions.astype(str).tolist() == ["2025-02-03", "2025-02-04"]
        assert bars.close.tolist() == [228.01, 232.8]
        assert (bars.open[1], bars.high[1], bars.low[1]) == (227.2, 233.13, 226.65)
        assert bars.volume is not None
        assert bars.volume.tolist() == [73063302, 44489128]

    @pytest.mark.parametrize(
        "row",
        [
            without(DAY, "close"),
            changed(DAY, open=None),
            changed(DAY, low=0),
            changed(DAY, high="NaN"),
            changed(DAY, volume=None),
            changed(DAY, date=""),
            changed(DAY, date=None),
            changed(DAY, date="2024-12-31"),
            changed(DAY, date="2026-01-01"),
        ],
    )
    def test_odd_days_are_left_out(self, row: dict[str, Any]) -> None:
        assert len(parse.read_daily_bars([row], APPLE, FIRST, LAST)) == 0

    def test_of_a_day_told_twice_the_first_counts(self) -> None:
        bars = parse.read_daily_bars([DAY, changed(DAY, close=1.0)], APPLE, FIRST, LAST)
        assert bars.close.tolist() == [232.8]

    def test_a_pair_needs_no_volume(self) -> None:
        bars = parse.read_daily_bars([changed(DAY, volume=None)], EURO, FIRST, LAST)
        assert (len(bars), bars.volume) == (1, None)

    def test_no_days(self) -> None:
        bars = parse.read_daily_bars([], APPLE, FIRST, LAST)
        assert len(bars) == 0
        assert bars.close.dtype == np.float64

    def test_splits_oldest_first_within_the_dates(self) -> None:
        rows: Rows = [
            {"symbol": "AAPL", "date": "2026-01-01", "numerator": 2, "denominator": 1},
            {"symbol": "AAPL", "date": "2025-08-31", "numerator": 4, "denominator": 1},
            {"symbol": "AAPL", "date": "2025-06-09", "numerator": "1", "denominator": "80"},
            {"symbol": "AAPL", "date": "2025-05-01", "numerator": 1.0478, "denominator": 1},
            {"symbol": "AAPL", "date": "2025-04-01", "numerator": 3, "denominator": 0},
            {"symbol": "AAPL", "date": "", "numerator": 3, "denominator": 1},
            {"symbol": "AAPL", "date": "2025-03-01", "numerator": None, "denominator": 1},
            {"symbol": "AAPL", "date": "2024-12-31", "numerator": 7, "denominator": 1},
        ]
        assert parse.read_splits(rows, APPLE, FIRST, LAST) == [
            Split("NASDAQ:AAPL", date(2025, 5, 1), 5239, 5000, "fmp"),
            Split("NASDAQ:AAPL", date(2025, 6, 9), 1, 80, "fmp"),
            Split("NASDAQ:AAPL", date(2025, 8, 31), 4, 1, "fmp"),
        ]

    def test_dividends_newest_first_as_adjusted(self) -> None:
        rows: Rows = [
            {"date": "2020-08-07", "recordDate": "2020-08-10", "adjDividend": 0.205, "dividend": 0.82},
            {"date": "2025-02-10", "recordDate": "", "adjDividend": "0.25", "dividend": 0.25},
            {"date": "2025-05-12", "recordDate": "2025-05-12", "adjDividend": 0, "dividend": 0},
            {"date": None, "recordDate": "2025-05-12", "adjDividend": 1},
        ]
        assert parse.read_dividends(rows) == [
            Dividend(date(2025, 2, 10), 0.25, None),
            Dividend(date(2020, 8, 7), 0.205, date(2020, 8, 10)),
        ]

    def test_five_minutes_begin_by_the_exchange_s_clock(self) -> None:
        [american] = parse.read_intraday_bars([FIVE_MINUTES], APPLE, FIRST, LAST)
        [indian] = parse.read_intraday_bars([changed(FIVE_MINUTES, date="2025-02-04 09:15:00")], TCS, FIRST, LAST)
        [euro] = parse.read_intraday_bars([FIVE_MINUTES], EURO, FIRST, LAST)
        assert american.begins_at == euro.begins_at == datetime(2025, 2, 4, 20, 55, tzinfo=UTC)
        assert indian.begins_at == datetime(2025, 2, 4, 3, 45, tzinfo=UTC)
        assert (american.open, american.high, american.low, american.close) == (232.87, 233.13, 232.72, 232.79)
        assert (american.volume, euro.volume) == (1555040, None)

    def test_five_minutes_oldest_first_and_the_odd_ones_left_out(self) -> None:
        rows = [
            FIVE_MINUTES,
            changed(FIVE_MINUTES, date="2025-02-04 15:50:00", volume=None),
            changed(FIVE_MINUTES, date="2025-02-04"),
            changed(FIVE_MINUTES, date="2025-02-04 15:45:00", close=None),
            changed(FIVE_MINUTES, date="2026-01-01 15:45:00"),
            without(FIVE_MINUTES, "date"),
        ]
        bars = parse.read_intraday_bars(rows, APPLE, FIRST, LAST)
        assert [(each.begins_at.minute, each.volume) for each in bars] == [(50, None), (55, 1555040)]


PROFILE = {
    "symbol": "AAPL",
    "price": 232.8,
    "marketCap": 3500823120000,
    "beta": 1.24,
    "lastDividend": 0.99,
    "range": "164.08-260.1",
    "change": -4.79,
    "changePercentage": -2.1008,
    "volume": 0,
    "averageVolume": 50542058,
    "companyName": "Apple Inc.",
    "currency": "USD",
    "cik": "0000320193",
    "isin": "US0378331005",
    "cusip": "037833100",
    "exchangeFullName": "NASDAQ Global Select",
    "exchange": "NASDAQ",
    "industry": "Consumer Electronics",
    "website": "https://www.apple.com",
    "description": "Makes telephones.",
    "ceo": "A Person",
    "sector": "Technology",
    "country": "US",
    "fullTimeEmployees": "164000",
    "phone": "(408) 996-1010",
    "address": "One Apple Park Way",
    "city": "Cupertino",
    "state": "CA",
    "zip": "95014",
    "image": "https://images.example.com/symbol/AAPL.png",
    "ipoDate": "1980-12-12",
    "defaultImage": False,
    "isEtf": False,
    "isActivelyTrading": True,
    "isAdr": False,
    "isFund": False,
}


class TestCompanies:
    def test_a_profile_has_every_field(self) -> None:
        profile = parse.read_profile(PROFILE, APPLE)
        missing = [
            name for name in companies_pb2.Profile.DESCRIPTOR.fields_by_name if getattr(profile, name, 1) is None
        ]
        assert missing == []
        assert (profile.full_time_employees, profile.ipo_date) == (164000, date(1980, 12, 12))
        assert (profile.change, profile.volume, profile.is_etf) == (-4.79, 0, False)

    def test_a_profile_that_says_little(self) -> None:
        profile = parse.read_profile({"symbol": "AAPL", "website": "apple", "isEtf": None, "ipoDate": ""}, APPLE)
        assert (profile.company_name, profile.currency, profile.exchange) == ("Apple", "USD", "NASDAQ")
        assert (profile.website, profile.is_etf, profile.ipo_date, profile.price) == (None,) * 4

    def test_the_vendor_s_default_picture_is_none(self) -> None:
        assert parse.read_profile(changed(PROFILE, defaultImage=True), APPLE).image is None

    def test_every_figure_is_one_of_the_contract_and_none_is_forgotten(self) -> None:
        messages: dict[StatementKind, type[Message]] = {
            StatementKind.INCOME: companies_pb2.IncomeStatement,
            StatementKind.BALANCE_SHEET: companies_pb2.BalanceSheet,
            StatementKind.CASH_FLOW: companies_pb2.CashFlowStatement,
        }
        for kind, message in messages.items():
            fields = {field.name for field in message.DESCRIPTOR.fields if field.type == field.TYPE_DOUBLE}
            assert set(OURS_BY_VENDOR[kind].values()) == fields

    def test_statements_newest_first(self) -> None:
        row = {
            "date": "2024-09-28",
            "symbol": "AAPL",
            "reportedCurrency": "USD",
            "cik": "0000320193",
            "filingDate": "2024-11-01",
            "acceptedDate": "2024-11-01 06:01:36",
            "fiscalYear": "2024",
            "period": "FY",
            "revenue": 391035000000,
            "eps": "6.11",
            "interestExpense": None,
            "ebitda": "NaN",
            "unheardOf": 5,
        }
        older = {"date": "2023-09-30", "fiscalYear": 2023, "period": "Q4"}
        newest, next_one = parse.read_statements([older, row], StatementKind.INCOME)
        assert newest.figures == {"revenue": 391035000000.0, "eps": 6.11}
        assert (newest.ends_on, newest.fiscal_year, newest.period) == (date(2024, 9, 28), 2024, Period.FY)
        assert (newest.filing_date, newest.accepted_date) == (date(2024, 11, 1), "2024-11-01 06:01:36")
        assert (next_one.period, next_one.figures, next_one.reported_currency) == (Period.Q4, {}, None)

    @pytest.mark.parametrize(
        "row",
        [
            {"date": "", "fiscalYear": "2024", "period": "FY"},
            {"date": "2024-09-28", "fiscalYear": "soon", "period": "FY"},
            {"date": "2024-09-28", "fiscalYear": "2024", "period": "H1"},
            {"date": "2024-09-28", "fiscalYear": "2024", "period": ["FY"]},
            {},
        ],
    )
    def test_odd_statements_are_left_out(self, row: dict[str, Any]) -> None:
        assert parse.read_statements([row], StatementKind.CASH_FLOW) == []

    def test_ratings(self) -> None:
        target = {
            "symbol": "AAPL",
            "publishedDate": "2025-01-21T01:24:32.000Z",
            "newsURL": "https://www.example.com/a",
            "newsTitle": "A downgrade",
            "analystName": "",
            "priceTarget": 200.75,
            "adjPriceTarget": "200.75",
            "priceWhenPosted": None,
            "newsPublisher": "Example",
            "newsBaseURL": "example.com",
            "analystCompany": "Example Brothers",
        }
        grades = {
            "symbol": "AAPL",
            "strongBuy": 1,
            "buy": 29,
            "hold": 11,
            "sell": 4,
            "strongSell": 0,
            "consensus": "Buy",
        }
        newer = {"publishedDate": "2025-01-22T00:00:00.000Z"}
        ratings = parse.read_ratings([target, newer, {"publishedDate": ""}], [grades])
        assert ratings is not None
        assert ratings.recommendation == Recommendation(1, 29, 11, 4, 0, "Buy")
        assert [each.published_at.day for each in ratings.price_targets] == [22, 21]
        read = ratings.price_targets[1]
        assert (read.price_target, read.adj_price_target, read.price_when_posted) == (200.75, 200.75, None)
        assert (read.analyst_name, read.news_url) == (None, "https://www.example.com/a")

    @pytest.mark.parametrize(
        "grades",
        [
            {"strongBuy": 0, "buy": 0, "hold": 0, "sell": 0, "strongSell": 0, "consensus": "Hold"},
            {"strongBuy": 1, "buy": 2, "hold": 3, "sell": None, "strongSell": 5, "consensus": "Hold"},
            {"strongBuy": 1, "buy": 2, "hold": 3, "sell": 4, "strongSell": 5, "consensus": "Perhaps"},
            {"strongBuy": 1, "buy": 2, "hold": 3, "sell": 4, "strongSell": 5, "consensus": None},
            {},
        ],
    )
    def test_odd_grades_recommend_nothing(self, grades: dict[str, Any]) -> None:
        assert parse.read_ratings([], [grades]) is None

    def test_at_most_fifty_targets(self) -> None:
        rows = [{"publishedDate": f"2025-01-01T00:00:{second:02}.000Z"} for second in range(60)]
        ratings = parse.read_ratings(rows, [])
        assert isinstance(ratings, Ratings)
        assert [each.published_at.second for each in ratings.price_targets] == list(range(59, 9, -1))


class TestOthers:
    def test_after_market_trades(self) -> None:
        row = {"symbol": "AAPL", "price": 232.53, "tradeSize": 132, "timestamp": 1738715334311}
        at = datetime(2025, 2, 5, 0, 28, 54, 311000, tzinfo=UTC)
        assert parse.read_after_market_trade(row) == AfterMarketTrade(232.53, at, 132)
        assert parse.read_after_market_trade(changed(row, tradeSize=None)) == AfterMarketTrade(232.53, at, None)
        assert parse.read_after_market_trade(changed(row, price=0)) is None
        assert parse.read_after_market_trade(without(row, "timestamp")) is None

    def test_after_market_quotes(self) -> None:
        row = {
            "symbol": "AAPL",
            "bidSize": 1,
            "bidPrice": 232.45,
            "askSize": 3,
            "askPrice": 232.64,
            "volume": 41647042,
            "timestamp": 1738715334311,
        }
        at = datetime(2025, 2, 5, 0, 28, 54, 311000, tzinfo=UTC)
        assert parse.read_after_market_quote(row) == AfterMarketQuote(at, 232.45, 1, 232.64, 3, 41647042)
        lonely = parse.read_after_market_quote(changed(row, bidPrice=0, volume=None))
        assert lonely == AfterMarketQuote(at, None, 1, 232.64, 3, None)
        assert parse.read_after_market_quote(changed(row, bidPrice=0, askPrice=None)) is None
        assert parse.read_after_market_quote(changed(row, timestamp="")) is None

    def test_earnings(self) -> None:
        row = {
            "symbol": "KEC.NS",
            "date": "2025-11-04",
            "epsActual": 3.32,
            "epsEstimated": "4.97",
            "revenueActual": 51133100000,
            "revenueEstimated": None,
            "lastUpdated": "2025-12-08",
        }
        indian, american = parse.read_earnings(
            [
                row,
                changed(row, symbol="BRK-B", epsActual=-0.5, lastUpdated=""),
                changed(row, symbol="VOD.L"),
                changed(row, symbol="EURUSD"),
                changed(row, symbol=None),
                changed(row, date=""),
                changed(row, date="2026-01-01"),
            ],
            FIRST,
            LAST,
        )
        assert (indian.exchange, indian.symbol, indian.on) == (Exchange.NSE, "KEC", date(2025, 11, 4))
        assert (indian.eps_actual, indian.eps_estimated, indian.revenue_estimated) == (3.32, 4.97, None)
        assert (american.exchange, american.symbol, american.eps_actual) == (None, "BRK.B", -0.5)
        assert (indian.last_updated, american.last_updated) == (date(2025, 12, 8), None)

    def test_articles_newest_first_in_new_york_s_time(self) -> None:
        newer = changed(ARTICLE, publishedDate="2025-02-04 00:10:00", symbol="BRK-B", image="", text=None)
        first, second = parse.read_articles([ARTICLE, newer])
        assert (first.symbol, first.image, first.text) == ("BRK.B", None, None)
        assert second.published_at == datetime(2025, 2, 4, 4, 51, 37, tzinfo=UTC)
        assert (second.symbol, second.publisher, second.site) == (None, "Example Wire", "example.com")

    @pytest.mark.parametrize(("symbol", "expected"), [("TCS.NS", "TCS"), ("VOD.L", None), ("", None), (7, None)])
    def test_symbols_of_articles_are_the_exchange_s_own(self, symbol: Any, expected: str | None) -> None:
        [article] = parse.read_articles([changed(ARTICLE, symbol=symbol)])
        assert article.symbol == expected

    @pytest.mark.parametrize(
        "row",
        [
            changed(ARTICLE, url="javascript:alert(1)"),
            changed(ARTICLE, url=None),
            changed(ARTICLE, title=" "),
            changed(ARTICLE, publishedDate="today"),
            {},
        ],
    )
    def test_odd_articles_are_left_out(self, row: dict[str, Any]) -> None:
        assert parse.read_articles([row]) == []

    def test_treasuries_newest_first_one_a_day(self) -> None:
        rows: Rows = [
            {"date": "2025-02-28", "month1": 4.38, "month2": None, "year10": "4.24", "year30": "NaN", "year99": 1},
            {"date": "2025-03-03", "month1": 4.38},
            {"date": "2025-03-03", "month1": 4.4},
            {"date": "2025-03-04"},
            {"date": "", "month1": 4.38},
            {"date": "2026-03-04", "month1": 4.38},
        ]
        newest, oldest = parse.read_treasury_rates(rows, FIRST, LAST)
        assert (newest.on, newest.yields) == (date(2025, 3, 3), {"month1": 4.4})
        assert oldest.yields == {"month1": 4.38, "year10": 4.24}
