"""Fires in the database: one transaction turns reached alerts into fired ones, receipts and events."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.alerts import Alert
from alerts.domain.targets import format_target
from alerts.domain.watch import Candidate, is_reached
from alerts.storage.alerts import alert_of
from alerts.storage.tables import ALERTS, ARMED, FIRED, FIRES, OUTBOX
from chassis.database import Database
from chassis.outbox import OutboxEvent, enqueue

FireEvent = Callable[[Alert, Candidate, datetime], OutboxEvent]

_FIRE = (
    update(ALERTS)
    .where(
        ALERTS.c.id == bindparam("reached_id"),
        ALERTS.c.generation == bindparam("reached_generation"),
        ALERTS.c.state == ARMED,
    )
    .values(
        state=FIRED,
        fired_at=bindparam("reached_at"),
        fired_price=bindparam("reached_price"),
        fired_source=bindparam("reached_source"),
        fired_freshness=bindparam("reached_freshness"),
    )
)


class Fires:
    """Commits fires to a database."""

    def __init__(self, database: Database, event_of: FireEvent) -> None:
        """Commit to `database`, with the event that `event_of` makes of each fire in the same transaction."""
        self._database = database
        self._event_of = event_of

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        """Fire those of the candidates that are still armed, with their events, all in one transaction.

        Returns:
            The alerts that fired, in the order of the candidates.

        Raises:
            DatabaseUnavailable: all of them fired or none; trying again finds out.
        """
        async with self._database.transaction() as connection:
            fired = await _still_armed(connection, candidates)
            if fired:
                await connection.execute(_FIRE, [_parameters_of(candidate) for _, candidate in fired])
                receipts = [_receipt_of(alert, candidate, committed_at) for alert, candidate in fired]
                await connection.execute(insert(FIRES), receipts)
                events = [self._event_of(alert, candidate, committed_at) for alert, candidate in fired]
                await enqueue(connection, OUTBOX, events)
        return [alert for alert, _ in fired]


async def _still_armed(
    connection: AsyncConnection, candidates: Sequence[Candidate]
) -> Sequence[tuple[Alert, Candidate]]:
    """Lock the candidates' rows, always in one order, and pair those that still wait with what first reached them."""
    ids = {candidate.alert_id for candidate in candidates}
    query = select(ALERTS).where(ALERTS.c.id.in_(ids), ALERTS.c.state == ARMED)
    rows = await connection.execute(query.order_by(ALERTS.c.id).with_for_update())
    armed = {(row.id, row.generation): alert_of(row) for row in rows}
    fired = []
    for candidate in candidates:
        key = candidate.alert_id, candidate.generation
        if key in armed and is_reached(armed[key], candidate):
            fired.append((replace(armed.pop(key), fired=candidate.price), candidate))
    return fired


def _parameters_of(candidate: Candidate) -> dict[str, object]:
    return {
        "reached_id": candidate.alert_id,
        "reached_generation": candidate.generation,
        "reached_at": candidate.price.at,
        "reached_price": candidate.price.price,
        "reached_source": candidate.price.source,
        "reached_freshness": candidate.price.freshness.value,
    }


def _receipt_of(alert: Alert, candidate: Candidate, committed_at: datetime) -> dict[str, object]:
    return {
        "alert_id": alert.id,
        "generation": alert.generation,
        "user_id": alert.user_id,
        "type": alert.type.value,
        "instrument": alert.instrument,
        "symbol": alert.symbol,
        "price": format_target(alert.price),
        "fired_at": candidate.price.at,
        "fired_price": candidate.price.price,
        "source": candidate.price.source,
        "freshness": candidate.price.freshness.value,
        "publisher_id": candidate.publisher_id,
        "epoch": candidate.epoch,
        "shard": candidate.shard,
        "sequence": candidate.sequence,
        "stream": candidate.position.stream,
        "stream_sequence": candidate.position.sequence,
        "committed_at": committed_at,
    }
