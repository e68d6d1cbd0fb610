"""Prices: a batch now, or a stream of them; and how the routes of shares and of currency pairs ask for theirs."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from bourse.market.v1 import quotes_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Quotes
from gateway.errors import ApiError, documented
from gateway.http_cache import CACHED
from gateway.models.prices import LivePrices
from gateway.params import QuotedSymbols, StreamedSymbols
from gateway.security import MaybeSignedIn
from gateway.stream import EventStream, OpenStreams

router = APIRouter(prefix="/api", tags=["prices"], route_class=StrictRoute)

LIVE_PRICES = "/api/portfolio/live-prices"
STREAM_DESCRIPTION = "Events `snapshot`, `prices`, `stale`, `live`, `alert` and `end`, each with a JSON object."

AnyQuoteMessage = pb.Quote | pb.DetailedQuote


class PriceMissing(ApiError):
    """An instrument that is known, and that no source has a price of."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self, symbol: str) -> None:
        super().__init__(f"No source has a price of {symbol}")


@router.get(
    "/portfolio/live-prices", response_model=LivePrices, responses=documented(400, 404, 414, 429, 503, 504), **CACHED
)
async def read_live_prices(symbols: QuotedSymbols, quotes: Quotes) -> pb.GetQuotesResponse:
    """Last prices of up to 50 instruments, in the order asked. A bare symbol means NSE.

    Unknown symbols are listed in `errors`; when all are unknown the answer is 404.
    """
    return await quotes.GetQuotes(pb.GetQuotesRequest(symbols=symbols, listing=pb.LISTING_INDIA))


@router.get(
    "/stream",
    response_class=Response,
    responses={
        200: {"description": STREAM_DESCRIPTION, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **documented(400, 401, 414, 429, 503, 504),
    },
    openapi_extra={"security": [{}]},
)
async def stream(symbols: StreamedSymbols, caller: MaybeSignedIn, streams: OpenStreams) -> EventStream:
    """Prices of up to 200 instruments as Server-Sent Events; with a token, the user's fired alerts too."""
    return await streams.open(symbols, caller)


async def quotes_of(
    quotes: Quotes, symbols: Sequence[str], listing: pb.Listing.ValueType, *, long: bool
) -> pb.GetQuotesResponse | pb.GetDetailedQuotesResponse:
    """Ask for quotes, short or long."""
    if long:
        return await quotes.GetDetailedQuotes(pb.GetDetailedQuotesRequest(symbols=symbols, listing=listing))
    return await quotes.GetQuotes(pb.GetQuotesRequest(symbols=symbols, listing=listing))


def only_quote(reply: pb.GetQuotesResponse | pb.GetDetailedQuotesResponse) -> AnyQuoteMessage:
    """Return the one quote that was asked for.

    Raises:
        PriceMissing: there is none.
    """
    if not reply.quotes:
        raise PriceMissing(reply.missing[0].symbol)
    return reply.quotes[0]
