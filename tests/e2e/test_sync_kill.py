"""Whatever dies at any step of a sync: a user reads the previous snapshot or the whole new one, never a mixture."""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import httpx
import pytest

from harness.backends import UNLIMITED, running_suite
from harness.canaries import descendants_of
from harness.clients import Account, gateway_client, register
from harness.processes import RunningSuite
from upstreams.faults import Fault
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.payloads import kite_holding, kite_position
from upstreams.servers import RunningKite, kite_server

ROWS = 60
PRICE = 100.0
SEED = 20261121
TIMES_WITHIN_THE_WRITE = 4
LONGEST_WRITE_SECONDS = 0.06
STEPS = ("/session/token", "/portfolio/holdings", "/portfolio/positions")
ENVELOPE = {"error", "message", "code", "request_id"}
SYNC = "/api/portfolio/sync"

Kill = Callable[[RunningSuite], Awaitable[None]]


@pytest.fixture(scope="module")
def kite() -> Iterator[RunningKite]:
    with kite_server() as running:
        yield running


@pytest.fixture(scope="module", params=["embedded", "servers"])
def suite(
    request: pytest.FixtureRequest, kite: RunningKite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningSuite]:
    environment = {
        **UNLIMITED,
        "GATEWAY_LIMIT_SYNC": "1000000/minute",
        "KITE_ROOT_URL": kite.url,
        # Measuring coverage would cost the speed that this is about.
        "COVERAGE_PROCESS_CONFIG": "",
        "COVERAGE_PROCESS_START": "",
    }
    with running_suite(request.param, tmp_path_factory.mktemp("suite"), environment) as running:
        yield running


class Portfolio:
    """A user whose broker says, at version N, that every row has N units; so a mixture of versions shows."""

    def __init__(self, kite: RunningKite, client: httpx.AsyncClient, account: Account) -> None:
        self._kite = kite
        self._client = client
        self._account = account
        self._at_broker = kite.accounts.add(KiteAccount())
        self.version = 0

    def next_version(self) -> int:
        self.version += 1
        tcs = BY_KEY["NSE:TCS"]
        self._at_broker.holdings = [
            kite_holding(tcs, self.version, PRICE, tradingsymbol=f"STOCK{number}", isin="") for number in range(ROWS)
        ]
        self._at_broker.net = [kite_position(tcs, self.version, PRICE, tradingsymbol=f"STOCK{n}") for n in range(ROWS)]
        return self.version

    def start_sync(self) -> "asyncio.Task[httpx.Response]":
        body = {
            "api_key": self._at_broker.api_key,
            "api_secret": self._at_broker.api_secret,
            "request_token": self._at_broker.new_request_token(),
        }
        return asyncio.create_task(self._client.post(SYNC, json=body, headers=self._account.bearer))

    async def sync(self) -> None:
        """Sync, with a new code each time, until what was killed is back."""
        deadline = time.monotonic() + 15
        while (answer := await self.start_sync()).status_code == 503:
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.2)
        assert answer.status_code == 200, answer.text
        assert answer.json()["holdings_count"] == ROWS

    async def read_version(self) -> int:
        """Read everything that a sync writes; it must all be of one version, which is returned."""
        holdings = (await self._read("holdings"))["holdings"]
        positions = (await self._read("positions"))["positions"]
        trend = (await self._read("pnl"))["trend"]
        assert len(holdings) == len(positions) == ROWS
        versions = {row["quantity"] for row in [*holdings, *positions]}
        assert len(versions) == 1, f"a mixture of {versions}"
        [version] = versions
        assert trend[-1]["total_invested"] == version * PRICE * ROWS
        return int(version)

    async def _read(self, what: str) -> dict[str, list[dict[str, float]]]:
        deadline = time.monotonic() + 15
        while True:
            answer = await self._client.get(f"/api/portfolio/{what}", headers=self._account.bearer)
            if answer.status_code == 200:
                return answer.json()  # type: ignore[no-any-return]
            assert answer.status_code == 503, answer.text
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.1)


async def kill_portfolio(suite: RunningSuite) -> None:
    await asyncio.to_thread(suite.kill, "portfolio")
    await asyncio.to_thread(suite.start, "portfolio")


async def kill_brokers(suite: RunningSuite) -> None:
    await asyncio.to_thread(suite.kill, "brokers")
    await asyncio.to_thread(suite.start, "brokers")


async def kill_child(suite: RunningSuite) -> None:
    brokers = suite.processes["brokers"].pid
    below = descendants_of([brokers]) - {brokers}
    for pid in below:
        if descendants_of([pid]) == {pid}:
            os.kill(pid, signal.SIGKILL)


async def kill_database_connections(suite: RunningSuite) -> None:
    address = suite.database_url("portfolio")
    if not address.startswith("postgresql"):
        pytest.skip("SQLite has no connections that could be cut")
    connection = await asyncpg.connect(address.replace("postgresql+asyncpg", "postgresql"), timeout=5)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


KILLS: dict[str, Kill] = {
    "portfolio": kill_portfolio,
    "brokers": kill_brokers,
    "child": kill_child,
    "database connections": kill_database_connections,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("victim", KILLS)
async def test_a_sync_whose_vendor_call_is_interrupted_is_whole_or_not_there(
    suite: RunningSuite, kite: RunningKite, victim: str, step: str
) -> None:
    async with gateway_client(suite.gateway_url) as client:
        portfolio = Portfolio(kite, client, await register(client))
        before = portfolio.next_version()
        await portfolio.sync()
        after = portfolio.next_version()
        gate = threading.Event()
        calls = kite.journal.count(step)
        kite.faults.next(step, Fault.held(gate))
        running = portfolio.start_sync()
        await asyncio.to_thread(kite.journal.wait_for, step, times=calls + 1)

        await KILLS[victim](suite)
        gate.set()
        answer = await running

        await assert_whole(portfolio, answer, before=before, after=after)
        portfolio.next_version()
        await portfolio.sync()
        assert await portfolio.read_version() == portfolio.version


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["portfolio", "brokers", "database connections"])
async def test_a_sync_that_is_interrupted_while_it_is_written_is_whole_or_not_there(
    suite: RunningSuite, kite: RunningKite, victim: str
) -> None:
    chance = random.Random(SEED)
    async with gateway_client(suite.gateway_url) as client:
        portfolio = Portfolio(kite, client, await register(client))
        for _ in range(TIMES_WITHIN_THE_WRITE):
            before = portfolio.next_version()
            await portfolio.sync()
            after = portfolio.next_version()
            calls = kite.journal.count("/portfolio/positions")
            running = portfolio.start_sync()
            await asyncio.to_thread(kite.journal.wait_for, "/portfolio/positions", times=calls + 1)
            await asyncio.sleep(chance.uniform(0, LONGEST_WRITE_SECONDS))

            await KILLS[victim](suite)

            await assert_whole(portfolio, await running, before=before, after=after)


async def assert_whole(portfolio: Portfolio, answer: httpx.Response, *, before: int, after: int) -> None:
    """What was acknowledged is there; what was refused may be there, but then whole."""
    version = await portfolio.read_version()
    if answer.status_code == 200:
        assert version == after
        return
    assert answer.status_code in {503, 504}, answer.text
    assert set(answer.json()) >= ENVELOPE
    assert version in {before, after}
