"""Alerts in the database."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from alerts.domain.alerts import Alert, AlertChanged, AlertType, FiringPrice, Freshness
from alerts.domain.continuity import NotEvaluated, Reason
from alerts.domain.positions import Position
from alerts.domain.targets import format_target
from alerts.storage.progress import missing_row
from alerts.storage.tables import ALERTS, ARMED, FIRED, NOT_EVALUATED
from chassis.database import Database

ALERTS_PER_PORTION = 10_000
WAITING_PER_PORTION = 1_000


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

    async def save(self, alert: Alert, *, replaces: Alert | None) -> None:
        """Save a new alert, or the next generation of one.

        Raises:
            AlertChanged: nothing was saved, because somebody else has saved this alert meanwhile.
            DatabaseUnavailable: it may or may not be saved.
        """
        try:
            async with self._database.transaction() as connection:
                if replaces is None:
                    await connection.execute(insert(ALERTS).values(_row_of(alert)))
                    return
                is_the_replaced = (ALERTS.c.id == replaces.id) & (ALERTS.c.generation == replaces.generation)
                saved = await connection.execute(update(ALERTS).where(is_the_replaced).values(_row_of(alert)))
                if saved.rowcount != 1:
                    raise AlertChanged
        except IntegrityError as error:
            raise AlertChanged from error

    async def armed(self) -> AsyncIterator[Sequence[Alert]]:
        """Yield all armed alerts that have a position, in portions, those of an instrument together, oldest first."""
        columns = ALERTS.c
        query = select(ALERTS).where(columns.state == ARMED, columns.armed_stream.is_not(None))
        async with self._database.reading() as connection:
            rows = await connection.stream(query.order_by(columns.instrument, columns.id))
            async for portion in rows.partitions(ALERTS_PER_PORTION):
                yield [alert_of(row) for row in portion]

    async def arm_waiting(
        self, position: Position, *, at: datetime, watch: Callable[[Sequence[Alert]], None]
    ) -> Sequence[Alert]:
        """Arm a portion of the alerts without a position, record that they were not evaluated, and return them.

        Args:
            position: where to arm them.
            at: the time at which they are armed.
            watch: takes them before they are committed.

        Raises:
            DatabaseUnavailable: they may or may not be armed.
        """
        async with self._database.transaction() as connection:
            rows = await connection.execute(_waiting())
            waiting = [alert_of(row) for row in rows]
            if not waiting:
                return []
            armed = {"armed_stream": position.stream, "armed_sequence": position.sequence}
            ids = [alert.id for alert in waiting]
            await connection.execute(update(ALERTS).where(ALERTS.c.id.in_(ids)).values(armed))
            set_at = min(alert.updated_at or alert.created_at for alert in waiting)
            missing = NotEvaluated(Reason.NOT_ARMED, set_at, at)
            await connection.execute(insert(NOT_EVALUATED).values(missing_row(missing)))
            newly_armed = [replace(alert, armed=position) for alert in waiting]
            watch(newly_armed)
        return newly_armed


def _waiting() -> Select[Any]:
    columns = ALERTS.c
    query = select(ALERTS).where(columns.state == ARMED, columns.armed_stream.is_(None))
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
    )


def _row_of(alert: Alert) -> dict[str, object]:
    return {
        "id": alert.id,
        "user_id": alert.user_id,
        "type": alert.type.value,
        "instrument": alert.instrument,
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
    }
