import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from bourse.brokers.v1 import brokers_pb2, syncs_pb2, syncs_pb2_grpc
from bourse.portfolio.v1 import syncs_pb2 as portfolio_pb2
from bourse.portfolio.v1 import syncs_pb2_grpc as portfolio_grpc
from brokers.app import build
from brokers.settings import Settings
from chassis.rpc_client import reason_of
from chassis.testing import free_port
from upstreams import payloads
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.instruments import LISTINGS
from upstreams.kite_accounts import KiteAccount
from upstreams.servers import RunningBrokers, brokers_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHARES = {listing.key: listing for listing in LISTINGS}
SYNC_SECONDS = 4.0


class FakePortfolio(portfolio_grpc.SyncedPortfolioServiceServicer):
    """Keeps each user's rows of each broker, and fails as it is told."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Any] = {}
        self.asked: list[Any] = []
        self.failures: list[grpc.StatusCode] = []

    async def ReplaceBrokerRows(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if self.failures:
            await context.abort(self.failures.pop(0), "told to")
        self.kept[request.user_id, request.broker] = request
        net = [row for row in request.positions if row.type == portfolio_pb2.POSITION_TYPE_NET]
        return portfolio_pb2.ReplaceBrokerRowsResponse(
            holdings_count=len(request.holdings), positions_count=len(request.positions), net_positions_count=len(net)
        )


@dataclass
class Suite:
    """Brokers between the vendors' stand-ins and a portfolio."""

    vendors: RunningBrokers
    portfolio: FakePortfolio
    portfolio_health: Any
    stub: Any
    health: Any
    run_dir: Path

    def kite_account(self, **changed: Any) -> KiteAccount:
        share = SHARES["NSE:TCS"]
        rows: dict[str, Any] = {
            "holdings": [payloads.kite_holding(share, 10, 3000.5, t1_quantity=2)],
            "net": [payloads.kite_position(share, 5, 3100.0)],
            "day": [payloads.kite_position(share, 5, 3100.0)],
        }
        return self.vendors.kite.accounts.add(KiteAccount(**{**rows, **changed}))

    def breeze_account(self, **changed: Any) -> BreezeAccount:
        share = SHARES["NSE:RELIANCE"]
        rows: dict[str, Any] = {
            "holdings": [payloads.breeze_holding(share, 12, 2400.0)],
            "demat": [payloads.breeze_demat(share, 10)],
            "positions": [payloads.breeze_position(share, -3, 2500.0)],
        }
        return self.vendors.breeze.accounts.add(BreezeAccount(**{**rows, **changed}))

    async def sync_kite(self, account: KiteAccount, *, user: str | None = None, **changed: Any) -> Any:
        given = {
            "user_id": user or secrets.token_hex(8),
            "api_key": account.api_key,
            "api_secret": account.api_secret,
            "request_token": account.new_request_token(),
            **changed,
        }
        answer = await self.stub.SyncZerodha(syncs_pb2.SyncZerodhaRequest(**given), timeout=60)
        return answer.sync

    async def sync_breeze(self, account: BreezeAccount, *, user: str | None = None, **changed: Any) -> Any:
        given = {
            "user_id": user or secrets.token_hex(8),
            "api_key": account.api_key,
            "api_secret": account.api_secret,
            "api_session": account.new_api_session(),
            **changed,
        }
        answer = await self.stub.SyncIcici(syncs_pb2.SyncIciciRequest(**given), timeout=60)
        return answer.sync


