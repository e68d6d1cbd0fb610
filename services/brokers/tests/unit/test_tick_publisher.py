"""How ticks become batches; a real NATS carries them in the integration tests."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from bourse.market.v1 import quotes_pb2, ticks_pb2
from brokers.domain.ticks import Freshness, Tick, shard_of
from brokers.feed import publisher as publishing
from brokers.feed.kite_ticks import microseconds_of
from brokers.feed.publisher import MAX_TICKS_PER_BATCH, TickPublisher
from chassis.bus import Bus
from chassis.clock import ManualClock
from chassis.errors import BusUnavailable
from chassis.tasks import running

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
AT = microseconds_of(NOON)
TCS, INFY = "NSE:TCS", "NSE:INFY"


class KeepingBus:
    """Keeps what is published, while it is there; may also never answer."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_stuck = False
        self.batches: list[ticks_pb2.TickBatch] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        if self.is_away:
            raise BusUnavailable
        if self.is_stuck:
            await asyncio.Event().wait()
        batch = ticks_pb2.TickBatch.FromString(payload)
        assert subject == f"ticks.{batch.shard}"
        self.batches.append(batch)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def bus() -> KeepingBus:
    return KeepingBus()


@pytest.fixture
def publisher(bus: KeepingBus, clock: ManualClock) -> TickPublisher:
    return TickPublisher(cast("Bus", bus), clock, publisher_id="test")


def tick(price: float = 1.0, *, instrument: str = TCS, seconds_ago: float = 0) -> Tick:
    return Tick(instrument, price, AT - round(seconds_ago * 1e6))


def prices(batches: list[ticks_pb2.TickBatch]) -> Iterator[tuple[str, float]]:
    return ((each.instrument, each.last_price) for batch in batches for each in batch.ticks)


async def test_a_slice_is_gathered_before_it_is_sent(
    publisher: TickPublisher, bus: KeepingBus, clock: ManualClock
) -> None:
    async with running(publisher.run()):
        await asyncio.sleep(0)
        publisher.offer([tick(1.0)], Freshness.LIVE)
        await clock.advance(0)
        publisher.offer([tick(2.0)], Freshness.LIVE)
        await clock.advance(0.009)
        assert bus.batches == []
        await clock.advance(0.002)
        assert [len(batch.ticks) for batch in bus.batches] == [2]
        publisher.offer([tick(3.0)], Freshness.LIVE)
        await clock.advance(0)
        await clock.advance(0.011)
        assert [batch.sequence for batch in bus.batches] == [2, 3]
    assert publisher.published_ticks == 3


async def test_a_batch_says_who_published_it_and_when(publisher: TickPublisher, bus: KeepingBus) -> None:
    publisher.offer([Tick(TCS, 3842.5, AT, 3800.0, 12_000)], Freshness.LIVE)
    await publisher.publish_waiting()
    (batch,) = bus.batches
    assert (batch.publisher_id, batch.epoch, batch.shard, batch.sequence) == ("test", AT, shard_of(TCS), 2)
    assert (batch.source, batch.freshness) == ("zerodha", quotes_pb2.FRESHNESS_LIVE)
    assert batch.published_at.ToDatetime(tzinfo=UTC) == batch.base_time.ToDatetime(tzinfo=UTC) == NOON
    expected = ticks_pb2.Tick(
        instrument=TCS, last_price=3842.5, previous_close=3800.0, offset_microseconds=0, volume=12_000
    )
    assert list(batch.ticks) == [expected]


async def test_ticks_of_a_batch_are_oldest_first_and_count_from_the_oldest(
    publisher: TickPublisher, bus: KeepingBus
) -> None:
    neighbour = next(name for name in (f"NSE:S{number}" for number in range(100)) if shard_of(name) == shard_of(TCS))
    ticks = [tick(1.0), tick(2.0), tick(3.0, instrument=neighbour, seconds_ago=90)]
    publisher.offer(ticks, Freshness.LIVE)
    await publisher.publish_waiting()
    (batch,) = bus.batches
    assert [(each.last_price, each.offset_microseconds) for each in batch.ticks] == [
        (3.0, 0),
        (1.0, 90_000_000),
        (2.0, 90_000_000),
    ]
    assert batch.base_time.ToDatetime(tzinfo=UTC) == NOON - timedelta(seconds=90)


async def test_ticks_of_different_freshness_are_not_mixed(publisher: TickPublisher, bus: KeepingBus) -> None:
    for price, freshness in ((1.0, Freshness.LIVE), (2.0, Freshness.LIVE), (3.0, Freshness.CLOSED)):
        publisher.offer([tick(price)], freshness)
    await publisher.publish_waiting()
    assert [(batch.freshness, len(batch.ticks)) for batch in bus.batches] == [
        (quotes_pb2.FRESHNESS_LIVE, 2),
        (quotes_pb2.FRESHNESS_CLOSED, 1),
    ]


