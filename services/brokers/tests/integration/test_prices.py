"""Sessions, prices and instruments by real children, from the brokers' stand-ins at their worst."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from brokers.domain.brokers import Broker
from brokers.domain.errors import (
    BrokerAnswerInvalid,
    BrokerThrottled,
    BrokerTimedOut,
    BrokerTokenInvalid,
    BrokerUnavailable,
    CredentialsMalformed,
)
from brokers.domain.isins import Directory, NoDirectory, Security, SecurityDirectory
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession, Login
from brokers.providers.breeze.prices import BreezePrices
from brokers.providers.children.nursery import Nursery
from brokers.providers.kite.prices import KitePrices
from brokers.providers.openers import ChildOpener
from brokers.providers.roots import VendorRoots
from chassis.errors import ServiceError
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.instruments import BY_KEY, LISTINGS
from upstreams.kite_accounts import KiteAccount
from upstreams.servers import RunningBrokers, brokers_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Shelf:
    """ICICI's list as the stand-in has it, or none."""

    def __init__(self) -> None:
        listed = [each for each in LISTINGS if each.icici_code is not None]
        securities = (Security(each.exchange, each.icici_code or "", each.isin or "", each.symbol) for each in listed)
        self.list: SecurityDirectory = Directory(securities)

    async def directory(self, root_url: str | None) -> SecurityDirectory:
        return self.list


@pytest.fixture(scope="module")
def vendors() -> Iterator[RunningBrokers]:
    with brokers_server() as running_vendors:
        yield running_vendors


@pytest.fixture(autouse=True)
def _mended(vendors: RunningBrokers) -> Iterator[None]:
    yield
    for vendor in (vendors.kite, vendors.breeze):
        vendor.faults.clear()
        vendor.journal.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nursery(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nursery]:
    async with Nursery.open(tmp_path_factory.mktemp("run"), at_most=4) as nursery:
        yield nursery


@pytest.fixture
def roots(vendors: RunningBrokers) -> VendorRoots:
    return VendorRoots(kite=vendors.url, breeze=vendors.url, sandbox=None)


@pytest.fixture
def kite_account(vendors: RunningBrokers) -> KiteAccount:
    return vendors.kite.accounts.add(KiteAccount())


@pytest.fixture
def breeze_account(vendors: RunningBrokers) -> BreezeAccount:
    return vendors.breeze.accounts.add(BreezeAccount())


@pytest.fixture
def kite(nursery: Nursery, roots: VendorRoots) -> KitePrices:
    return KitePrices(nursery, roots)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def breeze(nursery: Nursery, roots: VendorRoots, shelf: Shelf) -> BreezePrices:
    return BreezePrices(nursery, roots, shelf)


@pytest.fixture
def kite_session(kite_account: KiteAccount) -> ActiveSession:
    return ActiveSession(
        broker=Broker.ZERODHA,
        api_key=Secret(kite_account.api_key),
        api_secret=None,
        token=Secret(kite_account.new_access_token()),
        set_at=datetime.now(UTC),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        is_simulated=False,
    )


@pytest_asyncio.fixture(loop_scope="module")
async def breeze_session(nursery: Nursery, roots: VendorRoots, breeze_account: BreezeAccount) -> ActiveSession:
    login = Login(
        Broker.ICICI,
        api_key=Secret(breeze_account.api_key),
        api_secret=Secret(breeze_account.api_secret),
        code=Secret(breeze_account.new_api_session()),
    )
    opened = await ChildOpener(nursery, roots).open(login)
    return ActiveSession(
        broker=Broker.ICICI,
        api_key=login.api_key,
        api_secret=login.api_secret,
        token=opened.token,
        set_at=datetime.now(UTC),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        is_simulated=False,
    )


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.token_exception(), BrokerTokenInvalid),
        (Fault.throttled(), BrokerThrottled),
        (Fault.kite_error(403, "PermissionException", "Insufficient permission for that call."), BrokerUnavailable),
        (Fault.kite_error(400, "InputException", "Invalid `token`."), BrokerUnavailable),
        (Fault.server_error(502), BrokerUnavailable),
        (Fault.reset(), BrokerUnavailable),
        (Fault.html(), BrokerAnswerInvalid),
        (Fault.truncated(), BrokerAnswerInvalid),
        (Fault.missing_keys(), BrokerAnswerInvalid),
        (Fault.hang(), BrokerTimedOut),
    ],
)
async def test_kites_failures_are_told_apart(
    vendors: RunningBrokers, kite: KitePrices, kite_session: ActiveSession, *, fault: Fault, error: type[ServiceError]
) -> None:
    vendors.kite.faults.always("/quote", fault)
    started = time.monotonic()
    with pytest.raises(ServiceError) as failed:
        await kite.quotes(kite_session, ["NSE:TCS"])
    assert type(failed.value) is error
    assert time.monotonic() - started < 8
    assert vendors.kite.journal.count("/quote") == 1


async def test_numbers_that_are_none_cost_no_other_quote(
    vendors: RunningBrokers, kite: KitePrices, kite_session: ActiveSession
) -> None:
    vendors.kite.upstream.listings["NSE:TCS"] = replace(BY_KEY["NSE:TCS"], price=float("nan"))
    try:
        assert list(await kite.quotes(kite_session, ["NSE:TCS", "NSE:INFY"])) == ["NSE:INFY"]
    finally:
        vendors.kite.upstream.listings["NSE:TCS"] = BY_KEY["NSE:TCS"]


async def test_what_is_of_another_type_is_no_quote(
    vendors: RunningBrokers, kite: KitePrices, kite_session: ActiveSession
) -> None:
    vendors.kite.faults.next("/quote", Fault.wrong_types())
    assert await kite.quotes(kite_session, ["NSE:TCS"]) == {}


