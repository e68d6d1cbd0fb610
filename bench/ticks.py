"""Ticks from a source over NATS to who consumes them, against bare nats-py carrying the same bytes at the same pace.

On one core a nats-server and market's feed and publisher, on the other a consumer: alerts' matcher behind its JetStream
consumer, with 100,000 armed alerts, then the gateway's board. Every tick is followed: none may be lost or doubled, and
those of an instrument may not change places.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import nats
import numpy as np
import uvloop
from nats.aio.msg import Msg
from processes import LOAD_CORE, MEASURED_CORE, Role, part, pin, receive, surroundings
from tape import SLICE_SECONDS, Tape, TapeSource, paced

from alerts.domain.alerts import Alert, AlertType
from alerts.domain.checkpoint import Checkpoint
from alerts.domain.firing import Firing
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE
from alerts.domain.progress import ProgressKeeper
from alerts.domain.ticks import TickBatch
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from alerts.feed.stream import TickStream
from alerts.feed.ticks import TickFeed as AlertsFeed
from alerts.messages import fired_event
from alerts.storage.alerts import Alerts
from alerts.storage.fires import Fires
from alerts.storage.leases import Leases
from alerts.storage.progress import SavedProgress
from alerts.storage.tick_streams import TickStreams
from bourse.market.v1 import ticks_pb2
from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import SystemClock
from chassis.database import Database, ensure_schema
from chassis.settings import ProcessSettings
from chassis.tasks import running
from chassis.testing import nats_server
from gateway.board import TICKS_SUBJECT, Board
from market.domain.freshness import SimulatedFreshness
from market.domain.last_prices import LastPrices
from market.domain.leadership import Alone
from market.feed.arrivals import Arrivals
from market.feed.publisher import TickPublisher
from market.feed.tick_feed import TickFeed

INSTRUMENTS = 2_000
TICKS_PER_SECOND = 50_000
SECONDS = 10
ALL_TICKS = TICKS_PER_SECOND * SECONDS
ALERTS = 100_000
AIM_P99_MS = 15
SUSTAINED_SHARE = 0.99
READY_SECONDS = 30.0
DRAIN_SECONDS = 5.0
READY = "ready"

Times = np.ndarray[Any, np.dtype[np.float64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Published:
    """What a publisher tells: what to expect, where its time began, when it handed over each slice, what it took."""

    units: int
    origin_microseconds: int
    handed_over: Sequence[float]
    cpu_seconds: float
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Consumed:
    """What a consumer tells: each tick's own time, when it was consumed, what all of them took, what was missed."""

    made_microseconds: Numbers
    at: Times
    cpu_seconds: float
    holes: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run."""

    name: str
    rate: float
    lost: int
    misplaced: int
    holes: int
    publisher_us: float
    consumer_us: float
    from_publishing: Times
    from_making: Times


def tape() -> Tape:
    return Tape(instruments=INSTRUMENTS, ticks_per_second=TICKS_PER_SECOND, ticks=ALL_TICKS)


def settle() -> None:
    """Keep the collector from walking what start-up made, as the services do."""
    gc.collect()
    gc.freeze()


# --- publishers -----------------------------------------------------------------------------------------------------


def publish(pipe: Connection, url: str) -> None:
    uvloop.run(_publish(pipe, url))


async def _publish(pipe: Connection, url: str) -> None:
    played = tape()
    async with Bus.open(_settings(url), name="bench-market", streams=[EVENTS, TICKS]) as bus:
        leadership = _leadership()
        publisher = _publisher(bus, leadership)
        await publisher.wait_until_connected(READY_SECONDS)
        settle()
        pipe.send(READY)
        start = await asyncio.to_thread(pipe.recv)
        source = TapeSource(played, start)
        before = time.process_time()
        async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), leadership).running() as feed:
            await asyncio.wait_for(feed.finished(), 3 * SECONDS)
        await bus.client.flush()
        spent = time.process_time() - before
        pipe.send(Published(ALL_TICKS, round(start * 1e6), source.handed_over, spent, publisher.dropped_ticks))


def publish_bare(pipe: Connection, url: str) -> None:
    uvloop.run(_publish_bare(pipe, url))


async def _publish_bare(pipe: Connection, url: str) -> None:
    origin = round(time.time() * 1e6)
    slices = await _encode(tape(), origin)
    client = await nats.connect(url)
    settle()
    pipe.send(READY)
    start = await asyncio.to_thread(pipe.recv)
    handed_over = []
    before = time.process_time()
    async for number in paced(len(slices), start):
        handed_over.append(time.time())
        for subject, payload in slices[number]:
            await client.publish(subject, payload)
    await client.flush()
    spent = time.process_time() - before
    # The bytes say when they were made, which was before the start: whoever counts the time, counts from there.
    pipe.send(Published(sum(map(len, slices)), origin, handed_over, spent))
    await client.close()


class _Kept:
    """Stands in for the bus and keeps what would be sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        self.messages.append((subject, payload))


