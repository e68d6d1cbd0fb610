"""The market's other half as a fake: every RPC of its contracts, answered from messages that a test can change.

It behaves where callers can tell: symbols it does not know are missing from batches and 404 alone, requests are kept.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from bourse.market.v1 import (
    after_market_pb2,
    after_market_pb2_grpc,
    companies_pb2,
    companies_pb2_grpc,
    earnings_pb2,
    earnings_pb2_grpc,
    exchanges_pb2,
    exchanges_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    indices_pb2,
    indices_pb2_grpc,
    instruments_pb2,
    instruments_pb2_grpc,
    news_pb2,
    news_pb2_grpc,
    quotes_pb2,
    treasury_pb2,
    treasury_pb2_grpc,
)
from chassis.errors import Code, ServiceError

REGISTRARS: list[Callable[[Any, Any], None]] = [
    after_market_pb2_grpc.add_AfterMarketServiceServicer_to_server,
    companies_pb2_grpc.add_CompanyServiceServicer_to_server,
    earnings_pb2_grpc.add_EarningsServiceServicer_to_server,
    exchanges_pb2_grpc.add_ExchangeServiceServicer_to_server,
    history_pb2_grpc.add_HistoryServiceServicer_to_server,
    indices_pb2_grpc.add_IndexServiceServicer_to_server,
    instruments_pb2_grpc.add_InstrumentServiceServicer_to_server,
    news_pb2_grpc.add_NewsServiceServicer_to_server,
    treasury_pb2_grpc.add_TreasuryServiceServicer_to_server,
]
AS_OF_SECONDS = 1_775_552_400  # 2026-04-07T09:00:00Z
UNKNOWN = "NOPE"


class NothingThere(ServiceError):
    """What was asked for does not exist."""

    code = Code.NOT_FOUND
    reason = "SYMBOL_UNKNOWN"


class OtherMarket:
    """Answers by RPC.

    Attributes:
        answers: what each RPC answers, by its name.
        requests: what each RPC was asked, by its name, the last one.
    """

    def __init__(self, meet: Callable[[str, Any], Awaitable[None]], allow_keeping: Callable[[Any], None]) -> None:
        self._meet = meet
        self._allow_keeping = allow_keeping
        self.answers = answers()
        self.requests: dict[str, Any] = {}

    def __getattr__(self, rpc: str) -> Any:
        if rpc.startswith("_"):
            raise AttributeError(rpc)

        async def answer(request: Message, context: Any) -> Any:
            return await self._answer(rpc, request, context)

        return answer

    def registrations(self) -> list[Callable[[Any], None]]:
        return [lambda server, register=register: register(self, server) for register in REGISTRARS]  # type: ignore[misc]

    async def _answer(self, rpc: str, request: Any, context: Any) -> Any:
        await self._meet(rpc, context)
        self._allow_keeping(context)
        self.requests[rpc] = request
        fields = request.DESCRIPTOR.fields_by_name
        for name in ("symbol", "index", "name"):
            if name in fields and getattr(request, name) == UNKNOWN:
                raise NothingThere(f"no market knows {UNKNOWN}")
        for name in ("symbols", "exchanges"):
            if name in fields and list(getattr(request, name)) == [UNKNOWN]:
                raise NothingThere(f"no market knows {UNKNOWN}")
        reply: Any = type(self.answers[rpc])()
        reply.CopyFrom(self.answers[rpc])
        if "symbols" in fields and UNKNOWN in request.symbols:
            reply.missing.add(symbol=UNKNOWN, code="SYMBOL_UNKNOWN")
        return reply


def origin(freshness: str = "DELAYED", source: str = "yahoo", seconds: int = AS_OF_SECONDS) -> quotes_pb2.Provenance:
    made = quotes_pb2.Provenance(source=source, freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness}"))
    made.as_of.seconds = seconds
    return made


def answers() -> dict[str, Any]:
    """Return what a well-behaved market answers, by RPC, with something absent in each."""
    return {
        **_history(),
        **_companies(),
        **_after_market(),
        **_exchanges(),
        **_indices(),
        **_instruments(),
        **_news(),
        "ListEarnings": _earnings(),
        "ListTreasuryRates": treasury_pb2.ListTreasuryRatesResponse(
            rates=[
                treasury_pb2.TreasuryRates(date="2026-04-06", month1=4.21, month2=0.0, year10=4.28, year30=4.8),
                treasury_pb2.TreasuryRates(date="2026-04-03", month1=4.2),
            ],
            provenance=origin(),
        ),
    }


def _history() -> dict[str, Any]:
    bars = [
        history_pb2.DailyBar(
            date="2026-04-06",
            open=199.1,
            high=203.22,
            low=198.96,
            close=201.28,
            volume=54_064_033,
            change=201.28 - 199.1,
            change_percent=1.0949271723,
            vwap=201.0123456789,
        ),
        history_pb2.DailyBar(date="2026-04-02", open=100.0, high=100.0, low=98.75, close=98.75, change=-1.25),
    ]
    intraday = [
        history_pb2.IntradayBar(date="2026-04-06 15:55:00", open=201.1, high=201.3, low=200.98, close=201.28, volume=9),
        history_pb2.IntradayBar(date="2026-04-06 15:50:00", open=201.0, high=201.1, low=201.0, close=201.1),
    ]
    change = history_pb2.PriceChange(
        symbol="AAPL", day_1=2.254, day_5=1.87, month_1=-0.54, month_3=-7.91, month_6=-21.02, ytd=-17.57, max=156503.04
    )
    return {
        "ListDailyBars": history_pb2.ListDailyBarsResponse(symbol="AAPL", bars=bars, provenance=origin()),
        "ListIntradayBars": history_pb2.ListIntradayBarsResponse(bars=intraday, provenance=origin("LIVE")),
        "GetPriceChange": history_pb2.GetPriceChangeResponse(change=change, provenance=origin("CLOSED")),
    }


def _companies() -> dict[str, Any]:
    fiscal = {"symbol": "AAPL", "date": "2025-09-27", "fiscal_year": "2025", "period": "FY"}
    profile = companies_pb2.Profile(
        symbol="AAPL",
        company_name="Apple Inc.",
        price=201.28,
        market_cap=3_006_300_000_000.0,
        beta=1.24,
        change=-0.3000000000001,
        currency="USD",
        exchange="NASDAQ",
        full_time_employees=164_000,
        ipo_date="1980-12-12",
        is_etf=False,
        provenance=origin(),
    )
    target = companies_pb2.PriceTarget(
        symbol="AAPL",
        published_date="2025-07-03T13:31:00.000Z",
        news_url="https://news.example/a",
        news_title="A target",
        analyst_name="",
        price_target=210.0,
        adj_price_target=210.5,
        price_when_posted=214.33,
        news_publisher="News",
        news_base_url="news.example",
    )
    recommendation = companies_pb2.Recommendation(
        symbol="AAPL", strong_buy=1, buy=72, hold=29, sell=7, strong_sell=0, consensus="Buy"
    )
    return {
        "GetProfile": companies_pb2.GetProfileResponse(profile=profile),
        "ListIncomeStatements": companies_pb2.ListIncomeStatementsResponse(
            statements=[companies_pb2.IncomeStatement(**fiscal, revenue=416_161_000_000.0, eps=7.49)],  # type: ignore[arg-type]
            provenance=origin(),
        ),
        "ListBalanceSheets": companies_pb2.ListBalanceSheetsResponse(
            statements=[companies_pb2.BalanceSheet(**fiscal, total_assets=359_241_000_000.0)],  # type: ignore[arg-type]
            provenance=origin(),
        ),
        "ListCashFlowStatements": companies_pb2.ListCashFlowStatementsResponse(
            statements=[companies_pb2.CashFlowStatement(**fiscal, operating_cash_flow=111_482_000_000.0)],  # type: ignore[arg-type]
            provenance=origin(),
        ),
        "ListDividends": companies_pb2.ListDividendsResponse(
            dividends=[
                companies_pb2.Dividend(record_date="2025-05-12", adj_dividend=0.26, ex_date="2025-05-12"),
                companies_pb2.Dividend(record_date="2025-02-10", adj_dividend=0.25, ex_date="2025-02-10"),
            ],
            provenance=origin(),
        ),
        "GetRatings": companies_pb2.GetRatingsResponse(
            symbol="AAPL",
            price_targets=[target],
            count=50,
            recommendations=[recommendation],
            provenance=origin(),
        ),
    }


def _after_market() -> dict[str, Any]:
    trades = [
        after_market_pb2.AfterMarketTrade(
            symbol="AAPL", price=201.28, timestamp=1_750_982_398_000, trade_size=80, provenance=origin()
        ),
        after_market_pb2.AfterMarketTrade(
            symbol="NVDA", price=155.35, timestamp=1_750_982_398_000, provenance=origin("STALE")
        ),
    ]
    quote = after_market_pb2.AfterMarketQuote(
        symbol="AAPL", bid_size=2, bid_price=201.2, ask_price=201.35, timestamp=1_750_982_398_000, provenance=origin()
    )
    return {
        "ListAfterMarketTrades": after_market_pb2.ListAfterMarketTradesResponse(trades=trades),
        "GetAfterMarketQuote": after_market_pb2.GetAfterMarketQuoteResponse(quote=quote),
    }


def _exchanges() -> dict[str, Any]:
    nasdaq = exchanges_pb2.ExchangeHours(
        exchange="NASDAQ",
        name="NASDAQ",
        opening_hour="09:30 AM -04:00",
        closing_hour="04:00 PM -04:00",
        timezone="America/New_York",
        is_market_open=False,
        session_date="2026-04-07",
        is_early_close=False,
    )
    nasdaq.next_open.seconds = AS_OF_SECONDS
    unknown = exchanges_pb2.ExchangeHours(exchange="BSE", name="BSE", timezone="Asia/Kolkata")
    described = exchanges_pb2.ExchangeDescription(
        exchange="NSE",
        name="National Stock Exchange of India",
        country_name="India",
        country_code="IN",
        symbol_suffix=".NS",
        mic="XNSE",
        timezone="Asia/Kolkata",
        currency="INR",
        instruments=1930,
    )
    stocks = [
        exchanges_pb2.StockListing(
            symbol="AAPL", name="Apple Inc.", exchange="NASDAQ", type="stock", isin="US0378331005"
        ),
        exchanges_pb2.StockListing(symbol="QQQ", name="Invesco QQQ", exchange="NASDAQ", type="etf"),
    ]
    return {
        "ListExchangeHours": exchanges_pb2.ListExchangeHoursResponse(hours=[nasdaq, unknown]),
        "ListExchanges": exchanges_pb2.ListExchangesResponse(exchanges=[described]),
        "ListStocks": exchanges_pb2.ListStocksResponse(
            exchanges=[
                exchanges_pb2.ExchangeStocks(exchange="NASDAQ", stocks=stocks),
                exchanges_pb2.ExchangeStocks(exchange="NYSE"),
            ]
        ),
    }


def _indices() -> dict[str, Any]:
    apple = indices_pb2.Constituent(
        symbol="AAPL",
        name="Apple Inc.",
        sector="Information Technology",
        sub_sector="Technology Hardware, Storage & Peripherals",
        head_quarter="Cupertino, California",
        date_first_added="1982-11-30",
        cik="0000320193",
        founded="1977",
        instrument="NASDAQ:AAPL",
        isin="US0378331005",
        source="a list",
        as_of="2026-04-01",
    )
    hostile = indices_pb2.Constituent(
        symbol="EVIL",
        name='=HYPERLINK("https://evil.example","Click")',
        sector="-2+3",
        instrument="NYSE:EVIL",
        source="a list",
        as_of="2026-04-01",
    )
    return {
        "ListConstituents": indices_pb2.ListConstituentsResponse(
            index="SP500", name="S&P 500", instrument="INDEX:SP500", constituents=[apple, hostile]
        ),
        "ListConstituentPrices": indices_pb2.ListConstituentPricesResponse(
            index="SP500",
            prices=[
                indices_pb2.ConstituentPrice(
                    constituent=apple, price=201.28, change=-1.25, change_percent=-0.6172, provenance=origin("LIVE")
                ),
                indices_pb2.ConstituentPrice(constituent=hostile),
            ],
        ),
    }


def _instruments() -> dict[str, Any]:
    described = instruments_pb2.DescribedInstrument(
        instrument=instruments_pb2.Instrument(
            id="NSE:TCS",
            exchange="NSE",
            symbol="TCS",
            name="Tata Consultancy Services Limited",
            kind=instruments_pb2.INSTRUMENT_KIND_EQUITY,
            currency="INR",
        ),
        aliases=instruments_pb2.InstrumentAliases(isin="INE467B01029", yahoo="TCS.NS", kite_token=2_953_217),
    )
    return {
        "SearchInstruments": instruments_pb2.SearchInstrumentsResponse(results=[described]),
        "GetInstrument": instruments_pb2.GetInstrumentResponse(described=described),
    }


def _news() -> dict[str, Any]:
    about = news_pb2.Article(
        symbol="AAPL",
        published_date="2026-04-07T08:31:00Z",
        publisher="News",
        title="Apple shows a new computer",
        site="news.example",
        text="It did so on Tuesday.",
        url="https://news.example/a",
    )
    general = news_pb2.Article(published_date="2026-04-07T08:30:00Z", title="Markets rise", url="https://x.example/b")
    return {
        "ListLatestNews": news_pb2.ListLatestNewsResponse(articles=[about, general], provenance=origin("LIVE")),
        "ListPressReleases": news_pb2.ListPressReleasesResponse(articles=[about], provenance=origin("LIVE")),
        "ListStockNews": news_pb2.ListStockNewsResponse(articles=[about], provenance=origin("LIVE")),
    }


def _earnings() -> earnings_pb2.ListEarningsResponse:
    reports = [
        earnings_pb2.EarningsReport(date="2026-04-06", exchange="NASDAQ", symbol="NAAS"),
        earnings_pb2.EarningsReport(
            date="2026-04-06",
            exchange="NASDAQ",
            symbol="TTGT",
            eps_actual=0.0,
            eps_estimated=0.08,
            revenue_actual=60_875_000.0,
            revenue_estimated=106_192_500.0,
        ),
        earnings_pb2.EarningsReport(date="2026-04-07", exchange="NYSE", symbol="XYZ", eps_estimated=float("nan")),
    ]
    return earnings_pb2.ListEarningsResponse(reports=reports, provenance=origin())