async def test_kites_tokens_come_from_its_lists(
    vendors: RunningBrokers, kite: KitePrices, kite_session: ActiveSession
) -> None:
    asked = ["INDEX:NIFTY50", "INDEX:SENSEX", "BSE:SBIN", "NSE:M&M", "NSE:UNKNOWN", "INDEX:SP500"]
    tokens = await kite.tokens(kite_session, asked)
    names = ["NSE:NIFTY 50", "BSE:SENSEX", "BSE:SBIN", "NSE:M&M"]
    assert tokens == dict(zip(asked, (BY_KEY[name].token for name in names), strict=False))
    assert [request.path for request in vendors.kite.journal.requests] == ["/instruments/NSE", "/instruments/BSE"]


async def test_a_list_that_cannot_be_had_is_said(
    vendors: RunningBrokers, kite: KitePrices, kite_session: ActiveSession
) -> None:
    vendors.kite.faults.next("/instruments/BSE", Fault.server_error(503))
    with pytest.raises(BrokerUnavailable):
        await kite.tokens(kite_session, ["NSE:TCS"])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.breeze_throttled(), BrokerThrottled),
        (Fault.breeze_error(401, "Invalid session."), BrokerTokenInvalid),
        (Fault.server_error(503), BrokerUnavailable),
        (Fault.truncated(), BrokerAnswerInvalid),
    ],
)
async def test_icicis_failures_are_told_apart(
    vendors: RunningBrokers,
    breeze: BreezePrices,
    breeze_session: ActiveSession,
    *,
    fault: Fault,
    error: type[ServiceError],
) -> None:
    vendors.breeze.faults.always("/quotes", fault)
    with pytest.raises(ServiceError) as failed:
        await breeze.quotes(breeze_session, ["NSE:TCS"])
    assert type(failed.value) is error


async def test_nonsense_for_one_stock_costs_no_other(
    vendors: RunningBrokers, breeze: BreezePrices, breeze_session: ActiveSession
) -> None:
    vendors.breeze.faults.next("/quotes", Fault.truncated())
    assert list(await breeze.quotes(breeze_session, ["NSE:TCS", "NSE:INFY"])) == ["NSE:INFY"]


async def test_what_icici_answered_before_it_stopped_is_kept(
    vendors: RunningBrokers, breeze: BreezePrices, breeze_session: ActiveSession
) -> None:
    await breeze.quotes(breeze_session, ["NSE:TCS"])
    vendors.breeze.journal.clear()
    vendors.breeze.faults.next("/quotes", Fault.slow(0))
    vendors.breeze.faults.always("/quotes", Fault.breeze_throttled())
    assert list(await breeze.quotes(breeze_session, ["NSE:TCS", "NSE:INFY", "NSE:SBIN"])) == ["NSE:TCS"]
    assert vendors.breeze.journal.count("/quotes") == 2


async def test_a_refused_session_is_said_whatever_came_before(
    vendors: RunningBrokers, breeze: BreezePrices, breeze_session: ActiveSession
) -> None:
    vendors.breeze.faults.next("/quotes", Fault.slow(0))
    vendors.breeze.faults.always("/quotes", Fault.breeze_error(401, "Resource not available."))
    with pytest.raises(BrokerTokenInvalid):
        await breeze.quotes(breeze_session, ["NSE:TCS", "NSE:INFY"])


async def test_icici_knows_what_its_list_and_two_indices_are(breeze: BreezePrices) -> None:
    asked = ["NSE:M&M", "INDEX:SENSEX", "INDEX:BANKNIFTY", "NASDAQ:AAPL", "INDEX:NIFTY50", "BSE:SBIN", "NSE:GONE"]
    assert await breeze.known(asked) == ["NSE:M&M", "INDEX:BANKNIFTY", "INDEX:NIFTY50", "BSE:SBIN"]


async def test_without_its_list_icici_knows_nothing_for_sure(breeze: BreezePrices, shelf: Shelf) -> None:
    shelf.list = NoDirectory()
    with pytest.raises(BrokerUnavailable):
        await breeze.known(["NSE:TCS"])


async def test_the_sandboxs_keys_go_to_the_sandbox_alone(nursery: Nursery, vendors: RunningBrokers) -> None:
    account = vendors.kite.accounts.add(KiteAccount(api_key="sandbox-kite"))
    real = VendorRoots(kite="http://127.0.0.1:9", breeze=None, sandbox=vendors.url)
    login = Login(Broker.ZERODHA, Secret(account.api_key), Secret(account.api_secret), code=Secret("none"))
    opened = await ChildOpener(nursery, real).open(replace(login, code=Secret(account.new_request_token())))
    assert opened.is_simulated
    without = VendorRoots(kite=vendors.url, breeze=None, sandbox=None)
    vendors.kite.journal.clear()
    with pytest.raises(CredentialsMalformed, match="make sandbox"):
        await ChildOpener(nursery, without).open(login)
    assert vendors.kite.journal.requests == []


async def test_an_opened_session_says_nothing_of_itself(
    nursery: Nursery, roots: VendorRoots, kite_account: KiteAccount
) -> None:
    login = Login(
        Broker.ZERODHA,
        api_key=Secret(kite_account.api_key),
        api_secret=Secret(kite_account.api_secret),
        code=Secret(kite_account.new_request_token()),
    )
    opened = await ChildOpener(nursery, roots).open(login)
    assert opened.token.reveal() in kite_account.access_tokens
    shown = f"{login!r} {opened!r}"
    hidden = (kite_account.api_key, kite_account.api_secret, login.code.reveal(), opened.token.reveal())
    assert not any(secret in shown for secret in hidden)
