from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.bus import Bus
from chassis.clock import ManualClock
from market.domain.freshness import SimulatedFreshness
from market.domain.last_prices import LastPrices
from market.domain.sessions import Session, Venue, VenueSessions
from market.feed.arrivals import Arrivals
from market.feed.tick_listener import TickListener

OPENS_AT = datetime(2026, 1, 5, 3, 45, tzinfo=UTC)
CLOSES_AT = OPENS_AT + timedelta(hours=6, minutes=15)
INDIA = VenueSessions(
    Venue.INDIA,
    [Session(date(2026, 1, 5), OPENS_AT, CLOSES_AT)],
    known_from=date(2026, 1, 5),
    known_through=date(2026, 1, 5),
)


class FakeBus:
    """Hands messages to whoever subscribed."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Msg], Awaitable[None]]] = {}

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]]) -> None:
        self.handlers[subject] = handler

    async def send(self, payload: bytes) -> None:
        await self.handlers["ticks.*"](Msg(_client=cast("Client", None), subject="ticks.3", data=payload))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(OPENS_AT)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def last_prices() -> LastPrices:
    return LastPrices(SimulatedFreshness())


@pytest.fixture
def arrivals(clock: ManualClock) -> Arrivals:
    return Arrivals(clock)


@pytest.fixture
async def listener(last_prices: LastPrices, clock: ManualClock, bus: FakeBus, arrivals: Arrivals) -> TickListener:
    listener = TickListener(
        last_prices, clock, sources=["zerodha"], instruments=["NSE:TCS", "NSE:INFY"], sessions=INDIA, arrivals=arrivals
    )
    await listener.listen(cast("Bus", bus))
    return listener


def batch(
    *ticks: ticks_pb2.Tick,
    source: str = "zerodha",
    freshness: quotes_pb2.Freshness.ValueType = quotes_pb2.FRESHNESS_LIVE,
    base: datetime | None = OPENS_AT,
) -> bytes:
    message = ticks_pb2.TickBatch(source=source, freshness=freshness, ticks=ticks)
    if base is not None:
        message.base_time.FromDatetime(base)
    return message.SerializeToString()


def tick(instrument: str = "NSE:TCS", price: float = 100.0, offset: int = 0, **rest: float) -> ticks_pb2.Tick:
    return ticks_pb2.Tick(instrument=instrument, last_price=price, offset_microseconds=offset, **rest)  # type: ignore[arg-type]


async def test_ticks_of_a_configured_source_are_taken_in(
    listener: TickListener, bus: FakeBus, last_prices: LastPrices
) -> None:
    await bus.send(batch(tick(offset=5), tick("NSE:INFY", previous_close=99.0, volume=7)))
    assert last_prices.ticked_at("zerodha", "NSE:TCS") == OPENS_AT + timedelta(microseconds=5)
    assert last_prices.ticked_at("zerodha", "NSE:INFY") == OPENS_AT
    assert listener.malformed_batches == 0


@pytest.mark.parametrize(
    "payload",
    [
        batch(tick(), source="sample", freshness=quotes_pb2.FRESHNESS_SIMULATED),
        batch(tick(), source="icici"),
        batch(tick(), freshness=quotes_pb2.FRESHNESS_SIMULATED),
        batch(tick("NSE:NOSUCH")),
        batch(),
    ],
)
async def test_what_is_not_ours_is_passed_over(
    listener: TickListener, bus: FakeBus, last_prices: LastPrices, payload: bytes
) -> None:
    await bus.send(payload)
    assert (len(last_prices), listener.malformed_batches) == (0, 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff",
        batch(tick(), base=None),
        batch(tick(price=0.0)),
        batch(tick(price=-1.0)),
        batch(tick(price=float("nan"))),
        batch(tick(price=float("inf"))),
        batch(tick(previous_close=0.0)),
        batch(tick(offset=-1)),
        batch(tick(offset=61_000_000)),
    ],
)
async def test_a_malformed_batch_is_counted_and_skipped_as_a_whole(
    listener: TickListener,
    bus: FakeBus,
    last_prices: LastPrices,
    caplog: pytest.LogCaptureFixture,
    *,
    payload: bytes,
) -> None:
    for _ in range(3):
        await bus.send(payload)
    assert (len(last_prices), listener.malformed_batches) == (0, 3)
    assert [record.message for record in caplog.records] == ["tick batch skipped"] * 2
    await bus.send(batch(tick()))
    assert len(last_prices) == 1


async def test_a_batch_with_one_impossible_tick_is_skipped_with_the_others(
    listener: TickListener, bus: FakeBus, last_prices: LastPrices
) -> None:
    await bus.send(batch(tick("NSE:INFY"), tick(price=0.0)))
    assert (len(last_prices), listener.malformed_batches) == (0, 1)


@pytest.mark.parametrize(
    ("seconds", "is_well"), [(0, True), (30, True), (30.1, False), (6.25 * 3600 - 1, False), (6.25 * 3600, True)]
)
async def test_silence_in_a_session_is_not_well(
    listener: TickListener, clock: ManualClock, seconds: float, *, is_well: bool
) -> None:
    await clock.advance(seconds)
    assert await listener.is_well() is is_well


async def test_a_tick_makes_it_well_again(listener: TickListener, bus: FakeBus, clock: ManualClock) -> None:
    await clock.advance(3600)
    assert not await listener.is_well()
    await bus.send(batch(tick("NSE:OTHER")))
    assert await listener.is_well()


async def test_before_the_first_session_none_are_expected(last_prices: LastPrices) -> None:
    early = ManualClock(OPENS_AT - timedelta(hours=1))
    listener = TickListener(
        last_prices, early, sources=["zerodha"], instruments=[], sessions=INDIA, arrivals=Arrivals(early)
    )
    assert await listener.is_well()


async def test_it_is_known_when_ticks_came_last(
    listener: TickListener, bus: FakeBus, clock: ManualClock, arrivals: Arrivals
) -> None:
    assert arrivals.ages() == {}
    await bus.send(batch(tick()))
    await clock.advance(3.0)
    assert arrivals.ages() == {("zerodha",): 3.0}
