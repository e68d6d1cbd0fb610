"""Rows of which nothing can come any more, in the database, deleted in portions."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.storage.tables import DELETED_ALERTS, ENDED_ACCOUNTS, NOT_EVALUATED
from chassis.database import Database


class Leftovers:
    """Deletes what is over from a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget_deleted(self, before_id: int, *, limit: int) -> int:
        """Forget ids of deleted alerts below an id, so many at most, and return how many.

        Raises:
            DatabaseUnavailable: they may be forgotten or not.
        """
        key = DELETED_ALERTS.c.id
        async with self._database.transaction() as connection:
            return await _delete(connection, key, key < before_id, limit=limit)

    async def forget_ended(self, before: datetime, *, limit: int) -> int:
        """Forget accounts all of which is from before a moment, so many at most, and return how many.

        Raises:
            DatabaseUnavailable: they may be forgotten or not.
        """
        columns = ENDED_ACCOUNTS.c
        is_over = columns.through < before
        async with self._database.transaction() as connection:
            return await _delete(connection, columns.user_id, is_over, limit=limit)

    async def forget_missing(self, shard: int, *, shown: int, kept: int, limit: int) -> int:
        """Forget stretches of a shard that nobody is shown any more, so many at most, and return how many.

        Whoever asks is shown the last `shown` recorded of those that end behind a moment. What ends in front of so
        many that were recorded later is not among them, whatever the moment.

        Args:
            shard: whose.
            shown: how many are shown.
            kept: how many of those recorded last stay in any case, `shown` at least.
            limit: how many go at most.

        Raises:
            DatabaseUnavailable: they may be forgotten or not.
        """
        columns = NOT_EVALUATED.c
        query = select(columns.id, columns.to_at).where(columns.shard == shard).order_by(columns.id.desc()).limit(kept)
        async with self._database.transaction() as connection:
            last = (await connection.execute(query)).all()
            if len(last) < kept:
                return 0
            end = sorted((row.to_at for row in last), reverse=True)[shown - 1]
            is_hidden = (columns.shard == shard) & (columns.id < last[-1].id) & (columns.to_at <= end)
            return await _delete(connection, columns.id, is_hidden, limit=limit)


async def _delete(connection: AsyncConnection, key: Column[Any], which: ColumnElement[bool], *, limit: int) -> int:
    # Read first: with the one in the other PostgreSQL reads the whole table, until it is very large.
    chosen = (await connection.execute(select(key).where(which).order_by(key).limit(limit))).scalars().all()
    if not chosen:
        return 0
    # Said once more, for a row that has changed since.
    await connection.execute(delete(key.table).where(key.in_(chosen), which))
    return len(chosen)
