"""The index service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import indices_pb2, indices_pb2_grpc
from market.domain.index_desk import IndexDesk
from market.handlers import PUBLIC_PRICES, REFERENCE_DATA
from market.messages.indices import constituent_prices_message, constituents_message


class IndexService(indices_pb2_grpc.IndexServiceServicer):
    """Answers what an index is made of."""

    def __init__(self, desk: IndexDesk) -> None:
        self._desk = desk

    async def ListConstituents(  # the contract's name
        self, request: indices_pb2.ListConstituentsRequest, context: ServicerContext[Any, Any]
    ) -> indices_pb2.ListConstituentsResponse:
        """List the constituents of an index."""
        index, constituents = self._desk.constituents(request.index)
        await context.send_initial_metadata(REFERENCE_DATA)
        return constituents_message(index, constituents)

    async def ListConstituentPrices(  # the contract's name
        self, request: indices_pb2.ListConstituentPricesRequest, context: ServicerContext[Any, Any]
    ) -> indices_pb2.ListConstituentPricesResponse:
        """List the constituents of an index with their prices."""
        index, priced = await self._desk.prices(request.index)
        await context.send_initial_metadata(PUBLIC_PRICES)
        return constituent_prices_message(index, priced)
