"""What both kinds of database say in words of their own: locks, upserts, and reading at one moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from portfolio.storage.tables import PORTFOLIOS


@asynccontextmanager
async def reading_one_moment(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open a transaction whose statements all see what was committed when the first of them began.

    SQLite's transactions are so by themselves.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with database.reading() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


async def lock_portfolio(connection: AsyncConnection, user_id: str) -> datetime | None:
    """Wait until nobody else changes a user's rows, keep it so to the transaction's end; return the last deletion.

    Whoever changes rows takes this one lock, and it first, so that no two wait for each other. On SQLite the
    transaction itself is the lock.
    """
    first = inserting(connection, PORTFOLIOS).values(user_id=user_id).on_conflict_do_nothing()
    await connection.execute(first)
    query = select(PORTFOLIOS.c.deleted_at).where(PORTFOLIOS.c.user_id == user_id).with_for_update()
    deleted_at: datetime | None = (await connection.execute(query)).scalar_one()
    return deleted_at


def inserting(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an INSERT that can say what to do when there is such a row."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table)
