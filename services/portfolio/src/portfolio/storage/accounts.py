"""All that the database has of a user, deleted together when the account is gone."""

from datetime import datetime

from sqlalchemy import Table, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from portfolio.storage.statements import lock_portfolio
from portfolio.storage.tables import (
    BROKER_SYNCS,
    HOLDINGS,
    MANUAL_PORTFOLIOS,
    PORTFOLIOS,
    POSITIONS,
    SNAPSHOTS,
    WATCHLISTS,
)


class StoredAccounts:
    """Deletes what is of a user, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_account(self, user_id: str, *, through: datetime) -> None:
        """Delete what was made, or began, up to a moment, and refuse what comes later and is from before it.

        What stays is the user's id and that moment; how often an address was written to is of no user, and stays for an
        hour.

        Raises:
            DatabaseUnavailable: all of it is deleted or nothing; deleting again is safe.
        """
        syncs, snapshots = BROKER_SYNCS.c, SNAPSHOTS.c
        async with self._database.transaction() as connection:
            await _refuse_through(connection, user_id, through)
            query = select(syncs.broker).where(syncs.user_id == user_id, syncs.started_at <= through)
            brokers = (await connection.execute(query)).scalars().all()
            for table in (HOLDINGS, POSITIONS, BROKER_SYNCS):
                of_syncs = (table.c.user_id == user_id) & table.c.broker.in_(brokers)
                await connection.execute(delete(table).where(of_syncs))
            # A deletion that is heard late finds nightly ones that were taken of its rows meanwhile.
            is_of_before = (snapshots.taken_at <= through) | snapshots.broker.in_(brokers)
            await connection.execute(delete(SNAPSHOTS).where(snapshots.user_id == user_id, is_of_before))
            await _delete_made_before(connection, WATCHLISTS, user_id, through)
            await _delete_made_before(connection, MANUAL_PORTFOLIOS, user_id, through)


async def _refuse_through(connection: AsyncConnection, user_id: str, through: datetime) -> None:
    """Note the deletion, unless a later one is noted already: events may come twice."""
    columns = PORTFOLIOS.c
    last_deletion = await lock_portfolio(connection, user_id)
    query = select(columns.account_deleted_through).where(columns.user_id == user_id)
    last_account = (await connection.execute(query)).scalar_one()
    moments = {
        "deleted_at": max(through, last_deletion or through),
        "account_deleted_through": max(through, last_account or through),
    }
    await connection.execute(update(PORTFOLIOS).where(columns.user_id == user_id).values(moments))


async def _delete_made_before(connection: AsyncConnection, table: Table, user_id: str, through: datetime) -> None:
    made_before = (table.c.user_id == user_id) & (table.c.created_at <= through)
    await connection.execute(delete(table).where(made_before))
