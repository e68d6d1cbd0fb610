"""Who reports when."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from bourse.market.v1 import earnings_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Earnings
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.models.earnings import EarningsReport
from gateway.origin import ORIGIN_HEADERS, Headers, answered

router = APIRouter(prefix="/api/earnings", tags=["earnings"], route_class=StrictRoute)


@router.get(
    "",
    response_model=dict[str, list[EarningsReport]],
    response_model_exclude_none=True,
    responses={**answered(ORIGIN_HEADERS), **documented(400, 429, 503, 504)},
    **CACHED,
)
async def list_earnings(earnings: Earnings, headers: Headers) -> Mapping[str, Sequence[pb.EarningsReport]]:
    """Reports of companies on NASDAQ, NYSE and AMEX, by day in New York, from yesterday to fifteen days ahead."""
    reply = await earnings.ListEarnings(pb.ListEarningsRequest())
    headers.tell_origin(reply.provenance)
    by_day: dict[str, list[pb.EarningsReport]] = {}
    for report in reply.reports:
        by_day.setdefault(report.date, []).append(report)
    return by_day
