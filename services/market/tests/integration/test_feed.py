"""Ticks on a real NATS: what is published, what a lost server costs, and that a replay loses nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr

from bourse.market.v1 import events_pb2, quotes_pb2, ticks_pb2
from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import SystemClock
from chassis.metrics import value_of
from chassis.settings import ProcessSettings
from chassis.testing import NatsServer
from market.domain.freshness import SimulatedFreshness
from market.domain.instruments import Instrument
from market.domain.last_prices import LastPrices
from market.domain.leadership import Alone
from market.domain.ports import Leadership
from market.domain.quotes import Freshness
from market.domain.ticks import Tick, microseconds_of, shard_of
from market.feed.arrivals import Arrivals
from market.feed.publisher import TickPublisher
from market.feed.replay_control import ReplayControl
from market.feed.tick_feed import TickFeed
from market.providers.replay.parse import Bar
from market.providers.replay.source import ReplaySource

CLOCK = SystemClock()
LEADERSHIP = Alone(CLOCK)
LEADERSHIP.is_seamless = True
START = datetime(2024, 1, 1, tzinfo=UTC)
WAIT_SECONDS = 15


@pytest.fixture
async def bus(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Bus]:
    settings = ProcessSettings(nats_url=SecretStr(nats.url), run_dir=tmp_path)
    async with Bus.open(settings, name="test", streams=[EVENTS, TICKS]) as bus:
        await asyncio.wait_for(bus.wait_until_ready(), WAIT_SECONDS)
        yield bus


@pytest.fixture
async def batches(nats: NatsServer) -> AsyncIterator[list[ticks_pb2.TickBatch]]:
    """Everything that a plain NATS client sees on `ticks.>`, with the subject checked."""
    seen: list[ticks_pb2.TickBatch] = []
    client = Client()

    async def see(message: Msg) -> None:
        batch = ticks_pb2.TickBatch.FromString(message.data)
        assert message.subject == f"ticks.{batch.shard}"
        seen.append(batch)

    await client.connect(nats.url, reconnect_time_wait=0.1, max_reconnect_attempts=-1)  # type: ignore[arg-type]
    await client.subscribe("ticks.>", cb=see)
    await client.flush()
    yield seen
    await client.close()


@pytest.fixture
def publisher(bus: Bus) -> TickPublisher:
    return publishing(bus, source="sample", freshness=Freshness.SIMULATED)


def publishing(
    bus: Bus, *, source: str, freshness: Freshness, leadership: Leadership | None = None, only_of: Collection[int] = ()
) -> TickPublisher:
    return TickPublisher(
        bus,
        CLOCK,
        leadership=leadership or LEADERSHIP,
        arrivals=Arrivals(CLOCK),
        publisher_id="test",
        source=source,
        freshness=freshness,
        only_of=only_of,
    )


def ticks_at(second: int, *instruments: str) -> list[Tick]:
    at = microseconds_of(START + timedelta(seconds=second))
    return [Tick(each, 100.0 + second, at + place, 99.0, 10) for place, each in enumerate(instruments)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # what is waited for happens in another client's callback
            await asyncio.sleep(0.01)


def read(batches: Sequence[ticks_pb2.TickBatch]) -> list[tuple[str, datetime, float]]:
    return [(tick.instrument, made_at(batch, tick), tick.last_price) for batch in batches for tick in batch.ticks]


def made_at(batch: ticks_pb2.TickBatch, tick: ticks_pb2.Tick) -> datetime:
    return batch.base_time.ToDatetime(tzinfo=UTC) + timedelta(microseconds=tick.offset_microseconds)


# --- the publisher


async def test_a_slice_becomes_one_batch_a_shard_with_everything_in_it(
    publisher: TickPublisher, batches: list[ticks_pb2.TickBatch]
) -> None:
    ids = ["NSE:TCS", "NASDAQ:AAPL", "INDEX:NIFTY50", "FX:EURUSD"]
    ticks = [*ticks_at(0, *ids), Tick("NSE:TCS", 5.5, microseconds_of(START) + 9, None, None)]
    await publisher.publish(ticks)
    await until(lambda: sum(len(batch.ticks) for batch in batches) == 5)
    assert {batch.shard for batch in batches} == {shard_of(each) for each in ids}
    assert len(batches) == 3
    for batch in batches:
        assert (batch.publisher_id, batch.epoch, batch.sequence) == ("test", LEADERSHIP.epoch, 1)
        assert (batch.source, batch.freshness) == ("sample", quotes_pb2.FRESHNESS_SIMULATED)
        assert abs((batch.published_at.ToDatetime(tzinfo=UTC) - CLOCK.now()).total_seconds()) < WAIT_SECONDS
        assert batch.ticks[0].offset_microseconds == 0
    assert sorted(read(batches)) == sorted((tick.instrument, tick.at, tick.last_price) for tick in ticks)
    (tcs,) = [batch for batch in batches if batch.shard == shard_of("NSE:TCS")]
    assert [tick.HasField("previous_close") for tick in tcs.ticks] == [True, False]
    assert [tick.HasField("volume") for tick in tcs.ticks] == [True, False]
    assert publisher.published_ticks == 5


async def test_sequences_count_each_shard_from_one_without_gaps(
    publisher: TickPublisher, batches: list[ticks_pb2.TickBatch]
) -> None:
    for second in range(20):
        await publisher.publish(ticks_at(second, "NSE:TCS", *(["NASDAQ:AAPL"] if second % 2 else [])))
    await until(lambda: len(batches) == 30)
    for shard, count in ((shard_of("NSE:TCS"), 20), (shard_of("NASDAQ:AAPL"), 10)):
        assert [batch.sequence for batch in batches if batch.shard == shard] == list(range(1, count + 1))


async def test_a_lost_server_costs_ticks_that_are_counted_and_leaves_a_hole(
    publisher: TickPublisher, batches: list[ticks_pb2.TickBatch], nats: NatsServer, bus: Bus
) -> None:
    await publisher.publish(ticks_at(0, "NSE:TCS"))
    await until(lambda: len(batches) == 1)
    nats.kill()
    await until(lambda: not bus.is_ready)
    for second in range(1, 4):
        await publisher.publish(ticks_at(second, "NSE:TCS"))
    assert publisher.dropped_ticks == 3
    nats.start()
    await until(lambda: bus.is_ready)
    while len(batches) == 1:  # the watching client may come back later than the publisher
        await publisher.publish(ticks_at(4, "NSE:TCS"))
        await asyncio.sleep(0.02)
    assert batches[1].epoch == batches[0].epoch
    assert batches[1].sequence >= 5
    assert publisher.dropped_ticks == 3


async def test_a_lost_server_costs_nothing_that_can_wait(publisher: TickPublisher, nats: NatsServer, bus: Bus) -> None:
    nats.kill()
    await until(lambda: not bus.is_ready)
    waiting = asyncio.create_task(publisher.publish_all(ticks_at(0, "NSE:TCS", "NASDAQ:AAPL")))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    nats.start()
    await asyncio.wait_for(waiting, WAIT_SECONDS)
    assert (publisher.published_ticks, publisher.dropped_ticks) == (2, 0)
    async with asyncio.timeout(WAIT_SECONDS):  # the server has them, and stores them a moment later
        while (await bus.stream_position("TICKS")).last_sequence < 2:
            await asyncio.sleep(0.02)


async def test_a_slice_too_large_for_one_message_is_sent_in_several(
    publisher: TickPublisher, batches: list[ticks_pb2.TickBatch]
) -> None:
    at = microseconds_of(START)
    ticks = [Tick("NASDAQ:AAPL", 100.0 + place / 7, at + place * 60_000_000, 99.0, place) for place in range(40_000)]
    async with asyncio.timeout(WAIT_SECONDS):
        await publisher.publish_all(ticks)
    await until(lambda: sum(len(batch.ticks) for batch in batches) == len(ticks))
    assert read(batches) == [(tick.instrument, tick.at, tick.last_price) for tick in ticks]
    assert [batch.sequence for batch in batches] == list(range(1, len(batches) + 1))


class Turn:
    """A leadership as tests say it is."""

    epoch: int | None = 5
    is_leading = True
    is_seamless = True
    takeovers = 1

    def __init__(self) -> None:
        self.losses = self.shown = 0
        self.waiting = asyncio.Event()

    def note_loss(self) -> None:
        self.losses += 1

    def note_shown(self) -> None:
        self.shown += 1

    async def begun(self) -> int:
        while self.epoch is None:
            await self.waiting.wait()
        return self.epoch


async def test_who_may_not_lead_any_more_publishes_nothing_and_leaves_a_hole(
    bus: Bus, batches: list[ticks_pb2.TickBatch]
) -> None:
    turn = Turn()
    publisher = publishing(bus, source="sample", freshness=Freshness.SIMULATED, leadership=turn)
    await publisher.publish(ticks_at(0, "NSE:TCS"))
    turn.is_leading = False
    await publisher.publish(ticks_at(1, "NSE:TCS"))
    turn.is_leading = True
    await publisher.publish(ticks_at(2, "NSE:TCS"))
    turn.epoch, turn.is_leading = None, False
    await publisher.publish(ticks_at(3, "NSE:TCS"))
    turn.epoch, turn.is_leading = 9, True
    await publisher.publish(ticks_at(4, "NSE:TCS"))
    await until(lambda: len(batches) == 3)
    assert [(batch.epoch, batch.sequence) for batch in batches] == [(5, 1), (5, 3), (9, 1)]
    assert (publisher.published_ticks, publisher.dropped_ticks) == (3, 2)
    assert turn.losses == 2


async def test_a_turn_that_does_not_know_what_was_lost_before_it_begins_with_a_hole(
    bus: Bus, batches: list[ticks_pb2.TickBatch]
) -> None:
    turn = Turn()
    publisher = publishing(bus, source="sample", freshness=Freshness.SIMULATED, leadership=turn)
    for turn.epoch, turn.is_seamless in ((5, False), (9, True), (11, False)):
        await publisher.publish(ticks_at(0, "NSE:TCS"))
        await publisher.publish(ticks_at(1, "NSE:TCS"))
    await until(lambda: len(batches) == 6)
    assert [(batch.epoch, batch.sequence) for batch in batches] == [(5, 2), (5, 3), (9, 1), (9, 2), (11, 2), (11, 3)]
    assert turn.losses == 0


INSTRUMENT_OF = {shard_of(each): each for each in (f"NSE:S{number}" for number in range(200))}


async def test_who_alone_publishes_tells_when_every_shard_of_its_own_has_shown_what_was_lost_before(bus: Bus) -> None:
    turn = Turn()
    turn.is_seamless = False
    publisher = publishing(bus, source="sample", freshness=Freshness.SIMULATED, leadership=turn, only_of=range(3))
    first, *others = (INSTRUMENT_OF[shard] for shard in range(3))
    await publisher.publish(ticks_at(0, *others))
    await publisher.publish(ticks_at(1, *others))
    assert turn.shown == 0
    turn.is_leading = False
    await publisher.publish(ticks_at(2, first))  # dropped
    assert turn.shown == 0
    turn.is_leading = True
    await publisher.publish(ticks_at(3, first))
    await publisher.publish(ticks_at(4, first, *others))
    assert turn.shown == 1


async def test_one_publisher_of_several_tells_nothing(bus: Bus) -> None:
    turn = Turn()
    turn.is_seamless = False
    publisher = publishing(bus, source="yahoo", freshness=Freshness.LIVE, leadership=turn)
    await publisher.publish(ticks_at(0, *INSTRUMENT_OF.values()))
    assert turn.shown == 0


async def test_a_process_that_has_just_started_alone_begins_with_a_hole(
    bus: Bus, batches: list[ticks_pb2.TickBatch]
) -> None:
    publisher = publishing(bus, source="sample", freshness=Freshness.SIMULATED, leadership=Alone(CLOCK))
    await publisher.publish(ticks_at(0, "NSE:TCS", "NASDAQ:AAPL"))
    await until(lambda: len(batches) == 2)
    assert [batch.sequence for batch in batches] == [2, 2]


@pytest.mark.parametrize("is_paced", [True, False])
async def test_what_is_left_unsent_at_the_end_of_the_process_is_noted_as_lost(bus: Bus, *, is_paced: bool) -> None:
    turn = Turn()
    publisher = publishing(bus, source="sample", freshness=Freshness.SIMULATED, leadership=turn)
    await publisher.publish(ticks_at(0, "NSE:TCS"))
    send = publisher.publish if is_paced else publisher.publish_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "publish", lambda *_: asyncio.Event().wait())
        sending = asyncio.create_task(send(ticks_at(1, "NSE:TCS")))
        await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.wait([sending])
    assert turn.losses == 1


async def test_what_can_wait_waits_for_its_turn_and_is_left_when_that_is_over(
    bus: Bus, batches: list[ticks_pb2.TickBatch]
) -> None:
    turn = Turn()
    turn.is_leading = False
    publisher = publishing(bus, source="replay", freshness=Freshness.SIMULATED, leadership=turn)
    waiting = asyncio.create_task(publisher.publish_all(ticks_at(0, "NSE:TCS")))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    turn.is_leading = True
    assert await asyncio.wait_for(waiting, WAIT_SECONDS)
    turn.is_leading = False
    waiting = asyncio.create_task(publisher.publish_all(ticks_at(1, "NSE:TCS")))
    await asyncio.sleep(0.1)
    turn.epoch, turn.is_leading = 9, True
    assert not await asyncio.wait_for(waiting, WAIT_SECONDS)
    await until(lambda: len(batches) == 1)
    assert (publisher.published_ticks, publisher.dropped_ticks) == (1, 0)


async def test_ticks_are_counted_by_source(publisher: TickPublisher, bus: Bus, nats: NatsServer) -> None:
    def count(name: str, **labels: str) -> float:
        return value_of(name, {"source": "sample", **labels}) or 0.0

    before = count("bourse_ticks_published_total"), count("bourse_tick_batches_published_total")
    dropped = count("bourse_ticks_dropped_total", reason="no_bus")
    await publisher.publish(ticks_at(0, "NSE:TCS", "NSE:TCS", "NASDAQ:AAPL"))
    nats.kill()
    await until(lambda: not bus.is_ready)
    await publisher.publish(ticks_at(1, "NSE:TCS"))
    assert (count("bourse_ticks_published_total"), count("bourse_tick_batches_published_total")) == (
        before[0] + 3,
        before[1] + 2,
    )
    assert count("bourse_ticks_dropped_total", reason="no_bus") == dropped + 1


async def test_a_start_waits_for_the_server_but_not_for_ever(tmp_path: Path) -> None:
    settings = ProcessSettings(nats_url=SecretStr("nats://127.0.0.1:9"), run_dir=tmp_path)
    async with Bus.open(settings, name="test") as lonely:
        publisher = publishing(lonely, source="sample", freshness=Freshness.SIMULATED)
        await publisher.wait_until_connected(0.05)
        await publisher.publish(ticks_at(0, "NSE:TCS"))
        assert publisher.dropped_ticks == 1


# --- the feed


class ScriptedSource:
    """A source that brings what it was given, then ends or breaks."""

    name = "sample"
    is_simulated = True
    is_paced = True
    freshness = Freshness.SIMULATED

    def __init__(self, slices: Sequence[Sequence[Tick]], failure: Exception | None = None) -> None:
        self._slices = slices
        self._failure = failure

    def instruments(self) -> Sequence[Instrument]:
        return []

    async def slices(self) -> AsyncGenerator[Sequence[Tick], None]:
        for each in self._slices:
            yield each
        if self._failure is not None:
            raise self._failure


def is_newest(batches: Sequence[ticks_pb2.TickBatch], epoch: int) -> bool:
    return bool(batches) and batches[-1].epoch == epoch


class EndlessSource(ScriptedSource):
    """A source that always has another tick."""

    def __init__(self) -> None:
        super().__init__([])
        self.begun = 0

    async def slices(self) -> AsyncGenerator[Sequence[Tick], None]:
        self.begun += 1
        while True:
            await asyncio.sleep(0.01)
            yield ticks_at(0, "NSE:TCS")


async def test_the_feed_fills_last_prices_and_publishes(
    publisher: TickPublisher, batches: list[ticks_pb2.TickBatch]
) -> None:
    last_prices = LastPrices(SimulatedFreshness())
    slices = [ticks_at(second, "NSE:TCS", "NASDAQ:AAPL") for second in range(5)]
    feed = TickFeed(ScriptedSource(slices), publisher, last_prices, LEADERSHIP)
    assert not await feed.is_well()
    async with feed.running():
        await asyncio.wait_for(feed.finished(), WAIT_SECONDS)
        assert await feed.is_well()
    assert len(last_prices) == 2
    await until(lambda: len(read(batches)) == 10)


async def test_a_feed_that_breaks_is_not_well(publisher: TickPublisher) -> None:
    feed = TickFeed(ScriptedSource([], RuntimeError("a bug")), publisher, LastPrices(SimulatedFreshness()), LEADERSHIP)
    async with feed.running():
        async with asyncio.timeout(WAIT_SECONDS):
            while await feed.is_well():
                await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(feed.finished(), 0.1)


async def test_a_feed_that_does_not_lead_waits_and_begins_again_with_each_turn(
    bus: Bus, batches: list[ticks_pb2.TickBatch]
) -> None:
    turn = Turn()
    turn.epoch, turn.is_leading = None, False
    publisher = publishing(bus, source="sample", freshness=Freshness.SIMULATED, leadership=turn)
    source = EndlessSource()
    async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), turn).running() as feed:
        await asyncio.sleep(0.1)
        assert (batches, source.begun) == ([], 0)
        assert await feed.is_well()
        for epoch in (5, 9):
            turn.epoch, turn.is_leading = epoch, True
            turn.waiting.set()
            await until(partial(is_newest, batches, epoch))
            turn.waiting.clear()
            turn.epoch, turn.is_leading = None, False
            await asyncio.sleep(0.1)
        assert await feed.is_well()
    assert source.begun == 2
    firsts = {batch.epoch: batch.sequence for batch in reversed(batches)}
    assert firsts == {5: 1, 9: 1}


# --- a replay


def history(days: int) -> list[Bar]:
    return [
        Bar(name, START + timedelta(days=day), *ohlc(day), volume=100)
        for day in range(days)
        for name in ("NASDAQ:AAPL", "NYSE:IBM", "NASDAQ:MSFT")
    ]


def ohlc(day: int) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return Decimal(10 + day), Decimal(12 + day), Decimal(9 + day), Decimal(11 + day)


def replay(bars: Sequence[Bar], *, speed: float | None = None, held: bool = False) -> ReplaySource:
    return ReplaySource(bars, {}, CLOCK, speed=speed, is_held=held)


async def finished_events(bus: Bus) -> list[Msg]:
    subscription = await bus.jetstream.subscribe("events.market.>", ordered_consumer=True)
    messages = []
    while True:
        try:
            messages.append(await subscription.next_msg(timeout=0.5))
        except TimeoutError:
            return messages


@pytest.mark.parametrize("speed", [None, 10_000_000.0])
async def test_a_held_replay_starts_on_a_message_plays_every_tick_in_order_and_tells_its_end_once(
    bus: Bus, nats: NatsServer, batches: list[ticks_pb2.TickBatch], speed: float | None
) -> None:
    bars = history(200)
    source = replay(bars, speed=speed, held=True)
    publisher = publishing(bus, source="replay", freshness=source.freshness)
    control = ReplayControl(source, bus, CLOCK, run="test:1")
    await control.listen()
    async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), LEADERSHIP).running() as feed:
        await asyncio.sleep(0.1)
        assert batches == []
        await bus.client.publish("control.replay.start", b"")
        await asyncio.wait_for(control.announce_end(feed), WAIT_SECONDS)
        await control.announce_end(feed)  # as a retry after a lost acknowledgement would
    await until(lambda: len(read(batches)) == 4 * len(bars))
    by_shard = {batch.shard: [each for each in batches if each.shard == batch.shard] for batch in batches}
    for shard, own in by_shard.items():
        assert [batch.sequence for batch in own] == list(range(1, len(own) + 1))
        assert [tick for batch in own for tick in read([batch])] == [
            tick for tick in expected(bars) if shard_of(tick[0]) == shard
        ]
    (message,) = await finished_events(bus)
    event = events_pb2.ReplayFinished.FromString(message.data)
    assert message.subject == "events.market.replay_finished"
    assert (event.bars, event.ticks) == (len(bars), 4 * len(bars))
    assert event.first_tick_at.ToDatetime(tzinfo=UTC) == START
    assert event.last_tick_at.ToDatetime(tzinfo=UTC) == START + timedelta(days=199, seconds=3)


def expected(bars: Sequence[Bar]) -> list[tuple[str, datetime, float]]:
    ticks = [
        (bar.at + timedelta(seconds=second), order, second, bar, float(price))
        for order, bar in enumerate(bars)
        for second, price in enumerate((bar.open, bar.low, bar.high, bar.close))
    ]
    return [(bar.instrument, at, price) for at, _, _, bar, price in sorted(ticks, key=lambda each: each[:3])]


async def test_a_server_that_dies_in_the_middle_of_a_replay_loses_no_tick(
    bus: Bus, nats: NatsServer, batches: list[ticks_pb2.TickBatch]
) -> None:
    bars = history(3_000)
    source = replay(bars)
    publisher = publishing(bus, source="replay", freshness=source.freshness)
    async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), LEADERSHIP).running() as feed:
        await until(lambda: publisher.published_ticks > 1_000)
        nats.kill()
        await until(lambda: not bus.is_ready)
        sent_before = publisher.published_ticks
        await asyncio.sleep(0.3)
        assert publisher.published_ticks == sent_before
        nats.start()
        await asyncio.wait_for(feed.finished(), 60)
    assert (publisher.published_ticks, publisher.dropped_ticks) == (4 * len(bars), 0)
    last_at = max(bar.at for bar in bars) + timedelta(seconds=3)
    await until(lambda: last_at in {at for _, at, _ in read(batches[-3:])})
    for shard in {batch.shard for batch in batches}:
        sequences = [batch.sequence for batch in batches if batch.shard == shard]
        jumps = [later - earlier for earlier, later in pairwise(sequences) if later > earlier + 1]
        assert len(jumps) <= 1  # while the watcher itself was away


async def test_the_end_is_told_when_the_server_is_back(bus: Bus, nats: NatsServer) -> None:
    source = replay([])
    publisher = publishing(bus, source="replay", freshness=source.freshness)
    async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), LEADERSHIP).running() as feed:
        await asyncio.wait_for(feed.finished(), WAIT_SECONDS)
        nats.kill()
        await until(lambda: not bus.is_ready)
        telling = asyncio.create_task(ReplayControl(source, bus, CLOCK, run="test:3").announce_end(feed))
        await asyncio.sleep(0.2)
        assert not telling.done()
        nats.start()
        await asyncio.wait_for(telling, WAIT_SECONDS)
    assert len(await finished_events(bus)) == 1


async def test_an_empty_replay_tells_its_end(bus: Bus) -> None:
    source = replay([])
    publisher = publishing(bus, source="replay", freshness=source.freshness)
    async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), LEADERSHIP).running() as feed:
        await asyncio.wait_for(ReplayControl(source, bus, CLOCK, run="test:2").announce_end(feed), WAIT_SECONDS)
    (message,) = await finished_events(bus)
    event = events_pb2.ReplayFinished.FromString(message.data)
    assert (event.bars, event.ticks) == (0, 0)
    assert not event.HasField("first_tick_at")


async def test_a_replica_that_follows_a_replay_goes_on_where_it_was_left_and_tells_its_end_once(
    bus: Bus, batches: list[ticks_pb2.TickBatch]
) -> None:
    bars = history(100)
    leader, follower = Turn(), Turn()
    follower.epoch, follower.is_leading = None, False
    async with AsyncExitStack() as stack:
        feeds, controls = [], []
        for turn, speed in ((leader, 5_000_000.0), (follower, None)):
            source = replay(bars, speed=speed)
            publisher = publishing(bus, source="replay", freshness=source.freshness, leadership=turn)
            controls.append(ReplayControl(source, bus, CLOCK, run=f"test:{turn.epoch}"))
            await controls[-1].follow("replay", turn)
            feed = TickFeed(source, publisher, LastPrices(SimulatedFreshness()), turn)
            feeds.append(await stack.enter_async_context(feed.running()))
        await until(lambda: len(read(batches)) > len(bars))
        leader.epoch, leader.is_leading = None, False
        await asyncio.sleep(0.5)
        follower.epoch, follower.is_leading = 9, True
        follower.waiting.set()
        await asyncio.wait_for(controls[1].announce_end(feeds[1]), WAIT_SECONDS)
        leader.epoch, leader.is_leading = 11, True
        leader.waiting.set()
        await asyncio.wait_for(controls[0].announce_end(feeds[0]), WAIT_SECONDS)
    await until(lambda: len(read(batches)) >= 4 * len(bars))
    assert {batch.epoch for batch in batches} == {5, 9}
    for shard in {batch.shard for batch in batches}:
        played = [tick for batch in batches if batch.shard == shard for tick in read([batch])]
        assert played == [tick for tick in expected(bars) if shard_of(tick[0]) == shard]
    assert len(await finished_events(bus)) == 1
