"""Alerts in the database."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, delete, exists, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.alerts import Alert, AlertChanged, AlertType, FiringPrice, Freshness
from alerts.domain.checkpoint import Mark
from alerts.domain.continuity import CLOCKS_APART, NotEvaluated, Reason
from alerts.domain.leases import Lease, LeaseLost
from alerts.domain.positions import Position
from alerts.domain.targets import format_target
from alerts.domain.ticks import shard_of
from alerts.storage.accounts import end_account, require_account
from alerts.storage.leases import held_of
from alerts.storage.progress import count_missing, missing_row
from alerts.storage.tables import ALERTS, ARMED, DELETED_ALERTS, DELIVERIES, EXPIRED, FIRED, FIRES, NOT_EVALUATED
from chassis.database import Database
from chassis.metrics import counter

_ENDED = counter("bourse_alerts_expired", "Alerts that ended because their expiry had passed.", ["found_by"])
ENDED_BY_SWEEP, ENDED_BY_TICK = _ENDED.labels("sweep"), _ENDED.labels("tick")

ALERTS_PER_PORTION = 10_000
WAITING_PER_PORTION = 1_000
TAKEN_UP_PER_PORTION = 10_000
IDS_PER_STATEMENT = 1_000

# Written out, so that PostgreSQL recognises the conditions of the partial indexes in prepared statements, too.
IS_ARMED = text("state = 'armed'")
IS_WAITING = text("state = 'armed' AND is_waiting")

EXPIRE = (
    update(ALERTS)
    .where(
        ALERTS.c.id == bindparam("ended_id"),
        ALERTS.c.generation == bindparam("ended_generation"),
        ALERTS.c.state == ARMED,
    )
    .values(state=EXPIRED)
)


class Alerts:
    """Keeps alerts in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: str, alert_type: AlertType, instrument: str) -> Alert | None:
        """Return the one alert of a user, type and instrument; None when there is none."""
        columns = ALERTS.c
        query = select(ALERTS).where(
            columns.user_id == user_id, columns.type == alert_type.value, columns.instrument == instrument
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else alert_of(row)

    async def find_written(self, user_id: str, alert_type: AlertType, symbol: str) -> Alert | None:
        """Return a user's alert of a type whose owner wrote the symbol, or whose instrument is called, like this."""
        columns = ALERTS.c
        is_meant = or_(columns.symbol == symbol, columns.instrument == symbol)
        query = select(ALERTS).where(columns.user_id == user_id, columns.type == alert_type.value, is_meant)
        async with self._database.reading() as connection:
            row = (await connection.execute(query.order_by(columns.id).limit(1))).one_or_none()
        return None if row is None else alert_of(row)

    async def count(self, user_id: str) -> int:
        """Count a user's alerts, fired ones too."""
        query = select(func.count()).select_from(ALERTS).where(ALERTS.c.user_id == user_id)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def list_of(self, user_id: str) -> Sequence[Alert]:
        """Return a user's alerts, fired ones too, oldest first."""
        query = select(ALERTS).where(ALERTS.c.user_id == user_id).order_by(ALERTS.c.created_at, ALERTS.c.id)
        async with self._database.reading() as connection:
            return [alert_of(row) for row in await connection.execute(query)]

    async def save(self, alert: Alert, *, replaces: Alert | None, lease: Lease | None) -> None:
        """Save a new alert, or the next generation of one.

        Args:
            alert: the alert.
            replaces: the generation it was made from; None for a new one.
            lease: under which it is watched for; None when whoever holds its shard is still to take it up.

        Raises:
            AlertChanged: nothing was saved, because somebody else has saved this alert meanwhile.
            LeaseLost: nothing was saved, because it is not watched for any more.
            AccountDeleted: nothing was saved, because its owner's account ended, not before it was set.
            DatabaseUnavailable: it may or may not be saved.
        """
        row = {**_row_of(alert), "is_waiting": lease is None}
        try:
            async with self._database.transaction() as connection:
                await require_account(connection, alert.user_id, at=alert.set_at)
                if lease is not None and not await held_of(connection, [lease]):
                    raise LeaseLost
                if replaces is None:
                    await _insert(connection, row)
                    return
                is_the_replaced = (ALERTS.c.id == replaces.id) & (ALERTS.c.generation == replaces.generation)
                saved = await connection.execute(update(ALERTS).where(is_the_replaced).values(row))
                if saved.rowcount != 1:
                    raise AlertChanged
        except IntegrityError as error:
            raise AlertChanged from error

    async def delete(self, alert_id: int) -> Alert | None:
        """Delete an alert and return it as it was in the end; None when it was gone. Its fires stay.

        Raises:
            DatabaseUnavailable: it may or may not be deleted.
        """
        async with self._database.transaction() as connection:
            deleted = await _delete(connection, ALERTS.c.id == alert_id)
        return deleted[0] if deleted else None

    async def delete_of(self, user_id: str, alert_type: AlertType | None) -> Sequence[Alert]:
        """Delete a user's alerts, of one type or all, and return them as they were in the end. Their fires stay.

        Raises:
            DatabaseUnavailable: all may be deleted, or none.
        """
        which = ALERTS.c.user_id == user_id
        if alert_type is not None:
            which &= ALERTS.c.type == alert_type.value
        async with self._database.transaction() as connection:
            return await _delete(connection, which)

    async def delete_user(self, user_id: str, *, through: datetime) -> Sequence[Alert]:
        """Delete what a user set up to a moment and what came of it, refuse what is set late, return the alerts.

        What was set later, by somebody who came back under the same id, stays, and so do its fires.

        Raises:
            DatabaseUnavailable: all may be deleted, or nothing.
        """
        is_of_before = func.coalesce(ALERTS.c.updated_at, ALERTS.c.created_at) <= through
        async with self._database.transaction() as connection:
            await end_account(connection, user_id, through=through)
            # The alerts first: behind their rows' locks no fire of theirs can be under way any more.
            deleted = await _delete(connection, (ALERTS.c.user_id == user_id) & is_of_before)
            await _delete_fires(connection, user_id, through, [alert.id for alert in deleted])
        return deleted

    async def overdue(self, moment: datetime, *, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        """Yield the armed alerts of some shards whose expiry is earlier than a moment, in portions.

        Those that are still to be taken up are left out.
        """
        is_theirs = ALERTS.c.shard.in_(shards) & ~ALERTS.c.is_waiting
        query = select(ALERTS).where(IS_ARMED, ALERTS.c.expires_at < moment, is_theirs)
        async with self._database.reading() as connection:
            rows = await connection.stream(query.order_by(ALERTS.c.expires_at))
            async for portion in rows.partitions(ALERTS_PER_PORTION):
                yield [alert_of(row) for row in portion]

    async def expire(self, alerts: Sequence[tuple[Lease, Alert]]) -> None:
        """End those of the alerts that are still armed as they were read, and whose lease is still held.

        Raises:
            DatabaseUnavailable: all may have ended, or none; ending them again does no harm.
        """
        in_order = sorted(alerts, key=lambda each: each[1].id)
        async with self._database.transaction() as connection:
            held = await held_of(connection, (lease for lease, _ in in_order))
            ended = [
                {"ended_id": alert.id, "ended_generation": alert.generation}
                for lease, alert in in_order
                if lease in held
            ]
            if ended:
                await connection.execute(EXPIRE, ended)
        ENDED_BY_SWEEP.inc(len(ended))

    async def armed(self, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        """Yield all armed alerts of some shards, in portions, those of an instrument together, oldest first.

        Those that are still to be taken up are left out.
        """
        columns = ALERTS.c
        query = select(ALERTS).where(IS_ARMED, ~columns.is_waiting, columns.shard.in_(shards))
        async with self._database.reading() as connection:
            rows = await connection.stream(query.order_by(columns.instrument, columns.id))
            async for portion in rows.partitions(ALERTS_PER_PORTION):
                yield [alert_of(row) for row in portion]

    async def waiting(self, shards: Sequence[int]) -> Sequence[Alert]:
        """Return a portion of the alerts of some shards that are still to be taken up, oldest first.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        query = select(ALERTS).where(IS_WAITING, ALERTS.c.shard.in_(shards)).order_by(ALERTS.c.id)
        async with self._database.reading() as connection:
            return [alert_of(row) for row in await connection.execute(query.limit(TAKEN_UP_PER_PORTION))]

    async def arm_waiting(
        self, lease: Lease, mark: Mark, *, at: datetime, watch: Callable[[Sequence[Alert]], None]
    ) -> Sequence[Alert]:
        """Arm a portion of a shard's alerts without a position, record that they were not evaluated, and return them.

        Nothing happens when the lease is lost.

        Args:
            lease: on the shard.
            mark: where to arm them, and the time of the last tick evaluated.
            at: the time at which they are armed.
            watch: takes them before they are committed.

        Raises:
            DatabaseUnavailable: they may or may not be armed.
        """
        async with self._database.transaction() as connection:
            held = await held_of(connection, [lease])
            rows = await connection.execute(_without_position(lease.shard)) if held else ()
            waiting = [alert_of(row) for row in rows]
            if not waiting:
                return []
            position = mark.position
            armed = {"armed_stream": position.stream, "armed_sequence": position.sequence, "armed_at": mark.at}
            ids = [alert.id for alert in waiting]
            await connection.execute(update(ALERTS).where(ALERTS.c.id.in_(ids)).values({**armed, "is_waiting": False}))
            since = min(alert.set_at for alert in waiting) - CLOCKS_APART
            missing = NotEvaluated(Reason.NOT_ARMED, since, at, lease.shard)
            await connection.execute(insert(NOT_EVALUATED).values(missing_row(missing)))
            newly_armed = [replace(alert, armed=position, armed_at=mark.at) for alert in waiting]
            watch(newly_armed)
        count_missing(missing.reason)
        return newly_armed


async def _insert(connection: AsyncConnection, row: dict[str, object]) -> None:
    was_deleted = select(DELETED_ALERTS.c.id).where(DELETED_ALERTS.c.id == row["id"])
    if (await connection.execute(was_deleted)).one_or_none() is not None:
        raise AlertChanged
    await connection.execute(insert(ALERTS).values(row))


async def _delete(connection: AsyncConnection, which: ColumnElement[bool]) -> Sequence[Alert]:
    """Lock rows, in the one order in which fires lock them, too; delete them, and keep their ids from coming again."""
    await connection.execute(select(ALERTS.c.id).where(which).order_by(ALERTS.c.id).with_for_update())
    rows = await connection.execute(delete(ALERTS).where(which).returning(ALERTS))
    deleted = [alert_of(row) for row in rows]
    if deleted:
        await connection.execute(insert(DELETED_ALERTS), [{"id": alert.id} for alert in deleted])
    return deleted


async def _delete_fires(connection: AsyncConnection, user_id: str, through: datetime, alert_ids: Sequence[int]) -> None:
    """Delete the fires committed up to a moment, those of some alerts whenever they were, and how they were told."""
    is_theirs = FIRES.c.user_id == user_id
    # The receipt first: behind its lock nobody begins to tell of it any more.
    await connection.execute(delete(FIRES).where(is_theirs, FIRES.c.committed_at <= through))
    for first in range(0, len(alert_ids), IDS_PER_STATEMENT):
        ids = alert_ids[first : first + IDS_PER_STATEMENT]
        await connection.execute(delete(FIRES).where(is_theirs, FIRES.c.alert_id.in_(ids)))
    is_of_fire = (FIRES.c.alert_id == DELIVERIES.c.alert_id) & (FIRES.c.generation == DELIVERIES.c.generation)
    has_no_fire = ~exists().where(is_of_fire)
    await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.user_id == user_id, has_no_fire))


def _without_position(shard: int) -> Select[Any]:
    columns = ALERTS.c
    query = select(ALERTS).where(IS_WAITING, columns.shard == shard, columns.armed_stream.is_(None))
    return query.order_by(columns.id).limit(WAITING_PER_PORTION).with_for_update()


def alert_of(row: Row[Any]) -> Alert:
    """Return the alert that a row of the table holds."""
    fired = None
    if row.state == FIRED:
        fired = FiringPrice(row.fired_at, row.fired_price, row.fired_source, Freshness(row.fired_freshness))
    armed = None if row.armed_stream is None else Position(row.armed_stream, row.armed_sequence)
    return Alert(
        id=row.id,
        user_id=row.user_id,
        type=AlertType(row.type),
        instrument=row.instrument,
        symbol=row.symbol,
        price=Decimal(row.price),
        generation=row.generation,
        created_at=row.created_at,
        updated_at=row.updated_at,
        armed=armed,
        fired=fired,
        armed_at=row.armed_at,
        note=row.note,
        expires_at=row.expires_at,
        has_expired=row.state == EXPIRED,
    )


def _row_of(alert: Alert) -> dict[str, object]:
    return {
        "id": alert.id,
        "user_id": alert.user_id,
        "type": alert.type.value,
        "instrument": alert.instrument,
        "shard": shard_of(alert.instrument),
        "symbol": alert.symbol,
        "price": format_target(alert.price),
        "generation": alert.generation,
        "state": ARMED,
        "created_at": alert.created_at,
        "updated_at": alert.updated_at,
        "armed_stream": alert.armed.stream if alert.armed else None,
        "armed_sequence": alert.armed.sequence if alert.armed else None,
        "fired_at": None,
        "fired_price": None,
        "fired_source": None,
        "fired_freshness": None,
        "armed_at": alert.armed_at,
        "note": alert.note,
        "expires_at": alert.expires_at,
    }
