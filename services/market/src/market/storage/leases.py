"""The lease in the database: one row, which each change finds as it was seen, or leaves alone."""

from typing import Any

from sqlalchemy import Update, select, update

from chassis.database import Database
from market.domain.lease import NOT_WHOLE, Lease
from market.storage.tables import LEADER_LEASE

_COLUMNS = LEADER_LEASE.c


class Leases:
    """Keeps the lease in a migrated database, whose time it does not ask for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Lease:
        """Return the lease.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        async with self._database.reading() as connection:
            return _lease((await connection.execute(select(LEADER_LEASE))).one())

    async def renew(self, held: Lease) -> Lease | None:
        """Change the lease of who still holds it in that turn, and return it; None when it is another's.

        Raises:
            DatabaseUnavailable: it may have been renewed or not.
        """
        is_ours = update(LEADER_LEASE).where(_COLUMNS.holder == held.holder, _COLUMNS.epoch == held.epoch)
        return await self._change(is_ours.values(renewals=_COLUMNS.renewals + 1))

    async def take(self, seen: Lease, next_turn: Lease) -> Lease | None:
        """Put the next turn in the place of what was seen, and return it; None when it has changed since.

        Raises:
            DatabaseUnavailable: it may have been taken or not.
        """
        is_as_seen = update(LEADER_LEASE).where(_COLUMNS.epoch == seen.epoch, _COLUMNS.renewals == seen.renewals)
        return await self._change(
            is_as_seen.values(holder=next_turn.holder, epoch=next_turn.epoch, renewals=next_turn.renewals)
        )

    async def release(self, holder: str, *, is_whole: bool) -> None:
        """Give back whatever a replica holds.

        Args:
            holder: the replica.
            is_whole: whether all that it published is known to have reached NATS.

        Raises:
            DatabaseUnavailable: it may have been given back or not.
        """
        left = None if is_whole else NOT_WHOLE
        await self._change(update(LEADER_LEASE).where(_COLUMNS.holder == holder).values(holder=left))

    async def _change(self, statement: Update) -> Lease | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement.returning(*_COLUMNS))).one_or_none()
        return None if row is None else _lease(row)


def _lease(row: Any) -> Lease:
    return Lease(row.holder, row.epoch, row.renewals)