async def _encode(played: Tape, origin_microseconds: int) -> list[list[tuple[str, bytes]]]:
    slices = []
    publisher = _publisher(cast("Bus", bus := _Kept()), _leadership())
    for number in range(played.slices):
        await publisher.publish(played.slice(number, origin_microseconds))
        slices.append(bus.messages)
        bus.messages = []
    return slices


def _leadership() -> Alone:
    """Return one that knows that nothing went out before it: else each shard begins with a hole, which is told."""
    leadership = Alone(SystemClock())
    leadership.is_seamless = True
    return leadership


def _publisher(bus: Bus, leadership: Alone) -> TickPublisher:
    clock = SystemClock()
    return TickPublisher(
        bus,
        clock,
        leadership=leadership,
        arrivals=Arrivals(clock),
        publisher_id="bench",
        source=TapeSource.name,
        freshness=TapeSource.freshness,
    )


def _settings(url: str) -> ProcessSettings:
    return ProcessSettings.model_validate({"nats_url": url})


# --- consumers ------------------------------------------------------------------------------------------------------


class Record:
    """What was consumed when, kept as it came and read after the run.

    Attributes:
        units: how much came, in whatever the publisher counts.
    """

    def __init__(self) -> None:
        self.units = 0
        self._batches: list[tuple[float, TickBatch | bytes]] = []

    def note(self, batch: TickBatch | bytes, units: int) -> None:
        self._batches.append((time.time(), batch))
        self.units += units

    def read(self) -> tuple[Numbers, Times]:
        made: list[int] = []
        at: list[float] = []
        for consumed_at, batch in self._batches:
            base, offsets = _times_of(batch)
            made.extend(base + offset for offset in offsets)
            at.extend([consumed_at] * len(offsets))
        return np.array(made, dtype=np.int64), np.array(at)


def _times_of(batch: TickBatch | bytes) -> tuple[int, Sequence[int]]:
    if isinstance(batch, TickBatch):
        return round(batch.base_at.timestamp() * 1e6), batch.offsets_microseconds
    message = ticks_pb2.TickBatch.FromString(batch)
    base = message.base_time.seconds * 1_000_000 + message.base_time.nanos // 1000
    return base, [tick.offset_microseconds for tick in message.ticks]


async def _consume(pipe: Connection, record: Record, holes: Callable[[], int] = lambda: 0) -> None:
    """Let ticks come until all have, or no more do; then tell."""
    settle()
    before = time.process_time()
    pipe.send(READY)
    expected = await asyncio.to_thread(pipe.recv)
    deadline = time.monotonic() + DRAIN_SECONDS
    while record.units < expected and time.monotonic() < deadline:  # noqa: ASYNC110  # nothing signals the last tick
        await asyncio.sleep(0.01)
    spent = time.process_time() - before
    made, at = record.read()
    pipe.send(Consumed(made, at, spent, holes()))


def match(pipe: Connection, url: str, folder: Path) -> None:
    uvloop.run(_match(pipe, url, folder))


class NotedWatch(Watch):
    """A watch that notes when it has evaluated a batch."""

    def __init__(self, checkpoint: Checkpoint, lease: Lease, record: Record) -> None:
        super().__init__(checkpoint, lease)
        self._record = record

    def evaluate(self, batch: TickBatch) -> None:
        super().evaluate(batch)
        self._record.note(batch, len(batch.prices))


