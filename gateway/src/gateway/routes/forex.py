"""Currency pairs: what they cost now and before now."""

from collections.abc import Sequence

from fastapi import APIRouter

from bourse.market.v1 import history_pb2
from bourse.market.v1 import quotes_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import History, Quotes
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import DAILY_ALONE, Long, Pair, Pairs, Stretch
from gateway.models.stocks import AnyQuote, DailyBar
from gateway.origin import MISSING_HEADERS, ORIGIN_HEADERS, Headers, answered
from gateway.reply import read_in_turns, rows_of
from gateway.routes.prices import AnyQuoteMessage, only_quote, quotes_of

router = APIRouter(prefix="/api/forex", tags=["forex"], route_class=StrictRoute)

CURRENCIES = pb.LISTING_CURRENCIES
ERRORS = documented(400, 404, 429, 503, 504)
LIST_ERRORS = documented(400, 404, 414, 429, 503, 504)


@router.get("/quote/{symbol}", response_model=AnyQuote, responses=ERRORS, **CACHED)
async def read_pair_quote(symbol: Pair, quotes: Quotes, long: Long) -> AnyQuoteMessage:
    """What a currency pair costs; `long` tells more of it."""
    return only_quote(await quotes_of(quotes, [symbol], CURRENCIES, long=long))


@router.get("/quotes", response_model=list[AnyQuote], responses={**answered(MISSING_HEADERS), **LIST_ERRORS}, **CACHED)
async def list_pair_quotes(pairs: Pairs, quotes: Quotes, headers: Headers, long: Long) -> Sequence[AnyQuoteMessage]:
    """What up to 50 currency pairs cost, in the order asked, duplicates folded."""
    reply = await quotes_of(quotes, pairs, CURRENCIES, long=long)
    headers.tell_missing(reply.missing)
    return reply.quotes


@router.get(
    "/historical/{symbol}",
    response_model=list[DailyBar],
    responses={**answered(ORIGIN_HEADERS), **ERRORS},
    dependencies=[DAILY_ALONE],
    **CACHED,
)
async def list_pair_bars(symbol: Pair, *, days: Stretch, history: History, headers: Headers) -> Sequence[DailyBar]:
    """Finished days of a currency pair, newest first; five years of them without `from_date`."""
    request = history_pb2.ListDailyBarsRequest(
        symbol=symbol, listing=CURRENCIES, from_date=days.first, to_date=days.last
    )
    reply = await history.ListDailyBars(request)
    headers.tell_origin(reply.provenance)
    return await read_in_turns(DailyBar, rows_of(reply.bars, symbol=symbol))
