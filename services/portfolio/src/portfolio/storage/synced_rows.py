"""Brokers' rows in the database: a sync replaces its broker's at once, and readers see one sync or the other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Row, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Database
from chassis.outbox import OutboxEvent, enqueue
from portfolio.domain.amounts import plain
from portfolio.domain.brokers import Broker
from portfolio.domain.rows import (
    BrokerHolding,
    BrokerPosition,
    BrokerRow,
    DeletedCounts,
    PositionType,
    RowCounts,
    Sync,
    SyncedRows,
    counts_of,
)
from portfolio.domain.snapshots import Snapshot
from portfolio.domain.syncing import SyncSuperseded
from portfolio.storage.snapshots import save_at_sync, snapshot_of_row
from portfolio.storage.statements import inserting, lock_portfolio, reading_one_moment
from portfolio.storage.tables import BROKER_SYNCS, HOLDINGS, OUTBOX, PORTFOLIOS, POSITIONS, SNAPSHOTS

SyncedEvent = Callable[[Sync, RowCounts], OutboxEvent]
StoredRow = TypeVar("StoredRow", BrokerHolding, BrokerPosition)

_AMOUNTS_OF = {
    kind: frozenset(each.name for each in fields(kind) if each.type in (Decimal, Decimal | None))
    for kind in (BrokerHolding, BrokerPosition)
}


class SyncedPortfolios:
    """Keeps what brokers said."""

    def __init__(self, database: Database, event_of: SyncedEvent) -> None:
        """Keep it in `database`, with the event that `event_of` makes of each sync in the same transaction."""
        self._database = database
        self._event_of = event_of

    async def replace(self, rows: SyncedRows, snapshot: Snapshot) -> RowCounts:
        """Replace a broker's rows, write the sync's snapshot and tell of it, all in one transaction.

        The same sync again changes nothing and returns the same.

        Raises:
            SyncSuperseded: a sync that began later is in, or the user's data was deleted since this one began.
            DatabaseUnavailable: all of it is in or nothing; sending it again finds out.
        """
        sync, counts = rows.sync, counts_of(rows)
        async with self._database.transaction() as connection:
            deleted_at = await lock_portfolio(connection, sync.user_id)
            current = await _current_sync(connection, sync)
            if current is not None and current.sync_id == sync.id:
                return RowCounts(current.holdings_count, current.positions_count, current.net_positions_count)
            if current is not None and current.started_at > sync.started_at:
                raise SyncSuperseded("a sync that began later is already in")
            if deleted_at is not None and deleted_at >= sync.started_at:
                raise SyncSuperseded("the synced data was deleted after this sync began")
            await _write_sync(connection, sync, counts)
            await _write_rows(connection, HOLDINGS, sync, rows.holdings)
            await _write_rows(connection, POSITIONS, sync, rows.positions)
            await save_at_sync(connection, snapshot)
            await enqueue(connection, OUTBOX, [self._event_of(sync, counts)])
        return counts

    async def delete(self, user_id: str, *, at: datetime) -> DeletedCounts:
        """Delete all rows and snapshots of a user, and refuse syncs that began before.

        Raises:
            DatabaseUnavailable: all of it is deleted or nothing; deleting again is safe.
        """
        async with self._database.transaction() as connection:
            before = await lock_portfolio(connection, user_id)
            last = max(at, before or at)
            deletion = update(PORTFOLIOS).where(PORTFOLIOS.c.user_id == user_id).values(deleted_at=last)
            await connection.execute(deletion)
            await connection.execute(delete(BROKER_SYNCS).where(BROKER_SYNCS.c.user_id == user_id))
            counts = [
                (await connection.execute(delete(table).where(table.c.user_id == user_id))).rowcount
                for table in (HOLDINGS, POSITIONS, SNAPSHOTS)
            ]
        return DeletedCounts(*counts)

    async def holdings_of(self, user_id: str) -> Sequence[SyncedRows]:
        """Return each broker's sync with its holdings, by broker; positions are left out."""
        async with reading_one_moment(self._database) as connection:
            return await _rows_of(connection, user_id, with_positions=False)

    async def positions_of(self, user_id: str) -> Sequence[SyncedRows]:
        """Return each broker's sync with its positions, by broker; holdings are left out."""
        async with reading_one_moment(self._database) as connection:
            return await _rows_of(connection, user_id, with_holdings=False)

    async def rows_of(self, user_id: str) -> Sequence[SyncedRows]:
        """Return each broker's sync with all its rows, by broker."""
        async with reading_one_moment(self._database) as connection:
            return await _rows_of(connection, user_id)

    async def trend_of(
        self, user_id: str, *, first: date, last: date
    ) -> tuple[Sequence[SyncedRows], Sequence[Snapshot]]:
        """Return what `rows_of` returns, and the snapshots of the days from `first` to `last`, both with."""
        columns = SNAPSHOTS.c
        query = select(SNAPSHOTS).where(columns.user_id == user_id, columns.date.between(first, last))
        async with reading_one_moment(self._database) as connection:
            rows = await _rows_of(connection, user_id)
            found = await connection.execute(query.order_by(columns.date, columns.broker))
            return rows, [snapshot_of_row(row) for row in found]


