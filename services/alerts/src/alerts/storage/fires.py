"""Fires in the database: one transaction turns reached alerts into fired ones, receipts and events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.alerts import Alert, AlertType, Freshness
from alerts.domain.fires import Fire, FireCursor
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick
from alerts.domain.targets import format_target
from alerts.domain.watch import Candidate, is_ended, is_reached, proof_of
from alerts.storage.alerts import ENDED_BY_TICK, EXPIRE, alert_of
from alerts.storage.leases import held_of
from alerts.storage.tables import ALERTS, ARMED, FIRED, FIRES, OUTBOX
from chassis.database import Database
from chassis.metrics import counter, histogram
from chassis.outbox import OutboxEvent, enqueue
from chassis.tracing import SpanKind, parent_here, span

_FIRED = counter("bourse_alerts_fired", "Fires committed.", ["crossed_during_gap"])
_FIRED_IN_GAP, _FIRED_IN_TIME = _FIRED.labels("yes"), _FIRED.labels("no")
_FIRE_SECONDS = histogram(
    "bourse_alerts_fire_seconds", "From the tick's own time to the fire's commit, where ticks were being evaluated."
)

_SIMULATED_SOURCES = frozenset({"sample", "replay"})

FireEvent = Callable[[Alert, Candidate, datetime], OutboxEvent]

# The receipts are written first, and say what the alerts they are of are to say of their fire.
_FIRE = (
    update(ALERTS)
    .where(
        ALERTS.c.id == FIRES.c.alert_id,
        ALERTS.c.generation == FIRES.c.generation,
        ALERTS.c.id.in_(bindparam("reached_ids", expanding=True)),
        ALERTS.c.state == ARMED,
    )
    .values(
        state=FIRED,
        fired_at=FIRES.c.fired_at,
        fired_price=FIRES.c.fired_price,
        fired_source=FIRES.c.source,
        fired_freshness=FIRES.c.freshness,
    )
)


@dataclass(slots=True)
class _Decision:
    """What becomes of candidates: alerts that fire, and ids and generations of those found expired."""

    fired: list[tuple[Alert, Candidate]] = field(default_factory=list)
    ended: set[tuple[int, int]] = field(default_factory=set)


class Fires:
    """Commits fires to a database, and lists them."""

    def __init__(self, database: Database, event_of: FireEvent) -> None:
        """Commit to `database`, with the event that `event_of` makes of each fire in the same transaction."""
        self._database = database
        self._event_of = event_of

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        """Fire those of the candidates that are still armed, with their events, all in one transaction.

        What was reached under a lease that is lost does not fire: the next holder finds it, too. An alert that a tick
        later than its expiry has reached ends in the same transaction.

        Returns:
            The alerts that fired, in the order of the candidates.

        Raises:
            DatabaseUnavailable: all of them fired or none; trying again finds out.
        """
        began_at = perf_counter()
        async with self._database.transaction() as connection:
            held = await held_of(connection, (candidate.lease for candidate in candidates))
            decision = await _decide(connection, [each for each in candidates if each.lease in held])
            fired = decision.fired
            if decision.ended:
                ended = sorted(decision.ended)
                await connection.execute(EXPIRE, [{"ended_id": each, "ended_generation": gen} for each, gen in ended])
            if fired:
                receipts = [_receipt_of(alert, candidate, committed_at) for alert, candidate in fired]
                await connection.execute(insert(FIRES), receipts)
                await connection.execute(_FIRE, {"reached_ids": [alert.id for alert, _ in fired]})
                events = [self._told(alert, candidate, committed_at) for alert, candidate in fired]
                await enqueue(connection, OUTBOX, events)
        ENDED_BY_TICK.inc(len(decision.ended))
        _count_fires(fired, committed_at + timedelta(seconds=perf_counter() - began_at))
        return [alert for alert, _ in fired]

    def _told(self, alert: Alert, candidate: Candidate, committed_at: datetime) -> OutboxEvent:
        """Return the event of a fire, in the trace that its tick came in."""
        event = self._event_of(alert, candidate, committed_at)
        if candidate.trace_parent is None:
            return event
        with span("alert fire", SpanKind.INTERNAL, parent=candidate.trace_parent):
            return replace(event, trace_parent=parent_here())

    async def list_of(self, user_id: str, *, limit: int, after: FireCursor | None) -> Sequence[Fire]:
        """Return a user's fires, newest first, those behind a place in that order.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        columns = FIRES.c
        query = select(FIRES).where(columns.user_id == user_id)
        if after is not None:
            query = query.where(_is_behind(after))
        newest_first = columns.committed_at.desc(), columns.alert_id.desc(), columns.generation.desc()
        async with self._database.reading() as connection:
            return [fire_of(row) for row in await connection.execute(query.order_by(*newest_first).limit(limit))]

    async def find(self, alert_id: int, generation: int) -> Fire | None:
        """Return what an arming of an alert fired; None when nothing.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        query = select(FIRES).where(FIRES.c.alert_id == alert_id, FIRES.c.generation == generation)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else fire_of(row)


def _is_behind(place: FireCursor) -> ColumnElement[bool]:
    columns = FIRES.c
    is_older_alert = or_(
        columns.alert_id < place.alert_id,
        and_(columns.alert_id == place.alert_id, columns.generation < place.generation),
    )
    return or_(
        columns.committed_at < place.committed_at,
        and_(columns.committed_at == place.committed_at, is_older_alert),
    )


async def _decide(connection: AsyncConnection, candidates: Sequence[Candidate]) -> _Decision:
    """Lock the candidates' rows, always in one order, and pair those that still wait with what first reached them."""
    ids = {candidate.alert_id for candidate in candidates}
    query = select(ALERTS).where(ALERTS.c.id.in_(ids), ALERTS.c.state == ARMED)
    rows = await connection.execute(query.order_by(ALERTS.c.id).with_for_update())
    armed = {(row.id, row.generation): alert_of(row) for row in rows}
    decision = _Decision()
    for candidate in candidates:
        key = candidate.alert_id, candidate.generation
        alert = armed.get(key)
        if alert is None:
            continue
        if is_reached(alert, candidate):
            decision.fired.append((replace(armed.pop(key), fired=candidate.price), candidate))
            decision.ended.discard(key)
        elif is_ended(alert, candidate):
            decision.ended.add(key)
    return decision


