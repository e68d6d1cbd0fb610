"""Reads what the oracle judges: the stream of ticks, message by message, and alerts' tables, in plain SQL."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from sqlalchemy import Row, bindparam, text

from bourse.market.v1 import ticks_pb2
from chassis.database import Database, UtcDateTime
from harness.alert_oracle import ArmedAlert, Batch, FireRow, Interval, Place, Records

READ_SECONDS = 10.0
STANDS_STILL_SECONDS = 0.2
MOMENTS = dict.fromkeys(("created_at", "fired_at", "from_at", "to_at", "resume_at"), UtcDateTime)


class Tables:
    """Alerts' database, as somebody sees it who has only its description."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, query: str, **parameters: object) -> Sequence[Row[Any]]:
        moments = {name: kind for name, kind in MOMENTS.items() if name in query}
        async with self._database.reading() as connection:
            statement = text(query).bindparams(**parameters).columns(**moments)
            return (await connection.execute(statement)).all()

    async def insert(self, table: str, rows: Sequence[dict[str, object]]) -> None:
        columns = ", ".join(rows[0])
        values = ", ".join(f":{column}" for column in rows[0])
        moments = [name for name in rows[0] if name.endswith("_at")]
        statement = text(f"INSERT INTO {table} ({columns}) VALUES ({values})")
        async with self._database.transaction() as connection:
            await connection.execute(
                statement.bindparams(*(bindparam(name, type_=UtcDateTime) for name in moments)), rows
            )

    async def count(self, which: str) -> int:
        """Count rows: of a table, or of those `WHERE` something holds."""
        (row,) = await self.rows(f"SELECT count(*) AS n FROM {which}")
        return int(row.n)

    async def ordinals(self) -> dict[datetime, int]:
        return {row.created_at: row.ordinal for row in await self.rows("SELECT created_at, ordinal FROM tick_streams")}

    async def evaluated_at(self) -> datetime:
        """Return the earliest time up to which everything is recorded as evaluated."""
        rows = await self.rows("SELECT resume_at FROM checkpoints")
        return min((row.resume_at for row in rows), default=datetime.min.replace(tzinfo=UTC))

    async def records(self) -> Records:
        alerts = await self.rows(
            "SELECT id, generation, type, instrument, price, armed_stream, armed_sequence, state FROM alerts"
        )
        fires = await self.rows(
            "SELECT alert_id, generation, type, instrument, price, fired_at, fired_price, publisher_id, epoch, shard,"
            " sequence, stream, stream_sequence FROM fires"
        )
        intervals = await self.rows("SELECT reason, from_at, to_at, shard, publisher_id FROM not_evaluated")
        return Records(
            alerts=[_alert_of(row) for row in alerts],
            fires=[_fire_of(row) for row in fires],
            intervals=[Interval(*tuple(row)) for row in intervals],
        )


def _alert_of(row: Row[Any]) -> ArmedAlert:
    armed = None if row.armed_stream is None else Place(row.armed_stream, row.armed_sequence)
    has_fired = row.state == "fired"
    return ArmedAlert(row.id, row.generation, row.type, row.instrument, Decimal(row.price), armed, has_fired)


def _fire_of(row: Row[Any]) -> FireRow:
    return FireRow(
        alert_id=row.alert_id,
        generation=row.generation,
        type=row.type,
        instrument=row.instrument,
        price=Decimal(row.price),
        fired_at=row.fired_at,
        fired_price=Decimal(repr(row.fired_price)),
        batch=(row.publisher_id, row.epoch, row.shard, row.sequence),
        place=Place(row.stream, row.stream_sequence),
    )


async def read_stream(client: Client) -> tuple[datetime, list[tuple[int, Batch]]]:
    """Return when the stream of ticks that is there now was created, and all it holds.

    Nobody publishes meanwhile. What the server was given before may still be on its way into the stream: it is read
    until the stream has stood still for a moment.
    """
    jetstream = client.jetstream(timeout=5)
    created_at, last = await _standing(jetstream)
    held: list[tuple[int, Batch]] = []
    if last:
        subscription = await jetstream.subscribe("ticks.*", ordered_consumer=True)
        while not held or held[-1][0] < last:
            message = await subscription.next_msg(timeout=READ_SECONDS)
            held.append((message.metadata.sequence.stream, batch_of(message.data)))
        await subscription.unsubscribe()
    return created_at, held


async def _standing(jetstream: JetStreamContext) -> tuple[datetime, int]:
    """Return when the stream was created and its last sequence, once that has not changed for a moment."""
    last = -1
    while True:
        stream = await jetstream.stream_info("TICKS")
        assert stream.created is not None
        assert not stream.state.messages or stream.state.first_seq == 1, "the stream was trimmed"
        if stream.state.last_seq == last:
            return stream.created, last
        last = stream.state.last_seq
        await asyncio.sleep(STANDS_STILL_SECONDS)


def batch_of(payload: bytes) -> Batch:
    """Read a batch."""
    message = ticks_pb2.TickBatch.FromString(payload)
    return Batch(
        publisher_id=message.publisher_id,
        epoch=message.epoch,
        shard=message.shard,
        sequence=message.sequence,
        at=message.base_time.ToDatetime(tzinfo=UTC),
        ticks=tuple((tick.instrument, Decimal(repr(tick.last_price))) for tick in message.ticks),
    )
