"""Daily snapshots in the database."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from portfolio.domain.amounts import plain
from portfolio.domain.brokers import Broker
from portfolio.domain.days import INDIA
from portfolio.domain.snapshots import Snapshot
from portfolio.storage.statements import inserting, lock_portfolio
from portfolio.storage.tables import BROKER_SYNCS, SNAPSHOTS

_KEY = ("user_id", "date", "broker")


class SnapshotsOfSessions:
    """Keeps the snapshots that are taken after a session."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def users_without(self, day: date, *, after: str, at_most: int) -> Sequence[str]:
        """Return users who synced by the end of a day and lack a nightly snapshot of it, in order, after `after`."""
        syncs = BROKER_SYNCS.c
        query = (
            select(syncs.user_id)
            .distinct()
            .select_from(BROKER_SYNCS.outerjoin(SNAPSHOTS, _is_nightly_of_sync(day)))
            .where(SNAPSHOTS.c.user_id.is_(None), syncs.synced_at < _end_of(day), syncs.user_id > after)
            .order_by(syncs.user_id)
            .limit(at_most)
        )
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).scalars())

    async def brokers_with(self, day: date, user_id: str) -> Collection[Broker]:
        """Return the brokers a user has a nightly snapshot of a day of."""
        snapshots = SNAPSHOTS.c
        query = select(snapshots.broker).where(
            snapshots.user_id == user_id, snapshots.date == day, snapshots.is_nightly.is_(True)
        )
        async with self._database.reading() as connection:
            return {Broker(name) for name in (await connection.execute(query)).scalars()}

    async def save_nightly(self, snapshot: Snapshot, *, sync_id: str) -> bool:
        """Save a snapshot over the day's; nothing, and False, when its rows are no longer those of the sync.

        Raises:
            DatabaseUnavailable: it may or may not be saved; saving it again is safe.
        """
        syncs = BROKER_SYNCS.c
        current = select(syncs.sync_id).where(
            syncs.user_id == snapshot.user_id, syncs.broker == snapshot.broker.value, syncs.sync_id == sync_id
        )
        async with self._database.transaction() as connection:
            await lock_portfolio(connection, snapshot.user_id)
            if (await connection.execute(current)).first() is None:
                return False
            await _upsert(connection, snapshot)
        return True


async def save_at_sync(connection: AsyncConnection, snapshot: Snapshot) -> None:
    """Save a sync's snapshot over the day's.

    A nightly one gives way too: it is of rows that are gone. The day lacks it again, and the next pass takes it anew.
    """
    await _upsert(connection, snapshot)


def snapshot_of_row(row: Row[Any]) -> Snapshot:
    """Return the snapshot that a row of the table holds."""
    return Snapshot(
        user_id=row.user_id,
        broker=Broker(row.broker),
        date=row.date,
        invested=Decimal(row.invested),
        current_value=Decimal(row.current_value),
        pnl=Decimal(row.pnl),
        positions_pnl=Decimal(row.positions_pnl),
        taken_at=row.taken_at,
        is_simulated=row.is_simulated,
        is_nightly=row.is_nightly,
        unpriced_count=row.unpriced_count,
    )


async def _upsert(connection: AsyncConnection, snapshot: Snapshot) -> None:
    row = _row_of(snapshot)
    statement = inserting(connection, SNAPSHOTS).values(row)
    new = statement.excluded
    await connection.execute(
        statement.on_conflict_do_update(index_elements=_KEY, set_={name: new[name] for name in row if name not in _KEY})
    )


def _row_of(snapshot: Snapshot) -> dict[str, object]:
    return {
        "user_id": snapshot.user_id,
        "date": snapshot.date,
        "broker": snapshot.broker.value,
        "invested": plain(snapshot.invested),
        "current_value": plain(snapshot.current_value),
        "pnl": plain(snapshot.pnl),
        "positions_pnl": plain(snapshot.positions_pnl),
        "taken_at": snapshot.taken_at,
        "is_simulated": snapshot.is_simulated,
        "is_nightly": snapshot.is_nightly,
        "unpriced_count": snapshot.unpriced_count,
    }


def _is_nightly_of_sync(day: date) -> Any:
    syncs, snapshots = BROKER_SYNCS.c, SNAPSHOTS.c
    return and_(
        snapshots.user_id == syncs.user_id,
        snapshots.broker == syncs.broker,
        snapshots.date == day,
        snapshots.is_nightly.is_(True),
    )


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, INDIA)
