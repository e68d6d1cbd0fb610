import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import cast

import pytest

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.bus import Bus
from chassis.clock import ManualClock
from chassis.errors import BusUnavailable
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.polled_ticks import PolledTicks
from market.domain.quote_sources import QuoteSources, SourceRefused
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Session, Venue, VenueSessions
from market.feed.arrivals import Arrivals
from market.feed.polled_feed import LOOK_SECONDS, PolledFeed

DAY = date(2026, 1, 5)
OPENS_AT = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSES_AT = OPENS_AT + timedelta(hours=6)
PACE = 30.0
APPLE = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple Inc.", InstrumentKind.EQUITY, "USD")
MICROSOFT = Instrument("NASDAQ:MSFT", Exchange.NASDAQ, "MSFT", "Microsoft", InstrumentKind.EQUITY, "USD")


class FakeBus:
    """Remembers the batches it was given; `is_ready` is what tests say."""

    def __init__(self) -> None:
        self.is_ready = True
        self.failure: Exception | None = None
        self.batches: list[ticks_pb2.TickBatch] = []

    async def wait_until_ready(self) -> None:
        if not self.is_ready:
            raise TimeoutError

    async def publish(self, subject: str, payload: bytes) -> None:
        if not self.is_ready:
            raise BusUnavailable
        if self.failure is not None:
            raise self.failure
        batch = ticks_pb2.TickBatch.FromString(payload)
        assert subject == f"ticks.{batch.shard}"
        self.batches.append(batch)


class OneSession:
    """A calendar with one session, of whatever venue."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        session = Session(DAY, OPENS_AT, CLOSES_AT)
        return VenueSessions(venue, [session], known_from=DAY, known_through=DAY + timedelta(days=1))


class MovingSource:
    """A source whose price is that of the second it is asked in; Microsoft's is delayed by a quarter of an hour."""

    name = "fmp"
    is_simulated = False
    answers_in_bulk = True

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.calls = 0

    def instruments(self) -> Sequence[Instrument]:
        return [APPLE, MICROSOFT]

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        self.calls += 1
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        now = self._clock.now()
        price = 100.0 + self._clock.monotonic()
        delayed = Provenance("fmp", now - timedelta(minutes=15), Freshness.DELAYED)
        return {
            APPLE.id: Quote(APPLE, price, Provenance("fmp", now, Freshness.LIVE)),
            MICROSOFT.id: Quote(MICROSOFT, price, delayed),
        }


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(OPENS_AT)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def source(clock: ManualClock) -> MovingSource:
    return MovingSource(clock)


class Turn:
    """A leadership as tests say it is."""

    is_seamless = True
    takeovers = 1

    def __init__(self) -> None:
        self.losses = self.shown = 0
        self.epoch: int | None = 5
        self.is_leading = True
        self.waiting = asyncio.Event()

    def end(self) -> None:
        self.epoch, self.is_leading = None, False
        self.waiting.clear()

    def begin(self, epoch: int) -> None:
        self.epoch, self.is_leading = epoch, True
        self.waiting.set()

    def note_loss(self) -> None:
        self.losses += 1

    def note_shown(self) -> None:
        self.shown += 1

    async def begun(self) -> int:
        while self.epoch is None:
            await self.waiting.wait()
        return self.epoch


@pytest.fixture
def leadership() -> Turn:
    return Turn()


@pytest.fixture
def feed(clock: ManualClock, bus: FakeBus, source: MovingSource, leadership: Turn) -> PolledFeed:
    sources = QuoteSources([source], clock)
    ticks = PolledTicks(source.instruments(), sources, calendar=OneSession(), clock=clock)
    return PolledFeed(
        ticks,
        cast("Bus", bus),
        clock,
        leadership=leadership,
        arrivals=Arrivals(clock),
        publisher_id="market",
        pace_seconds=PACE,
    )


async def settle() -> None:
    """Let the feed come to its next sleep."""
    for _ in range(50):
        await asyncio.sleep(0)


async def pass_by(clock: ManualClock, seconds: float, *, step: float = LOOK_SECONDS) -> None:
    for _ in range(int(seconds / step)):
        await clock.advance(step)
        await settle()


@asynccontextmanager
async def begun(feed: PolledFeed) -> AsyncIterator[None]:
    async with feed.running():
        await settle()
        yield


async def test_each_round_is_published_with_its_freshness_and_without_holes(
    feed: PolledFeed, bus: FakeBus, clock: ManualClock
) -> None:
    async with begun(feed):
        await pass_by(clock, 2 * PACE)
    seen = {
        (batch.publisher_id, batch.source, batch.freshness): [
            each.sequence for each in bus.batches if each.publisher_id == batch.publisher_id
        ]
        for batch in bus.batches
    }
    assert seen == {
        ("market.fmp.live", "fmp", quotes_pb2.FRESHNESS_LIVE): [1, 2, 3],
        ("market.fmp.delayed", "fmp", quotes_pb2.FRESHNESS_DELAYED): [1, 2, 3],
    }
    live = [batch for batch in bus.batches if batch.freshness == quotes_pb2.FRESHNESS_LIVE]
    assert [(batch.base_time.ToDatetime(tzinfo=UTC) - OPENS_AT).total_seconds() for batch in live] == [0, 30, 60]
    assert [tick.last_price for batch in live for tick in batch.ticks] == [100.0, 130.0, 160.0]


async def test_nobody_is_asked_faster_than_the_pace(feed: PolledFeed, source: MovingSource, clock: ManualClock) -> None:
    async with begun(feed):
        await pass_by(clock, PACE - LOOK_SECONDS)
        assert source.calls == 1
        await pass_by(clock, LOOK_SECONDS)
        assert source.calls == 2


