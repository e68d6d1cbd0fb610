"""What both kinds of database say in words of their own: locks, upserts, and reading at one moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import Table, delete, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from portfolio.domain.accounts import AccountDeleted
from portfolio.storage.tables import PORTFOLIOS

# The first half of the key of PostgreSQL's lock on an address; the second is its digest's.
ADDRESS_LOCK = 1_886_352_499


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


async def lock_for_new(connection: AsyncConnection, user_id: str, *, at: datetime) -> None:
    """Take the user's lock for what was begun at a moment and is to be made.

    Raises:
        AccountDeleted: the account was deleted, not before that moment.
    """
    await lock_portfolio(connection, user_id)
    query = select(PORTFOLIOS.c.account_deleted_through).where(PORTFOLIOS.c.user_id == user_id)
    through: datetime | None = (await connection.execute(query)).scalar_one()
    if through is not None and at <= through:
        raise AccountDeleted


async def lock_address(connection: AsyncConnection, address_digest: str) -> None:
    """Wait until nobody else counts what goes to an address; on SQLite the transaction itself is the lock.

    Several users may have had the address, so that their own locks do not do; they are taken first.
    """
    if connection.dialect.name == "postgresql":
        key = {"space": ADDRESS_LOCK, "address": int(address_digest[:8], 16) - (1 << 31)}
        locking = text("SELECT pg_advisory_xact_lock(CAST(:space AS integer), CAST(:address AS integer))")
        await connection.execute(locking, key)


async def count_of_user(connection: AsyncConnection, table: Table, user_id: str) -> int:
    """Count a user's rows of a table."""
    query = select(func.count()).select_from(table).where(table.c.user_id == user_id)
    return int((await connection.execute(query)).scalar_one())


async def name_of_own(connection: AsyncConnection, table: Table, user_id: str, own_id: int) -> str | None:
    """Return what a user calls a thing of an id; None when the user has no such thing."""
    query = select(table.c.name).where(table.c.id == own_id, table.c.user_id == user_id)
    name: str | None = (await connection.execute(query)).scalar_one_or_none()
    return name


async def delete_own(database: Database, table: Table, user_id: str, own_id: int) -> bool:
    """Delete a user's thing of an id with what belongs to it, and say whether there was one.

    Raises:
        DatabaseUnavailable: it may or may not be deleted; deleting it again finds out.
    """
    statement = delete(table).where(table.c.id == own_id, table.c.user_id == user_id)
    async with database.transaction() as connection:
        await lock_portfolio(connection, user_id)
        return (await connection.execute(statement)).rowcount > 0
