"""The synced portfolio service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import syncs_pb2, syncs_pb2_grpc
from portfolio.domain.syncing import SyncDesk
from portfolio.handlers.outcomes import SYNCS, counting
from portfolio.messages.synced import synced_rows_of


class SyncedPortfolioService(syncs_pb2_grpc.SyncedPortfolioServiceServicer):
    """Keeps what brokers say a user holds."""

    def __init__(self, desk: SyncDesk) -> None:
        self._desk = desk

    async def ReplaceBrokerRows(  # the contract's name
        self,
        request: syncs_pb2.ReplaceBrokerRowsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> syncs_pb2.ReplaceBrokerRowsResponse:
        """Replace a user's rows of one broker."""
        with counting(SYNCS):
            counts = await self._desk.replace(synced_rows_of(request))
        return syncs_pb2.ReplaceBrokerRowsResponse(
            holdings_count=counts.holdings,
            positions_count=counts.positions,
            net_positions_count=counts.net_positions,
        )

    async def DeleteSyncedData(  # the contract's name
        self,
        request: syncs_pb2.DeleteSyncedDataRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> syncs_pb2.DeleteSyncedDataResponse:
        """Delete all synced data of a user."""
        counts = await self._desk.delete(request.user_id)
        return syncs_pb2.DeleteSyncedDataResponse(
            holdings_count=counts.holdings, positions_count=counts.positions, snapshots_count=counts.snapshots
        )
