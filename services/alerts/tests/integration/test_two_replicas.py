"""Two processes share the shards; one is killed, one is stopped and goes on, and every crossing fires once."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import nats as nats_client
import pytest
from nats.aio.client import Client
from sqlalchemy import Row, insert, select

from alerts.domain.ticks import shard_of
from alerts.storage.tables import ALERTS, FIRES, NOT_EVALUATED, REPLICAS, SHARD_LEASES
from alerts.testing import SmallMarket, TickPublisher
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from chassis.database import Database, ensure_schema
from chassis.testing import NatsServer, PostgresServer, free_port, python_module, stop_process

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
INSTRUMENTS = [f"NASDAQ:S{number}" for number in range(48)]
ALERTS_PER_INSTRUMENT = 50
WIDEST_AFTER = 3_000  # batches, behind which prices go no further from 100
TAKEOVER_SECONDS = 10.0
PATIENCE_SECONDS = 30.0

Value = TypeVar("Value")


async def eventually(ask: Callable[[], Awaitable[Value | None]]) -> Value:
    """Ask again and again until the answer is not None."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (value := await ask()) is None:
            await asyncio.sleep(0.05)
    return value


class Replica:
    """Alerts as a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = {**environment, "ALERTS_ADDRESS": self.address}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(python_module("alerts"), env=self._environment)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Exchange:
    """Publishes prices that move further and further from 100, and remembers them by their place in the stream."""

    client: Client
    random: random.Random
    ticks: list[tuple[str, Sequence[float]]] = field(default_factory=list)
    is_open: bool = True

    def __post_init__(self) -> None:
        self._publisher = TickPublisher(self.client, epoch=int(START.timestamp() * 1e6))

    async def run(self) -> None:
        while self.is_open:
            width = 20 * min(len(self.ticks) / WIDEST_AFTER, 1)
            prices = [round(100 + self.random.uniform(-width, width), 2) for _ in range(2)]
            await self.publish(self.random.choice(INSTRUMENTS), *prices)
            await asyncio.sleep(0.003)

    async def publish(self, instrument: str, *prices: float) -> None:
        self.ticks.append((instrument, prices))
        await self._publisher.publish(instrument, *prices, at=START + timedelta(milliseconds=len(self.ticks)))


class Owners:
    """Set alerts all the while, on each replica in turn, each reached by one tick at the moment it is acknowledged."""

    def __init__(self, addresses: Sequence[str], exchange: Exchange, chance: random.Random) -> None:
        self._channels = [grpc.aio.insecure_channel(address) for address in addresses]
        self._stubs: list[Any] = [alerts_pb2_grpc.AlertServiceStub(channel) for channel in self._channels]
        self._exchange = exchange
        self._random = chance
        self.is_over = False
        self.acknowledged: list[alerts_pb2.Alert] = []

    async def run(self) -> None:
        number = 0
        while not self.is_over:
            number += 1
            instrument = self._random.choice(INSTRUMENTS)
            with suppress(grpc.aio.AioRpcError):
                await self.set(number % 2, f"user-{number}", instrument, price="60")
                await self._exchange.publish(instrument, 59.5, 100.0)
            await asyncio.sleep(0.01)

    async def set(self, replica: int, user_id: str, instrument: str, *, price: str) -> alerts_pb2.Alert:
        request = alerts_pb2.SetAlertRequest(
            user_id=user_id, type=alerts_pb2.ALERT_TYPE_BUY, symbol=instrument, price=price
        )
        alert: alerts_pb2.Alert = (await self._stubs[replica].SetAlert(request, timeout=1)).alert
        self.acknowledged.append(alert)
        return alert

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


class World:
    """Two replicas on one database and one stream."""

    def __init__(self, database: Database, replicas: tuple[Replica, Replica], client: Client) -> None:
        self.database = database
        self.replicas = replicas
        self.client = client

    async def rows(self, query: Any) -> Sequence[Row[Any]]:
        async with self.database.reading() as connection:
            return (await connection.execute(query)).all()

    async def shared(self, *counts: int) -> dict[str, int]:
        """Wait until replicas hold so many shards each; return by holder."""

        async def look() -> dict[str, int] | None:
            living = {row.holder for row in await self.rows(select(REPLICAS))}
            held = Counter(row.holder for row in await self.rows(select(SHARD_LEASES)) if row.holder in living)
            return dict(held) if sorted(held.values()) == sorted(counts) else None

        return await eventually(look)

    async def expected(self, ticks: Sequence[tuple[str, Sequence[float]]]) -> dict[int, tuple[int, float]]:
        """Say by looking at every tick for every alert which one fires it, by its place in the stream and its price."""
        by_instrument: dict[str, list[tuple[int, float]]] = {}
        for sequence, (instrument, prices) in enumerate(ticks, start=1):
            by_instrument.setdefault(instrument, []).extend((sequence, price) for price in prices)
        fires = {}
        for row in await self.rows(select(ALERTS)):
            reached = (
                tick
                for tick in by_instrument.get(row.instrument, [])
                if tick[0] > row.armed_sequence
                and (tick[1] <= float(row.price) if row.type == "buy" else tick[1] >= float(row.price))
            )
            first = next(reached, None)
            if first is not None:
                fires[row.id] = first
        return fires

    async def fired(self) -> dict[int, tuple[int, float]]:
        rows = await self.rows(select(FIRES.c.alert_id, FIRES.c.stream_sequence, FIRES.c.fired_price))
        return {row.alert_id: (row.stream_sequence, row.fired_price) for row in rows}

    async def taken_over(self, exchange: Exchange, owners: Owners, *, survivor: int) -> float:
        """Set an alert of each shard on the replica that is left, cross all, and return how long it took to fire."""
        began = time.monotonic()
        chosen = {shard_of(instrument): instrument for instrument in INSTRUMENTS}
        user_id = f"witness-{len(exchange.ticks)}"
        witnesses = {
            int((await owners.set(survivor, user_id, instrument, price="55")).id) for instrument in chosen.values()
        }
        for instrument in chosen.values():
            await exchange.publish(instrument, 54.5, 100.0)

        async def look() -> bool | None:
            fired = select(FIRES.c.alert_id).where(FIRES.c.user_id == user_id)
            return True if witnesses == {row.alert_id for row in await self.rows(fired)} else None

        await eventually(look)
        return time.monotonic() - began


@pytest.fixture
def environment(postgres: PostgresServer, nats: NatsServer, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RUN_DIR": str(tmp_path),
        "NATS_URL": nats.url,
        "ALERTS_DATABASE_URL": postgres.create_database(),
        "MARKET_ADDRESS": f"127.0.0.1:{free_port()}",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture
async def database(environment: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(environment["ALERTS_DATABASE_URL"]) as opened:
        await ensure_schema(opened, "alerts")
        await set_many(opened, random.Random(1))  # prices
        yield opened


@pytest.fixture
def replicas(environment: dict[str, str], database: Database) -> Iterator[tuple[Replica, Replica]]:
    started = Replica(environment), Replica(environment)
    yield started
    for replica in started:
        with suppress(ProcessLookupError):
            replica.signal(signal.SIGCONT)
        stop_process(replica.process)


@pytest.fixture
async def world(
    environment: dict[str, str], database: Database, replicas: tuple[Replica, Replica]
) -> AsyncIterator[World]:
    client = await nats_client.connect(environment["NATS_URL"])
    async with SmallMarket.serving(environment["MARKET_ADDRESS"]):
        yield World(database, replicas, client)
    await client.close()


async def set_many(database: Database, chance: random.Random) -> None:
    """Set alerts as if an earlier process had, in front of every tick."""
    rows = [
        {
            "id": number,
            "user_id": f"earlier-{number}",
            "type": chance.choice(("buy", "sell")),
            "instrument": INSTRUMENTS[number % len(INSTRUMENTS)],
            "symbol": INSTRUMENTS[number % len(INSTRUMENTS)],
            "shard": shard_of(INSTRUMENTS[number % len(INSTRUMENTS)]),
            "generation": 1,
            "state": "armed",
            "created_at": START,
            "armed_stream": 1,
            "armed_sequence": 0,
        }
        for number in range(1, len(INSTRUMENTS) * ALERTS_PER_INSTRUMENT)
    ]
    for row in rows:
        away = chance.uniform(0.2, 19)
        row["price"] = f"{100 - away if row['type'] == 'buy' else 100 + away:.2f}"
    async with database.transaction() as connection:
        await connection.execute(insert(ALERTS), rows)


@asynccontextmanager
async def trading(world: World) -> AsyncIterator[tuple[Exchange, Owners]]:
    """Publish ticks and set alerts until the block is left."""
    exchange = Exchange(world.client, random.Random(2))  # prices
    addresses = [replica.address for replica in world.replicas]
    owners = Owners(addresses, exchange, random.Random(3))  # prices
    running = asyncio.gather(exchange.run(), owners.run())
    try:
        yield exchange, owners
    finally:
        exchange.is_open, owners.is_over = False, True
        await running
        await owners.close()


async def verify(world: World, exchange: Exchange, owners: Owners) -> None:
    """Compare every fire with the oracle's, and every event with the fires."""
    expected = await world.expected(exchange.ticks)

    async def all_have_fired() -> dict[int, tuple[int, float]] | None:
        fired = await world.fired()
        return fired if len(fired) >= len(expected) else None

    with suppress(TimeoutError):
        await eventually(all_have_fired)
    fired = await world.fired()
    assert fired == expected
    assert await world.rows(select(NOT_EVALUATED)) == []
    known = {str(row.id) for row in await world.rows(select(ALERTS.c.id))}
    assert {alert.id for alert in owners.acknowledged} <= known

    async def told() -> int | None:
        state = (await world.client.jetstream(timeout=2).stream_info("EVENTS")).state
        return state.messages if state.messages >= len(fired) else None

    assert await eventually(told) == len(fired)
    counts = len(fired), len(exchange.ticks), len(owners.acknowledged)
    print("{:,} fires of {:,} batches, {:,} alerts set meanwhile".format(*counts))  # noqa: T201  # for `pytest -s`


