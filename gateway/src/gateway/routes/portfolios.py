"""Portfolios that users enter by hand; what is synced from brokers is `portfolio`."""

from collections.abc import Sequence

from fastapi import APIRouter

from bourse.portfolio.v1 import manual_portfolios_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import ManualPortfolios
from gateway.errors import documented
from gateway.market_params import Stock
from gateway.models.portfolios import (
    Portfolio,
    PortfolioDeleted,
    PortfolioName,
    StockRemoved,
    StocksPut,
    StocksToPut,
)
from gateway.params import PortfolioId
from gateway.security import Owner

router = APIRouter(prefix="/api/portfolios", tags=["portfolios"], route_class=StrictRoute)

ERRORS = (400, 401, 403, 429, 503, 504)
BODY_ERRORS = (408, 413, 415)


@router.get("/{user_id}", response_model=list[Portfolio], responses=documented(*ERRORS))
async def list_portfolios(user_id: Owner, portfolios: ManualPortfolios) -> Sequence[pb.ManualPortfolio]:
    """List the user's own portfolios with their stocks, oldest first."""
    reply = await portfolios.ListPortfolios(pb.ListPortfoliosRequest(user_id=user_id))
    return reply.portfolios


@router.post("/{user_id}", response_model=Portfolio, responses=documented(*ERRORS, *BODY_ERRORS))
async def create_portfolio(user_id: Owner, wanted: PortfolioName, portfolios: ManualPortfolios) -> pb.ManualPortfolio:
    """Make an empty portfolio; a user has at most 50."""
    reply = await portfolios.CreatePortfolio(pb.CreatePortfolioRequest(user_id=user_id, name=wanted.name))
    return reply.portfolio


@router.put("/{user_id}/{portfolio_id}", response_model=Portfolio, responses=documented(*ERRORS, *BODY_ERRORS, 404))
async def rename_portfolio(
    user_id: Owner, portfolio_id: PortfolioId, wanted: PortfolioName, portfolios: ManualPortfolios
) -> pb.ManualPortfolio:
    """Call a portfolio something else."""
    request = pb.RenamePortfolioRequest(user_id=user_id, portfolio_id=portfolio_id, name=wanted.name)
    reply = await portfolios.RenamePortfolio(request)
    return reply.portfolio


@router.delete("/{user_id}/{portfolio_id}", response_model=PortfolioDeleted, responses=documented(*ERRORS, 404))
async def delete_portfolio(
    user_id: Owner, portfolio_id: PortfolioId, portfolios: ManualPortfolios
) -> pb.DeletePortfolioResponse:
    """Delete a portfolio and its stocks."""
    return await portfolios.DeletePortfolio(pb.DeletePortfolioRequest(user_id=user_id, portfolio_id=portfolio_id))


@router.post(
    "/{user_id}/{portfolio_id}/stock", response_model=StocksPut, responses=documented(*ERRORS, *BODY_ERRORS, 404)
)
async def put_stocks(
    user_id: Owner, portfolio_id: PortfolioId, wanted: StocksToPut, portfolios: ManualPortfolios
) -> pb.PutStocksResponse:
    """Add one stock or several, or replace the quantity and cost of those there are: all of them or none.

    Rows that cannot be taken are 400, each with its fault. A portfolio has at most 500 stocks.
    """
    stocks = [
        pb.StockEntry(symbol=entry.symbol, quantity=entry.quantity, total_cost=entry.total_cost)
        for entry in wanted.entries
    ]
    return await portfolios.PutStocks(pb.PutStocksRequest(user_id=user_id, portfolio_id=portfolio_id, stocks=stocks))


@router.delete(
    "/{user_id}/{portfolio_id}/stock/{symbol}", response_model=StockRemoved, responses=documented(*ERRORS, 404)
)
async def remove_stock(
    user_id: Owner, portfolio_id: PortfolioId, symbol: Stock, portfolios: ManualPortfolios
) -> pb.RemoveStockResponse:
    """Remove a stock, by any form of its symbol that means the same instrument."""
    request = pb.RemoveStockRequest(user_id=user_id, portfolio_id=portfolio_id, symbol=symbol)
    return await portfolios.RemoveStock(request)
