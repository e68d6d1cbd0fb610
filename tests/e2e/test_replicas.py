"""Two gateways, two auths and two portfolios on PostgreSQL and Redis: together they are one."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from chassis.testing import has_valkey
from harness.backends import SERVERS, UNLIMITED, running_suite
from harness.clients import PASSWORD, Account, gateway_client, register
from harness.degradation import Operator, Stand
from harness.processes import RunningSuite, second

REPLICATED = ("auth", "portfolio", "gateway")
LIMIT = 40
REVOKED_SECONDS = 1.0
GONE_SECONDS = 10.0
AWAY_FOR_SURE = 5

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not has_valkey(), reason="limits are shared by Redis, which there is no wheel of here"),
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    environment = {**UNLIMITED, "GATEWAY_LIMIT_REFRESH": f"{LIMIT}/minute"}
    with running_suite(SERVERS, tmp_path_factory.mktemp("replicas"), environment, replicated=REPLICATED) as running:
        yield running


@pytest.fixture
async def gateways(suite: RunningSuite) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of both gateways."""
    addresses = [suite.processes[name].plan.address for name in ("gateway", second("gateway"))]
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(gateway_client(f"http://{address}")) for address in addresses]


async def test_a_limit_is_one_limit_at_both_gateways(gateways: list[httpx.AsyncClient]) -> None:
    body = {"refresh_token": "nobody's"}
    answers = [await gateways[number % 2].post("/api/auth/refresh", json=body) for number in range(2 * LIMIT)]
    assert Counter(answer.status_code for answer in answers) == {401: LIMIT, 429: LIMIT}


async def test_what_is_revoked_at_one_gateway_is_refused_at_the_other_within_a_second(
    gateways: list[httpx.AsyncClient],
) -> None:
    for one, other in (gateways, gateways[::-1]):
        account = await register(one)
        assert (await other.get("/api/auth/user/me", headers=account.bearer)).status_code == 200
        assert (await one.post("/api/auth/logout", headers=account.bearer)).status_code == 200
        deadline = time.monotonic() + REVOKED_SECONDS
        while (answer := await other.get("/api/auth/user/me", headers=account.bearer)).status_code != 401:
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.02)
        assert answer.json()["code"] == "TOKEN_REVOKED"


async def test_what_one_replica_wrote_the_other_reads_and_either_may_die(
    suite: RunningSuite, gateways: list[httpx.AsyncClient]
) -> None:
    async def write_and_read(rounds: int) -> None:
        for number in range(rounds):
            here, there = gateways[number % 2], gateways[(number + 1) % 2]
            account = await register(here)
            made = await here.post("/api/portfolios/me", json={"name": f"{number}"}, headers=account.bearer)
            assert made.status_code == 200, made.text
            for _ in range(3):
                read = await there.get("/api/portfolios/me", headers=account.bearer)
                assert [each["name"] for each in read.json()] == [f"{number}"], read.text
            body = {"email": account.email, "password": PASSWORD}
            assert (await there.post("/api/auth/login", json=body)).status_code == 200

    await write_and_read(10)
    for name, method in (
        ("auth", 'method="LogIn",service="bourse.auth.v1.SessionService"'),
        ("portfolio", 'method="ListPortfolios",service="bourse.portfolio.v1.ManualPortfolioService"'),
    ):
        for replica in (name, second(name)):
            answered = await metric_of(suite, replica, f'bourse_rpc_calls_total{{code="OK",{method}}}')
            assert answered > 0, f"{replica} was asked nothing"

    account = await register(gateways[0])
    for name in ("auth", "portfolio"):
        suite.kill(name)
        await until_away(gateways, account)
        await write_and_read(4)
        await asyncio.to_thread(suite.start, name)


async def metric_of(suite: RunningSuite, name: str, metric: str) -> float:
    operator = Operator(Stand(suite))
    try:
        return await operator.metric(name, metric)
    finally:
        await operator.close()


async def until_away(gateways: list[httpx.AsyncClient], account: Account) -> None:
    """Wait until both gateways call nobody who is gone: a call that is on its way when a process dies is lost."""
    deadline = time.monotonic() + GONE_SECONDS
    body = {"email": account.email, "password": PASSWORD}
    in_a_row = 0
    while in_a_row < AWAY_FOR_SURE:
        statuses = set()
        for gateway in gateways:
            statuses.add((await gateway.post("/api/auth/login", json=body)).status_code)
            statuses.add((await gateway.get("/api/portfolios/me", headers=account.bearer)).status_code)
        in_a_row = in_a_row + 1 if statuses == {200} else 0
        assert time.monotonic() < deadline, statuses
