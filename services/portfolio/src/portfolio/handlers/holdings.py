"""The holding service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import holdings_pb2, holdings_pb2_grpc
from portfolio.domain.portfolios import Portfolios
from portfolio.handlers.outcomes import count_rows
from portfolio.messages.synced import holdings_message


class HoldingService(holdings_pb2_grpc.HoldingServiceServicer):
    """Answers what a user holds."""

    def __init__(self, portfolios: Portfolios) -> None:
        self._portfolios = portfolios

    async def ListHoldings(  # the contract's name
        self,
        request: holdings_pb2.ListHoldingsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> holdings_pb2.ListHoldingsResponse:
        """List a user's holdings at live prices."""
        holdings = await self._portfolios.list_holdings(request.user_id)
        count_rows(each.pricing for each in holdings.rows)
        return holdings_message(holdings)
