"""Portfolios that users enter, in the database; whoever changes one holds its user's lock."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from portfolio.domain.amounts import plain
from portfolio.domain.manual_portfolios import ManualPortfolio, require_room_for_portfolio, require_stock_count
from portfolio.domain.stock_entries import Stock
from portfolio.storage.statements import (
    count_of_user,
    delete_own,
    inserting,
    lock_for_new,
    lock_portfolio,
    name_of_own,
    reading_one_moment,
)
from portfolio.storage.tables import MANUAL_PORTFOLIOS, MANUAL_STOCKS

_KEY = ("portfolio_id", "instrument")


class StoredManualPortfolios:
    """Keeps portfolios that users enter; one of another user is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def portfolios_of(self, user_id: str) -> Sequence[ManualPortfolio]:
        """Return a user's portfolios as they were at one moment, oldest first."""
        portfolios, stocks = MANUAL_PORTFOLIOS.c, MANUAL_STOCKS.c
        named = select(portfolios.id, portfolios.name).where(portfolios.user_id == user_id).order_by(portfolios.id)
        held = select(MANUAL_STOCKS).join(MANUAL_PORTFOLIOS).where(portfolios.user_id == user_id)
        stocks_by_id: defaultdict[int, list[Stock]] = defaultdict(list)
        async with reading_one_moment(self._database) as connection:
            names = (await connection.execute(named)).all()
            for row in await connection.execute(held.order_by(stocks.portfolio_id, stocks.ordinal)):
                stocks_by_id[row.portfolio_id].append(_stock_of(row))
        return [ManualPortfolio(row.id, row.name, tuple(stocks_by_id[row.id])) for row in names]

    async def create(self, user_id: str, name: str, *, at: datetime) -> ManualPortfolio:
        """Make an empty portfolio.

        Raises:
            TooManyPortfolios: the user has as many as there may be.
            AccountDeleted: the account was deleted, not before `at`.
            DatabaseUnavailable: it may or may not be made.
        """
        statement = insert(MANUAL_PORTFOLIOS).values(user_id=user_id, name=name, created_at=at)
        async with self._database.transaction() as connection:
            await lock_for_new(connection, user_id, at=at)
            require_room_for_portfolio(await count_of_user(connection, MANUAL_PORTFOLIOS, user_id))
            portfolio_id = (await connection.execute(statement.returning(MANUAL_PORTFOLIOS.c.id))).scalar_one()
        return ManualPortfolio(portfolio_id, name, ())

    async def find(self, user_id: str, portfolio_id: int) -> ManualPortfolio | None:
        """Return a portfolio as it was at one moment; None when there is none."""
        async with reading_one_moment(self._database) as connection:
            return await _read(connection, user_id, portfolio_id)

    async def rename(self, user_id: str, portfolio_id: int, name: str) -> ManualPortfolio | None:
        """Rename a portfolio and return it; None when there is none.

        Raises:
            DatabaseUnavailable: it may or may not be renamed; renaming it again is safe.
        """
        columns = MANUAL_PORTFOLIOS.c
        renaming = update(MANUAL_PORTFOLIOS).where(columns.id == portfolio_id, columns.user_id == user_id)
        async with self._database.transaction() as connection:
            await lock_portfolio(connection, user_id)
            await connection.execute(renaming.values(name=name))
            return await _read(connection, user_id, portfolio_id)

    async def put(self, user_id: str, portfolio_id: int, stocks: Sequence[Stock]) -> ManualPortfolio | None:
        """Add stocks, or put them in the place of those of their instruments, and return all; None without a portfolio.

        Raises:
            TooManyStocks: there would be more than there may be; nothing was changed.
            DatabaseUnavailable: all of them are in or none; putting them again is safe.
        """
        async with self._database.transaction() as connection:
            await lock_portfolio(connection, user_id)
            if await name_of_own(connection, MANUAL_PORTFOLIOS, user_id, portfolio_id) is None:
                return None
            await _upsert(connection, portfolio_id, stocks)
            return await _read(connection, user_id, portfolio_id)

    async def remove_stock(self, user_id: str, portfolio_id: int, instrument: str) -> bool:
        """Remove the stock of an instrument and say whether there was one.

        Raises:
            DatabaseUnavailable: it may or may not be removed; removing it again finds out.
        """
        columns = MANUAL_STOCKS.c
        removal = delete(MANUAL_STOCKS).where(columns.portfolio_id == portfolio_id, columns.instrument == instrument)
        async with self._database.transaction() as connection:
            await lock_portfolio(connection, user_id)
            if await name_of_own(connection, MANUAL_PORTFOLIOS, user_id, portfolio_id) is None:
                return False
            return (await connection.execute(removal)).rowcount > 0

    async def delete(self, user_id: str, portfolio_id: int) -> bool:
        """Delete a portfolio with its stocks and say whether there was one.

        Raises:
            DatabaseUnavailable: it may or may not be deleted; deleting it again finds out.
        """
        return await delete_own(self._database, MANUAL_PORTFOLIOS, user_id, portfolio_id)


async def _read(connection: AsyncConnection, user_id: str, portfolio_id: int) -> ManualPortfolio | None:
    name = await name_of_own(connection, MANUAL_PORTFOLIOS, user_id, portfolio_id)
    if name is None:
        return None
    columns = MANUAL_STOCKS.c
    query = select(MANUAL_STOCKS).where(columns.portfolio_id == portfolio_id).order_by(columns.ordinal)
    return ManualPortfolio(portfolio_id, name, tuple(map(_stock_of, await connection.execute(query))))


async def _upsert(connection: AsyncConnection, portfolio_id: int, stocks: Sequence[Stock]) -> None:
    columns = MANUAL_STOCKS.c
    query = select(columns.instrument, columns.ordinal).where(columns.portfolio_id == portfolio_id)
    ordinals: dict[str, int] = {row.instrument: row.ordinal for row in await connection.execute(query)}
    following = max(ordinals.values(), default=-1) + 1
    added = [stock.instrument for stock in stocks if stock.instrument not in ordinals]
    ordinals.update((instrument, ordinal) for ordinal, instrument in enumerate(added, following))
    require_stock_count(len(ordinals))
    statement = inserting(connection, MANUAL_STOCKS)
    new = statement.excluded
    replaced = {name: new[name] for name in ("symbol", "quantity", "total_cost")}
    rows = [_row_of(portfolio_id, stock, ordinals[stock.instrument]) for stock in stocks]
    await connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=replaced), rows)


def _row_of(portfolio_id: int, stock: Stock, ordinal: int) -> dict[str, object]:
    return {
        "portfolio_id": portfolio_id,
        "instrument": stock.instrument,
        "ordinal": ordinal,
        "symbol": stock.symbol,
        "quantity": plain(stock.quantity),
        "total_cost": plain(stock.total_cost),
    }


def _stock_of(row: Row[Any]) -> Stock:
    return Stock(row.symbol, row.instrument, Decimal(row.quantity), Decimal(row.total_cost))
