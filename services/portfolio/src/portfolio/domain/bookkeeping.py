"""Makes, renames and deletes the portfolios that users enter by hand, and keeps their stocks."""

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.clock import Clock
from portfolio.domain.instruments import RememberedInstruments
from portfolio.domain.manual_portfolios import (
    ManualPortfolio,
    PortfolioNotFound,
    StockNotFound,
    StocksEmpty,
    require_stock_count,
)
from portfolio.domain.names import require_name
from portfolio.domain.ports import ManualPortfolioStore
from portfolio.domain.stock_entries import StockEntry, StockRow, read_rows, stocks_of
from portfolio.domain.symbols import InstrumentsUnavailable, Resolution, SymbolInvalid, symbol_of
from portfolio.domain.users import require_user_id


@dataclass(frozen=True, slots=True)
class PutStocks:
    """The portfolio after stocks were put into it, and how many they were."""

    portfolio: ManualPortfolio
    processed: int


class ManualPortfolioDesk:
    """Keeps users' own portfolios.

    Args:
        store: keeps them.
        instruments: says what symbols mean.
        clock: says when a portfolio was made.
    """

    def __init__(self, store: ManualPortfolioStore, instruments: RememberedInstruments, *, clock: Clock) -> None:
        self._store = store
        self._instruments = instruments
        self._clock = clock

    async def list(self, user_id: str) -> Sequence[ManualPortfolio]:
        """Return a user's portfolios with their stocks, oldest first.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        return await self._store.portfolios_of(user_id)

    async def create(self, user_id: str, name: str) -> ManualPortfolio:
        """Make an empty portfolio.

        Raises:
            UserIdInvalid: no user has such an id.
            NameInvalid: it cannot be called so.
            TooManyPortfolios: the user has fifty.
            AccountDeleted: the account is gone.
        """
        require_user_id(user_id)
        require_name(name)
        return await self._store.create(user_id, name, at=self._clock.now())

    async def rename(self, user_id: str, portfolio_id: int, name: str) -> ManualPortfolio:
        """Call a portfolio something else.

        Raises:
            UserIdInvalid: no user has such an id.
            NameInvalid: it cannot be called so.
            PortfolioNotFound: the user has no such portfolio.
        """
        require_user_id(user_id)
        require_name(name)
        return _required(await self._store.rename(user_id, portfolio_id, name), portfolio_id)

    async def delete(self, user_id: str, portfolio_id: int) -> None:
        """Delete a portfolio and its stocks.

        Raises:
            UserIdInvalid: no user has such an id.
            PortfolioNotFound: the user has no such portfolio.
        """
        require_user_id(user_id)
        if not await self._store.delete(user_id, portfolio_id):
            raise PortfolioNotFound(portfolio_id)

    async def put_stocks(self, user_id: str, portfolio_id: int, entries: Sequence[StockEntry]) -> PutStocks:
        """Add stocks, or replace their quantity and cost, all or none.

        Raises:
            UserIdInvalid: no user has such an id.
            StocksEmpty: there is none.
            TooManyStocks: there are more than 500, or there would be.
            PortfolioNotFound: the user has no such portfolio.
            StocksInvalid: a row has a fault, names nothing, or names what a row before it names.
            InstrumentsUnavailable: nobody can say now what a symbol means.
        """
        require_user_id(user_id)
        if not entries:
            raise StocksEmpty
        require_stock_count(len(entries))
        _required(await self._store.find(user_id, portfolio_id), portfolio_id)
        rows = read_rows(entries)
        stocks = stocks_of(rows, await self._resolution_for(rows))
        portfolio = _required(await self._store.put(user_id, portfolio_id, stocks), portfolio_id)
        return PutStocks(portfolio, len(stocks))

    async def remove_stock(self, user_id: str, portfolio_id: int, text: str) -> str:
        """Remove a stock, named in any way that means its instrument; return the symbol it was kept as.

        Raises:
            UserIdInvalid: no user has such an id.
            SymbolInvalid: it cannot be a symbol.
            PortfolioNotFound: the user has no such portfolio.
            StockNotFound: the portfolio has no such stock.
            InstrumentsUnavailable: no stock is written so, and nobody can say now what it means.
        """
        require_user_id(user_id)
        symbol = symbol_of(text)
        if symbol is None:
            raise SymbolInvalid(text)
        portfolio = _required(await self._store.find(user_id, portfolio_id), portfolio_id)
        stock = portfolio.stock_named(symbol)
        if stock is None and portfolio.stocks:
            resolution = await self._instruments.resolve_all([symbol])
            stock = next((portfolio.stock_named(each.id) for each in resolution.found.values()), None)
        if stock is None or not await self._store.remove_stock(user_id, portfolio_id, stock.instrument):
            raise StockNotFound(symbol, portfolio_id)
        return stock.symbol

    async def _resolution_for(self, rows: Sequence[StockRow]) -> Resolution:
        """Say what the rows name; nothing while nobody can, where the rows have faults enough to be refused."""
        try:
            return await self._instruments.resolve_all([row.symbol for row in rows if row.symbol is not None])
        except InstrumentsUnavailable:
            if any(row.faults for row in rows):
                return Resolution()
            raise


def _required(portfolio: ManualPortfolio | None, portfolio_id: int) -> ManualPortfolio:
    if portfolio is None:
        raise PortfolioNotFound(portfolio_id)
    return portfolio
