"""Shares: what they cost, now, before now and outside the session, and what is known of their companies."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from bourse.market.v1 import after_market_pb2, companies_pb2, exchanges_pb2, history_pb2
from bourse.market.v1 import quotes_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import AfterMarket, Companies, Exchanges, History, Quotes
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import (
    DAILY_ALONE,
    Adjusted,
    ExchangeNames,
    Limit,
    Long,
    Period,
    StatementType,
    Stock,
    StocksAnywhere,
    StocksInQuery,
    Stretch,
    StretchOfDays,
)
from gateway.models.companies import CompanyProfile, Dividend, Ratings, Statement
from gateway.models.exchanges import StockListing
from gateway.models.stocks import (
    AfterMarketQuote,
    AfterMarketTrade,
    AnyQuote,
    DailyBar,
    IntradayBar,
    LightBar,
    PriceChange,
    Quote,
)
from gateway.origin import MISSING_HEADERS, ORIGIN_HEADERS, Headers, answered
from gateway.reply import read_in_turns, rows_of
from gateway.routes.prices import AnyQuoteMessage, quotes_of

router = APIRouter(prefix="/api/stock", tags=["stocks"], route_class=StrictRoute)

UNITED_STATES = pb.LISTING_UNITED_STATES
DEFAULT_STATEMENTS = 5
ADJUSTMENTS = {
    "raw": history_pb2.ADJUSTMENT_RAW,
    "split": history_pb2.ADJUSTMENT_SPLIT,
    "all": history_pb2.ADJUSTMENT_ALL,
}
ERRORS = documented(400, 404, 429, 503, 504)
LIST_ERRORS = documented(400, 404, 414, 429, 503, 504)
QUOTED = {**answered(MISSING_HEADERS), **LIST_ERRORS}
ARRAY = {**answered(ORIGIN_HEADERS), **ERRORS}

StatementMessages = (
    Sequence[companies_pb2.IncomeStatement]
    | Sequence[companies_pb2.BalanceSheet]
    | Sequence[companies_pb2.CashFlowStatement]
)
StatementAnswer = (
    companies_pb2.ListIncomeStatementsResponse
    | companies_pb2.ListBalanceSheetsResponse
    | companies_pb2.ListCashFlowStatementsResponse
)


@router.get("/price/bulk", response_model=list[Quote], responses=QUOTED, **CACHED)
async def list_quotes_in_bulk(symbols: StocksInQuery, quotes: Quotes, headers: Headers) -> Sequence[pb.Quote]:
    """Prices of up to 50 shares, in the order asked."""
    reply = await quotes.GetQuotes(pb.GetQuotesRequest(symbols=symbols, listing=UNITED_STATES))
    headers.tell_missing(reply.missing)
    return reply.quotes


@router.get("/price/{symbols}", response_model=list[AnyQuote], responses=QUOTED, **CACHED)
async def list_quotes(
    symbols: StocksAnywhere, quotes: Quotes, headers: Headers, long: Long
) -> Sequence[AnyQuoteMessage]:
    """Prices of up to 50 shares of the path and of `symbols` together, in the order asked; `long` tells more of each.

    It is always an array. Unknown symbols are named in `X-Missing-Symbols`; when all are unknown the answer is 404.
    """
    reply = await quotes_of(quotes, symbols, UNITED_STATES, long=long)
    headers.tell_missing(reply.missing)
    return reply.quotes


@router.get(
    "/historical/{symbol}", response_model=list[DailyBar], responses=ARRAY, dependencies=[DAILY_ALONE], **CACHED
)
async def list_daily_bars(
    symbol: Stock, *, days: Stretch, history: History, headers: Headers, adjusted: Adjusted = "split"
) -> Sequence[DailyBar]:
    """Finished sessions between two days, newest first; five years of them without `from_date`."""
    reply = await _bars(history, symbol, days, adjusted)
    headers.tell_origin(reply.provenance)
    return await read_in_turns(DailyBar, rows_of(reply.bars, symbol=symbol))


@router.get("/historical-light/{symbol}", response_model=list[LightBar], responses=ARRAY, **CACHED)
async def list_light_bars(
    symbol: Stock, *, days: Stretch, history: History, headers: Headers, adjusted: Adjusted = "split"
) -> Sequence[LightBar]:
    """Closes and volumes of finished sessions, newest first."""
    reply = await _bars(history, symbol, days, adjusted)
    headers.tell_origin(reply.provenance)
    return await read_in_turns(LightBar, rows_of(reply.bars, symbol=symbol))


@router.get("/historical-chart/5min/{symbol}", response_model=list[IntradayBar], responses=ARRAY, **CACHED)
async def list_intraday_bars(
    symbol: Stock, days: StretchOfDays, history: History, headers: Headers
) -> Sequence[IntradayBar]:
    """Bars of five minutes in the exchange's time, newest first: of 31 days at most, of five without `from_date`.

    Without `to_date` a `from_date` of longer ago brings the 31 days from then on, not the newest.
    """
    request = history_pb2.ListIntradayBarsRequest(
        symbol=symbol, listing=UNITED_STATES, from_date=days.first, to_date=days.last
    )
    reply = await history.ListIntradayBars(request)
    headers.tell_origin(reply.provenance)
    return await read_in_turns(IntradayBar, reply.bars)


@router.get("/profile/{symbol}", response_model=CompanyProfile, responses=ERRORS, **CACHED)
async def read_profile(symbol: Stock, companies: Companies) -> companies_pb2.Profile:
    """What a company is and does; null is what the source does not say."""
    reply = await companies.GetProfile(companies_pb2.GetProfileRequest(symbol=symbol, listing=UNITED_STATES))
    return reply.profile


@router.get("/financials/{symbol}", response_model=list[Statement], responses=ARRAY, **CACHED)
async def list_statements(
    symbol: Stock,
    *,
    companies: Companies,
    headers: Headers,
    wanted: StatementType = "income",
    limit: Limit = DEFAULT_STATEMENTS,
    period: Period = None,
) -> StatementMessages:
    """A company's financial statements of one type, newest first; null is what was not reported."""
    reply = await _statements(companies, wanted, symbol=symbol, limit=limit, period=period or "")
    headers.tell_origin(reply.provenance)
    return reply.statements