async def _current_sync(connection: AsyncConnection, sync: Sync) -> Row[Any] | None:
    columns = BROKER_SYNCS.c
    query = select(BROKER_SYNCS).where(columns.user_id == sync.user_id, columns.broker == sync.broker.value)
    return (await connection.execute(query)).one_or_none()


async def _write_sync(connection: AsyncConnection, sync: Sync, counts: RowCounts) -> None:
    row = {
        "sync_id": sync.id,
        "started_at": sync.started_at,
        "synced_at": sync.synced_at,
        "is_simulated": sync.is_simulated,
        "holdings_count": counts.holdings,
        "positions_count": counts.positions,
        "net_positions_count": counts.net_positions,
    }
    statement = inserting(connection, BROKER_SYNCS).values(user_id=sync.user_id, broker=sync.broker.value, **row)
    await connection.execute(statement.on_conflict_do_update(index_elements=("user_id", "broker"), set_=row))


async def _write_rows(connection: AsyncConnection, table: Table, sync: Sync, rows: Sequence[BrokerRow]) -> None:
    of_sync = (table.c.user_id == sync.user_id) & (table.c.broker == sync.broker.value)
    await connection.execute(delete(table).where(of_sync))
    if rows:
        key = {"user_id": sync.user_id, "broker": sync.broker.value}
        values = [{**key, "ordinal": ordinal, **_columns_of(row)} for ordinal, row in enumerate(rows)]
        await connection.execute(insert(table), values)


async def _rows_of(
    connection: AsyncConnection, user_id: str, *, with_holdings: bool = True, with_positions: bool = True
) -> Sequence[SyncedRows]:
    columns = BROKER_SYNCS.c
    query = select(BROKER_SYNCS).where(columns.user_id == user_id).order_by(columns.broker)
    syncs = [_sync_of(row) for row in await connection.execute(query)]
    holdings = await _read(connection, HOLDINGS, user_id) if syncs and with_holdings else ()
    positions = await _read(connection, POSITIONS, user_id) if syncs and with_positions else ()
    return [
        SyncedRows(
            sync=sync,
            holdings=tuple(_value_of(BrokerHolding, row) for row in holdings if row["broker"] == sync.broker.value),
            positions=tuple(
                _value_of(BrokerPosition, row, type=PositionType(row["type"]))
                for row in positions
                if row["broker"] == sync.broker.value
            ),
        )
        for sync in syncs
    ]


async def _read(connection: AsyncConnection, table: Table, user_id: str) -> Iterable[Any]:
    query = select(table).where(table.c.user_id == user_id).order_by(table.c.broker, table.c.ordinal)
    return (await connection.execute(query)).mappings().all()


def _sync_of(row: Row[Any]) -> Sync:
    return Sync(
        id=row.sync_id,
        user_id=row.user_id,
        broker=Broker(row.broker),
        started_at=row.started_at,
        synced_at=row.synced_at,
        is_simulated=row.is_simulated,
    )


def _columns_of(row: BrokerRow) -> dict[str, object]:
    return {each.name: _column(getattr(row, each.name)) for each in fields(row)}


def _column(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    return value.value if isinstance(value, StrEnum) else value


def _value_of(kind: type[StoredRow], row: Any, **others: object) -> StoredRow:
    amounts = _AMOUNTS_OF[kind]
    values: dict[str, Any] = {
        each.name: Decimal(row[each.name]) if each.name in amounts and row[each.name] is not None else row[each.name]
        for each in fields(kind)
    }
    return kind(**{**values, **others})
