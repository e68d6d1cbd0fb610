"""One life of alerts ends after each of its steps in turn, and the next one makes up for it."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.continuity import StreamView
from alerts.domain.desk import AlertDesk
from alerts.domain.firing import Firing
from alerts.domain.leases import Lease
from alerts.domain.matcher import Entry
from alerts.domain.positions import Position
from alerts.domain.progress import ProgressKeeper
from alerts.domain.ticks import TickBatch, shard_of
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from alerts.messages import fired_event
from alerts.storage.alerts import Alerts
from alerts.storage.fires import Fires
from alerts.storage.leases import Leases
from alerts.storage.progress import SavedProgress
from alerts.storage.tables import ALERTS, FIRES, NOT_EVALUATED, OUTBOX, REPLICAS
from bourse.alerts.v1 import events_pb2
from chassis.bus import EVENTS, Bus
from chassis.clock import SystemClock
from chassis.database import Database, ensure_schema
from chassis.outbox import OutboxRelay
from chassis.settings import ProcessSettings
from chassis.testing import NatsServer

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
AAPL = "NASDAQ:AAPL"
SHARD = shard_of(AAPL)


class Killed(BaseException):
    """The process is gone."""


class Lifeline:
    """Counts steps and ends at one of them; never, for 0."""

    def __init__(self, dies_at: int) -> None:
        self._dies_at = dies_at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self._dies_at and self.steps >= self._dies_at:
            raise Killed

    def mortal(self, inner: Any) -> Any:
        """Return `inner` with a step before and one behind each of its coroutines."""
        return _Mortal(inner, self)


class _Mortal:
    def __init__(self, inner: Any, life: Lifeline) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            self._life.step()
            result = await getattr(self._inner, name)(*arguments, **named)
            self._life.step()
            return result

        return getattr(self._inner, name) if name == "armed" else call


class EveryTick:
    """A stream that is never away and holds everything."""

    def __init__(self) -> None:
        self.batches: list[TickBatch] = []

    async def latest(self) -> Position:
        return self.view.end

    @property
    def view(self) -> StreamView:
        return StreamView(1, 1, len(self.batches))

    def publish(self, price: float) -> None:
        sequence = len(self.batches) + 1
        self.batches.append(
            TickBatch(
                position=Position(1, sequence),
                publisher_id="feed-1",
                epoch=int(START.timestamp() * 1e6),
                shard=SHARD,
                sequence=sequence,
                source="sample",
                freshness=Freshness.SIMULATED,
                base_at=START + timedelta(seconds=sequence),
                instruments=[AAPL],
                prices=[price],
                offsets_microseconds=[0],
            )
        )


class Unheard:
    """Tells nobody."""

    async def changed(self, shards: Collection[int], forgotten: Sequence[Entry]) -> None:
        """Tell nobody."""

    async def released(self) -> None:
        """Tell nobody."""


class ItsOwnName:
    """Takes a symbol for the instrument of that name."""

    async def resolve(self, symbol: str) -> str:
        return symbol


class Life:
    """One process: memory of its own, the database, the stream and the bus shared with those before and after it."""

    def __init__(self, database: Database, bus: Bus, ticks: EveryTick, *, dies_at: int = 0) -> None:
        self.line = Lifeline(dies_at)
        self.database = database
        self.ticks = ticks
        self.alerts = self.line.mortal(Alerts(database))
        self.saved = self.line.mortal(SavedProgress(database))
        self.fires = self.line.mortal(Fires(database, fired_event))
        self.relay = OutboxRelay(database, OUTBOX, self.line.mortal(bus))
        self.while_saving: Callable[[], None] = lambda: None

    async def boot(self) -> None:
        clock = SystemClock()
        # A name of its own: on PostgreSQL the leases of the life before have to be taken for lost.
        lease = next(lease for lease in await self.take_over() if lease.shard == SHARD)
        self.watch = Watch((await self.saved.load([SHARD], now=START))[SHARD], lease)
        watches = Watches()
        watches.add(self.watch)
        async for portion in self.alerts.armed([SHARD]):
            self.watch.load(portion)
        self.watch.take_up(await self.alerts.waiting([SHARD]))
        self.watch.follow(self.ticks.view)
        self.firing = Firing(watches, self.fires, clock, on_committed=lambda: None)
        self.keeper = ProgressKeeper(watches, self.saved, clock)
        self.desk = AlertDesk(
            self.alerts,
            ItsOwnName(),
            self.ticks,
            watches=watches,
            announcer=Unheard(),
            clock=clock,
            new_id=lambda: uuid.uuid4().int >> 65,
            max_per_user=10,
            on_armed=lambda: None,
            on_waiting=lambda: None,
        )

    async def take_over(self) -> Collection[Lease]:
        """Take all shards, as if the leases of the life before had run out."""
        async with self.database.transaction() as connection:
            await connection.execute(delete(REPLICAS))
        return (await Leases(self.database, uuid.uuid4().hex).renew()).held

    def evaluate(self) -> None:
        for batch in self.ticks.batches[self.watch.evaluated.sequence :]:
            self.watch.evaluate(batch)

    async def fire_and_save(self) -> None:
        await self.keeper.save()
        await self.firing.commit_pending()
        await self.keeper.save()
        await self.relay.publish_waiting()
        await self.keeper.save()

    async def run(self, *, crosses_while: str) -> None:
        """Set an alert that one tick crosses, in front of its commit, behind it, or once it is acknowledged."""
        await self.boot()
        self.evaluate()
        inner = self.alerts.save

        async def save(alert: Any, *, replaces: Any, lease: Any) -> None:
            if crosses_while == "it is about to be committed":
                self._cross()
                await self.fire_and_save()
            await inner(alert, replaces=replaces, lease=lease)
            if crosses_while == "it is committed but not acknowledged":
                self._cross()
            await self.fire_and_save()

        self.alerts.save = save
        await self.desk.set_alert("7", AlertType.BUY, symbol=AAPL, price="150")
        if crosses_while == "it is acknowledged":
            self._cross()
        await self.fire_and_save()

    def _cross(self) -> None:
        for price in (151.0, 149.0, 148.0):
            self.ticks.publish(price)
            self.evaluate()

    async def make_up(self) -> None:
        """Let what is committed be crossed; then set the alert anew, as its owner does who had no answer."""
        await self.boot()
        self.evaluate()
        self._cross()
        await self.fire_and_save()
        await self.desk.set_alert("7", AlertType.BUY, symbol=AAPL, price="150")
        self._cross()
        await self.fire_and_save()


@pytest.fixture
async def bus(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Bus]:
    settings = ProcessSettings(run_dir=tmp_path, nats_url=nats.url)
    async with Bus.open(settings, name="test", streams=[EVENTS]) as opened:
        await opened.wait_until_ready()
        yield opened


async def told(bus: Bus) -> Counter[tuple[str, int]]:
    """Count the events on the stream by alert and generation, and clear it."""
    state = (await bus.jetstream.stream_info("EVENTS")).state
    counts: Counter[tuple[str, int]] = Counter()
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await bus.jetstream.get_msg("EVENTS", sequence)
        event = events_pb2.AlertFired.FromString(message.data or b"")
        counts[event.alert.id, event.alert.generation] += 1
    await bus.jetstream.purge_stream("EVENTS")
    return counts


async def verify(database: Database, bus: Bus, *, was_acknowledged: bool) -> None:
    async with database.reading() as connection:
        (alert,) = (await connection.execute(select(ALERTS))).all()
        fires = (await connection.execute(select(FIRES).order_by(FIRES.c.generation))).all()
        assert (await connection.execute(select(OUTBOX))).all() == []
        assert (await connection.execute(select(NOT_EVALUATED))).all() == []
    assert [fire.generation for fire in fires] == list(range(1, alert.generation + 1))
    # Of three ticks the second is the first to reach the price; the first generation was armed in front of all.
    assert fires[-1].stream_sequence == alert.armed_sequence + 2
    assert fires[0].stream_sequence == 2 or alert.generation == 1
    assert alert.state == "fired"
    assert alert.generation == 2 or not was_acknowledged
    assert await told(bus) == {(str(alert.id), fire.generation): 1 for fire in fires}


# A dozen seconds each; `make long` has the other half, and the matrix of tests/e2e/test_alert_matrix.py.
@pytest.mark.parametrize("database_url", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"], indirect=True)
@pytest.mark.parametrize(
    "crosses_while",
    ["it is about to be committed", "it is committed but not acknowledged", "it is acknowledged"],
)
async def test_a_crossing_fires_once_whichever_step_was_the_last(
    crosses_while: str, bus: Bus, tmp_path: Path, database_url: str
) -> None:
    dies_at = 0
    while True:
        dies_at += 1
        is_embedded = database_url.startswith("sqlite")
        url = f"sqlite+aiosqlite:///{tmp_path / f'{dies_at}.sqlite3'}" if is_embedded else database_url
        async with Database.open(url) as database:
            await ensure_schema(database, "alerts")
            await empty(database)
            ticks = EveryTick()
            first = Life(database, bus, ticks, dies_at=dies_at)
            with suppress(Killed):
                await first.run(crosses_while=crosses_while)
            await Life(database, bus, ticks).make_up()
            await verify(database, bus, was_acknowledged=first.line.steps < dies_at)
        if first.line.steps < dies_at:
            break
    assert dies_at > 15


async def empty(database: Database) -> None:
    async with database.transaction() as connection:
        for table in reversed(ALERTS.metadata.sorted_tables):
            await connection.execute(table.delete())
