"""Prices: a batch now, or a stream of them."""

from fastapi import APIRouter, Response

from bourse.market.v1 import quotes_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Quotes
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.models.prices import LivePrices
from gateway.params import QuotedSymbols, StreamedSymbols
from gateway.security import MaybeSignedIn
from gateway.stream import EventStream, OpenStreams

router = APIRouter(prefix="/api", tags=["prices"], route_class=StrictRoute)

LIVE_PRICES = "/api/portfolio/live-prices"
STREAM_DESCRIPTION = "Events `snapshot`, `prices`, `stale`, `live`, `alert` and `end`, each with a JSON object."


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
