"""The exchange service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import exchanges_pb2, exchanges_pb2_grpc
from market.domain.aliases import InstrumentNames
from market.domain.exchange_desk import ExchangeDesk
from market.handlers import PUBLIC_PRICES, REFERENCE_DATA
from market.messages.exchanges import exchanges_message, hours_message, stocks_message


class ExchangeService(exchanges_pb2_grpc.ExchangeServiceServicer):
    """Answers what exchanges there are, when they trade and what they list."""

    def __init__(self, desk: ExchangeDesk, names: InstrumentNames) -> None:
        self._desk = desk
        self._names = names

    async def ListExchangeHours(  # the contract's name
        self, request: exchanges_pb2.ListExchangeHoursRequest, context: ServicerContext[Any, Any]
    ) -> exchanges_pb2.ListExchangeHoursResponse:
        """List today's hours."""
        hours = await self._desk.hours(request.exchanges)
        # Whether an exchange is open changes as prices do.
        await context.send_initial_metadata(PUBLIC_PRICES)
        return hours_message(hours)

    async def ListExchanges(  # the contract's name
        self,
        request: exchanges_pb2.ListExchangesRequest,  # noqa: ARG002  # it asks for nothing in particular
        context: ServicerContext[Any, Any],
    ) -> exchanges_pb2.ListExchangesResponse:
        """List the exchanges."""
        await context.send_initial_metadata(REFERENCE_DATA)
        return exchanges_message(self._desk.describe())

    async def ListStocks(  # the contract's name
        self, request: exchanges_pb2.ListStocksRequest, context: ServicerContext[Any, Any]
    ) -> exchanges_pb2.ListStocksResponse:
        """List what exchanges list."""
        stocks = self._desk.stocks(request.exchanges)
        await context.send_initial_metadata(REFERENCE_DATA)
        return stocks_message(stocks, self._names)
