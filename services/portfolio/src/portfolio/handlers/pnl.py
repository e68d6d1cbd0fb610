"""The P&L service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import pnl_pb2, pnl_pb2_grpc
from portfolio.domain.portfolios import Portfolios
from portfolio.messages.synced import pnl_message


class PnlService(pnl_pb2_grpc.PnlServiceServicer):
    """Answers what a user has won and lost."""

    def __init__(self, portfolios: Portfolios) -> None:
        self._portfolios = portfolios

    async def GetPnl(  # the contract's name
        self,
        request: pnl_pb2.GetPnlRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> pnl_pb2.GetPnlResponse:
        """Read a user's P&L and its trend."""
        return pnl_message(await self._portfolios.pnl(request.user_id, request.days), days=request.days)