async def _match(pipe: Connection, url: str, folder: Path) -> None:
    record = Record()
    async with (
        Database.open(f"sqlite+aiosqlite:///{folder / 'alerts.sqlite3'}") as database,
        Bus.open(_settings(url), name="bench-alerts", streams=[EVENTS, TICKS]) as bus,
    ):
        await ensure_schema(database, "alerts")
        await asyncio.wait_for(bus.wait_until_ready(), READY_SECONDS)
        async with _watching(database, bus, record) as watches:
            await _consume(
                pipe, record, lambda: sum(len(watch.missing) for watch in watches) + (ALERTS - watches.watched)
            )


@asynccontextmanager
async def _watching(database: Database, bus: Bus, record: Record) -> AsyncIterator[Watches]:
    """Put together what alerts runs from NATS to fire, with its alerts out of the ticks' reach."""
    clock = SystemClock()
    saved = SavedProgress(database)
    watches = Watches()
    leases = sorted((await Leases(database, "bench").renew()).held)
    checkpoints = await saved.load([lease.shard for lease in leases], now=clock.now())
    for lease in leases:
        watches.add(NotedWatch(checkpoints[lease.shard], lease, record))
    for _, alerts in groupby(_alerts(tape()), key=lambda alert: alert.instrument):
        portion = list(alerts)
        if (watch := watches.of(portion[0].instrument)) is not None:
            watch.load(portion)
    firing = Firing(watches, Fires(database, fired_event), clock, on_committed=lambda: None)
    stream = TickStream(bus, TickStreams(database))
    feed = AlertsFeed(bus, stream, Alerts(database), watches=watches, firing=firing, clock=clock)
    async with running(feed.run(), firing.run(), ProgressKeeper(watches, saved, clock).run()):
        async with asyncio.timeout(READY_SECONDS):
            while not feed.is_current:  # noqa: ASYNC110  # health asks it in the same way
                await asyncio.sleep(0.05)
        yield watches


def _alerts(played: Tape) -> Iterator[Alert]:
    """Return alerts 0.1 to 20 % from the prices, further than these go; those of an instrument together."""
    random = np.random.default_rng(1)
    distances = random.uniform(0.001, 0.2, ALERTS).tolist()
    for number, distance in enumerate(distances):
        place = number * INSTRUMENTS // ALERTS
        kind = AlertType.SELL if number % 2 else AlertType.BUY
        target = played.openings[place] * (1 + distance if kind is AlertType.SELL else 1 - distance)
        yield Alert(
            id=number,
            user_id="bench",
            type=kind,
            instrument=played.instruments[place],
            symbol=played.instruments[place],
            price=Decimal(f"{target:.4f}"),
            generation=1,
            created_at=datetime.now(UTC),
            armed=NOWHERE,
        )


def board(pipe: Connection, url: str) -> None:
    uvloop.run(_board(pipe, url))


async def _board(pipe: Connection, url: str) -> None:
    record = Record()
    prices = Board(SystemClock(), max_age_seconds=15, max_instruments=50_000)

    async def take(message: Msg) -> None:
        before = prices.ticks
        await prices.on_ticks(message)
        record.note(message.data, prices.ticks - before)

    async with Bus.open(_settings(url), name="bench-gateway") as bus:
        await asyncio.wait_for(bus.wait_until_ready(), READY_SECONDS)
        await bus.subscribe(TICKS_SUBJECT, take)
        await bus.client.flush()
        await _consume(pipe, record, lambda: prices.holes + prices.refused)


def subscribe_bare(pipe: Connection, url: str) -> None:
    uvloop.run(_subscribe_bare(pipe, url))


async def _subscribe_bare(pipe: Connection, url: str) -> None:
    record = Record()

    async def take(message: Msg) -> None:
        record.note(message.data, 1)

    client = await nats.connect(url)
    await client.subscribe(TICKS_SUBJECT, cb=take)
    await client.flush()
    await _consume(pipe, record)
    await client.close()


# --- the bench ------------------------------------------------------------------------------------------------------