@router.get("/aftermarket-quote/{symbol}", response_model=AfterMarketQuote, responses=ERRORS, **CACHED)
async def read_after_market_quote(symbol: Stock, after_market: AfterMarket) -> after_market_pb2.AfterMarketQuote:
    """What is bid and asked for a share outside the session."""
    request = after_market_pb2.GetAfterMarketQuoteRequest(symbol=symbol, listing=UNITED_STATES)
    reply = await after_market.GetAfterMarketQuote(request)
    return reply.quote


@router.get("/after-market-price", response_model=list[AfterMarketTrade], responses=QUOTED, **CACHED)
async def list_after_market_trades(
    symbols: StocksInQuery, after_market: AfterMarket, headers: Headers
) -> Sequence[after_market_pb2.AfterMarketTrade]:
    """The last trades of up to 50 shares outside the session, in the order asked, duplicates folded."""
    request = after_market_pb2.ListAfterMarketTradesRequest(symbols=symbols, listing=UNITED_STATES)
    reply = await after_market.ListAfterMarketTrades(request)
    headers.tell_missing(reply.missing)
    return reply.trades


@router.get("/price-change/{symbol}", response_model=list[PriceChange], responses=ARRAY, **CACHED)
async def list_price_changes(symbol: Stock, history: History, headers: Headers) -> Sequence[history_pb2.PriceChange]:
    """How far a price has come over the standard periods, one session to all known history, in percent."""
    request = history_pb2.GetPriceChangeRequest(symbol=symbol, listing=UNITED_STATES)
    reply = await history.GetPriceChange(request)
    headers.tell_origin(reply.provenance)
    return [reply.change]


@router.get("/dividend/{symbol}", response_model=list[Dividend], responses=ARRAY, **CACHED)
async def list_dividends(symbol: Stock, companies: Companies, headers: Headers) -> Sequence[companies_pb2.Dividend]:
    """What a share was paid, newest first."""
    reply = await companies.ListDividends(companies_pb2.ListDividendsRequest(symbol=symbol, listing=UNITED_STATES))
    headers.tell_origin(reply.provenance)
    return reply.dividends


@router.get("/list/{exchanges}", response_model=dict[str, list[StockListing]], responses=LIST_ERRORS, **CACHED)
async def list_stocks(names: ExchangeNames, exchanges: Exchanges) -> Mapping[str, Sequence[StockListing]]:
    """What up to ten exchanges list, by exchange."""
    reply = await exchanges.ListStocks(exchanges_pb2.ListStocksRequest(exchanges=names))
    return {each.exchange: await read_in_turns(StockListing, each.stocks) for each in reply.exchanges}


@router.get("/ratings/{symbol}", response_model=Ratings, responses=ERRORS, **CACHED)
async def read_ratings(symbol: Stock, companies: Companies) -> companies_pb2.GetRatingsResponse:
    """The latest price targets of analysts, at most 50, and how many recommend what."""
    return await companies.GetRatings(companies_pb2.GetRatingsRequest(symbol=symbol, listing=UNITED_STATES))


async def _bars(history: History, symbol: str, days: Stretch, adjusted: str) -> history_pb2.ListDailyBarsResponse:
    request = history_pb2.ListDailyBarsRequest(
        symbol=symbol,
        listing=UNITED_STATES,
        from_date=days.first,
        to_date=days.last,
        adjustment=ADJUSTMENTS[adjusted],
    )
    return await history.ListDailyBars(request)


async def _statements(companies: Companies, wanted: str, *, symbol: str, limit: int, period: str) -> StatementAnswer:
    if wanted == "balance-sheet":
        return await companies.ListBalanceSheets(
            companies_pb2.ListBalanceSheetsRequest(symbol=symbol, listing=UNITED_STATES, limit=limit, period=period)
        )
    if wanted == "cash-flow":
        return await companies.ListCashFlowStatements(
            companies_pb2.ListCashFlowStatementsRequest(
                symbol=symbol, listing=UNITED_STATES, limit=limit, period=period
            )
        )
    return await companies.ListIncomeStatements(
        companies_pb2.ListIncomeStatementsRequest(symbol=symbol, listing=UNITED_STATES, limit=limit, period=period)
    )
