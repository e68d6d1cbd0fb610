"""Watchlists in the database; whoever changes one holds its user's lock."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from portfolio.domain.watchlists import WatchedTicker, Watchlist, WatchlistName, require_room_for_watchlist
from portfolio.storage.statements import (
    count_of_user,
    delete_own,
    lock_for_new,
    lock_portfolio,
    name_of_own,
    reading_one_moment,
)
from portfolio.storage.tables import WATCHED_TICKERS, WATCHLISTS


class StoredWatchlists:
    """Keeps watchlists; one of another user is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def names_of(self, user_id: str) -> Sequence[WatchlistName]:
        """Return a user's watchlists, oldest first."""
        query = select(WATCHLISTS.c.id, WATCHLISTS.c.name).where(WATCHLISTS.c.user_id == user_id)
        async with self._database.reading() as connection:
            found = await connection.execute(query.order_by(WATCHLISTS.c.id))
            return [WatchlistName(row.id, row.name) for row in found]

    async def create(self, user_id: str, name: str, *, at: datetime) -> Watchlist:
        """Make an empty watchlist.

        Raises:
            TooManyWatchlists: the user has as many as there may be.
            AccountDeleted: the account was deleted, not before `at`.
            DatabaseUnavailable: it may or may not be made.
        """
        statement = insert(WATCHLISTS).values(user_id=user_id, name=name, created_at=at)
        async with self._database.transaction() as connection:
            await lock_for_new(connection, user_id, at=at)
            require_room_for_watchlist(await count_of_user(connection, WATCHLISTS, user_id))
            watchlist_id = (await connection.execute(statement.returning(WATCHLISTS.c.id))).scalar_one()
        return Watchlist(watchlist_id, name, ())

    async def find(self, user_id: str, watchlist_id: int) -> Watchlist | None:
        """Return a watchlist as it was at one moment; None when there is none."""
        async with reading_one_moment(self._database) as connection:
            name = await name_of_own(connection, WATCHLISTS, user_id, watchlist_id)
            if name is None:
                return None
            return Watchlist(watchlist_id, name, await _tickers_of(connection, watchlist_id))

    async def replace_tickers(
        self, user_id: str, watchlist_id: int, tickers: Sequence[WatchedTicker]
    ) -> Watchlist | None:
        """Replace all tickers at once and return the watchlist; None when there is none.

        Raises:
            DatabaseUnavailable: all of them are replaced or none; replacing them again is safe.
        """
        of_list = WATCHED_TICKERS.c.watchlist_id == watchlist_id
        async with self._database.transaction() as connection:
            await lock_portfolio(connection, user_id)
            name = await name_of_own(connection, WATCHLISTS, user_id, watchlist_id)
            if name is None:
                return None
            await connection.execute(delete(WATCHED_TICKERS).where(of_list))
            if tickers:
                await connection.execute(insert(WATCHED_TICKERS), _rows_of(watchlist_id, tickers))
        return Watchlist(watchlist_id, name, tuple(tickers))

    async def delete(self, user_id: str, watchlist_id: int) -> bool:
        """Delete a watchlist and say whether there was one.

        Raises:
            DatabaseUnavailable: it may or may not be deleted; deleting it again finds out.
        """
        return await delete_own(self._database, WATCHLISTS, user_id, watchlist_id)


async def _tickers_of(connection: AsyncConnection, watchlist_id: int) -> tuple[WatchedTicker, ...]:
    columns = WATCHED_TICKERS.c
    query = select(WATCHED_TICKERS).where(columns.watchlist_id == watchlist_id).order_by(columns.ordinal)
    return tuple(WatchedTicker(row.symbol, row.instrument, row.name) for row in await connection.execute(query))


def _rows_of(watchlist_id: int, tickers: Sequence[WatchedTicker]) -> list[dict[str, object]]:
    return [
        {
            "watchlist_id": watchlist_id,
            "instrument": ticker.instrument,
            "ordinal": ordinal,
            "symbol": ticker.symbol,
            "name": ticker.name,
        }
        for ordinal, ticker in enumerate(tickers)
    ]
