"""The position service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import positions_pb2, positions_pb2_grpc
from portfolio.domain.portfolios import Portfolios
from portfolio.handlers.outcomes import count_rows
from portfolio.messages.synced import position_type_of, positions_message


class PositionService(positions_pb2_grpc.PositionServiceServicer):
    """Answers what a user has open."""

    def __init__(self, portfolios: Portfolios) -> None:
        self._portfolios = portfolios

    async def ListPositions(  # the contract's name
        self,
        request: positions_pb2.ListPositionsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> positions_pb2.ListPositionsResponse:
        """List a user's positions at live prices."""
        of_type = position_type_of(request.type)
        positions = await self._portfolios.list_positions(request.user_id, of_type)
        count_rows(each.pricing for each in positions.rows)
        return positions_message(positions)