def _count_fires(fired: Sequence[tuple[Alert, Candidate]], at: datetime) -> None:
    for _, candidate in fired:
        if candidate.crossed_during_gap:
            _FIRED_IN_GAP.inc()
            continue
        _FIRED_IN_TIME.inc()
        # Whoever made the tick has a clock of its own, which may be ahead.
        _FIRE_SECONDS.observe(max((at - candidate.price.at).total_seconds(), 0.0))


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
        "note": alert.note,
        "crossed_during_gap": candidate.crossed_during_gap,
        **_before_columns(proof_of(alert, candidate)),
    }


def _before_columns(before: EvaluatedTick | None) -> dict[str, object]:
    return {
        "before_price": before and before.price,
        "before_at": before and before.at,
        "before_source": before and before.source,
        "before_publisher_id": before and before.publisher_id,
        "before_epoch": before and before.epoch,
        "before_shard": before and before.shard,
        "before_sequence": before and before.sequence,
        "before_stream": before and before.position.stream,
        "before_stream_sequence": before and before.position.sequence,
        "before_freshness": None if before is None or before.freshness is None else before.freshness.value,
    }


def fire_of(row: Row[Any]) -> Fire:
    """Return the fire that a row of the table holds."""
    tick = EvaluatedTick(
        price=row.fired_price,
        at=row.fired_at,
        source=row.source,
        publisher_id=row.publisher_id,
        epoch=row.epoch,
        shard=row.shard,
        sequence=row.sequence,
        position=Position(row.stream, row.stream_sequence),
        freshness=Freshness(row.freshness),
    )
    return Fire(
        alert_id=row.alert_id,
        generation=row.generation,
        type=AlertType(row.type),
        instrument=row.instrument,
        symbol=row.symbol,
        price=Decimal(row.price),
        tick=tick,
        before=_before_of(row),
        committed_at=row.committed_at,
        crossed_during_gap=row.crossed_during_gap,
        note=row.note,
    )


def _before_of(row: Row[Any]) -> EvaluatedTick | None:
    if row.before_at is None:
        return None
    return EvaluatedTick(
        price=row.before_price,
        at=row.before_at,
        source=row.before_source,
        publisher_id=row.before_publisher_id,
        epoch=row.before_epoch,
        shard=row.before_shard,
        sequence=row.before_sequence,
        position=Position(row.before_stream, row.before_stream_sequence),
        freshness=_freshness_before(row),
    )


def _freshness_before(row: Row[Any]) -> Freshness | None:
    if row.before_freshness is not None:
        return Freshness(row.before_freshness)
    # A release that did not note it wrote the row; what is simulated is marked all the same.
    return Freshness.SIMULATED if row.before_source in _SIMULATED_SOURCES else None
