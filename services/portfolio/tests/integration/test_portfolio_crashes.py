"""Deaths at every step of a sync: what is there afterwards is the sync before or the whole new one."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import Connection, event

from bourse.portfolio.v1 import holdings_pb2, holdings_pb2_grpc, positions_pb2, positions_pb2_grpc, syncs_pb2_grpc
from chassis.database import Database, ensure_schema
from chassis.errors import DatabaseUnavailable
from chassis.testing import free_port, python_module, stop_process
from portfolio.domain.brokers import Broker
from portfolio.domain.rows import BrokerHolding, Sync, SyncedRows
from portfolio.domain.snapshots import snapshot_at_sync
from portfolio.messages.synced import synced_event
from portfolio.storage.synced_rows import SyncedPortfolios
from portfolio.testing import holding, position, sync_request

SECOND = timedelta(seconds=1)
START = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
ROWS = 200


class Killed(Exception):
    """What takes a process down in the middle of a step."""


class Killer:
    """Ends what a connection does before its n-th step: by an exception, or by cutting the connection."""

    def __init__(self, database: Database, step: int, *, cuts: bool) -> None:
        self._engine = database.engine.sync_engine
        self._step = step
        self._cuts = cuts
        self._steps = 0
        self.has_struck = False

    def __enter__(self) -> Self:
        event.listen(self._engine, "before_cursor_execute", self._on_statement)
        event.listen(self._engine, "commit", self._strike)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._on_statement)
        event.remove(self._engine, "commit", self._strike)

    def _on_statement(self, connection: Connection, *_: object) -> None:
        self._strike(connection)

    def _strike(self, connection: Connection) -> None:
        self._steps += 1
        if self._steps != self._step:
            return
        self.has_struck = True
        if not self._cuts:
            raise Killed
        raw: Any = connection.connection.driver_connection
        raw.terminate()


def synced(number: int) -> SyncedRows:
    began = START + number * SECOND
    sync = Sync(str(uuid4()), "7", Broker.ZERODHA, began, began, False)
    price = Decimal(number)
    rows = (BrokerHolding("NSE", f"S{row}", Decimal(1), Decimal(0), last_price=price) for row in range(number))
    return SyncedRows(sync, tuple(rows), ())


async def die_at_every_step(database: Database, before: SyncedRows, after: SyncedRows, *, cuts: bool) -> int:
    """Let a sync die before its first step, its second, and so on until it lives; return how many steps it has."""
    portfolios = SyncedPortfolios(database, synced_event)
    steps = 0
    while True:
        with Killer(database, steps + 1, cuts=cuts) as killer:
            try:
                await portfolios.replace(after, await snapshot_at_sync(after))
            except (Killed, DatabaseUnavailable):
                assert killer.has_struck
            if not killer.has_struck:
                return steps
        steps += 1
        rows, (snapshot,) = await portfolios.trend_of("7", first=START.date(), last=START.date())
        assert (rows, snapshot) == ([before], await snapshot_at_sync(before))


async def test_a_sync_that_dies_at_any_step_leaves_the_one_before(database_url: str) -> None:
    # An SQLite file is not reached by a connection that could be cut.
    ways = [False] if database_url.startswith("sqlite") else [False, True]
    async with Database.open(database_url) as database:
        await ensure_schema(database, "portfolio")
        portfolios = SyncedPortfolios(database, synced_event)
        before = synced(3)
        await portfolios.replace(before, await snapshot_at_sync(before))
        for number, cuts in enumerate(ways, 4):
            after = synced(number)
            assert await die_at_every_step(database, before, after, cuts=cuts) >= 8
            assert await portfolios.rows_of("7") == [after]
            before = after


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RUN_DIR": str(tmp_path),
        "PORTFOLIO_ADDRESS": f"127.0.0.1:{free_port()}",
        "PORTFOLIO_DATABASE_URL": database_url,
        "NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "MARKET_ADDRESS": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []

    def start_one() -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen(python_module("portfolio"), env=environment))
        return started[-1]

    yield start_one
    for process in started:
        stop_process(process)


async def sync_until_dead(channel: grpc.aio.Channel, first: int, acknowledged: list[int]) -> None:
    """Send one sync after the other, each with its number in all of its rows, until nobody answers."""
    stub = syncs_pb2_grpc.SyncedPortfolioServiceStub(channel)
    for number in range(first, first + 10_000):
        marked = {"last_price": str(number), "average_price": "1"}
        request = sync_request(
            *(holding(f"S{row}", **marked, exchange="MCX") for row in range(ROWS)),
            positions=tuple(position(f"S{row}", **marked, exchange="MCX") for row in range(ROWS)),
            synced_at=START + number * SECOND / 1_000,
        )
        try:
            await stub.ReplaceBrokerRows(request, timeout=20, wait_for_ready=number == first)
        except grpc.aio.AioRpcError:
            return
        acknowledged.append(number)


async def numbers_of(channel: grpc.aio.Channel) -> set[int]:
    """Return the numbers that all rows bear."""
    holdings = holdings_pb2_grpc.HoldingServiceStub(channel)
    positions = positions_pb2_grpc.PositionServiceStub(channel)
    held = await holdings.ListHoldings(holdings_pb2.ListHoldingsRequest(user_id="7"), timeout=20, wait_for_ready=True)
    listed = await positions.ListPositions(positions_pb2.ListPositionsRequest(user_id="7"), timeout=20)
    assert (len(held.holdings), len(listed.positions)) == (ROWS, ROWS)
    return {int(row.last_price) for row in held.holdings} | {int(row.last_price) for row in listed.positions}


async def test_a_killed_process_leaves_one_whole_sync_that_is_no_older_than_what_it_acknowledged(
    environment: dict[str, str], start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    acknowledged: list[int] = []
    for kill in range(3):
        process = start()
        async with grpc.aio.insecure_channel(environment["PORTFOLIO_ADDRESS"]) as channel:
            if kill:
                (number,) = await numbers_of(channel)
                assert number >= max(acknowledged)
            sending = asyncio.create_task(sync_until_dead(channel, (kill + 1) * 10_000, acknowledged))
            done = len(acknowledged) + 5
            while len(acknowledged) < done:
                await asyncio.sleep(0.001)
            # Each death falls into another part of a sync, which takes some ten milliseconds.
            await asyncio.sleep(0.007 * kill)
            process.send_signal(signal.SIGKILL)
            await sending
        process.wait(10)
    start()
    async with grpc.aio.insecure_channel(environment["PORTFOLIO_ADDRESS"]) as channel:
        (number,) = await numbers_of(channel)
    assert number >= max(acknowledged)
