"""The portfolio that is synced from brokers."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import WithJsonSchema

from bourse.brokers.v1 import syncs_pb2
from bourse.portfolio.v1 import holdings_pb2, pnl_pb2, positions_pb2
from bourse.portfolio.v1 import syncs_pb2 as synced_portfolios_pb2
from gateway.bodies import AbandonableRoute, StrictRoute
from gateway.clients import Holdings, Pnl, Positions, SyncedPortfolios, Syncs
from gateway.errors import documented
from gateway.models.portfolio import (
    Deleted,
    HoldingList,
    IciciCredentials,
    PnlTrend,
    PositionList,
    Synced,
    ZerodhaCredentials,
)
from gateway.params import Days
from gateway.security import User

PREFIX = "/api/portfolio"
syncing = APIRouter(prefix=PREFIX, tags=["portfolio"], route_class=AbandonableRoute)
router = APIRouter(prefix=PREFIX, tags=["portfolio"], route_class=StrictRoute)

DEFAULT_DAYS = 30
PositionType = Annotated[
    Literal["net", "day"] | None,
    Query(alias="type", description="Keeps one type alone; both without it."),
    WithJsonSchema({"type": "string", "enum": ["net", "day"]}),
]
POSITION_TYPES = {
    None: synced_portfolios_pb2.POSITION_TYPE_UNSPECIFIED,
    "net": synced_portfolios_pb2.POSITION_TYPE_NET,
    "day": synced_portfolios_pb2.POSITION_TYPE_DAY,
}
SYNC_ERRORS = documented(400, 401, 403, 408, 413, 415, 429, 503, 504)


@syncing.post("/sync", response_model=Synced, responses=SYNC_ERRORS)
async def sync_from_zerodha(user_id: User, credentials: ZerodhaCredentials, syncs: Syncs) -> syncs_pb2.Sync:
    """Replace the rows of Zerodha by what its account holds now.

    The credentials are forgotten with the request, and `checksum` in place of `api_secret` never reveals the secret.
    Credentials that the broker refuses are 401 with the code BROKER_TOKEN_INVALID; then nothing has changed.
    """
    request = syncs_pb2.SyncZerodhaRequest(user_id=user_id, **credentials.revealed())
    reply = await syncs.SyncZerodha(request)
    return reply.sync


@syncing.post("/icici-sync", response_model=Synced, responses=SYNC_ERRORS)
async def sync_from_icici(user_id: User, credentials: IciciCredentials, syncs: Syncs) -> syncs_pb2.Sync:
    """Replace the rows of ICICI Direct by what its account holds now.

    The credentials are forgotten with the request. Those that the broker refuses are 401 with the code
    BROKER_TOKEN_INVALID; then nothing has changed.
    """
    request = syncs_pb2.SyncIciciRequest(user_id=user_id, **credentials.revealed())
    reply = await syncs.SyncIcici(request)
    return reply.sync


@router.get("/holdings", response_model=HoldingList, responses=documented(400, 401, 429, 503, 504))
async def list_holdings(user_id: User, holdings: Holdings) -> holdings_pb2.ListHoldingsResponse:
    """List the holdings of the last syncs at live prices, and their sums."""
    return await holdings.ListHoldings(holdings_pb2.ListHoldingsRequest(user_id=user_id))


@router.get("/positions", response_model=PositionList, responses=documented(400, 401, 429, 503, 504))
async def list_positions(
    user_id: User,
    positions: Positions,
    wanted_type: PositionType = None,
) -> positions_pb2.ListPositionsResponse:
    """List the positions of the last syncs at live prices: the open ones, and apart from them those closed today."""
    request = positions_pb2.ListPositionsRequest(user_id=user_id, type=POSITION_TYPES[wanted_type])
    return await positions.ListPositions(request)


@router.get("/pnl", response_model=PnlTrend, responses=documented(400, 401, 429, 503, 504))
async def read_pnl(user_id: User, pnl: Pnl, days: Days = DEFAULT_DAYS) -> pnl_pb2.GetPnlResponse:
    """Profit and loss as it stands, and its trend by day. A day without a snapshot is absent."""
    return await pnl.GetPnl(pnl_pb2.GetPnlRequest(user_id=user_id, days=days))


@router.delete("/data", response_model=Deleted, responses=documented(400, 401, 403, 429, 503, 504))
async def delete_synced_data(
    user_id: User, portfolios: SyncedPortfolios
) -> synced_portfolios_pb2.DeleteSyncedDataResponse:
    """Delete all synced holdings, positions and P&L snapshots of the user for good, and nothing else."""
    return await portfolios.DeleteSyncedData(synced_portfolios_pb2.DeleteSyncedDataRequest(user_id=user_id))