@asynccontextmanager
async def portfolio_serving(portfolio: FakePortfolio, address: str) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    health = health_aio.HealthServicer()
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    portfolio_grpc.add_SyncedPortfolioServiceServicer_to_server(portfolio, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    server.add_insecure_port(address)
    await server.start()
    try:
        yield health
    finally:
        await server.stop(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suite(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Suite]:
    run_dir = tmp_path_factory.mktemp("run")
    portfolio = FakePortfolio()
    portfolio_address, address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with brokers_server() as vendors:
        settings = Settings(
            run_dir=run_dir,
            brokers_address=address,
            portfolio_address=portfolio_address,
            brokers_sync_seconds=SYNC_SECONDS,
            kite_root_url=vendors.url,
            breeze_root_url=vendors.url,
        )
        async with (
            portfolio_serving(portfolio, portfolio_address) as portfolio_health,
            build(settings),
            grpc.aio.insecure_channel(address) as channel,
        ):
            health = health_pb2_grpc.HealthStub(channel)
            suite = Suite(
                vendors, portfolio, portfolio_health, syncs_pb2_grpc.SyncServiceStub(channel), health, run_dir
            )
            await until_ready(suite)
            yield suite


async def until_ready(suite: Suite) -> None:
    request = health_pb2.HealthCheckRequest(service="children")
    async with asyncio.timeout(20):
        while (await suite.health.Check(request)).status != health_pb2.HealthCheckResponse.SERVING:
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _well(suite: Suite) -> Iterator[None]:
    yield
    for vendor in (suite.vendors.kite, suite.vendors.breeze):
        vendor.faults.clear()
    suite.portfolio.failures.clear()
    suite.portfolio.asked.clear()


def kept(suite: Suite, user: str, broker: Any) -> Any:
    return suite.portfolio.kept.get((user, broker))


async def refusal(call: Any) -> tuple[str, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, reason_of(caught.value) or "", caught.value.details() or ""


async def test_zerodha_is_synced_and_logged_out(suite: Suite) -> None:
    account = suite.kite_account()
    done = await suite.sync_kite(account, user="asha")
    assert (done.holdings_count, done.positions_count, done.net_positions_count) == (1, 2, 1)
    assert done.broker == brokers_pb2.BROKER_ZERODHA
    assert not done.is_simulated
    rows = kept(suite, "asha", brokers_pb2.BROKER_ZERODHA)
    assert rows.sync_id == done.id
    assert (rows.holdings[0].quantity, rows.holdings[0].t1_quantity) == ("10", "2")
    assert rows.holdings[0].average_price == "3000.5"
    assert rows.started_at.ToDatetime() <= rows.synced_at.ToDatetime()
    assert account.access_tokens == set()


async def test_a_checksum_proves_the_key_as_the_secret_does(suite: Suite) -> None:
    account = suite.kite_account()
    token = account.new_request_token()
    proof = hashlib.sha256(f"{account.api_key}{token}{account.api_secret}".encode()).hexdigest()
    request = syncs_pb2.SyncZerodhaRequest(
        user_id="bela", api_key=account.api_key, request_token=token, checksum=proof.upper()
    )
    answer = await suite.stub.SyncZerodha(request, timeout=30)
    assert answer.sync.holdings_count == 1


async def test_icici_is_synced_under_the_exchanges_symbols(suite: Suite) -> None:
    done = await suite.sync_breeze(suite.breeze_account(), user="chand")
    assert (done.holdings_count, done.positions_count, done.net_positions_count) == (1, 1, 1)
    rows = kept(suite, "chand", brokers_pb2.BROKER_ICICI)
    (holding,) = rows.holdings
    assert (holding.exchange, holding.tradingsymbol, holding.isin) == ("NSE", "RELIANCE", SHARES["NSE:RELIANCE"].isin)
    assert holding.broker_code == SHARES["NSE:RELIANCE"].icici_code
    assert (holding.quantity, holding.t1_quantity, holding.average_price) == ("10", "2", "2400.00")
    assert rows.positions[0].quantity == "-3"


async def test_an_icici_account_without_rows_is_empty_and_no_error(suite: Suite) -> None:
    done = await suite.sync_breeze(suite.breeze_account(holdings=[], demat=[], positions=[]), user="devi")
    assert (done.holdings_count, done.positions_count) == (0, 0)
    assert kept(suite, "devi", brokers_pb2.BROKER_ICICI) is not None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"request_token": "used"}, "one-time code"),
        ({"api_secret": "wrong"}, "checksum"),
        ({"api_key": "nobody"}, "API key"),
    ],
)
async def test_what_zerodha_refuses_is_said_and_changes_nothing(
    suite: Suite, changed: dict[str, str], sentence: str
) -> None:
    code, reason, details = await refusal(suite.sync_kite(suite.kite_account(), user="esha", **changed))
    assert (code, reason) == ("UNAUTHENTICATED", "BROKER_TOKEN_INVALID")
    assert sentence in details
    assert kept(suite, "esha", brokers_pb2.BROKER_ZERODHA) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"api_session": "12345678"}, "one-time code"),
        ({"api_secret": "wrong"}, "checksum"),
        ({"api_key": "nobody"}, "API key"),
    ],
)
async def test_what_icici_refuses_is_said_and_changes_nothing(
    suite: Suite, changed: dict[str, str], sentence: str
) -> None:
    code, reason, details = await refusal(suite.sync_breeze(suite.breeze_account(), user="esha", **changed))
    assert (code, reason) == ("UNAUTHENTICATED", "BROKER_TOKEN_INVALID")
    assert sentence in details
    assert kept(suite, "esha", brokers_pb2.BROKER_ICICI) is None


