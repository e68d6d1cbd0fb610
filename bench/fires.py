"""Alerts from the call that sets one to the mail that tells of it: a whole alerts process, pinned to one core.

Setting alerts stands beside bare SQLite transactions of one row, a storm of fires beside bare SQLite writing as many
rows of the same size, 500 a transaction. The latency of single fires runs from the tick's making to the receipt's
commit, and to the moment a mail server on loopback has the whole mail.
"""

import asyncio
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any
from zlib import crc32

import grpc
import nats
from aiosmtpd.controller import Controller
from processes import MEASURED_CORE, pin, surroundings

from alerts.domain.ticks import SHARDS
from alerts.testing import SmallAuth, SmallMarket
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.testing import free_port, nats_server

INSTRUMENTS = 2_000
ALERTS_OF_ONE_INSTRUMENT = 50
ALERTS = INSTRUMENTS * ALERTS_OF_ONE_INSTRUMENT
SET_BY_ONE_USER = 500
IN_FLIGHT = 64
SINGLE_FIRES = 600
SINGLE_EVERY_SECONDS = 0.025
FIRES_OF_ONE_USER = 60
ROWS_A_TRANSACTION = 500
BARE_TRANSACTIONS = 2_000
AIM_STORM_SECONDS = 10.0
START_SECONDS = 30.0
END_SECONDS = 10.0
PATIENCE_SECONDS = 120.0


