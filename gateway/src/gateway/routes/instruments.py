"""Finding instruments, and what else each is called."""

from collections.abc import Sequence

from fastapi import APIRouter

from bourse.market.v1 import instruments_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Instruments
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import InstrumentName, Limit, SearchText
from gateway.models.instruments import Instrument

router = APIRouter(prefix="/api/instruments", tags=["instruments"], route_class=StrictRoute)

DEFAULT_RESULTS = 10


@router.get("/search", response_model=list[Instrument], responses=documented(400, 414, 429, 503, 504), **CACHED)
async def search_instruments(
    query: SearchText, instruments: Instruments, limit: Limit = DEFAULT_RESULTS
) -> Sequence[pb.DescribedInstrument]:
    """Instruments by symbol, name or identifier, the best match first; an empty array when nothing matches."""
    reply = await instruments.SearchInstruments(pb.SearchInstrumentsRequest(query=query, limit=limit))
    return reply.results


@router.get("/{instrument_id}", response_model=Instrument, responses=documented(400, 404, 429, 503, 504), **CACHED)
async def read_instrument(instrument_id: InstrumentName, instruments: Instruments) -> pb.DescribedInstrument:
    """One instrument by any of its names. A name that means several is 400, and the message says which."""
    reply = await instruments.GetInstrument(pb.GetInstrumentRequest(name=instrument_id))
    return reply.described
