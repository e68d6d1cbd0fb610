"""The transactional outbox: an event is written with the change it tells of and published afterwards, at least once.

JetStream folds the repeats of a message id, so that what consumers see is stored once within its duplicate window.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.bus import Bus
from chassis.database import Database
from chassis.errors import BusUnavailable, DatabaseUnavailable
from chassis.metrics import reading
from chassis.tasks import running
from chassis.tracing import parent_here

log = logging.getLogger(__name__)

BATCH_SIZE = 256
IDLE_POLL_SECONDS = 1.0
RETRY_SECONDS = 0.5
COUNT_EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """Something that must be told: its subject, a stable message id and the serialised message.

    Attributes:
        trace_parent: the span that it comes from; None when that is not recorded.
    """

    subject: str
    message_id: str
    payload: bytes
    created_at: datetime
    trace_parent: str | None = None


def outbox_table(metadata: MetaData) -> Table:
    """Declare the outbox in a service's own schema; its migration creates the same columns."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("subject", String(200), nullable=False),
        Column("message_id", String(200), nullable=False, unique=True),
        Column("payload", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("trace_parent", String(64)),
        sqlite_autoincrement=True,
    )


async def enqueue(connection: AsyncConnection, table: Table, events: Sequence[OutboxEvent]) -> None:
    """Write events in the caller's transaction; those that come from no other span come from the current one."""
    parent = parent_here()
    rows = [
        {
            "subject": event.subject,
            "message_id": event.message_id,
            "payload": event.payload,
            "created_at": event.created_at,
            "trace_parent": event.trace_parent or parent,
        }
        for event in events
    ]
    if rows:
        await connection.execute(insert(table), rows)


class OutboxRelay:
    """Publishes what lies in the outbox, oldest first, and deletes what JetStream has acknowledged."""

    def __init__(self, database: Database, table: Table, bus: Bus) -> None:
        self._database = database
        self._table = table
        self._bus = bus
        self._wake = asyncio.Event()
        self._depth = 0

    def notify(self) -> None:
        """Say that something was committed, so that it is published now and not at the next look."""
        self._wake.set()

    async def depth(self) -> int:
        """Count the events that wait."""
        async with self._database.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(self._table))).scalar_one())

    @asynccontextmanager
    async def running(self) -> AsyncIterator["OutboxRelay"]:
        """Relay in the background until the block is left; what waits then is published after the next start."""
        with reading("bourse_outbox_depth", "Events that wait to be published.", lambda: float(self._depth)):
            async with running(self._run(), self._count()):
                yield self

    async def _count(self) -> None:
        """Keep the depth known, without asking the database whenever somebody looks at the metrics."""
        while True:
            with suppress(DatabaseUnavailable):
                self._depth = await self.depth()
            await asyncio.sleep(COUNT_EVERY_SECONDS)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                published = await self.publish_waiting()
            except (BusUnavailable, DatabaseUnavailable) as error:
                log.debug("outbox waits", extra={"reason": error.reason})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                log.exception("outbox failed")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if published < BATCH_SIZE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_POLL_SECONDS):
                        await self._wake.wait()

    async def _publish(self, row: Any) -> None:
        await self._bus.publish_event(
            row.subject, row.payload, message_id=row.message_id, trace_parent=row.trace_parent
        )

    async def publish_waiting(self) -> int:
        """Publish up to one batch and return how many were acknowledged and deleted.

        Raises:
            BusUnavailable: one was not acknowledged; those before it are still deleted on the next round.
            DatabaseUnavailable: the outbox could not be read or cleared; repeats are folded by their message id.
        """
        table = self._table
        async with self._database.reading() as connection:
            query = select(table.c.id, table.c.subject, table.c.message_id, table.c.payload, table.c.trace_parent)
            rows = (await connection.execute(query.order_by(table.c.id).limit(BATCH_SIZE))).all()
        if not rows:
            return 0
        results = await asyncio.gather(*(self._publish(row) for row in rows), return_exceptions=True)
        acknowledged = [row.id for row, result in zip(rows, results, strict=True) if result is None]
        if acknowledged:
            async with self._database.transaction() as connection:
                await connection.execute(delete(table).where(table.c.id.in_(acknowledged)))
        for result in results:
            if result is not None:
                raise result
        return len(acknowledged)