def run(name: str, publisher: Role, consumer: Role) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder,
        nats_server(Path(folder)) as server,
        part(consumer, server.url, *([Path(folder)] if consumer is match else []), core=MEASURED_CORE) as consuming,
        part(publisher, server.url, core=LOAD_CORE) as publishing,
    ):
        for pipe in (consuming, publishing):
            receive(pipe, within=READY_SECONDS)
        start = time.time() + 0.2
        publishing.send(start)
        published: Published = receive(publishing, within=3 * SECONDS)
        consuming.send(published.units)
        consumed: Consumed = receive(consuming, within=DRAIN_SECONDS + READY_SECONDS)
    return assess(name, start, published, consumed)


def assess(name: str, start: float, published: Published, consumed: Consumed) -> Outcome:
    step = 1_000_000 // TICKS_PER_SECOND
    numbers = (consumed.made_microseconds - published.origin_microseconds) // step
    seen = np.unique(numbers)
    places = tape().places[numbers]
    by_instrument = np.argsort(places, kind="stable")
    # A tick that comes twice counts here too.
    goes_back = (np.diff(numbers[by_instrument]) <= 0) & (np.diff(places[by_instrument]) == 0)
    handed_over = np.array(published.handed_over)[numbers // round(TICKS_PER_SECOND * SLICE_SECONDS)]
    return Outcome(
        name=name,
        rate=len(seen) / (consumed.at.max() - start),
        lost=ALL_TICKS - len(seen),
        misplaced=int(goes_back.sum()),
        holes=consumed.holes + published.dropped,
        publisher_us=published.cpu_seconds / ALL_TICKS * 1e6,
        consumer_us=consumed.cpu_seconds / ALL_TICKS * 1e6,
        from_publishing=(consumed.at - handed_over) * 1e3,
        from_making=(consumed.at - start - numbers * step / 1e6) * 1e3,
    )


def report(outcome: Outcome) -> None:
    p50, p99 = np.percentile(outcome.from_publishing, (50, 99))
    made_p50, made_p99 = np.percentile(outcome.from_making, (50, 99))
    print(
        f"  {outcome.name:<18} {outcome.rate:>7,.0f}  {outcome.lost:>4} {outcome.misplaced:>9} {outcome.holes:>5}"
        f"  {outcome.publisher_us:>9.2f}  {outcome.consumer_us:>8.2f}"
        f"   {p50:>6.2f} {p99:>7.2f}   {made_p50:>7.2f} {made_p99:>7.2f}"
    )


def compare(outcome: Outcome, limit: Outcome) -> None:
    p99 = float(np.percentile(outcome.from_making, 99))
    is_whole = not (outcome.lost or outcome.misplaced or outcome.holes)
    is_sustained = outcome.rate >= SUSTAINED_SHARE * TICKS_PER_SECOND
    verdict = "met" if is_whole and is_sustained and p99 < AIM_P99_MS else "MISSED"
    print(
        f"  {outcome.name}: {1 / outcome.publisher_us:.2f} M ticks/s would fill the publisher's core,"
        f" {1 / outcome.consumer_us:.2f} M the consumer's;"
        f" CPU {outcome.publisher_us / limit.publisher_us:.1f} x and {outcome.consumer_us / limit.consumer_us:.1f} x"
        f" bare nats-py's; aim {TICKS_PER_SECOND:,}/s, none lost, p99 < {AIM_P99_MS} ms from its making: {verdict}"
    )


def main() -> None:
    pin(os.getpid(), LOAD_CORE)
    runs = (
        partial(run, "alerts' matcher", publish, match),
        partial(run, "gateway's board", publish, board),
        partial(run, "bare nats-py", publish_bare, subscribe_bare),
    )
    print(f"ticks: {TICKS_PER_SECOND:,}/s of {INSTRUMENTS:,} instruments for {SECONDS} s in slices of 10 ms")
    print("                                                       CPU us a tick        until consumed, p50 and p99 ms")
    print("  consumer           ticks/s  lost misplaced holes  publisher  consumer   from its slice   from its making")
    outcomes = []
    for measure in runs:
        outcomes.append(measure())
        report(outcomes[-1])
    for outcome in outcomes[:-1]:
        compare(outcome, outcomes[-1])
    print(f"  {surroundings()}")


if __name__ == "__main__":
    main()
