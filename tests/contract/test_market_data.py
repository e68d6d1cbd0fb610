"""The market's routes that need no login: the same requests and shapes on the sample market, on Yahoo and on FMP.

The vendors are their stand-ins; which of them answers is said in every answer.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from contract.documents import MAX_QUOTED_SYMBOLS, Operation, read, read_error
from contract.market_documents import (
    REQUESTS,
    STOCK_PRICE_COLUMNS,
    CompanyProfile,
    EarningsReport,
    FiveMinutes,
    HistoricalPrice,
    IncomeStatement,
    LongQuote,
    PriceChange,
    ShortQuote,
    TreasuryRates,
    rows_of,
)
from harness.backends import EMBEDDED, UNLIMITED, running_suite
from harness.clients import gateway_client
from harness.compose_suite import is_composed
from harness.processes import RunningSuite
from upstreams.egress import egress
from upstreams.fmp import fmp_server
from upstreams.yahoo import yahoo_server

SOURCES = ("sample", "yahoo", "fmp")
IDS = [operation.path.removeprefix("/api/") for operation, _ in REQUESTS]
NEW_YORK = ZoneInfo("America/New_York")
# Tests ask for more in a minute than a vendor would allow.
UNSPENT = {"YAHOO_BUDGET": "100000/minute", "FMP_BUDGET": "100000/minute"}


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def sourced(
    source: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningSuite]:
    """The whole suite on one source."""
    folder = tmp_path_factory.mktemp(source)
    if is_composed():
        if source != "sample":
            pytest.skip("one market is composed, on one source")
        yield request.getfixturevalue("composed")
    elif source == "sample":
        with running_suite(EMBEDDED, folder, UNLIMITED) as suite:
            yield suite
    elif source == "yahoo":
        with yahoo_server() as yahoo, egress(yahoo.server.port, tmp_path_factory.mktemp("egress")) as way_out:
            own = {"MARKET_PROVIDERS": source, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            with running_suite(EMBEDDED, folder, {**UNLIMITED, **UNSPENT, **way_out.environment, **own}) as suite:
                yield suite
    else:
        with fmp_server() as fmp:
            own = {"MARKET_PROVIDERS": source, "FMP_API_KEY": fmp.key, "FMP_BASE_URL": fmp.url}
            with running_suite(EMBEDDED, folder, {**UNLIMITED, **UNSPENT, **own}) as suite:
                yield suite


@pytest.fixture
async def client(sourced: RunningSuite) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_client(sourced.gateway_url) as client:
        yield client


async def ask(client: httpx.AsyncClient, path: str, shape: Any) -> Any:
    return read(shape, await client.get(path))


@pytest.mark.parametrize(("operation", "shape"), REQUESTS, ids=IDS)
async def test_the_documented_shape_is_answered(
    client: httpx.AsyncClient, operation: Operation, shape: Any, source: str
) -> None:
    answer = await client.get(operation.path)

    body = read(shape, answer)
    assert body, "an empty answer shows nothing"
    assert "max-age=" in answer.headers["Cache-Control"]
    assert answer.headers["ETag"]
    told = {answer.headers["X-Source"]} if "X-Source" in answer.headers else set()
    rows = body if isinstance(body, list) else [body]
    told |= {row["source"] for row in answer.json() if "source" in row and "price" in row} if rows is body else set()
    assert told <= {source}


async def test_prices_keep_the_order_and_name_what_is_unknown(client: httpx.AsyncClient, source: str) -> None:
    answer = await client.get("/api/stock/price/msft,NASDAQ:AAPL,NOSUCHONE?symbols=AAPL,NVDA")

    quotes = read(list[ShortQuote], answer)
    assert [quote["symbol"] for quote in quotes] == ["msft", "NASDAQ:AAPL", "NVDA"]
    assert answer.headers["X-Missing-Symbols"] == "NOSUCHONE"
    assert {quote["source"] for quote in quotes} == {source}
    expected = {"simulated"} if source == "sample" else {"live", "delayed", "closed", "stale"}
    assert {quote["freshness"] for quote in quotes} <= expected


async def test_a_long_quote_has_the_years_figures(client: httpx.AsyncClient) -> None:
    (quote,) = await ask(client, "/api/stock/price/AAPL?long=true", list[LongQuote])

    assert quote["yearLow"] <= quote["priceAvg200"] <= quote["yearHigh"]
    assert quote["priceAvg50"] is not None
    assert quote["marketCap"] > quote["price"]
    assert quote["changesPercentage"] == pytest.approx(100 * quote["change"] / quote["previousClose"], abs=0.02)


async def test_history_is_newest_first_and_within_its_dates(client: httpx.AsyncClient) -> None:
    bars = await ask(
        client, "/api/stock/historical/AAPL?from_date=2024-01-01&to_date=2024-06-01", list[HistoricalPrice]
    )

    days = [bar["date"] for bar in bars]
    assert days == sorted(days, reverse=True)
    assert days[-1] >= "2024-01-01"
    assert days[0] <= "2024-06-01"
    assert 95 <= len(days) <= 110
    for bar in bars:
        assert bar["low"] <= min(bar["open"], bar["close"])
        assert bar["high"] >= max(bar["open"], bar["close"])
        assert bar["change"] == pytest.approx(bar["close"] - bar["open"], abs=1e-4)


async def test_five_minutes_from_long_ago_are_of_as_many_days_as_one_answer_holds(
    client: httpx.AsyncClient, source: str
) -> None:
    answer = await client.get("/api/stock/historical-chart/5min/AAPL?from_date=2024-06-01")  # I's own example

    if source == "yahoo":
        # It keeps bars of five minutes for sixty days.
        read_error(answer, 404)
        return
    bars = read(list[FiveMinutes], answer)
    assert {bar["date"][:7] for bar in bars} <= {"2024-06", "2024-07"}
    assert bars


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/api/stock/historical/AAPL", "America/New_York"),
        ("/api/stock/historical/NSE:TCS", "Asia/Kolkata"),
        ("/api/stock/historical-light/NSE:TCS", "Asia/Kolkata"),
        ("/api/stock/historical-chart/5min/AAPL", "America/New_York"),
        ("/api/forex/historical/EURUSD", "America/New_York"),
        ("/api/treasury/rates", "UTC"),
    ],
)
async def test_since_a_day_that_has_begun_elsewhere_alone_there_is_nothing(
    client: httpx.AsyncClient, source: str, path: str, place: str
) -> None:
    tomorrow = datetime.now(ZoneInfo(place)).date() + timedelta(days=1)

    answer = await client.get(f"{path}?from_date={tomorrow}")

    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["X-Source"] == source
    assert answer.headers["X-Freshness"] == ("simulated" if source == "sample" else "delayed")
    assert datetime.fromisoformat(answer.headers["X-As-Of"]) <= datetime.now(UTC)


async def test_raw_prices_are_as_they_were_traded(client: httpx.AsyncClient, source: str) -> None:
    path = "/api/stock/historical/NVDA?from_date=2024-06-03&to_date=2024-06-14"
    split, raw, every = [
        await ask(client, f"{path}{adjusted}", list[HistoricalPrice])
        for adjusted in ("", "&adjusted=raw", "&adjusted=all")
    ]

    # Ten for one on 10 June 2024, which the made-up market of the suite does not have.
    factor = 1 if source == "sample" else 10
    for as_split, as_raw in zip(split, raw, strict=True):
        expected = factor if as_raw["date"] < "2024-06-10" else 1
        assert as_raw["close"] == pytest.approx(as_split["close"] * expected, rel=1e-6)
        assert as_raw["volume"] == pytest.approx(as_split["volume"] / expected, abs=1)
    assert all(total["close"] <= own["close"] for total, own in zip(every, split, strict=True))


async def test_price_changes_are_those_of_the_history(client: httpx.AsyncClient) -> None:
    (change,) = await ask(client, "/api/stock/price-change/AAPL", list[PriceChange])
    bars = await ask(client, "/api/stock/historical/AAPL", list[HistoricalPrice])

    closes = [bar["close"] for bar in bars]
    assert change["symbol"] == "AAPL"
    assert change["1D"] == pytest.approx(100 * (closes[0] / closes[1] - 1), abs=0.01)
    assert change["5D"] == pytest.approx(100 * (closes[0] / closes[5] - 1), abs=0.01)


async def test_statements_are_of_the_period_asked_for(client: httpx.AsyncClient) -> None:
    quarters = await ask(client, "/api/stock/financials/AAPL?type=income&limit=3&period=Q1", list[IncomeStatement])
    years = await ask(client, "/api/stock/financials/AAPL", list[IncomeStatement])

    assert {statement["period"] for statement in quarters} == {"Q1"}
    assert len(quarters) <= 3
    assert {statement["period"] for statement in years} == {"FY"}
    ends = [statement["date"] for statement in years]
    assert ends == sorted(ends, reverse=True)


async def test_the_profile_is_the_companys(client: httpx.AsyncClient) -> None:
    profile = await ask(client, "/api/stock/profile/AAPL", CompanyProfile)

    assert profile["companyName"].startswith("Apple")
    assert (profile["exchange"], profile["currency"]) == ("NASDAQ", "USD")


async def test_earnings_are_of_sixteen_days_ahead_and_one_back(client: httpx.AsyncClient) -> None:
    reports = await ask(client, "/api/earnings", dict[str, list[EarningsReport]])

    today = datetime.now(NEW_YORK).date()
    for day in map(date.fromisoformat, reports):
        assert today - timedelta(days=2) <= day <= today + timedelta(days=15)
    assert list(reports) == sorted(reports)


async def test_a_source_leaves_out_the_maturities_it_lacks(client: httpx.AsyncClient, source: str) -> None:
    days = await ask(client, "/api/treasury/rates?from_date=2025-02-03&to_date=2025-02-07", list[TreasuryRates])

    known = {name for day in days for name, value in day.items() if value is not None} - {"date"}
    assert len(known) == (4 if source == "yahoo" else 12)


async def test_index_prices_are_a_table(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/index/stock-prices/dji")

    rows = rows_of(answer)
    assert len(rows) == 30
    assert list(rows[0]) == STOCK_PRICE_COLUMNS
    priced = [row for row in rows if row["price"]]
    assert priced
    assert all(float(row["price"]) > 0 for row in priced)


async def test_indices_have_their_constituents(client: httpx.AsyncClient) -> None:
    for index, count in {"SP500": 503, "NIFTY50": 50, "DJI": 30, "SENSEX": 30}.items():
        rows = rows_of(await client.get(f"/api/index/constituents/{index.lower()}?format=csv"))
        assert len(rows) == count, index


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/stock/price/NOSUCHONE", 404),
        ("/api/stock/profile/NOSUCHONE", 404),
        ("/api/stock/profile/EURUSD", 404),
        ("/api/forex/quote/AAPL", 404),
        ("/api/forex/quote/NASDAQ:AAPL", 404),
        ("/api/forex/historical/NASDAQ:AAPL", 404),
        ("/api/forex/quotes?pairs=NASDAQ:AAPL,INDEX:NIFTY50", 404),
        ("/api/index/constituents/NOSUCHINDEX", 404),
        ("/api/exchange/hours/NOSUCH", 404),
        ("/api/stock/list/NOSUCH", 404),
        ("/api/instruments/NSE:NOSUCHONE", 404),
        ("/api/stock/historical/AAPL?from_date=2024-13-01", 400),
        ("/api/stock/historical/AAPL?from_date=2024-06-02&to_date=2024-06-01", 400),
        ("/api/stock/historical/AAPL?timeframe=1hour", 400),
        ("/api/stock/historical/AAPL?adjusted=some", 400),
        ("/api/stock/financials/AAPL?type=tax", 400),
        ("/api/stock/financials/AAPL?limit=51", 400),
        ("/api/stock/financials/AAPL?limit=0", 400),
        ("/api/stock/financials/AAPL?period=Q5", 400),
        ("/api/stock/after-market-price", 400),
        ("/api/stock/price/bulk", 400),
        ("/api/stock/price/bulk?symbols=" + ",".join(f"A{n}" for n in range(MAX_QUOTED_SYMBOLS + 1)), 400),
        ("/api/news/latest?page=-1", 400),
        ("/api/news/latest?limit=51", 400),
        ("/api/forex/quotes", 400),
        ("/api/index/constituents/SP500?format=xml", 400),
        ("/api/treasury/rates?from_date=yesterday", 400),
        ("/api/instruments/search", 400),
        ("/api/instruments/TCS", 400),
    ],
)
async def test_what_cannot_be_answered_is_an_error_with_a_sentence(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    read_error(await client.get(path), status)


async def test_every_name_of_an_instrument_finds_it(client: httpx.AsyncClient) -> None:
    for name in ("NSE:TCS", "nse:tcs", "TCS.NS", "kite:2953217"):
        assert (await client.get(f"/api/instruments/{name}")).json()["id"] == "NSE:TCS"
    ambiguous = read_error(await client.get("/api/instruments/INE467B01029"), 400)
    assert "NSE:TCS" in ambiguous["message"]
    assert "BSE:TCS" in ambiguous["message"]
    found = (await client.get("/api/instruments/search?q=tata consult")).json()
    assert found[0]["id"] in {"NSE:TCS", "BSE:TCS"}