KITE_FAULTS = [
    (Fault.throttled(), "BROKER_THROTTLED"),
    (Fault.token_exception(), "BROKER_TOKEN_INVALID"),
    (Fault.server_error(503), "BROKER_UNAVAILABLE"),
    (Fault.kite_error(503, "NetworkException", "Gateway timed out"), "BROKER_UNAVAILABLE"),
    (Fault.kite_error(500, "GeneralException", "Something went wrong"), "BROKER_UNAVAILABLE"),
    (Fault.kite_error(403, "PermissionException", "Insufficient permission for that call."), "BROKER_TOKEN_INVALID"),
    (Fault.drop(), "BROKER_UNAVAILABLE"),
    (Fault.html(), "BROKER_ANSWER_INVALID"),
    (Fault.empty(), "BROKER_ANSWER_INVALID"),
    (Fault.truncated(), "BROKER_ANSWER_INVALID"),
    (Fault.wrong_types(), "BROKER_ANSWER_INVALID"),
    (Fault.missing_keys(), "BROKER_ANSWER_INVALID"),
    (Fault.answer(200, b'{"status":"success","data":null}'), "BROKER_ANSWER_INVALID"),
    (Fault.answer(200, b'{"status":"success","data":[{"quantity":NaN}]}'), "BROKER_ANSWER_INVALID"),
]


@pytest.mark.parametrize("path", ["/portfolio/holdings", "/portfolio/positions"])
@pytest.mark.parametrize(("fault", "expected"), KITE_FAULTS)
async def test_a_fault_of_zerodha_fails_the_sync_and_changes_nothing(
    suite: Suite, path: str, fault: Fault, expected: str
) -> None:
    account = suite.kite_account()
    suite.vendors.kite.faults.always(path, fault, api_key=account.api_key)
    _, reason, _ = await refusal(suite.sync_kite(account, user="faulty"))
    assert reason == expected
    assert kept(suite, "faulty", brokers_pb2.BROKER_ZERODHA) is None


BREEZE_FAULTS = [
    (Fault.breeze_throttled(), "BROKER_THROTTLED"),
    (Fault.answer(429, b"slow down", "text/plain"), "BROKER_THROTTLED"),
    (Fault.breeze_error(401, "Session key is expired."), "BROKER_TOKEN_INVALID"),
    (Fault.breeze_error(500, "Internal error"), "BROKER_UNAVAILABLE"),
    (Fault.server_error(502), "BROKER_UNAVAILABLE"),
    (Fault.drop(), "BROKER_UNAVAILABLE"),
    (Fault.html(), "BROKER_ANSWER_INVALID"),
    (Fault.empty(), "BROKER_ANSWER_INVALID"),
    (Fault.truncated(), "BROKER_ANSWER_INVALID"),
    (Fault.wrong_types(), "BROKER_ANSWER_INVALID"),
    (Fault.missing_keys(), "BROKER_ANSWER_INVALID"),
]


@pytest.mark.parametrize("path", ["/portfolioholdings", "/dematholdings", "/portfoliopositions"])
@pytest.mark.parametrize(("fault", "expected"), BREEZE_FAULTS)
async def test_a_fault_of_icici_fails_the_sync_and_changes_nothing(
    suite: Suite, path: str, fault: Fault, expected: str
) -> None:
    account = suite.breeze_account()
    suite.vendors.breeze.faults.always(path, fault, api_key=account.api_key)
    _, reason, _ = await refusal(suite.sync_breeze(account, user="faulty"))
    assert reason == expected
    assert kept(suite, "faulty", brokers_pb2.BROKER_ICICI) is None
