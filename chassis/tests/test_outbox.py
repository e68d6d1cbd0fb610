import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from sqlalchemy import MetaData

from chassis.bus import EVENTS, Bus
from chassis.database import Database
from chassis.errors import BusUnavailable
from chassis.outbox import OutboxEvent, OutboxRelay, enqueue, outbox_table
from chassis.testing import NatsServer, free_port

METADATA = MetaData()
OUTBOX = outbox_table(METADATA)


def fired(number: int) -> OutboxEvent:
    return OutboxEvent("events.test.fired", f"{number}:1", str(number).encode(), datetime.now(UTC))


async def test_what_was_committed_is_published_in_order_and_once(database_url: str, nats: NatsServer) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(message: Msg) -> None:
        received.put_nowait(message.data)

    bus = Bus(nats.url, name="test", streams=(EVENTS,))
    await bus.subscribe("events.>", keep)
    bus.start()
    async with Database.open(database_url) as database, asyncio.timeout(20):
        async with database.transaction() as connection:
            await connection.run_sync(METADATA.create_all)
        relay = OutboxRelay(database, OUTBOX, bus)
        async with database.transaction() as connection:
            await enqueue(connection, OUTBOX, [fired(number) for number in range(300)])
        assert await relay.depth() == 300
        await bus.wait_until_ready()
        async with relay.running():
            first = [await received.get() for _ in range(300)]
            async with database.transaction() as connection:
                await enqueue(connection, OUTBOX, [fired(300)])
            relay.notify()
            assert await received.get() == b"300"
            while await relay.depth():
                await asyncio.sleep(0.01)
        assert first == [str(number).encode() for number in range(300)]
        assert (await bus.stream_position("EVENTS")).last_sequence == 301
    await bus.close()


async def test_what_cannot_be_published_waits(tmp_path: Path) -> None:
    bus = Bus(f"nats://127.0.0.1:{free_port()}", name="test")
    async with Database.open(f"sqlite+aiosqlite:///{tmp_path / 'outbox.sqlite3'}") as database:
        async with database.transaction() as connection:
            await connection.run_sync(METADATA.create_all)
            await enqueue(connection, OUTBOX, [fired(1)])
        relay = OutboxRelay(database, OUTBOX, bus)
        with pytest.raises(BusUnavailable):
            await relay.publish_waiting()
        async with relay.running():
            await asyncio.sleep(0.1)
        assert await relay.depth() == 1
