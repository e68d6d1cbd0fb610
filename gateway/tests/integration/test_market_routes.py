"""The market's other half: each route's exact answer, its headers, and what it refuses before any service is asked."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from bourse.market.v1 import companies_pb2, history_pb2, indices_pb2, quotes_pb2
from chassis.errors import Code
from fakes.other_market import UNKNOWN, answers, origin
from gateway.reply import camel_case

pytestmark = pytest.mark.asyncio(loop_scope="module")

AS_OF = "2026-04-07T09:00:00Z"
ORIGIN = {"source": "zerodha", "as_of": AS_OF, "freshness": "live"}
SHORT = {"symbol", "price", "change", "volume", *ORIGIN}
ROUTES = {
    "/api/stock/price/AAPL": "GetQuotes",
    "/api/stock/price/AAPL?long=true": "GetDetailedQuotes",
    "/api/stock/price/bulk?symbols=AAPL": "GetQuotes",
    "/api/stock/historical/AAPL": "ListDailyBars",
    "/api/stock/historical-light/AAPL": "ListDailyBars",
    "/api/stock/historical-chart/5min/AAPL": "ListIntradayBars",
    "/api/stock/profile/AAPL": "GetProfile",
    "/api/stock/financials/AAPL": "ListIncomeStatements",
    "/api/stock/financials/AAPL?type=balance-sheet": "ListBalanceSheets",
    "/api/stock/financials/AAPL?type=cash-flow": "ListCashFlowStatements",
    "/api/stock/aftermarket-quote/AAPL": "GetAfterMarketQuote",
    "/api/stock/after-market-price?symbols=AAPL": "ListAfterMarketTrades",
    "/api/stock/price-change/AAPL": "GetPriceChange",
    "/api/stock/dividend/AAPL": "ListDividends",
    "/api/stock/list/NASDAQ": "ListStocks",
    "/api/stock/ratings/AAPL": "GetRatings",
    "/api/earnings": "ListEarnings",
    "/api/forex/quote/EURUSD": "GetQuotes",
    "/api/forex/quotes?pairs=EURUSD": "GetQuotes",
    "/api/forex/historical/EURUSD": "ListDailyBars",
    "/api/news/latest": "ListLatestNews",
    "/api/news/press-releases": "ListPressReleases",
    "/api/news/stock/AAPL": "ListStockNews",
    "/api/exchange/hours": "ListExchangeHours",
    "/api/exchange/hours/NASDAQ": "ListExchangeHours",
    "/api/exchanges": "ListExchanges",
    "/api/exchanges/list": "ListExchanges",
    "/api/index/constituents/SP500": "ListConstituents",
    "/api/index/constituents/SP500?format=csv": "ListConstituents",
    "/api/index/stock-prices/SP500": "ListConstituentPrices",
    "/api/treasury/rates": "ListTreasuryRates",
    "/api/instruments/search?q=tata": "SearchInstruments",
    "/api/instruments/NSE:TCS": "GetInstrument",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_for_all(make_world: Any) -> AsyncIterator[Any]:
    async with make_world() as world:
        await world.open()
        await world.until_ready()
        yield world


@pytest.fixture
def running(one_for_all: Any) -> Any:
    market, cache = one_for_all.market, one_for_all.gateway.cache
    for key in list(cache._entries):
        cache._forget(key)
    market.calls.clear()
    market.unpriced.clear()
    market.failure = None
    market.cache_control = None
    market.other.answers = answers()
    market.other.requests.clear()
    return one_for_all


async def get(world: Any, address: str) -> Any:
    response = await world.http.get(address)
    assert response.status_code == 200, response.text
    return response


async def table(world: Any, address: str) -> list[list[str]]:
    response = await get(world, address)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.text, newline="")))


def json_names(message: Any) -> set[str]:
    return {camel_case(field.name) for field in message.DESCRIPTOR.fields}


def tells(response: Any, freshness: str) -> bool:
    told = {name: response.headers.get(name) for name in ("x-source", "x-as-of", "x-freshness")}
    return told == {"x-source": "yahoo", "x-as-of": AS_OF, "x-freshness": freshness}


# --- prices ---------------------------------------------------------------------------------------------------------


async def test_a_price_is_an_array_of_short_quotes_in_the_callers_form(running: Any) -> None:
    response = await get(running, "/api/stock/price/aapl")

    assert response.json() == [{"symbol": "aapl", "price": 201.28, "change": 12.3, "volume": None, **ORIGIN}]
    assert "x-missing-symbols" not in response.headers


async def test_symbols_of_path_and_query_are_merged_in_order_and_folded(running: Any) -> None:
    response = await get(running, "/api/stock/price/MSFT,AAPL?symbols=NSE:TCS,msft,NOPE,GONE")

    assert [quote["symbol"] for quote in response.json()] == ["MSFT", "AAPL", "NSE:TCS"]
    assert response.headers["x-missing-symbols"] == "NOPE,GONE"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/api/stock/price/AAPL?long=true&long=false", "long"),
        ("/api/stock/price/AAPL?long=true&%6Cong=true", "long"),
        ("/api/stock/price/AAPL?symbols=MSFT&long=true&symbols=MSFT", "symbols"),
        ("/api/portfolio/live-prices?symbols=NSE:TCS&symbols=NSE:INFY", "symbols"),
    ],
)
async def test_a_name_that_the_query_gives_twice_is_400_whatever_is_kept(running: Any, address: str, name: str) -> None:
    for kept in ("/api/stock/price/AAPL?long=true", "/api/stock/price/AAPL?symbols=MSFT&long=true"):
        await get(running, kept)

    for _ in range(2):
        response = await running.http.get(address)

        assert response.status_code == 400
        assert running.error_of(response)["message"] == f"{name}: must be given once"


PRICES = ("/api/stock/price/AAPL?symbols=MSFT", "/api/portfolio/live-prices?symbols=NSE:TCS")


@pytest.mark.parametrize(
    ("query", "addresses"),
    [
        ("Symbols=MSFT", (*ROUTES, *PRICES)),
        *((each, PRICES) for each in ("_=1", "_", "symbol=MSFT", "long[]=true", "to=2026-01-01")),
    ],
)
async def test_a_name_that_a_route_does_not_read_is_400_whatever_is_kept(
    running: Any, query: str, addresses: Sequence[str]
) -> None:
    running.market.cache_control = "public, max-age=60"
    await running.tick({"NSE:TCS": 1.0})
    for address in addresses:
        await get(running, address)
        path, _, rest = address.partition("?")
        for asked in (f"{path}?{query}", f"{path}?{query}&{rest}", f"{path}/?{rest}&{query}"):
            response = await running.http.get(asked)

            assert response.status_code == 400, asked
            assert f"Unknown parameter: {query.partition('=')[0]} (" in running.error_of(response)["message"]
        assert (await get(running, address)).headers["x-cache"] == "HIT"


async def test_it_says_which_names_are_known(running: Any) -> None:
    for address, message in {
        "/api/stock/historical/AAPL?from=2026-11-19": "from (known: adjusted, from_date, timeframe, to_date)",
        "/api/stock/price/bulk?symbol=AAPL": "symbol (known: symbols)",
        "/api/index/snapshot?_=1": "_ (none is known here)",
    }.items():
        error = running.error_of(await running.http.get(address))

        assert error["message"] == f"Unknown parameter: {message}"
    assert running.market.calls == []


async def test_a_long_quote_has_every_documented_field(running: Any) -> None:
    (quote,) = (await get(running, "/api/stock/price/AAPL?long=TRUE")).json()

    assert list(quote) == [
        *("symbol", "name", "price", "changesPercentage", "change", "dayLow", "dayHigh", "yearHigh", "yearLow"),
        *("marketCap", "priceAvg50", "priceAvg200", "exchange", "volume", "avgVolume", "open", "previousClose"),
        *("eps", "pe", "timestamp", "source", "as_of", "freshness"),
    ]
    assert (quote["price"], quote["changesPercentage"], quote["priceAvg50"]) == (201.28, 6.51, 3.5)
    assert (quote["timestamp"], quote["exchange"], quote["marketCap"]) == (1_775_552_400, "NASDAQ", None)


async def test_bulk_is_a_route_of_its_own_and_not_a_symbol(running: Any) -> None:
    response = await get(running, "/api/stock/price/bulk?symbols=MSFT,NOPE,AAPL,AAPL")

    assert [set(quote) for quote in response.json()] == [SHORT, SHORT]
    assert [quote["symbol"] for quote in response.json()] == ["MSFT", "AAPL"]
    assert response.headers["x-missing-symbols"] == "NOPE"


async def test_a_currency_pair_is_one_object_and_several_are_an_array(running: Any) -> None:
    one = (await get(running, "/api/forex/quote/EURUSD")).json()
    long = (await get(running, "/api/forex/quote/eurusd?long=true")).json()
    many = await get(running, "/api/forex/quotes?pairs=EURUSD,eurusd,XXXYYY")
    many_long = (await get(running, "/api/forex/quotes?pairs=EURUSD&long=true")).json()

    assert (set(one), one["price"]) == (SHORT, 1.08415)
    assert (long["symbol"], long["previousClose"], long["exchange"]) == ("eurusd", -11.21585, "FX")
    assert many.json() == [one]
    assert many.headers["x-missing-symbols"] == "XXXYYY"
    assert [set(quote) for quote in many_long] == [set(long)]


async def test_a_known_symbol_without_a_price_is_missing_among_others_and_404_alone(running: Any) -> None:
    running.market.unpriced.add("FX:EURUSD")

    response = await running.http.get("/api/forex/quote/EURUSD")
    assert response.status_code == 404
    assert running.error_of(response)["message"] == "No source has a price of EURUSD"
    assert (await get(running, "/api/forex/quotes?pairs=EURUSD")).headers["x-missing-symbols"] == "EURUSD"


async def test_after_market_trades_are_as_documented(running: Any) -> None:
    response = await get(running, "/api/stock/after-market-price?symbols=AAPL,NVDA,NOPE")

    assert response.json() == [
        {
            "symbol": "AAPL",
            "price": 201.28,
            "timestamp": 1750982398000,
            "tradeSize": 80,
            "source": "yahoo",
            "as_of": AS_OF,
            "freshness": "delayed",
        },
        {
            "symbol": "NVDA",
            "price": 155.35,
            "timestamp": 1750982398000,
            "tradeSize": None,
            "source": "yahoo",
            "as_of": AS_OF,
            "freshness": "stale",
        },
    ]
    assert response.headers["x-missing-symbols"] == "NOPE"


async def test_an_after_market_quote_is_one_object(running: Any) -> None:
    quote = (await get(running, "/api/stock/aftermarket-quote/AAPL")).json()

    assert quote == {
        "symbol": "AAPL",
        "bidSize": 2,
        "bidPrice": 201.2,
        "askSize": None,
        "askPrice": 201.35,
        "volume": None,
        "timestamp": 1750982398000,
        "source": "yahoo",
        "as_of": AS_OF,
        "freshness": "delayed",
    }


# --- history --------------------------------------------------------------------------------------------------------


async def test_daily_bars_carry_the_symbol_as_written_and_their_origin_in_headers(running: Any) -> None:
    response = await get(running, "/api/stock/historical/aapl?from_date=2024-01-01&to_date=2024-06-01&timeframe=1day")

    first, second = response.json()
    assert first == {
        "symbol": "aapl",
        "date": "2026-04-06",
        "open": 199.1,
        "high": 203.22,
        "low": 198.96,
        "close": 201.28,
        "volume": 54064033,
        "change": 2.18,
        "changePercent": 1.09493,
        "vwap": 201.012346,
    }
    assert (second["volume"], second["vwap"], second["change"]) == (None, None, -1.25)
    assert tells(response, "delayed")
    assert running.market.other.requests["ListDailyBars"] == history_pb2.ListDailyBarsRequest(
        symbol="aapl",
        listing=quotes_pb2.LISTING_UNITED_STATES,
        from_date="2024-01-01",
        to_date="2024-06-01",
        adjustment=history_pb2.ADJUSTMENT_SPLIT,
    )


@pytest.mark.parametrize("route", ["historical", "historical-light"])
@pytest.mark.parametrize(
    ("adjusted", "meant"),
    [
        ("raw", history_pb2.ADJUSTMENT_RAW),
        ("split", history_pb2.ADJUSTMENT_SPLIT),
        ("all", history_pb2.ADJUSTMENT_ALL),
    ],
)
async def test_what_bars_are_adjusted_for_can_be_asked_for(running: Any, route: str, adjusted: str, meant: Any) -> None:
    await get(running, f"/api/stock/{route}/AAPL?adjusted={adjusted}")

    assert running.market.other.requests["ListDailyBars"].adjustment == meant


async def test_light_bars_have_the_close_under_both_names(running: Any) -> None:
    response = await get(running, "/api/stock/historical-light/AAPL")

    assert response.json()[0] == {
        "symbol": "AAPL",
        "date": "2026-04-06",
        "price": 201.28,
        "close": 201.28,
        "volume": 54064033,
    }
    assert tells(response, "delayed")
    assert running.market.other.requests["ListDailyBars"].from_date == ""


async def test_bars_of_five_minutes_are_in_the_exchanges_time(running: Any) -> None:
    response = await get(running, "/api/stock/historical-chart/5min/AAPL?from_date=2026-04-06")

    assert response.json() == [
        {"date": "2026-04-06 15:55:00", "open": 201.1, "low": 200.98, "high": 201.3, "close": 201.28, "volume": 9},
        {"date": "2026-04-06 15:50:00", "open": 201.0, "low": 201.0, "high": 201.1, "close": 201.1, "volume": None},
    ]
    assert tells(response, "live")
    assert running.market.other.requests["ListIntradayBars"].from_date == "2026-04-06"


async def test_currency_history_has_the_shape_of_shares(running: Any) -> None:
    response = await get(running, "/api/forex/historical/EURUSD?to_date=2024-06-01")

    assert {bar["symbol"] for bar in response.json()} == {"EURUSD"}
    assert set(response.json()[0]) == {"symbol", *json_names(history_pb2.DailyBar)}
    request = running.market.other.requests["ListDailyBars"]
    assert (request.listing, request.to_date) == (quotes_pb2.LISTING_CURRENCIES, "2024-06-01")
    assert tells(response, "delayed")


async def test_price_change_has_the_documented_periods(running: Any) -> None:
    response = await get(running, "/api/stock/price-change/AAPL")

    (change,) = response.json()
    assert list(change) == ["symbol", "1D", "5D", "1M", "3M", "6M", "1Y", "3Y", "5Y", "10Y", "ytd", "max"]
    assert (change["1D"], change["max"], change["10Y"]) == (2.25, 156503.04, None)
    assert tells(response, "closed")


# --- companies ------------------------------------------------------------------------------------------------------


async def test_a_profile_has_every_field_and_null_for_what_is_not_known(running: Any) -> None:
    profile = (await get(running, "/api/stock/profile/AAPL")).json()

    assert set(profile) == json_names(companies_pb2.Profile) - {"provenance"} | set(ORIGIN)
    assert (profile["companyName"], profile["marketCap"], profile["change"]) == ("Apple Inc.", 3006300000000, -0.3)
    assert (profile["isEtf"], profile["isFund"], profile["ceo"]) == (False, None, None)
    assert (profile["source"], profile["freshness"]) == ("yahoo", "delayed")


@pytest.mark.parametrize(
    ("wanted", "message", "known"),
    [
        ("income", companies_pb2.IncomeStatement, {"revenue": 416161000000, "eps": 7.49}),
        ("balance-sheet", companies_pb2.BalanceSheet, {"totalAssets": 359241000000}),
        ("cash-flow", companies_pb2.CashFlowStatement, {"operatingCashFlow": 111482000000}),
    ],
)
async def test_each_type_of_statement_has_its_own_fields(
    running: Any, wanted: str, message: Any, known: dict[str, Any]
) -> None:
    response = await get(running, f"/api/stock/financials/AAPL?type={wanted}&limit=3&period=Q1")

    (statement,) = response.json()
    common = {"symbol": "AAPL", "date": "2025-09-27", "fiscalYear": "2025", "period": "FY"}
    assert set(statement) == json_names(message)
    assert {name: value for name, value in statement.items() if value is not None} == {**common, **known}
    (request,) = running.market.other.requests.values()
    assert (request.symbol, request.limit, request.period) == ("AAPL", 3, "Q1")
    assert tells(response, "delayed")


async def test_statements_default_to_five_of_income(running: Any) -> None:
    await get(running, "/api/stock/financials/AAPL")

    request = running.market.other.requests["ListIncomeStatements"]
    assert (request.limit, request.period) == (5, "")


async def test_dividends_are_record_date_and_amount_alone(running: Any) -> None:
    response = await get(running, "/api/stock/dividend/AAPL")

    assert response.json() == [
        {"recordDate": "2025-05-12", "adjDividend": 0.26},
        {"recordDate": "2025-02-10", "adjDividend": 0.25},
    ]
    assert tells(response, "delayed")


async def test_ratings_are_as_documented(running: Any) -> None:
    assert (await get(running, "/api/stock/ratings/AAPL")).json() == {
        "symbol": "AAPL",
        "ratings": {
            "price_targets": [
                {
                    "symbol": "AAPL",
                    "publishedDate": "2025-07-03T13:31:00.000Z",
                    "newsURL": "https://news.example/a",
                    "newsTitle": "A target",
                    "analystName": "",
                    "priceTarget": 210,
                    "adjPriceTarget": 210.5,
                    "priceWhenPosted": 214.33,
                    "newsPublisher": "News",
                    "newsBaseURL": "news.example",
                    "analystCompany": None,
                }
            ],
            "count": 50,
        },
        "recommendations": [
            {"symbol": "AAPL", "strongBuy": 1, "buy": 72, "hold": 29, "sell": 7, "strongSell": 0, "consensus": "Buy"}
        ],
        "source": "yahoo",
        "as_of": AS_OF,
        "freshness": "delayed",
    }


async def test_earnings_are_by_day_and_leave_out_what_is_not_known(running: Any) -> None:
    response = await get(running, "/api/earnings")

    assert response.json() == {
        "2026-04-06": [
            {"exchange": "NASDAQ", "symbol": "NAAS"},
            {
                "epsActual": 0.0,
                "epsEstimated": 0.08,
                "exchange": "NASDAQ",
                "revenueActual": 60875000,
                "revenueEstimated": 106192500,
                "symbol": "TTGT",
            },
        ],
        "2026-04-07": [{"exchange": "NYSE", "symbol": "XYZ"}],
    }
    assert tells(response, "delayed")


# --- news -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("route", "rpc"), [("latest", "ListLatestNews"), ("press-releases", "ListPressReleases")])
async def test_news_are_asked_by_page(running: Any, route: str, rpc: str) -> None:
    await get(running, f"/api/news/{route}")
    usual = running.market.other.requests[rpc]
    response = await get(running, f"/api/news/{route}?page=3&limit=50")
    asked = running.market.other.requests[rpc]

    assert (usual.page, usual.limit) == (0, 20)
    assert (asked.page, asked.limit) == (3, 50)
    assert response.json()[0] == {
        "symbol": "AAPL",
        "publishedDate": "2026-04-07T08:31:00Z",
        "publisher": "News",
        "title": "Apple shows a new computer",
        "image": None,
        "site": "news.example",
        "text": "It did so on Tuesday.",
        "url": "https://news.example/a",
    }
    assert tells(response, "live")


async def test_news_about_nothing_in_particular_have_no_symbol(running: Any) -> None:
    assert (await get(running, "/api/news/latest")).json()[1]["symbol"] is None


async def test_stock_news_name_the_symbols_without_any(running: Any) -> None:
    response = await get(running, "/api/news/stock/AAPL,NOPE,aapl?limit=5")

    assert [article["symbol"] for article in response.json()] == ["AAPL"]
    assert response.headers["x-missing-symbols"] == "NOPE"
    assert list(running.market.other.requests["ListStockNews"].symbols) == ["AAPL", "NOPE"]
    assert tells(response, "live")


# --- exchanges, treasury, instruments -------------------------------------------------------------------------------


async def test_hours_of_all_are_by_exchange_and_of_one_an_object(running: Any) -> None:
    hours = (await get(running, "/api/exchange/hours")).json()
    one = (await get(running, "/api/exchange/hours/nasdaq")).json()

    assert set(hours) == {"NASDAQ", "BSE"}
    assert (
        hours["NASDAQ"]
        == one
        == {
            "exchange": "NASDAQ",
            "name": "NASDAQ",
            "openingHour": "09:30 AM -04:00",
            "closingHour": "04:00 PM -04:00",
            "timezone": "America/New_York",
            "isMarketOpen": False,
            "sessionDate": "2026-04-07",
            "isEarlyClose": False,
            "nextOpen": AS_OF,
            "nextClose": None,
        }
    )
    assert (hours["BSE"]["isMarketOpen"], hours["BSE"]["openingHour"]) == (None, None)
    assert list(running.market.other.requests["ListExchangeHours"].exchanges) == ["nasdaq"]


async def test_exchanges_come_in_short_and_in_detail(running: Any) -> None:
    (short,) = (await get(running, "/api/exchanges")).json()
    (detailed,) = (await get(running, "/api/exchanges/list")).json()

    assert short == {
        "exchange": "NSE",
        "name": "National Stock Exchange of India",
        "countryName": "India",
        "countryCode": "IN",
        "symbolSuffix": ".NS",
        "delay": None,
    }
    assert detailed == {
        **short,
        "mic": "XNSE",
        "timezone": "Asia/Kolkata",
        "currency": "INR",
        "instruments": 1930,
    }


async def test_stocks_are_listed_by_exchange(running: Any) -> None:
    listed = (await get(running, "/api/stock/list/nasdaq,NYSE,Nasdaq")).json()

    assert listed == {
        "NASDAQ": [
            {"symbol": "AAPL", "name": "Apple Inc.", "exchange": "NASDAQ", "type": "stock", "isin": "US0378331005"},
            {"symbol": "QQQ", "name": "Invesco QQQ", "exchange": "NASDAQ", "type": "etf", "isin": None},
        ],
        "NYSE": [],
    }
    assert list(running.market.other.requests["ListStocks"].exchanges) == ["NASDAQ", "NYSE"]


async def test_treasury_rates_have_every_maturity(running: Any) -> None:
    response = await get(running, "/api/treasury/rates?from_date=2026-04-01&to_date=2026-04-06")

    first, second = response.json()
    months = ["month1", "month2", "month3", "month6"]
    years = ["year1", "year2", "year3", "year5", "year7", "year10", "year20", "year30"]
    assert list(first) == ["date", *months, *years]
    assert (first["month2"], first["month3"], second["year30"]) == (0.0, None, None)
    request = running.market.other.requests["ListTreasuryRates"]
    assert (request.from_date, request.to_date) == ("2026-04-01", "2026-04-06")
    assert tells(response, "delayed")


async def test_instruments_are_found_and_read_with_their_other_names(running: Any) -> None:
    found = (await get(running, "/api/instruments/search?q=tata%20con&limit=3")).json()
    read = (await get(running, "/api/instruments/kite:2953217")).json()

    assert found == [read]
    assert read == {
        "id": "NSE:TCS",
        "exchange": "NSE",
        "symbol": "TCS",
        "name": "Tata Consultancy Services Limited",
        "kind": "equity",
        "currency": "INR",
        "sector": None,
        "aliases": {"isin": "INE467B01029", "yahoo": "TCS.NS", "kiteToken": 2953217, "fmp": None},
    }
    asked = running.market.other.requests["SearchInstruments"]
    assert (asked.query, asked.limit) == ("tata con", 3)
    assert running.market.other.requests["GetInstrument"].name == "kite:2953217"


@pytest.mark.parametrize("name", ["NSE:TCS", "TCS.NS", "INE467B01029", "NSE:M%26M", "%5ENSEI", "EURUSD%3DX", "BRK-B"])
async def test_every_form_of_a_name_reaches_the_directory(running: Any, name: str) -> None:
    await get(running, f"/api/instruments/{name}")


@pytest.mark.parametrize("name", ["NSE:%5ENSEI", "tt%5Ebp", "A%3DB", "%5E%5EA", "%3DX", "%5E"])
async def test_what_the_directory_takes_for_no_name_is_not_even_asked_for(running: Any, name: str) -> None:
    response = await running.http.get(f"/api/instruments/{name}")

    assert (response.status_code, "GetInstrument" in running.market.other.requests) == (400, False)


# --- indices --------------------------------------------------------------------------------------------------------

CONSTITUENT = ["symbol", "name", "sector", "subSector", "headQuarter", "dateFirstAdded", "cik", "founded"]


async def test_constituents_are_an_array_with_metadata_when_asked_for(running: Any) -> None:
    plain = (await get(running, "/api/index/constituents/sp500")).json()
    detailed = (await get(running, "/api/index/constituents/SP500?include_metadata=true")).json()

    assert [list(row) for row in plain] == [CONSTITUENT, CONSTITUENT]
    assert detailed[0] == {
        **plain[0],
        "instrument": "NASDAQ:AAPL",
        "isin": "US0378331005",
        "source": "a list",
        "as_of": "2026-04-01",
    }
    assert (plain[1]["cik"], detailed[1]["isin"]) == (None, None)
    assert running.market.other.requests["ListConstituents"].index == "SP500"


async def test_constituents_as_a_table_have_the_same_columns(running: Any) -> None:
    plain = await table(running, "/api/index/constituents/SP500?format=csv")
    detailed = await table(running, "/api/index/constituents/SP500?format=csv&include_metadata=true")

    assert plain[0] == CONSTITUENT
    assert detailed[0] == [*CONSTITUENT, "instrument", "isin", "source", "as_of"]
    assert plain[1][3] == "Technology Hardware, Storage & Peripherals"
    assert plain[1][4] == "Cupertino, California"
    assert plain[2] == ["EVIL", '\'=HYPERLINK("https://evil.example","Click")', "'-2+3", "", "", "", "", ""]


async def test_index_prices_are_a_table_whose_numbers_stay_numbers(running: Any) -> None:
    rows = await table(running, "/api/index/stock-prices/SP500")

    assert rows[0] == [
        *("symbol", "name", "price", "change", "changePercent"),
        *("sector", "subSector", "founded", "headQuarter"),
    ]
    assert rows[1][:5] == ["AAPL", "Apple Inc.", "201.28", "-1.25", "-0.62"]
    assert rows[2][2:6] == ["", "", "", "'-2+3"]


async def test_a_table_says_its_weakest_origin(running: Any) -> None:
    answer = running.market.other.answers["ListConstituentPrices"]
    constituent = answer.prices[0].constituent
    answer.prices.append(
        indices_pb2.ConstituentPrice(
            constituent=constituent, price=1.0, provenance=origin("STALE", "fmp", 1_775_552_340)
        )
    )

    headers = (await get(running, "/api/index/stock-prices/SP500")).headers

    assert headers["x-source"] == "yahoo,fmp"
    assert headers["x-as-of"] == "2026-04-07T08:59:00Z"
    assert headers["x-freshness"] == "stale"


async def test_a_table_without_any_price_says_nothing_of_its_origin(running: Any) -> None:
    del running.market.other.answers["ListConstituentPrices"].prices[0]

    headers = (await get(running, "/api/index/stock-prices/SP500")).headers

    assert not {"x-source", "x-as-of", "x-freshness"} & set(headers)


# --- every route ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "rpc"), ROUTES.items())
async def test_each_route_is_one_call_and_knows_slashes_and_head(running: Any, address: str, rpc: str) -> None:
    path, _, query = address.partition("?")
    plain = await get(running, address)
    assert running.market.calls == [rpc]

    slashed = await get(running, f"{path}/?{query}")
    head = await running.http.head(address)

    assert slashed.content == plain.content
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == plain.headers["content-type"]


@pytest.mark.parametrize("address", ROUTES)
async def test_each_route_is_kept_as_long_as_the_service_says(running: Any, address: str) -> None:
    running.market.cache_control = "public, max-age=60"

    first = await get(running, address)
    second = await get(running, address)

    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    assert second.content == first.content
    assert second.headers["cache-control"] == "public, max-age=60"
    for name in ("x-source", "x-as-of", "x-freshness", "content-type"):
        assert second.headers.get(name) == first.headers.get(name)
    assert len(running.market.calls) == 1
    again = await running.http.get(address, headers={"If-None-Match": second.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("/api/stock/historical/AAPL", "adjusted=raw"),
        ("/api/stock/historical/AAPL", "from_date=2024-01-01"),
        ("/api/stock/historical/AAPL", "to_date=2024-01-01"),
        ("/api/stock/price/AAPL", "long=true"),
        ("/api/stock/price/AAPL", "symbols=MSFT"),
        ("/api/stock/financials/AAPL", "type=cash-flow"),
        ("/api/stock/financials/AAPL", "period=Q1"),
        ("/api/index/constituents/SP500", "format=csv"),
        ("/api/index/constituents/SP500", "include_metadata=true"),
        ("/api/news/latest", "page=1"),
        ("/api/news/latest", "limit=1"),
    ],
)
async def test_whatever_a_route_reads_makes_another_answer(running: Any, address: str, query: str) -> None:
    running.market.cache_control = "public, max-age=60"
    await get(running, address)

    other = await get(running, f"{address}?{query}")

    assert other.headers["x-cache"] == "MISS"
    assert (await get(running, f"{address}/?&{query}")).headers["x-cache"] == "HIT"


async def test_what_is_kept_of_arrays_is_marked_stale_in_its_header(running: Any) -> None:
    running.market.cache_control = "public, max-age=1, stale-if-error=60"
    await get(running, "/api/stock/dividend/AAPL")
    running.gateway.cache._entries["/api/stock/dividend/AAPL"].stored_at -= 2
    running.market.failure = RuntimeError("broken")

    stale = await get(running, "/api/stock/dividend/AAPL")

    assert (stale.headers["x-cache"], stale.headers["x-freshness"]) == ("STALE", "stale")
    assert stale.json()[0] == {"recordDate": "2025-05-12", "adjDividend": 0.26}


async def test_missing_symbols_are_kept_with_the_answer(running: Any) -> None:
    running.market.cache_control = "public, max-age=60"
    address = "/api/stock/price/NASDAQ:AAPL,NOPE"
    await get(running, address)

    kept = await get(running, address)

    assert (kept.headers["x-cache"], kept.headers["x-missing-symbols"]) == ("HIT", "NOPE")


async def test_a_large_table_is_compressed_when_asked_for(running: Any) -> None:
    running.market.cache_control = "public, max-age=60"
    answer = running.market.other.answers["ListConstituents"]
    for _ in range(50):
        answer.constituents.add().CopyFrom(answer.constituents[0])

    response = await running.http.get("/api/index/constituents/SP500?format=csv", headers={"Accept-Encoding": "gzip"})

    assert response.headers["content-encoding"] == "gzip"
    assert len(response.text.splitlines()) == 53


@pytest.mark.parametrize(
    "address",
    [
        "/api/stock/price/NOPE",
        "/api/stock/price/NOPE?long=true",
        "/api/stock/price/bulk?symbols=NOPE,GONE",
        "/api/stock/historical/NOPE",
        "/api/stock/historical-light/NOPE",
        "/api/stock/historical-chart/5min/NOPE",
        "/api/stock/profile/NOPE",
        "/api/stock/financials/NOPE",
        "/api/stock/aftermarket-quote/NOPE",
        "/api/stock/after-market-price?symbols=NOPE",
        "/api/stock/price-change/NOPE",
        "/api/stock/dividend/NOPE",
        "/api/stock/list/NOPE",
        "/api/stock/ratings/NOPE",
        "/api/forex/quote/NOPE",
        "/api/forex/historical/NOPE",
        "/api/news/stock/NOPE",
        "/api/exchange/hours/NOPE",
        "/api/index/constituents/NOPE",
        "/api/index/stock-prices/NOPE",
        "/api/instruments/NOPE",
    ],
)
async def test_what_nobody_knows_is_404(running: Any, address: str) -> None:
    assert UNKNOWN in address
    response = await running.http.get(address)

    assert response.status_code == 404
    assert running.error_of(response)["code"] == "NOT_FOUND"


@pytest.mark.parametrize("reason", ["CAPABILITY_MISSING", "SOURCES_UNAVAILABLE"])
async def test_what_no_source_answers_is_503(running: Any, make_refusal: Any, reason: str) -> None:
    running.market.failure = make_refusal(Code.UNAVAILABLE, reason, "no source has treasury rates", 60.0)

    response = await running.http.get("/api/treasury/rates")

    assert response.status_code == 503
    assert running.error_of(response) == {
        "error": "Service unavailable",
        "message": "No source has treasury rates",
        "code": "UPSTREAM_UNAVAILABLE",
        "request_id": response.headers["x-request-id"],
    }
    assert response.headers["retry-after"] == "60"


FIFTY_ONE = ",".join(f"A{number}" for number in range(51))
TWENTY_SIX = ",".join(f"A{number}" for number in range(26))
TWENTY_FIVE_MORE = ",".join(f"B{number}" for number in range(25))
HOSTILE = ["%3Cb%3E", "a%20b", "AAP%C5%81", "-", "x" * 40, "%0d%0aX:y", "NSE:", ":TCS"]
SINGLE = [
    "/api/stock/historical/{}",
    "/api/stock/historical-light/{}",
    "/api/stock/historical-chart/5min/{}",
    "/api/stock/profile/{}",
    "/api/stock/financials/{}",
    "/api/stock/aftermarket-quote/{}",
    "/api/stock/price-change/{}",
    "/api/stock/dividend/{}",
    "/api/stock/ratings/{}",
    "/api/forex/quote/{}",
    "/api/forex/historical/{}",
    "/api/stock/price/{}",
    "/api/stock/price/bulk?symbols={}",
    "/api/stock/price/AAPL?symbols={}",
    "/api/stock/after-market-price?symbols={}",
    "/api/forex/quotes?pairs={}",
    "/api/news/stock/{}",
    "/api/exchange/hours/{}",
    "/api/stock/list/{}",
    "/api/index/constituents/{}",
    "/api/index/stock-prices/{}",
    "/api/instruments/{}",
]
WITH_DAYS = [
    "/api/stock/historical/AAPL",
    "/api/stock/historical-light/AAPL",
    "/api/stock/historical-chart/5min/AAPL",
    "/api/forex/historical/EURUSD",
    "/api/treasury/rates",
]
WRONG_DAYS = [
    *("2024-6-1", "2024-02-30", "20240601", "2024-06-01T00:00:00", "0000-01-01", "", "today"),
    *("2024-06-01%20", "2024-W01-1", "%EF%BC%92024-06-01"),
]
WITH_LIMIT = [
    "/api/stock/financials/AAPL?",
    "/api/news/latest?",
    "/api/news/press-releases?",
    "/api/news/stock/AAPL?",
    "/api/instruments/search?q=a&",
]
BAD = [
    *(route.format(symbol) for route in SINGLE for symbol in HOSTILE),
    *(f"{route}?{name}={day}" for route in WITH_DAYS for name in ("from_date", "to_date") for day in WRONG_DAYS),
    *(f"{route}?from_date=2024-06-02&to_date=2024-06-01" for route in WITH_DAYS),
    *(
        f"{route}limit={limit}"
        for route in WITH_LIMIT
        for limit in ("0", "51", "-1", "5.0", "", "a", "%205", "05", "1e1")
    ),
    *(
        f"/api/news/{route}?page={page}"
        for route in ("latest", "press-releases", "stock/A")
        for page in ("-1", "1001", "x", "")
    ),
    *(
        f"{route}{word}"
        for route in ("/api/stock/price/A?long=", "/api/forex/quote/EURUSD?long=")
        for word in ("1", "yes", "", "tru")
    ),
    "/api/forex/quotes?pairs=EURUSD&long=on",
    "/api/index/constituents/SP500?include_metadata=1",
    "/api/index/constituents/SP500?format=xml",
    "/api/index/constituents/SP500?format=CSV",
    "/api/stock/historical/AAPL?timeframe=1hour",
    "/api/stock/historical/AAPL?timeframe=",
    "/api/forex/historical/EURUSD?timeframe=1min",
    "/api/stock/historical/AAPL?adjusted=dividends",
    "/api/stock/historical-light/AAPL?adjusted=",
    "/api/stock/financials/AAPL?type=equity",
    "/api/stock/financials/AAPL?period=Q5",
    "/api/stock/financials/AAPL?period=q1",
    "/api/stock/financials/AAPL?period=",
    "/api/stock/price/bulk",
    "/api/stock/price/bulk?symbols=",
    "/api/stock/price/bulk?symbols=,%20,",
    f"/api/stock/price/bulk?symbols={FIFTY_ONE}",
    f"/api/stock/price/{FIFTY_ONE}",
    f"/api/stock/price/{TWENTY_SIX}?symbols={TWENTY_FIVE_MORE}",
    "/api/stock/price/AAPL?symbols=",
    "/api/stock/price/,",
    *(
        f"{route}%C2%85AAPL,%09MSFT"
        for route in ("/api/stock/price/", "/api/stock/price/AAPL?symbols=", "/api/stock/list/")
    ),
    *(
        f"{route}AAPL%0A"
        for route in ("/api/news/stock/", "/api/stock/price/bulk?symbols=", "/api/forex/quotes?pairs=")
    ),
    "/api/stock/after-market-price",
    f"/api/stock/after-market-price?symbols={FIFTY_ONE}",
    "/api/forex/quotes",
    "/api/forex/quotes?pairs=,",
    f"/api/forex/quotes?pairs={FIFTY_ONE}",
    f"/api/news/stock/{FIFTY_ONE}",
    "/api/stock/list/A,B,C,D,E,F,G,H,I,J,K",
    "/api/stock/list/,",
    "/api/stock/list/NASDAQ,N%3CY",
    "/api/instruments/search",
    "/api/instruments/search?q=",
    "/api/instruments/search?q=%20",
    "/api/instruments/search?q=a%00b",
    f"/api/instruments/search?q={'a' * 65}",
]


@pytest.mark.parametrize(
    "address", ["/api/stock/price/bulk?symbols=", "/api/stock/price/A?symbols=", "/api/forex/quotes?pairs="]
)
async def test_an_empty_list_is_told_as_a_text(running: Any, address: str) -> None:
    error = running.error_of(await running.http.get(address))

    assert error["message"].endswith(": must have at least 1 character")


async def test_whatever_is_wrong_is_400_before_any_service_is_asked(running: Any) -> None:
    wrong = []
    for address in BAD:
        response = await running.http.get(address)
        if response.status_code != 400 or running.error_of(response)["code"] != "INVALID_REQUEST":
            wrong.append((address, response.status_code))

    assert wrong == []
    assert running.market.calls == []


async def test_an_error_names_the_parameter_and_never_repeats_its_value(running: Any) -> None:
    for address, name in [
        ("/api/stock/historical/AAPL?from_date=hunter2", "from_date"),
        ("/api/news/latest?limit=hunter2", "limit"),
        ("/api/stock/price/AAPL?long=hunter2", "long"),
        ("/api/index/constituents/SP500?format=hunter2", "format"),
        ("/api/forex/quotes?pairs=,", "pairs"),
    ]:
        message = running.error_of(await running.http.get(address))["message"]

        assert name in message
        assert "hunter2" not in message


async def test_fifty_symbols_are_taken(running: Any) -> None:
    fifty = FIFTY_ONE.rpartition(",")[0]

    await get(running, f"/api/news/stock/{fifty}")

    assert len(running.market.other.requests["ListStockNews"].symbols) == 50


async def test_limits_and_days_are_taken_at_their_ends(running: Any) -> None:
    for address in (
        "/api/news/latest?limit=1&page=1000",
        "/api/news/latest?limit=50&page=0",
        "/api/stock/historical/AAPL?from_date=2024-02-29&to_date=2024-02-29",
    ):
        await get(running, address)


async def test_paths_beside_the_routes_are_404(running: Any) -> None:
    for path in ("/api/stock/price", "/api/stock/historical-chart/1min/AAPL", "/api/index/constituents", "/api/forex"):
        response = await running.http.get(path)
        assert response.status_code == 404
        running.error_of(response)


async def test_other_methods_are_405(running: Any) -> None:
    response = await running.http.post("/api/stock/price/AAPL")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


async def test_json_is_json_to_the_last_byte(running: Any) -> None:
    for address in ROUTES:
        response = await get(running, address)
        if response.headers["content-type"] == "application/json":
            json.loads(response.content, parse_constant=pytest.fail)