async def test_nobody_is_asked_between_sessions(feed: PolledFeed, source: MovingSource, clock: ManualClock) -> None:
    await clock.advance(-3_600)
    async with begun(feed):
        await pass_by(clock, 3_600 - LOOK_SECONDS)
        assert source.calls == 0
        assert await feed.is_well()
        await pass_by(clock, LOOK_SECONDS)
        assert source.calls == 1


async def test_a_round_that_is_refused_is_skipped(
    feed: PolledFeed, bus: FakeBus, source: MovingSource, clock: ManualClock
) -> None:
    source.failure = SourceRefused("may not be asked more often now")
    async with begun(feed):
        await pass_by(clock, PACE)
        assert bus.batches == []
        source.failure = None
        await pass_by(clock, PACE)
    assert [batch.sequence for batch in bus.batches] == [1, 1]


async def test_it_is_unwell_after_three_paces_without_an_answer(
    feed: PolledFeed, source: MovingSource, clock: ManualClock
) -> None:
    async with begun(feed):
        source.failure = SourceRefused("may not be asked more often now")
        await pass_by(clock, 3 * PACE)
        assert await feed.is_well()
        await pass_by(clock, LOOK_SECONDS)
        assert not await feed.is_well()
        source.failure = None
        await pass_by(clock, PACE)
        assert await feed.is_well()


async def test_a_closed_market_makes_it_well(feed: PolledFeed, source: MovingSource, clock: ManualClock) -> None:
    source.failure = SourceRefused("may not be asked more often now")
    async with begun(feed):
        await pass_by(clock, 6 * 3_600 - PACE, step=PACE)
        assert not await feed.is_well()
        await pass_by(clock, PACE)
        assert await feed.is_well()


async def test_without_nats_nobody_is_asked_and_no_hole_is_made(
    feed: PolledFeed, bus: FakeBus, source: MovingSource, clock: ManualClock
) -> None:
    bus.is_ready = False
    async with begun(feed):
        await pass_by(clock, 4 * PACE)
        assert source.calls == 0
        assert not await feed.is_well()
        bus.is_ready = True
        await pass_by(clock, LOOK_SECONDS)
        assert source.calls == 1
        assert [batch.sequence for batch in bus.batches] == [1, 1]
        assert await feed.is_well()


async def test_what_breaks_does_not_end_it(
    feed: PolledFeed, bus: FakeBus, clock: ManualClock, leadership: Turn, *, caplog: pytest.LogCaptureFixture
) -> None:
    async with begun(feed):
        bus.failure = RuntimeError("odd")
        await pass_by(clock, PACE)
        bus.failure = None
        bus.batches.clear()
        await pass_by(clock, PACE)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["prices not polled"]
    assert leadership.losses == 1
    assert [batch.publisher_id for batch in bus.batches] == ["market.fmp.live", "market.fmp.delayed"]


async def test_who_does_not_lead_asks_nobody_and_is_well(
    feed: PolledFeed, source: MovingSource, clock: ManualClock, leadership: Turn
) -> None:
    leadership.end()
    async with begun(feed):
        await pass_by(clock, 4 * PACE)
        assert source.calls == 0
        assert await feed.is_well()


async def test_who_begins_to_lead_asks_at_once_as_another_publisher_than_before(
    feed: PolledFeed, bus: FakeBus, clock: ManualClock, leadership: Turn
) -> None:
    async with begun(feed):
        await pass_by(clock, PACE)
        leadership.end()
        await pass_by(clock, PACE)
        assert [(batch.epoch, batch.sequence) for batch in bus.batches] == [(5, 1), (5, 1), (5, 2), (5, 2)]
        bus.batches.clear()
        leadership.begin(6)
        await settle()
    assert [(batch.epoch, batch.sequence) for batch in bus.batches] == [(6, 1), (6, 1)]
    assert leadership.losses == 0


async def test_each_publisher_of_a_turn_that_does_not_know_what_was_lost_before_it_begins_with_a_hole(
    feed: PolledFeed, bus: FakeBus, clock: ManualClock, leadership: Turn
) -> None:
    leadership.is_seamless = False
    async with begun(feed):
        await pass_by(clock, PACE)
    assert [(batch.epoch, batch.sequence) for batch in bus.batches] == [(5, 2), (5, 2), (5, 3), (5, 3)]


async def test_a_new_leader_has_three_paces_for_its_first_round(
    feed: PolledFeed, source: MovingSource, clock: ManualClock, leadership: Turn
) -> None:
    source.failure = SourceRefused("may not be asked more often now")
    leadership.end()
    async with begun(feed):
        await pass_by(clock, 10 * PACE)
        leadership.begin(6)
        await settle()
        await pass_by(clock, 3 * PACE)
        assert await feed.is_well()
        await pass_by(clock, LOOK_SECONDS)
        assert not await feed.is_well()


async def test_while_it_is_in_doubt_who_leads_nobody_is_asked(
    feed: PolledFeed, bus: FakeBus, source: MovingSource, clock: ManualClock, *, leadership: Turn
) -> None:
    leadership.is_leading = False
    async with begun(feed):
        await pass_by(clock, PACE)
        assert source.calls == 0
        leadership.is_leading = True
        await pass_by(clock, LOOK_SECONDS)
        assert source.calls == 1
        assert [(batch.epoch, batch.sequence) for batch in bus.batches] == [(5, 1), (5, 1)]


async def test_what_is_answered_when_the_turn_is_over_is_not_published(
    feed: PolledFeed, bus: FakeBus, source: MovingSource, leadership: Turn
) -> None:
    source.meanwhile = leadership.end
    async with begun(feed):
        assert source.calls == 1
        assert bus.batches == []
