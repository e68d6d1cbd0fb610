"""The manual portfolio service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import manual_portfolios_pb2, manual_portfolios_pb2_grpc
from portfolio.domain.bookkeeping import ManualPortfolioDesk
from portfolio.messages.manual_portfolios import entries_of, portfolio_message


class ManualPortfolioService(manual_portfolios_pb2_grpc.ManualPortfolioServiceServicer):
    """Keeps each user's own portfolios."""

    def __init__(self, desk: ManualPortfolioDesk) -> None:
        self._desk = desk

    async def ListPortfolios(  # the contract's name
        self,
        request: manual_portfolios_pb2.ListPortfoliosRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> manual_portfolios_pb2.ListPortfoliosResponse:
        """List a user's portfolios with their stocks."""
        portfolios = await self._desk.list(request.user_id)
        return manual_portfolios_pb2.ListPortfoliosResponse(portfolios=map(portfolio_message, portfolios))

    async def CreatePortfolio(  # the contract's name
        self,
        request: manual_portfolios_pb2.CreatePortfolioRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> manual_portfolios_pb2.CreatePortfolioResponse:
        """Make an empty portfolio."""
        portfolio = await self._desk.create(request.user_id, request.name)
        return manual_portfolios_pb2.CreatePortfolioResponse(portfolio=portfolio_message(portfolio))

    async def RenamePortfolio(  # the contract's name
        self,
        request: manual_portfolios_pb2.RenamePortfolioRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> manual_portfolios_pb2.RenamePortfolioResponse:
        """Rename a portfolio."""
        portfolio = await self._desk.rename(request.user_id, request.portfolio_id, request.name)
        return manual_portfolios_pb2.RenamePortfolioResponse(portfolio=portfolio_message(portfolio))

    async def DeletePortfolio(  # the contract's name
        self,
        request: manual_portfolios_pb2.DeletePortfolioRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> manual_portfolios_pb2.DeletePortfolioResponse:
        """Delete a portfolio and its stocks."""
        await self._desk.delete(request.user_id, request.portfolio_id)
        return manual_portfolios_pb2.DeletePortfolioResponse()

    async def PutStocks(  # the contract's name
        self,
        request: manual_portfolios_pb2.PutStocksRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> manual_portfolios_pb2.PutStocksResponse:
        """Add stocks, or replace their quantity and cost."""
        put = await self._desk.put_stocks(request.user_id, request.portfolio_id, entries_of(request.stocks))
        return manual_portfolios_pb2.PutStocksResponse(
            portfolio=portfolio_message(put.portfolio), processed=put.processed
        )

    async def RemoveStock(  # the contract's name
        self,
        request: manual_portfolios_pb2.RemoveStockRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> manual_portfolios_pb2.RemoveStockResponse:
        """Remove a stock."""
        symbol = await self._desk.remove_stock(request.user_id, request.portfolio_id, request.symbol)
        return manual_portfolios_pb2.RemoveStockResponse(symbol=symbol)