class Post:
    """A mail server that notes when it had which mail."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        message_id = message_from_bytes(envelope.content)["Message-ID"]
        self.arrived.setdefault(message_id.strip("<>").partition("@")[0], time.time())
        return "250 OK"


class Process:
    """A running alerts service and what is around it."""

    def __init__(  # noqa: PLR0917  # each is a part of the one thing
        self, folder: Path, stub: Any, client: Any, post: Post, environment: dict[str, str]
    ) -> None:
        self.folder = folder
        self.stub = stub
        self.post = post
        self._client = client
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._sequences = [0] * SHARDS
        self._epoch = time.time_ns() // 1_000_000

    async def start(self) -> None:
        """Start the service and wait until it answers."""
        self._process = self._launch()
        pin(self._process.pid, MEASURED_CORE)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(grpc.aio.AioRpcError):
                await self.stub.ListAlerts(alerts_pb2.ListAlertsRequest(user_id="bench"), timeout=1)
                return
            await asyncio.sleep(0.2)
        raise SystemExit("alerts did not start")

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "alerts"]
        return subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def set_alert(self, user_id: str, symbol: str, price: str) -> None:
        request = alerts_pb2.SetAlertRequest(
            user_id=user_id, type=alerts_pb2.ALERT_TYPE_BUY, symbol=symbol, price=price
        )
        await self.stub.SetAlert(request, timeout=20)

    async def tick(self, symbols: Sequence[str], price: float) -> None:
        """Publish one tick for each instrument, as the feed does: a batch a shard."""
        by_shard: dict[int, list[str]] = {}
        for symbol in symbols:
            by_shard.setdefault(crc32(f"NASDAQ:{symbol}".encode()) % SHARDS, []).append(symbol)
        for shard, members in by_shard.items():
            self._sequences[shard] += 1
            now = datetime.now(UTC)
            batch = ticks_pb2.TickBatch(
                publisher_id="bench",
                epoch=self._epoch,
                shard=shard,
                sequence=self._sequences[shard],
                source="sample",
                freshness=quotes_pb2.FRESHNESS_SIMULATED,
                ticks=[ticks_pb2.Tick(instrument=f"NASDAQ:{symbol}", last_price=price) for symbol in members],
            )
            batch.base_time.FromDatetime(now)
            batch.published_at.FromDatetime(now)
            await self._client.publish(f"ticks.{shard}", batch.SerializeToString())
        await self._client.flush(timeout=5)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        address = f"file:{self.folder / 'alerts.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()

    def count_fires(self) -> int:
        [(count,)] = self.rows("SELECT count(*) FROM fires")
        return int(count)


@asynccontextmanager
async def around(folder: Path) -> AsyncIterator[Process]:
    """Start alerts with a market, an address book, a NATS server and a mail server."""
    post = Post()
    smtp = Controller(post, hostname="127.0.0.1", port=free_port())
    market, auth, alerts = (f"127.0.0.1:{free_port()}" for _ in range(3))
    smtp.start()
    try:
        with nats_server(folder) as server:
            environment = os.environ | {
                "RUN_DIR": str(folder),
                "NATS_URL": server.url,
                "ALERTS_ADDRESS": alerts,
                "MARKET_ADDRESS": market,
                "AUTH_ADDRESS": auth,
                "SMTP_URL": f"smtp://127.0.0.1:{smtp.port}",
                "LOG_LEVEL": "WARNING",
            }
            contacts = SmallAuth().serving(auth)
            async with SmallMarket.serving(market), contacts, grpc.aio.insecure_channel(alerts) as channel:
                client = await nats.connect(server.url)
                process = Process(folder, alerts_pb2_grpc.AlertServiceStub(channel), client, post, environment)
                await process.start()
                try:
                    yield process
                finally:
                    process.stop()
                    await client.close()
    finally:
        smtp.stop()


async def until(condition: Any, what: str) -> float:
    """Wait for something and return how long that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit(f"{what} took longer than {PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def bare_transactions(folder: Path) -> float:
    """Return how many transactions of one row SQLite commits a second, set up as the services set it up."""
    with closing(sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE alert (id INTEGER PRIMARY KEY, row TEXT)")
        began = time.perf_counter()
        for number in range(BARE_TRANSACTIONS):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO alert VALUES (?, ?)", [number, "x" * 200])
            connection.execute("COMMIT")
        return BARE_TRANSACTIONS / (time.perf_counter() - began)


def bare_storm(folder: Path) -> float:
    """Return how long SQLite takes to change, and to insert beside it, as many rows twice."""
    with closing(sqlite3.connect(folder / "storm.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        for table in ("alert", "fire", "outbox"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, row TEXT)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO alert VALUES (?, ?)", ((number, "x" * 200) for number in range(ALERTS)))
        connection.execute("COMMIT")
        began = time.perf_counter()
        for first in range(0, ALERTS, ROWS_A_TRANSACTION):
            numbers = range(first, first + ROWS_A_TRANSACTION)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("UPDATE alert SET row = ? WHERE id = ?", (("y" * 200, number) for number in numbers))
            connection.executemany("INSERT INTO fire VALUES (?, ?)", ((number, "x" * 300) for number in numbers))
            connection.executemany("INSERT INTO outbox VALUES (?, ?)", ((number, "x" * 300) for number in numbers))
            connection.execute("COMMIT")
        return time.perf_counter() - began


async def measure_setting(process: Process) -> None:
    numbers = iter(range(INSTRUMENTS))

    async def set_some() -> None:
        for number in numbers:
            await process.set_alert(f"storm{number // SET_BY_ONE_USER}", f"S{number}", "100")

    began = time.perf_counter()
    await asyncio.gather(*(set_some() for _ in range(IN_FLIGHT)))
    rate = INSTRUMENTS / (time.perf_counter() - began)
    bare = bare_transactions(process.folder)
    print(
        f"set {INSTRUMENTS:,} alerts, {IN_FLIGHT} calls at once: {rate:,.0f}/s"
        f"  bare SQLite, one row a transaction: {bare:,.0f}/s  ({rate / bare:.2f} x)"
    )


async def multiply(process: Process) -> None:
    """Give the alerts of the storm to more users, so that each instrument has many, and start on them again."""
    process.stop()
    with closing(sqlite3.connect(process.folder / "alerts.sqlite3", timeout=10)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(alerts)")]
        changed = {"id": "id + :copy", "user_id": "user_id || '-' || :copy"}
        chosen = ", ".join(changed.get(column, column) for column in columns)
        statement = f"INSERT INTO alerts SELECT {chosen} FROM alerts WHERE user_id LIKE 'storm_'"
        for copy in range(1, ALERTS_OF_ONE_INSTRUMENT):
            connection.execute(statement, {"copy": copy})
    began = time.monotonic()
    await process.start()
    print(f"started with {ALERTS:,} alerts, answering after {time.monotonic() - began:.1f} s")


def show_latency(name: str, seconds: Sequence[float]) -> None:
    quantiles = statistics.quantiles([value * 1e3 for value in seconds], n=100, method="inclusive")
    print(f"tick to {name}: p50 {quantiles[49]:.1f} ms  p99 {quantiles[98]:.1f} ms  ({len(seconds)} fires)")


async def measure_single_fires(process: Process) -> None:
    for number in range(SINGLE_FIRES):
        await process.set_alert(f"single{number // FIRES_OF_ONE_USER}", f"L{number}", "100")
    for number in range(SINGLE_FIRES):
        await process.tick([f"L{number}"], 99.0)
        await asyncio.sleep(SINGLE_EVERY_SECONDS)
    await until(lambda: process.count_fires() >= SINGLE_FIRES, "single fires")
    await until(lambda: len(process.post.arrived) >= SINGLE_FIRES, "their mails")
    fired: dict[str, float] = {}
    committed = []
    for alert_id, generation, fired_at, committed_at in process.rows(
        "SELECT alert_id, generation, fired_at, committed_at FROM fires"
    ):
        began = datetime.fromisoformat(fired_at).timestamp()
        fired[f"alert-{alert_id}-{generation}"] = began
        committed.append(datetime.fromisoformat(committed_at).timestamp() - began)
    show_latency("committed", committed)
    show_latency("mail     ", [at - fired[letter] for letter, at in process.post.arrived.items()])


async def measure_storm(process: Process) -> None:
    before = process.count_fires()
    began = time.monotonic()
    await process.tick([f"S{number}" for number in range(INSTRUMENTS)], 99.0)
    await until(lambda: process.count_fires() - before >= ALERTS, "the storm")
    taken = time.monotonic() - began
    assert process.count_fires() - before == ALERTS
    bare = bare_storm(process.folder)
    verdict = "ok" if taken < AIM_STORM_SECONDS else "MISSED"
    print(
        f"{ALERTS:,} fires committed in {taken:.1f} s (aim {AIM_STORM_SECONDS:.0f} s: {verdict})"
        f"  bare SQLite, the same rows: {bare:.1f} s  ({taken / bare:.1f} x)"
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with around(Path(folder)) as process:
            await measure_single_fires(process)
            await measure_setting(process)
            await multiply(process)
            await measure_storm(process)
    print(surroundings())


if __name__ == "__main__":
    asyncio.run(main())