async def test_what_is_too_much_for_one_message_is_cut(publisher: TickPublisher, bus: KeepingBus) -> None:
    publisher.offer([tick(1.0 + number) for number in range(2 * MAX_TICKS_PER_BATCH + 1)], Freshness.LIVE)
    await publisher.publish_waiting()
    assert [len(batch.ticks) for batch in bus.batches] == [MAX_TICKS_PER_BATCH, MAX_TICKS_PER_BATCH, 1]
    assert [price for _, price in prices(bus.batches)] == [1.0 + each for each in range(2 * MAX_TICKS_PER_BATCH + 1)]


async def test_what_cannot_be_sent_is_dropped_counted_and_leaves_a_hole(
    publisher: TickPublisher, bus: KeepingBus, caplog: pytest.LogCaptureFixture
) -> None:
    bus.is_away = True
    for _ in range(2):
        publisher.offer([tick(), tick(instrument=INFY)], Freshness.LIVE)
        await publisher.publish_waiting()
    bus.is_away = False
    publisher.offer([tick()], Freshness.LIVE)
    await publisher.publish_waiting()
    assert (publisher.dropped_ticks, publisher.published_ticks) == (4, 1)
    assert [(batch.shard, batch.sequence) for batch in bus.batches] == [(shard_of(TCS), 4)]
    assert len(caplog.records) == 1


async def test_a_bus_that_does_not_move_costs_its_ticks_not_the_feed(
    publisher: TickPublisher, bus: KeepingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PUBLISH_TIMEOUT_SECONDS", 0.01)
    bus.is_stuck = True
    publisher.offer([tick()], Freshness.LIVE)
    await publisher.publish_waiting()
    assert publisher.dropped_ticks == 1


async def test_when_too_many_wait_newer_ticks_are_dropped_and_leave_a_hole(
    publisher: TickPublisher, bus: KeepingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_WAITING_TICKS", 3)
    publisher.offer([tick(1.0), tick(2.0)], Freshness.LIVE)
    publisher.offer([tick(3.0), tick(3.5, instrument=INFY)], Freshness.LIVE)
    publisher.offer([tick(4.0)], Freshness.LIVE)
    await publisher.publish_waiting()
    assert list(prices(bus.batches)) == [(TCS, 1.0), (TCS, 2.0), (TCS, 4.0)]
    assert publisher.dropped_ticks == 2
    publisher.offer([tick(instrument=INFY)], Freshness.LIVE)
    await publisher.publish_waiting()
    # The hole of TCS lies behind what waited when ticks were dropped, and in front of what came later.
    assert [(batch.shard, batch.sequence) for batch in bus.batches] == [
        (shard_of(TCS), 2),
        (shard_of(TCS), 4),
        (shard_of(INFY), 3),
    ]


async def test_however_much_is_dropped_one_hole_waits(
    publisher: TickPublisher, bus: KeepingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_WAITING_TICKS", 1)
    publisher.offer([tick(1.0)], Freshness.LIVE)
    for _ in range(3):
        publisher.offer([tick(2.0)], Freshness.LIVE)
    publisher.offer([tick(3.0, instrument=INFY)], Freshness.LIVE)
    await publisher.publish_waiting()
    publisher.offer([tick(4.0)], Freshness.LIVE)
    await publisher.publish_waiting()
    publisher.offer([tick(5.0, instrument=INFY)], Freshness.LIVE)
    await publisher.publish_waiting()
    assert [(batch.shard, batch.sequence) for batch in bus.batches] == [
        (shard_of(TCS), 2),
        (shard_of(TCS), 4),
        (shard_of(INFY), 3),
    ]


async def test_each_start_begins_with_a_hole_in_every_shard_since_nobody_knows_what_the_last_one_lost(
    bus: KeepingBus, clock: ManualClock
) -> None:
    for _ in range(2):
        publisher = TickPublisher(cast("Bus", bus), clock, publisher_id="test")
        publisher.offer([tick(), tick(instrument=INFY)], Freshness.LIVE)
        await publisher.publish_waiting()
        assert {batch.shard: batch.sequence for batch in bus.batches} == {shard_of(TCS): 2, shard_of(INFY): 2}
        publisher.offer([tick()], Freshness.LIVE)
        bus.is_away = True
        await publisher.publish_waiting()
        bus.is_away = False
        await clock.advance(60)


def test_an_epoch_tells_starts_apart(bus: KeepingBus, publisher: TickPublisher) -> None:
    later = ManualClock(NOON + timedelta(seconds=1))
    assert TickPublisher(cast("Bus", bus), later, publisher_id="test").epoch > publisher.epoch == AT
