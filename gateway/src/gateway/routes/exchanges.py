"""The exchanges and their hours."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from bourse.market.v1 import exchanges_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Exchanges
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import Exchange as ExchangeName
from gateway.models.exchanges import Exchange, ExchangeDetails, ExchangeHours

router = APIRouter(prefix="/api", tags=["exchanges"], route_class=StrictRoute)

ERRORS = documented(400, 429, 503, 504)


@router.get("/exchange/hours", response_model=dict[str, ExchangeHours], responses=ERRORS, **CACHED)
async def list_hours(exchanges: Exchanges) -> Mapping[str, pb.ExchangeHours]:
    """Today's hours of all exchanges, by exchange; the next session's where today has none."""
    reply = await exchanges.ListExchangeHours(pb.ListExchangeHoursRequest())
    return {each.exchange: each for each in reply.hours}


@router.get(
    "/exchange/hours/{exchange}", response_model=ExchangeHours, responses=documented(400, 404, 429, 503, 504), **CACHED
)
async def read_hours(exchange: ExchangeName, exchanges: Exchanges) -> pb.ExchangeHours:
    """Today's hours of an exchange; the next session's where today has none."""
    reply = await exchanges.ListExchangeHours(pb.ListExchangeHoursRequest(exchanges=[exchange]))
    return reply.hours[0]


@router.get("/exchanges", response_model=list[Exchange], responses=ERRORS, **CACHED)
async def list_exchanges(exchanges: Exchanges) -> Sequence[pb.ExchangeDescription]:
    """The exchanges, by name."""
    reply = await exchanges.ListExchanges(pb.ListExchangesRequest())
    return reply.exchanges


@router.get("/exchanges/list", response_model=list[ExchangeDetails], responses=ERRORS, **CACHED)
async def list_exchange_details(exchanges: Exchanges) -> Sequence[pb.ExchangeDescription]:
    """The exchanges, by name, with time zone, currency and how many instruments are known of each."""
    reply = await exchanges.ListExchanges(pb.ListExchangesRequest())
    return reply.exchanges
