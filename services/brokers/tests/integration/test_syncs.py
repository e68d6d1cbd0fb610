import asyncio
import hashlib
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
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
from chassis.health import ACCEPTING
from chassis.metrics import value_of
from chassis.rpc_client import reason_of
from chassis.testing import free_port
from upstreams import payloads
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.instruments import LISTINGS
from upstreams.kite_accounts import KiteAccount
from upstreams.odd_accounts import odd_breeze_account, odd_kite_account
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

    async def DeleteSyncedData(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


@dataclass
class Suite:
    """Brokers between the vendors' stand-ins and a portfolio."""

    vendors: RunningBrokers
    portfolio: FakePortfolio
    portfolio_address: str
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
    for name in ("", ACCEPTING):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
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
                vendors,
                portfolio,
                portfolio_address,
                portfolio_health,
                syncs_pb2_grpc.SyncServiceStub(channel),
                health,
                run_dir,
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
    counted = {"broker": "zerodha", "outcome": "ok"}
    before = value_of("bourse_brokers_syncs_total", counted) or 0.0
    done = await suite.sync_kite(account, user="asha")
    assert value_of("bourse_brokers_syncs_total", counted) == before + 1
    assert (value_of("bourse_brokers_syncs_running"), value_of("bourse_brokers_syncs_waiting")) == (0, 0)
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


async def test_every_odd_row_of_zerodha_syncs(suite: Suite) -> None:
    account = suite.vendors.kite.accounts.add(odd_kite_account())
    done = await suite.sync_kite(account, user="odd")
    rows = kept(suite, "odd", brokers_pb2.BROKER_ZERODHA)
    by_symbol = {(row.exchange, row.tradingsymbol): row for row in rows.holdings}
    assert done.holdings_count == len(account.holdings)
    assert done.positions_count == len(account.net) + len(account.day)
    margin = by_symbol["NSE", "SBIN"]
    assert (margin.product, margin.quantity, margin.average_price, margin.pnl) == ("MTF", "40", "785.5", "380.0")
    assert (by_symbol["NSE", "INFY"].quantity, by_symbol["NSE", "INFY"].t1_quantity) == ("0", "5")
    assert by_symbol["NSE", "HDFCBANK"].average_price == "0"
    assert by_symbol["NSE", "NIFTYBEES"].average_price == "241.176470588235"
    assert (by_symbol["NSE", "LT"].quantity, by_symbol["NSE", "LT"].collateral_quantity) == ("15", "10")
    assert not by_symbol["NSE", "KOTAKBANK"].HasField("last_price")
    option = next(row for row in rows.positions if row.tradingsymbol.endswith("CE"))
    assert (option.strike, option.option_type, option.overnight_quantity) == ("24000", "CE", "75")
    currency = next(row for row in rows.positions if row.exchange == "CDS")
    assert currency.multiplier == "1000"
    closed = next(row for row in rows.positions if row.quantity == "0")
    assert closed.pnl == "175.0"


async def test_every_odd_row_of_icici_syncs(suite: Suite) -> None:
    account = suite.vendors.breeze.accounts.add(odd_breeze_account())
    await suite.sync_breeze(account, user="odd")
    rows = kept(suite, "odd", brokers_pb2.BROKER_ICICI)
    held = [
        (row.exchange, row.tradingsymbol, row.quantity, row.t1_quantity, row.average_price or None)
        for row in rows.holdings
    ]
    assert ("NSE", "TCS", "10", "0", "3600.00") in held
    assert ("BSE", "TCS", "2", "0", "3555.50") in held
    assert ("NSE", "RELIANCE", "20", "5", "1301.40") in held
    assert ("NSE", "HDFCBANK", "8", "0", "1650.75") in held
    assert ("NSE", "HDFCBANK", "8", "0", None) in held
    assert ("NSE", "BHARTIARTL", "0", "6", "1500.00") in held
    assert ("NSE", "INFY", "30", "0", None) in held
    assert ("NSE", "M&M", "7.00", "0.00", "2700.05") in held or ("NSE", "M&M", "7", "0.00", "2700.05") in held
    assert ("NSE", "ZZDELI", "500", "0", "48.80") in held
    codes = {row.tradingsymbol: row.broker_code for row in rows.holdings}
    # Without a code of its own where ICICI uses the exchange's; the symbol itself where nothing was resolved.
    assert (codes["TCS"], codes["RELIANCE"], codes["ZZDELI"]) == ("", SHARES["NSE:RELIANCE"].icici_code, "ZZDELI")
    option = next(row for row in rows.positions if row.option_type)
    assert (option.quantity, option.strike, option.option_type) == ("-75", "24000", "CE")
    assert option.expiry == "2026-11-24"


async def test_without_the_list_of_securities_icicis_own_codes_are_kept(suite: Suite) -> None:
    own_list = secrets.token_hex(4)
    suite.vendors.breeze.faults.always("/SecurityMaster.zip", Fault.html(503))
    async with other_brokers(suite, kite_root_url=f"{suite.vendors.url}/{own_list}") as other:
        await other.sync_breeze(suite.breeze_account(), user="plain")
    (holding,) = kept(suite, "plain", brokers_pb2.BROKER_ICICI).holdings
    code = SHARES["NSE:RELIANCE"].icici_code
    assert (holding.tradingsymbol, holding.broker_code) == (code, code)
    assert holding.isin == SHARES["NSE:RELIANCE"].isin


async def test_a_hung_vendor_ends_at_the_deadline_while_others_sync(suite: Suite) -> None:
    hung = suite.kite_account()
    suite.vendors.kite.faults.always("/portfolio/holdings", Fault.hang(), api_key=hung.api_key)
    waiting = asyncio.create_task(refusal(suite.sync_kite(hung, user="hung")))
    started = time.monotonic()
    await asyncio.gather(*(suite.sync_kite(suite.kite_account()) for _ in range(6)))
    assert time.monotonic() - started < SYNC_SECONDS - 0.5
    assert not waiting.done()
    assert (await waiting)[:2] == ("DEADLINE_EXCEEDED", "BROKER_TIMEOUT")
    assert time.monotonic() - started < SYNC_SECONDS + 2
    assert children_of(forkserver_pid()) == []


async def test_a_broker_that_lets_everybody_wait_is_left_alone_for_a_while(suite: Suite) -> None:
    async with other_brokers(suite, brokers_sync_seconds=0.5) as other:
        suite.vendors.breeze.faults.always("/customerdetails", Fault.hang())
        reasons = [(await refusal(other.sync_breeze(suite.breeze_account())))[1] for _ in range(4)]
        asked = suite.vendors.breeze.journal.count("/customerdetails")
        assert (await refusal(other.sync_breeze(suite.breeze_account())))[1] == "BROKER_UNAVAILABLE"
        assert suite.vendors.breeze.journal.count("/customerdetails") == asked
        # The other broker's users notice nothing.
        assert (await other.sync_kite(suite.kite_account())).holdings_count == 1
    assert reasons == ["BROKER_TIMEOUT"] * 3 + ["BROKER_UNAVAILABLE"]


async def test_a_caller_who_leaves_takes_the_child_along(suite: Suite) -> None:
    account = suite.kite_account()
    suite.vendors.kite.faults.always("/portfolio/holdings", Fault.hang(), api_key=account.api_key)
    suite.vendors.kite.journal.clear()
    leaving = asyncio.create_task(suite.sync_kite(account, user="left"))
    await asyncio.to_thread(suite.vendors.kite.journal.wait_for, "/portfolio/holdings", api_key=account.api_key)
    leaving.cancel()
    await eventually(lambda: children_of(forkserver_pid()) == [])
    assert kept(suite, "left", brokers_pb2.BROKER_ZERODHA) is None


async def test_a_second_sync_of_the_same_user_is_refused_without_spending_its_code(suite: Suite) -> None:
    account = suite.kite_account()
    suite.vendors.kite.journal.clear()
    suite.vendors.kite.faults.next("/portfolio/holdings", Fault.slow(1.0), api_key=account.api_key)
    first = asyncio.create_task(suite.sync_kite(account, user="twice"))
    await asyncio.to_thread(suite.vendors.kite.journal.wait_for, "/portfolio/holdings", api_key=account.api_key)
    token = account.new_request_token()
    code, reason, _ = await refusal(suite.sync_kite(account, user="twice", request_token=token))
    assert (code, reason) == ("RESOURCE_EXHAUSTED", "SYNC_RUNNING")
    await first
    assert (await suite.sync_kite(account, user="twice", request_token=token)).holdings_count == 1


async def test_a_killed_child_is_an_unavailable_broker_and_leaves_nothing(suite: Suite) -> None:
    account = suite.kite_account()
    suite.vendors.kite.journal.clear()
    suite.vendors.kite.faults.always("/portfolio/holdings", Fault.hang(), api_key=account.api_key)
    doomed = asyncio.create_task(refusal(suite.sync_kite(account, user="killed")))
    await asyncio.to_thread(suite.vendors.kite.journal.wait_for, "/portfolio/holdings", api_key=account.api_key)
    (child,) = children_of(forkserver_pid())
    os.kill(child, signal.SIGKILL)
    assert (await doomed)[:2] == ("UNAVAILABLE", "BROKER_UNAVAILABLE")
    assert kept(suite, "killed", brokers_pb2.BROKER_ZERODHA) is None
    await eventually(lambda: folders_of(suite) == [])


async def test_a_killed_forkserver_takes_its_children_along_and_comes_back(suite: Suite) -> None:
    account = suite.kite_account()
    suite.vendors.kite.journal.clear()
    suite.vendors.kite.faults.always("/portfolio/holdings", Fault.hang(), api_key=account.api_key)
    doomed = asyncio.create_task(refusal(suite.sync_kite(account, user="orphan")))
    await asyncio.to_thread(suite.vendors.kite.journal.wait_for, "/portfolio/holdings", api_key=account.api_key)
    forkserver = forkserver_pid()
    (child,) = children_of(forkserver)
    os.kill(forkserver, signal.SIGKILL)
    assert (await doomed)[1] == "BROKER_UNAVAILABLE"
    await eventually(lambda: not Path(f"/proc/{child}").exists())
    # The next one waits for the new forkserver in place of failing.
    assert (await suite.sync_kite(suite.kite_account())).holdings_count == 1
    assert forkserver_pid() != forkserver


async def test_fifty_syncs_at_once_all_succeed_eight_at_a_time(suite: Suite) -> None:
    suite.vendors.kite.faults.always("/portfolio/positions", Fault.slow(0.1))
    suite.vendors.breeze.faults.always("/portfoliopositions", Fault.slow(0.1))
    kite = [suite.kite_account() for _ in range(25)]
    breeze = [suite.breeze_account() for _ in range(25)]
    pids = (os.getpid(), forkserver_pid())
    idle = sum(map(proportional_bytes, pids))
    counts: list[int] = []
    peaks: list[int] = []
    calls = asyncio.gather(*(map(suite.sync_kite, kite)), *(map(suite.sync_breeze, breeze)))
    while not calls.done():
        children = children_of(pids[1])
        counts.append(len(children))
        peaks.append(sum(map(proportional_bytes, (*pids, *children))))
        await asyncio.sleep(0.05)
    assert all(sync.holdings_count == 1 for sync in await calls)
    assert 6 <= max(counts) <= 8
    assert (max(peaks) - idle) / 2**20 < 600
    logging.getLogger(__name__).info("most above idle: %.0f MiB", (max(peaks) - idle) / 2**20)


async def test_a_full_queue_refuses_at_once_and_whoever_leaves_it_keeps_the_code(suite: Suite) -> None:
    async with other_brokers(suite, brokers_children=1, brokers_sync_queue=1) as other:
        first, second = suite.kite_account(), suite.kite_account()
        gate = threading.Event()
        suite.vendors.kite.journal.clear()
        suite.vendors.kite.faults.always("/portfolio/holdings", Fault.held(gate), api_key=first.api_key)
        running = asyncio.create_task(other.sync_kite(first))
        await asyncio.to_thread(suite.vendors.kite.journal.wait_for, "/portfolio/holdings", api_key=first.api_key)
        token = second.new_request_token()
        queued = asyncio.create_task(other.sync_kite(second, user="queued", request_token=token))
        await until_refused(lambda: other.sync_kite(second, user="queued"), "SYNC_RUNNING")
        assert (await refusal(other.sync_kite(suite.kite_account())))[1] == "SYNC_QUEUE_FULL"
        queued.cancel()
        again = asyncio.create_task(until_synced(lambda: other.sync_kite(second, user="again", request_token=token)))
        gate.set()
        await running
        assert (await again).holdings_count == 1


async def until_refused(sync: Callable[[], Any], reason: str) -> None:
    """Try until a sync is refused so, which tells that another one has arrived."""
    async with asyncio.timeout(5):
        while (await refusal(asyncio.wait_for(sync(), 3)))[1] != reason:
            await asyncio.sleep(0.01)


async def until_synced(sync: Callable[[], Any]) -> Any:
    """Try until there is room in the queue again."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await sync()
            except grpc.aio.AioRpcError as error:
                if reason_of(error) != "SYNC_QUEUE_FULL":
                    raise
            await asyncio.sleep(0.01)


async def test_nothing_is_spent_while_portfolio_is_away(suite: Suite) -> None:
    account = suite.kite_account()
    token = account.new_request_token()
    await suite.portfolio_health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    code, reason, details = await refusal(suite.sync_kite(account, request_token=token))
    await suite.portfolio_health.set("", health_pb2.HealthCheckResponse.SERVING)
    assert (code, reason) == ("UNAVAILABLE", "PORTFOLIO_UNAVAILABLE")
    assert "was not used" in details
    assert (await suite.sync_kite(account, request_token=token)).holdings_count == 1


async def test_an_unreachable_portfolio_is_said_before_anything_is_spent(suite: Suite) -> None:
    async with other_brokers(suite, portfolio_address=f"127.0.0.1:{free_port()}") as other:
        account = suite.kite_account()
        assert (await refusal(other.sync_kite(account)))[1] == "PORTFOLIO_UNAVAILABLE"
    assert suite.vendors.kite.journal.count("/session/token", api_key=account.api_key) == 0


async def test_rows_are_sent_again_as_the_same_sync(suite: Suite) -> None:
    suite.portfolio.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED]
    done = await suite.sync_kite(suite.kite_account())
    assert [asked.sync_id for asked in suite.portfolio.asked] == [done.id] * 3


async def test_rows_that_portfolio_never_takes_are_given_up(suite: Suite) -> None:
    suite.portfolio.failures = [grpc.StatusCode.UNAVAILABLE] * 10
    _, reason, details = await refusal(suite.sync_kite(suite.kite_account()))
    assert reason == "PORTFOLIO_UNAVAILABLE"
    assert "new one-time code" in details
    assert len(suite.portfolio.asked) == 4


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (grpc.StatusCode.ABORTED, ("ABORTED", "SYNC_SUPERSEDED")),
        (grpc.StatusCode.INTERNAL, ("UNAVAILABLE", "PORTFOLIO_UNAVAILABLE")),
    ],
)
async def test_what_portfolio_refuses_is_not_sent_again(
    suite: Suite, status: grpc.StatusCode, expected: tuple[str, str]
) -> None:
    suite.portfolio.failures = [status]
    assert (await refusal(suite.sync_kite(suite.kite_account())))[:2] == expected
    assert len(suite.portfolio.asked) == 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("api_key", ""),
        ("api_key", "a key"),
        ("api_secret", "k\u00e9y"),
        ("api_secret", "x" * 513),
        ("request_token", "line\nbreak"),
        ("checksum", "f" * 63),
        ("user_id", ""),
    ],
)
async def test_what_cannot_be_a_credential_is_named_and_not_repeated(suite: Suite, field: str, text: str) -> None:
    code, reason, details = await refusal(suite.sync_kite(suite.kite_account(), **{field: text}))
    assert (code, reason) == ("INVALID_ARGUMENT", "CREDENTIALS_MALFORMED")
    assert details.startswith(field)
    assert not text or text not in details


async def test_a_key_of_the_sandbox_needs_a_sandbox(suite: Suite) -> None:
    code, reason, details = await refusal(suite.sync_kite(suite.kite_account(), api_key="sandbox-demo"))
    assert (code, reason) == ("INVALID_ARGUMENT", "CREDENTIALS_MALFORMED")
    assert "make sandbox" in details


async def test_a_key_of_the_sandbox_goes_there_and_nowhere_else(suite: Suite) -> None:
    with brokers_server() as sandbox:
        kite = sandbox.kite.accounts.add(suite.kite_account(api_key=f"sandbox-{secrets.token_hex(4)}"))
        breeze = sandbox.breeze.accounts.add(suite.breeze_account(api_key=f"sandbox-{secrets.token_hex(4)}"))
        async with other_brokers(suite, brokers_sandbox_url=f"{sandbox.url}/") as other:
            done = [await other.sync_kite(kite, user="sand"), await other.sync_breeze(breeze, user="sand")]
            real = await other.sync_kite(suite.kite_account())
        assert [sync.is_simulated for sync in (*done, real)] == [True, True, False]
        assert kept(suite, "sand", brokers_pb2.BROKER_ICICI).is_simulated
        assert sandbox.kite.journal.count("/portfolio/holdings") == 1
    assert suite.vendors.kite.journal.count(api_key=kite.api_key) == 0
    assert suite.vendors.breeze.journal.count(api_key=breeze.api_key) == 0


async def test_no_record_no_error_and_no_process_shows_a_credential(
    suite: Suite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Ways in which the calls of one account end: well, refused, crashed, hung.
    faults = [None, Fault.token_exception(), Fault.drop(), Fault.html(), Fault.hang()]
    canaries: list[str] = []
    said: list[str] = []
    for fault in faults:
        kite, breeze = suite.kite_account(), suite.breeze_account()
        token, session = kite.new_request_token(), secrets.token_urlsafe(24)
        breeze.api_session_prefix = session
        canaries += [kite.api_key, kite.api_secret, token, breeze.api_key, breeze.api_secret, session]
        if fault is not None:
            suite.vendors.kite.faults.always("*", fault, api_key=kite.api_key)
            suite.vendors.breeze.faults.always("*", fault, api_key=breeze.api_key)
        calls = asyncio.gather(
            suite.sync_kite(kite, request_token=token),
            suite.sync_breeze(breeze, api_session=session),
            return_exceptions=True,
        )
        while not calls.done():
            said += shown_by_processes()
            await asyncio.sleep(0.05)
        said += [repr(result) + str(getattr(result, "details", str)()) for result in await calls]
    # What the vendors' stand-ins log themselves is not ours.
    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    said += [repr(vars(record)) + str(record.exc_text) for record in ours]
    assert any("sync failed" in text for text in said)
    assert found_in(said, canaries) == set()
    # The search itself finds what it should.
    logging.getLogger("planted").debug("leak %s", canaries[1][4:16])
    assert found_in([repr(vars(record)) for record in caplog.records[-1:]], canaries) == {canaries[1]}


@asynccontextmanager
async def other_brokers(suite: Suite, **changed: Any) -> AsyncIterator[Suite]:
    """Run a second brokers with other settings beside the same vendors and the same portfolio."""
    address = f"127.0.0.1:{free_port()}"
    given = {
        "run_dir": suite.run_dir,
        "portfolio_address": suite.portfolio_address,
        "kite_root_url": suite.vendors.url,
        "breeze_root_url": suite.vendors.url,
        **changed,
    }
    async with build(Settings(brokers_address=address, **given)), grpc.aio.insecure_channel(address) as channel:
        other = replace(suite, stub=syncs_pb2_grpc.SyncServiceStub(channel), health=health_pb2_grpc.HealthStub(channel))
        await until_ready(other)
        yield other


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def forkserver_pid() -> int:
    """Return this process's forkserver; the newest, where a test runs two brokers."""
    return max(child for child in children_of(os.getpid()) if b"children.forkserver" in command_of(child))


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def folders_of(suite: Suite) -> list[Path]:
    return [folder for service in (suite.run_dir / "children").iterdir() for folder in service.iterdir()]


def proportional_bytes(pid: int) -> int:
    """Return a process's memory, what it shares counted in parts; all of it where only root may see the parts."""
    for file, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
            return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    return 0


def shown_by_processes() -> list[str]:
    """Return what the forkserver and its children show of themselves to others."""
    shown = []
    forkserver = forkserver_pid()
    for pid in (forkserver, *children_of(forkserver)):
        # One may have ended, and only root may look at the environment of one that is closed off.
        with suppress(OSError):
            files = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
            shown += [file.decode(errors="replace") for file in files]
    return shown


def found_in(texts: list[str], canaries: list[str]) -> set[str]:
    """Return the canaries of which 8 characters in a row occur."""
    whole = "\n".join(texts)
    return {canary for canary in canaries for at in range(len(canary) - 7) if canary[at : at + 8] in whole}
