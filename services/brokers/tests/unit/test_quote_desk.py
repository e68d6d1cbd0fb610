import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from brokers.domain.breaker import REST_SECONDS
from brokers.domain.brokers import Broker
from brokers.domain.budgets import ALLOWANCES, Allowance
from brokers.domain.errors import (
    BrokerThrottled,
    BrokerTokenInvalid,
    BrokerUnavailable,
    BudgetSpent,
    SessionInactive,
    TooManyInstruments,
)
from brokers.domain.quote_desk import MAX_BOARDING, PACES, BrokerDesk, QuoteDesk
from brokers.domain.quotes import BrokerQuote
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession, SessionBook
from chassis.clock import ManualClock

START = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


class Vendor:
    """A broker that knows what begins with NSE and prices it by how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.failure: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def known(self, instruments: Sequence[str]) -> Sequence[str]:
        return [each for each in instruments if each.startswith("NSE:")]

    async def quotes(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        self.calls.append(list(instruments))
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        price = float(len(self.calls))
        return {each: BrokerQuote(each, price, START) for each in instruments if each != "NSE:HALTED"}


class Allowed:
    """A budget of so many calls in any minute or second of the clock."""

    def __init__(self, clock: ManualClock, *, calls: int, seconds: float) -> None:
        self._clock = clock
        self._calls = calls
        self._seconds = seconds
        self.taken: list[float] = []
        self.rivals = 0

    def _left(self) -> int:
        begin = self._clock.monotonic() - self._seconds
        self.taken = [each for each in self.taken if each > begin]
        return self._calls - len(self.taken)

    async def take(self, broker: Broker, calls: int) -> int:
        if self.rivals:
            self.rivals -= 1
            self.taken.append(self._clock.monotonic())
        granted = min(calls, self._left())
        self.taken += [self._clock.monotonic()] * granted
        return granted

    async def wait_seconds(self, broker: Broker) -> float:
        return 0.0 if self._left() else self.taken[0] + self._seconds - self._clock.monotonic()


class Exchange:
    """A desk of one broker and what is around it."""

    def __init__(self, broker: Broker) -> None:
        self.clock = ManualClock(START)
        self.book = SessionBook(self.clock)
        self.vendor = Vendor()
        calls, seconds = {Broker.ZERODHA: (1, 1.0), Broker.ICICI: (100, 60.0)}[broker]
        self.budget = Allowed(self.clock, calls=calls, seconds=seconds)
        self.desk = BrokerDesk(broker, self.vendor, book=self.book, budget=self.budget, clock=self.clock)
        self.session = ActiveSession(
            broker=broker,
            api_key=Secret("key"),
            api_secret=None,
            token=Secret("token"),
            set_at=START,
            expires_at=START + timedelta(hours=5),
            is_simulated=False,
        )
        self.book.put(self.session)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def prices(quotes: Mapping[str, BrokerQuote]) -> dict[str, float]:
    return {each: quote.last_price for each, quote in quotes.items()}


@pytest.fixture
async def kite() -> AsyncIterator[Exchange]:
    exchange = Exchange(Broker.ZERODHA)
    yield exchange
    await exchange.desk.finish()


@pytest.fixture
async def breeze() -> AsyncIterator[Exchange]:
    exchange = Exchange(Broker.ICICI)
    yield exchange
    await exchange.desk.finish()


async def test_the_first_who_asks_waits_for_nothing(kite: Exchange) -> None:
    assert prices(await kite.desk.quotes(["NSE:TCS", "NSE:INFY"])) == {"NSE:TCS": 1.0, "NSE:INFY": 1.0}
    assert kite.vendor.calls == [["NSE:TCS", "NSE:INFY"]]


async def test_who_asks_within_a_slot_shares_the_next_call(kite: Exchange) -> None:
    await kite.desk.quotes(["NSE:A"])
    callers = [asyncio.create_task(kite.desk.quotes([f"NSE:{name}", "NSE:B"])) for name in "BCDE"]
    await settle()
    assert len(kite.vendor.calls) == 1
    await kite.clock.advance(1.1)
    answers = [prices(await caller) for caller in callers]
    assert kite.vendor.calls[1:] == [["NSE:B", "NSE:C", "NSE:D", "NSE:E"]]
    assert answers[0] == {"NSE:B": 2.0}
    assert answers[3] == {"NSE:B": 2.0, "NSE:E": 2.0}


async def test_no_two_calls_of_kite_are_closer_than_a_second(kite: Exchange) -> None:
    times: list[float] = []
    for number in range(5):
        caller = asyncio.create_task(kite.desk.quotes([f"NSE:{number}"]))
        await settle()
        while not caller.done():
            await kite.clock.advance(0.05)
            await settle()
        times.append(kite.clock.monotonic())
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))
    assert len(kite.vendor.calls) == 5


async def test_an_answer_is_kept_for_a_second(kite: Exchange) -> None:
    await kite.desk.quotes(["NSE:TCS"])
    await kite.clock.advance(0.9)
    assert prices(await kite.desk.quotes(["NSE:TCS"])) == {"NSE:TCS": 1.0}
    await kite.clock.advance(0.2)
    assert prices(await kite.desk.quotes(["NSE:TCS"])) == {"NSE:TCS": 2.0}


async def test_who_asks_while_a_call_is_under_way_shares_its_answer(kite: Exchange) -> None:
    kite.vendor.answers.clear()
    callers = [asyncio.create_task(kite.desk.quotes(["NSE:TCS"])) for _ in range(3)]
    await settle()
    late = asyncio.create_task(kite.desk.quotes(["NSE:TCS"]))
    await settle()
    kite.vendor.answers.set()
    assert [prices(await caller) for caller in [*callers, late]] == [{"NSE:TCS": 1.0}] * 4
    assert len(kite.vendor.calls) == 1


async def test_what_the_broker_does_not_know_is_left_out(kite: Exchange) -> None:
    assert prices(await kite.desk.quotes(["NASDAQ:AAPL", "NSE:TCS", "NSE:HALTED"])) == {"NSE:TCS": 1.0}
    assert kite.vendor.calls == [["NSE:TCS", "NSE:HALTED"]]
    # That it has no price is an answer too.
    assert prices(await kite.desk.quotes(["NSE:HALTED"])) == {}
    assert len(kite.vendor.calls) == 1


async def test_nothing_known_costs_no_call(kite: Exchange) -> None:
    assert await kite.desk.quotes(["NASDAQ:AAPL"]) == {}
    assert kite.vendor.calls == []


async def test_a_caller_who_leaves_takes_the_answer_from_nobody(kite: Exchange) -> None:
    kite.vendor.answers.clear()
    leaving = asyncio.create_task(kite.desk.quotes(["NSE:TCS"]))
    staying = asyncio.create_task(kite.desk.quotes(["NSE:TCS"]))
    await settle()
    leaving.cancel()
    await settle()
    kite.vendor.answers.set()
    assert prices(await staying) == {"NSE:TCS": 1.0}


async def test_without_a_valid_session_nothing_is_asked(kite: Exchange) -> None:
    await kite.clock.advance(5 * 3600)
    with pytest.raises(SessionInactive):
        await kite.desk.quotes(["NSE:TCS"])
    assert kite.vendor.calls == []


async def test_a_session_that_ends_while_a_call_waits_is_not_used(kite: Exchange) -> None:
    await kite.clock.advance(5 * 3600 - 0.5)
    await kite.desk.quotes(["NSE:TCS"])
    caller = asyncio.create_task(kite.desk.quotes(["NSE:INFY"]))
    await settle()
    await kite.clock.advance(1.1)
    with pytest.raises(SessionInactive):
        await caller
    assert len(kite.vendor.calls) == 1


async def test_a_refused_token_ends_the_session_and_is_not_tried_again(kite: Exchange) -> None:
    kite.vendor.failure = BrokerTokenInvalid(Broker.ZERODHA, "the session has ended")
    for _ in range(3):
        with pytest.raises(SessionInactive):
            await kite.desk.quotes(["NSE:TCS"])
        await kite.clock.advance(2)
    assert len(kite.vendor.calls) == 1
    assert kite.book.usable(Broker.ZERODHA) is None


async def test_a_failing_broker_is_left_alone_for_a_while(kite: Exchange) -> None:
    kite.vendor.failure = BrokerThrottled(Broker.ZERODHA)
    for _ in range(3):
        with pytest.raises(BrokerThrottled):
            await kite.desk.quotes(["NSE:TCS"])
        await kite.clock.advance(1.1)
    with pytest.raises(BrokerUnavailable) as refused:
        await kite.desk.quotes(["NSE:TCS"])
    assert refused.value.retry_after_seconds == pytest.approx(REST_SECONDS - 1.1)
    assert kite.desk.is_resting
    assert len(kite.vendor.calls) == 3
    kite.vendor.failure = None
    await kite.clock.advance(REST_SECONDS)
    assert not kite.desk.is_resting
    assert prices(await kite.desk.quotes(["NSE:TCS"])) == {"NSE:TCS": 4.0}


async def test_a_failure_reaches_everybody_on_the_call(kite: Exchange) -> None:
    kite.vendor.answers.clear()
    callers = [asyncio.create_task(kite.desk.quotes(["NSE:TCS"])) for _ in range(2)]
    await settle()
    callers[1].cancel()
    kite.vendor.failure = BrokerUnavailable(Broker.ZERODHA)
    kite.vendor.answers.set()
    with pytest.raises(BrokerUnavailable):
        await callers[0]


async def test_calls_that_wait_are_bounded(kite: Exchange) -> None:
    kite.vendor.answers.clear()
    batch = PACES[Broker.ZERODHA].batch
    callers = [asyncio.create_task(kite.desk.quotes(["NSE:FIRST"]))]
    await settle()
    for number in range(MAX_BOARDING):
        wanted = [f"NSE:{number}-{each}" for each in range(batch)]
        callers.append(asyncio.create_task(kite.desk.quotes(wanted)))
    await settle()
    with pytest.raises(BudgetSpent):
        await kite.desk.quotes(["NSE:ONE-MORE"])
    kite.vendor.answers.set()
    for _ in range(MAX_BOARDING):
        await kite.clock.advance(1.1)
        await settle()
    answers = [await caller for caller in callers]
    assert [len(answer) for answer in answers] == [1] + [batch] * MAX_BOARDING
    assert len(kite.vendor.calls) == MAX_BOARDING + 1


async def test_another_replica_that_was_faster_is_waited_for(kite: Exchange) -> None:
    kite.budget.rivals = 1
    caller = asyncio.create_task(kite.desk.quotes(["NSE:TCS"]))
    await settle()
    assert kite.vendor.calls == []
    await kite.clock.advance(1.1)
    assert prices(await caller) == {"NSE:TCS": 1.0}


async def test_replicas_that_are_always_faster_spend_the_budget(kite: Exchange) -> None:
    kite.budget.rivals = 10
    caller = asyncio.create_task(kite.desk.quotes(["NSE:TCS"]))
    for _ in range(5):
        await settle()
        await kite.clock.advance(1.1)
    with pytest.raises(BudgetSpent):
        await caller
    assert kite.vendor.calls == []


async def test_each_stock_of_icici_is_a_call_in_small_batches(breeze: Exchange) -> None:
    wanted = [f"NSE:{number}" for number in range(50)]
    assert list(await breeze.desk.quotes(wanted)) == wanted
    assert [len(call) for call in breeze.vendor.calls] == [20, 20, 10]
    assert len(breeze.budget.taken) == 50


async def test_what_icicis_budget_does_not_reach_is_left_out(breeze: Exchange) -> None:
    await breeze.desk.quotes([f"NSE:{number}" for number in range(95)])
    answer = await breeze.desk.quotes([f"NSE:NEXT-{number}" for number in range(10)])
    assert list(answer) == [f"NSE:NEXT-{number}" for number in range(5)]
    with pytest.raises(BudgetSpent) as spent:
        await breeze.desk.quotes(["NSE:ONE-MORE"])
    assert spent.value.retry_after_seconds == 60
    await breeze.clock.advance(60)
    assert len(await breeze.desk.quotes(["NSE:ONE-MORE"])) == 1


async def test_a_batch_beyond_icicis_budget_takes_the_others_answers_from_nobody(breeze: Exchange) -> None:
    await breeze.desk.quotes([f"NSE:{number}" for number in range(80)])
    wanted = [f"NSE:NEXT-{number}" for number in range(40)]
    assert list(await breeze.desk.quotes(wanted)) == wanted[:20]


async def test_more_than_can_wait_for_icici_is_answered_in_part(breeze: Exchange) -> None:
    wanted = [f"NSE:{number}" for number in range(500)]
    assert list(await breeze.desk.quotes(wanted)) == wanted[:100]


async def test_the_desk_answers_in_the_order_asked(kite: Exchange) -> None:
    desk = QuoteDesk({Broker.ZERODHA: kite.desk})
    answer = await desk.quotes(Broker.ZERODHA, ["NSE:B", "FX:USDINR", "NSE:A", "NSE:B"])
    assert [quote.instrument for quote in answer] == ["NSE:B", "NSE:A", "NSE:B"]
    assert kite.vendor.calls == [["NSE:B", "NSE:A"]]


async def test_more_than_500_instruments_are_too_many(kite: Exchange) -> None:
    desk = QuoteDesk({Broker.ZERODHA: kite.desk})
    assert len(await desk.quotes(Broker.ZERODHA, [f"NSE:{number}" for number in range(500)])) == 500
    with pytest.raises(TooManyInstruments):
        await desk.quotes(Broker.ZERODHA, [f"NSE:{number}" for number in range(501)])


async def test_finishing_gives_up_what_is_on_its_way(kite: Exchange) -> None:
    kite.vendor.answers.clear()
    desk = QuoteDesk({Broker.ZERODHA: kite.desk})
    caller = asyncio.create_task(desk.quotes(Broker.ZERODHA, ["NSE:TCS"]))
    await settle()
    await desk.finish()
    with pytest.raises(asyncio.CancelledError):
        await caller


def test_the_brokers_own_limits_are_kept() -> None:
    assert ALLOWANCES[Broker.ZERODHA] == (Allowance(1, 1),)
    assert ALLOWANCES[Broker.ICICI] == (Allowance(100, 60), Allowance(5_000, 86_400))
