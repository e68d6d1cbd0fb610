"""Messages of portfolios that users enter by hand."""

from collections.abc import Iterable

from bourse.portfolio.v1 import manual_portfolios_pb2
from portfolio.domain.amounts import plain
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.stock_entries import Stock, StockEntry


def entries_of(messages: Iterable[manual_portfolios_pb2.StockEntry]) -> list[StockEntry]:
    """Return stocks as their owner entered them."""
    return [StockEntry(each.symbol, each.quantity, each.total_cost) for each in messages]


def portfolio_message(portfolio: ManualPortfolio) -> manual_portfolios_pb2.ManualPortfolio:
    """Return a portfolio as others see it."""
    return manual_portfolios_pb2.ManualPortfolio(
        id=portfolio.id, name=portfolio.name, stocks=map(_stock_message, portfolio.stocks)
    )


def _stock_message(stock: Stock) -> manual_portfolios_pb2.Stock:
    return manual_portfolios_pb2.Stock(
        symbol=stock.symbol,
        instrument=stock.instrument,
        quantity=plain(stock.quantity),
        total_cost=plain(stock.total_cost),
    )
