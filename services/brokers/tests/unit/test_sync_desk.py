import asyncio
import logging
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers.domain.brokers import Broker
from brokers.domain.credentials import CredentialField
from brokers.domain.errors import (
    BrokerAnswerInvalid,
    BrokerTimedOut,
    BrokerUnavailable,
    PortfolioUnavailable,
    SandboxUnavailable,
    SyncRunning,
    SyncSuperseded,
)
from brokers.domain.lanes import Lanes
from brokers.domain.rows import BrokerRows, HoldingRow, RowCounts
from brokers.domain.secrets import Secret
from brokers.domain.sync_desk import SyncDesk
from brokers.domain.syncs import SyncedRows, SyncOrder
from chassis.clock import ManualClock
from chassis.errors import ServiceError

ROWS = BrokerRows((HoldingRow(exchange="NSE", tradingsymbol="TCS", quantity=Decimal(1), t1_quantity=Decimal(0)),), ())


class FakeBroker:
    """Answers, or fails as it is told, and takes time when told."""

    def __init__(self, clock: ManualClock) -> None:
        self.failures: list[ServiceError] = []
        self.asked: list[SyncOrder] = []
        self.revealed: list[str] = []
        self.gate: asyncio.Event | None = None
        self._clock = clock

    async def read(self, order: SyncOrder) -> BrokerRows:
        self.asked.append(order)
        self.revealed += [secret.reveal() for secret in order.credentials.values()]
        if self.gate is not None:
            await self.gate.wait()
        await self._clock.advance(2)
        if self.failures:
            raise self.failures.pop(0)
        return ROWS


class FakeStore:
    """Keeps rows, unless it is away."""

    def __init__(self) -> None:
        self.kept: list[SyncedRows] = []
        self.is_away = False
        self.refusal: ServiceError | None = None
        self.credentials_then: list[bool] = []
        self.order: SyncOrder | None = None

    async def require_reachable(self) -> None:
        if self.is_away:
            raise PortfolioUnavailable(is_code_spent=False)

    async def replace(self, rows: SyncedRows) -> RowCounts:
        if self.order is not None:
            self.credentials_then = [bool(secret) for secret in self.order.credentials.values()]
        if self.refusal is not None:
            raise self.refusal
        self.kept.append(rows)
        return RowCounts(len(rows.rows.holdings), 0, 0)


class Setting:
    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 11, 20, 10, tzinfo=UTC))
        self.broker, self.other = FakeBroker(self.clock), FakeBroker(self.clock)
        self.store = FakeStore()
        self.desk = SyncDesk(
            {Broker.ZERODHA: self.broker, Broker.ICICI: self.other},
            self.store,
            lanes=Lanes(at_most=2, queue_at_most=4),
            clock=self.clock,
            new_id=lambda: "an-id",
        )


@pytest.fixture
def setting() -> Setting:
    return Setting()


def order(user: str = "asha", broker: Broker = Broker.ZERODHA, *, is_simulated: bool = False) -> SyncOrder:
    return SyncOrder(user, broker, {CredentialField.API_KEY: Secret("demo")}, is_simulated)


async def test_rows_go_to_portfolio_with_the_times_of_the_asking(setting: Setting) -> None:
    done = await setting.desk.sync(order())
    (kept,) = setting.store.kept
    assert (kept.sync_id, kept.user_id, kept.broker, kept.rows) == ("an-id", "asha", Broker.ZERODHA, ROWS)
    assert (kept.synced_at - kept.started_at).total_seconds() == 2
    assert (done.id, done.broker, done.synced_at, done.is_simulated) == (
        "an-id",
        Broker.ZERODHA,
        kept.synced_at,
        False,
    )
    assert done.counts == RowCounts(1, 0, 0)


async def test_a_sync_begins_when_it_is_asked_for_however_long_it_waits_for_its_turn(setting: Setting) -> None:
    setting.broker.gate = asyncio.Event()
    running = [asyncio.create_task(setting.desk.sync(order(f"user-{number}"))) for number in range(3)]
    while len(setting.broker.asked) < 2:
        await asyncio.sleep(0)
    asked_at = setting.clock.now()
    await setting.clock.advance(30)
    setting.broker.gate.set()
    await asyncio.gather(*running)
    assert {kept.started_at for kept in setting.store.kept} == {asked_at}