async def lose_and_stop(world: World, exchange: Exchange, owners: Owners, *, survivor: int = 1) -> list[float]:
    """Kill one replica, start it again, stop it for longer than its leases, and let it go on; return the takeovers."""
    other = world.replicas[1 - survivor]
    await asyncio.sleep(1)
    other.kill()
    after_kill = await world.taken_over(exchange, owners, survivor=survivor)
    other.start()
    await world.shared(8, 8)
    await asyncio.sleep(1)
    other.signal(signal.SIGSTOP)
    after_stop = await world.taken_over(exchange, owners, survivor=survivor)
    await asyncio.sleep(1)
    other.signal(signal.SIGCONT)
    await world.shared(8, 8)
    print(f"killed: {after_kill:.1f} s, stopped: {after_stop:.1f} s to the last fire")  # noqa: T201  # for `pytest -s`
    return [after_kill, after_stop]


async def test_whatever_becomes_of_a_replica_every_crossing_fires_once(world: World) -> None:
    await world.shared(8, 8)
    async with trading(world) as (exchange, owners):
        await lose_and_stop(world, exchange, owners)
    await verify(world, exchange, owners)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_lost_and_stopped_again_and_again_it_takes_ten_seconds_at_most(world: World) -> None:
    await world.shared(8, 8)
    takeovers = []
    async with trading(world) as (exchange, owners):
        for number in range(6):
            takeovers += await lose_and_stop(world, exchange, owners, survivor=number % 2)
    await verify(world, exchange, owners)
    assert max(takeovers) < TAKEOVER_SECONDS
