"""What the United States pay for their debt."""

from collections.abc import Sequence

from fastapi import APIRouter

from bourse.market.v1 import treasury_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Treasury
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import StretchOfYears
from gateway.models.treasury import TreasuryRates
from gateway.origin import ORIGIN_HEADERS, Headers, answered
from gateway.reply import read_in_turns

router = APIRouter(prefix="/api/treasury", tags=["treasury"], route_class=StrictRoute)


@router.get(
    "/rates",
    response_model=list[TreasuryRates],
    responses={**answered(ORIGIN_HEADERS), **documented(400, 429, 503, 504)},
    **CACHED,
)
async def list_rates(days: StretchOfYears, treasury: Treasury, headers: Headers) -> Sequence[TreasuryRates]:
    """Yields by day, newest first; of ninety days without `from_date`, of five years at most.

    Without `to_date` a `from_date` of longer ago brings the five years from then on, not the newest.
    """
    reply = await treasury.ListTreasuryRates(pb.ListTreasuryRatesRequest(from_date=days.first, to_date=days.last))
    headers.tell_origin(reply.provenance)
    return await read_in_turns(TreasuryRates, reply.rates)