async def test_credentials_are_forgotten_before_the_rows_are_kept(setting: Setting) -> None:
    setting.store.order = order()
    await setting.desk.sync(setting.store.order)
    assert setting.broker.revealed == ["demo"]
    assert setting.store.credentials_then == [False]


async def test_credentials_are_forgotten_when_a_sync_fails(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    asked = order()
    setting.broker.failures = [BrokerAnswerInvalid(Broker.ZERODHA)]
    with pytest.raises(BrokerAnswerInvalid):
        await setting.desk.sync(asked)
    assert not any(asked.credentials.values())
    assert [vars(record)["reason"] for record in caplog.records] == ["BROKER_ANSWER_INVALID"]
    assert setting.store.kept == []


async def test_a_user_syncs_with_a_broker_once_at_a_time(setting: Setting) -> None:
    setting.broker.gate = asyncio.Event()
    first = asyncio.create_task(setting.desk.sync(order()))
    await asyncio.sleep(0)
    with pytest.raises(SyncRunning):
        await setting.desk.sync(order())
    await setting.desk.sync(order(broker=Broker.ICICI))
    setting.broker.gate.set()
    await first
    await setting.desk.sync(order())
    assert len(setting.broker.asked) == 2


async def test_no_code_is_spent_while_portfolio_is_away(setting: Setting) -> None:
    setting.store.is_away = True
    with pytest.raises(PortfolioUnavailable, match="was not used"):
        await setting.desk.sync(order())
    assert setting.broker.asked == []


async def test_what_portfolio_refuses_is_passed_on(setting: Setting) -> None:
    setting.store.refusal = SyncSuperseded()
    with pytest.raises(SyncSuperseded):
        await setting.desk.sync(order())


async def test_a_broker_that_lets_several_wait_in_a_row_rests(setting: Setting) -> None:
    setting.broker.failures = [BrokerTimedOut(Broker.ZERODHA) for _ in range(3)]
    for _ in range(3):
        with pytest.raises(BrokerTimedOut):
            await setting.desk.sync(order())
    with pytest.raises(BrokerUnavailable) as caught:
        await setting.desk.sync(order())
    assert caught.value.retry_after_seconds == 15
    assert len(setting.broker.asked) == 3
    assert [setting.desk.is_resting(broker) for broker in (Broker.ZERODHA, Broker.ICICI)] == [True, False]
    # Neither the other broker nor the sandbox has to do with it.
    await setting.desk.sync(order(broker=Broker.ICICI))
    await setting.desk.sync(order(is_simulated=True))
    await setting.clock.advance(15)
    await setting.desk.sync(order())


async def test_a_sandbox_that_is_not_there_is_not_said_to_be_the_broker(setting: Setting) -> None:
    setting.broker.failures = [BrokerUnavailable(Broker.ZERODHA), BrokerUnavailable(Broker.ZERODHA)]
    with pytest.raises(SandboxUnavailable) as absent:
        await setting.desk.sync(order(is_simulated=True))
    assert absent.value.message == (
        "the sandbox that plays Zerodha is not answering; "
        "`make sandbox` starts it; if it runs already, give it and `make run` the same SANDBOX_PORT"
    )
    with pytest.raises(BrokerUnavailable, match="Zerodha is not answering") as caught:
        await setting.desk.sync(order())
    assert not isinstance(caught.value, SandboxUnavailable)


async def test_a_refusal_shows_that_a_broker_answers(setting: Setting) -> None:
    timeout = BrokerTimedOut(Broker.ZERODHA)
    setting.broker.failures = [timeout, timeout, BrokerAnswerInvalid(Broker.ZERODHA), timeout, timeout]
    for _ in range(5):
        with pytest.raises(ServiceError):
            await setting.desk.sync(order())
    await setting.desk.sync(order())
    assert len(setting.broker.asked) == 6


async def test_whoever_leaves_while_the_broker_is_asked_leaves_no_trace(setting: Setting) -> None:
    setting.broker.gate = asyncio.Event()
    leaving = asyncio.create_task(setting.desk.sync(order()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    setting.broker.gate = None
    await setting.desk.sync(order())
    assert len(setting.store.kept) == 1
