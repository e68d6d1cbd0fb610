import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from nats.aio.msg import Msg

from alerts.domain.alerts import Alert, AlertType
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.continuity import Reason, StreamView
from alerts.domain.firing import Firing
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import shard_of
from alerts.domain.watch import Candidate, Watch
from alerts.domain.watches import Watches
from alerts.feed.ticks import RETRY_SECONDS, Tally, TickFeed
from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.clock import ManualClock
from chassis.errors import BusUnavailable, DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
TCS_SHARD = shard_of("NSE:TCS")
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
WAITING = Alert(1, "7", AlertType.BUY, "NSE:TCS", "TCS", Decimal(100), 1, START)


def make_message(
    sequence: int, payload: bytes | None = None, *, subject: str = f"ticks.{TCS_SHARD}", shard: int = TCS_SHARD
) -> Msg:
    batch = ticks_pb2.TickBatch(
        publisher_id="feed-1",
        epoch=1,
        shard=shard,
        sequence=sequence,
        source="sample",
        freshness=quotes_pb2.FRESHNESS_SIMULATED,
        ticks=[ticks_pb2.Tick(instrument="NSE:TCS", last_price=99.0)],
    )
    batch.base_time.FromDatetime(START)
    message = Msg(_client=None)  # type: ignore[arg-type]  # it answers nobody
    message.subject = subject
    message.reply = f"$JS.ACK.TICKS.reader.1.{sequence}.{sequence}.{int(START.timestamp() * 1e9)}.0"
    message.data = batch.SerializeToString() if payload is None else payload
    return message


class FakeBus:
    """A bus whose consumer is driven by hand; it is its own JetStream context and subscription."""

    def __init__(self) -> None:
        self.receive: Callable[[Msg], Awaitable[None]] | None = None
        self.starts: list[int] = []
        self.reconnected: Callable[[], Awaitable[None]] | None = None
        self.on_loss: list[Callable[[], Awaitable[None]]] = []
        self.is_lost_when_asked = False

    @property
    def jetstream(self) -> "FakeBus":
        return self

    def on_ready(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.reconnected = callback

    def on_lost(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.on_loss.append(callback)

    async def subscribe(self, subject: str, *, cb: Any, config: Any, **_: Any) -> "FakeBus":
        assert subject == "ticks.*"
        self.receive = cb
        if self.is_lost_when_asked:
            for callback in self.on_loss:
                await callback()
            await cb(make_message(1))
        self.starts.append(config.opt_start_seq)
        return self

    async def unsubscribe(self) -> None:
        self.receive = None


class FakeStream:
    """A stream that answers what it is told to, or raises it."""

    def __init__(self) -> None:
        self.answer: StreamView | Exception = StreamView(1, 1, 0)
        self.times_asked = 0

    async def latest(self) -> Position:
        self.times_asked += 1
        return (await self.view()).end

    async def view(self) -> StreamView:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeAlerts:
    """Alerts that wait to be armed; the first `failures` calls find no database."""

    def __init__(self) -> None:
        self.waiting_alerts: list[Alert] = []
        self.failures = 0
        self.is_answer_lost = False

    async def waiting(self, shards: Sequence[int]) -> Sequence[Alert]:
        return [alert for alert in self.waiting_alerts if shard_of(alert.instrument) in shards]

    async def arm_waiting(
        self, lease: Lease, mark: Mark, *, at: datetime, watch: Callable[[Sequence[Alert]], None]
    ) -> Sequence[Alert]:
        assert at >= START
        assert lease.shard == TCS_SHARD
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable
        armed = [replace(alert, armed=mark.position) for alert in self.waiting_alerts]
        self.waiting_alerts = []
        watch(armed)
        if self.is_answer_lost:
            self.is_answer_lost = False
            raise DatabaseUnavailable
        return armed


class NoFires:
    """Fires nothing."""

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        return []


class Harness:
    """A feed, driven by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.bus, self.stream, self.alerts = FakeBus(), FakeStream(), FakeAlerts()
        self.watch = Watch(FIRST_START, Lease(TCS_SHARD, 1))
        self.watches = Watches()
        self.watches.add(self.watch)
        firing = Firing(self.watches, NoFires(), self.clock, on_committed=lambda: None)
        parts: tuple[Any, Any, Any] = (self.bus, self.stream, self.alerts)
        self.feed = TickFeed(*parts, watches=self.watches, firing=firing, clock=self.clock)

    async def receive(self, *messages: Msg) -> None:
        receive = self.bus.receive
        assert receive is not None
        for message in messages:
            await receive(message)

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def next_session(self) -> None:
        await self.settle()
        await self.clock.advance(RETRY_SECONDS)
        await self.settle()


@pytest.fixture
async def harness() -> Any:
    harness = Harness()
    running = asyncio.create_task(harness.feed.run())
    await harness.settle()
    yield harness
    running.cancel()


async def test_messages_that_follow_one_another_are_evaluated(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(2))
    assert harness.watch.evaluated == Position(1, 2)
    assert harness.bus.starts == [1]
    assert harness.feed.is_current


async def test_what_was_asked_of_one_stream_and_comes_from_another_is_left_out() -> None:
    harness = Harness()
    harness.bus.is_lost_when_asked = True
    running = asyncio.create_task(harness.feed.run())
    await harness.settle()
    assert harness.watch.evaluated < Position(1, 1)
    harness.bus.is_lost_when_asked = False
    harness.stream.answer = StreamView(2, 1, 1)
    await harness.next_session()
    await harness.receive(make_message(1))
    assert harness.watch.evaluated == Position(2, 1)
    running.cancel()


async def test_a_message_behind_a_gap_is_left_to_a_session_that_asks_for_the_gap(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(3), make_message(4))
    assert harness.watch.evaluated == Position(1, 1)
    await harness.next_session()
    assert harness.bus.starts == [1, 2]
    await harness.receive(make_message(2), make_message(3))
    assert harness.watch.evaluated == Position(1, 3)
    assert harness.watch.progress().missing == ()


async def test_a_gap_the_server_cannot_fill_is_recorded(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(3))
    await harness.next_session()
    await harness.receive(make_message(3))
    assert harness.watch.evaluated == Position(1, 3)
    reasons = [missing.reason for missing in harness.watch.progress().missing]
    assert reasons == [Reason.STREAM_TRIMMED, Reason.SEQUENCE_JUMP]


async def test_a_message_that_is_delivered_again_is_left_out(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(2), make_message(1), make_message(3))
    assert harness.watch.evaluated == Position(1, 3)


@pytest.mark.parametrize("subject", [f"ticks.{TCS_SHARD}", "ticks.x", "ticks.123", "ticks.16"])
async def test_an_unreadable_message_is_recorded_for_its_shard_and_one_of_no_shard_for_all(
    harness: Harness, subject: str
) -> None:
    await harness.receive(make_message(1, b"\xff", subject=subject))
    (missing,) = harness.watch.progress().missing
    assert (missing.reason, missing.shard, missing.to_at) == (Reason.BATCH_UNREADABLE, TCS_SHARD, START)


async def test_a_message_on_the_subject_of_another_shard_is_unreadable(harness: Harness) -> None:
    await harness.receive(make_message(1, shard=3))
    (missing,) = harness.watch.progress().missing
    assert (missing.reason, missing.shard) == (Reason.BATCH_UNREADABLE, TCS_SHARD)


async def test_what_is_of_a_shard_held_elsewhere_is_not_even_read(harness: Harness) -> None:
    await harness.receive(make_message(1, b"\xff", subject="ticks.3"), make_message(1), make_message(2))
    assert harness.watch.progress().missing == ()
    assert harness.watch.evaluated == Position(1, 2)


async def test_shards_that_are_taken_are_read_from_where_their_holders_stopped(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(2, subject="ticks.3", shard=3), make_message(3))
    taken = Watch(replace(FIRST_START, resume=Mark(Position(1, 1), START)), Lease(3, 7))
    harness.feed.follow([taken])
    await harness.receive(make_message(4))
    assert harness.watch.evaluated == Position(1, 3)
    await harness.settle()
    assert harness.bus.starts == [1, 2]
    await harness.receive(*(make_message(number, subject="ticks.3", shard=3) for number in (2,)), make_message(3))
    assert (taken.evaluated, harness.watch.evaluated) == (Position(1, 2), Position(1, 3))
    harness.feed.follow([])
    await harness.receive(make_message(4))
    assert harness.watch.evaluated == Position(1, 4)


async def test_shards_that_are_taken_while_it_looks_are_not_taken_for_evaluated(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Watch(replace(FIRST_START, resume=Mark(Position(1, 1), START)), Lease(3, 7))

    async def view() -> StreamView:
        if harness.watches.of_shard(3) is None:
            harness.feed.follow([taken])
        return StreamView(1, 1, 3)

    await harness.receive(make_message(1), make_message(2, subject="ticks.3", shard=3), make_message(3))
    monkeypatch.setattr(harness.stream, "view", view)
    harness.feed.notify_waiting()
    await harness.settle()
    assert taken.evaluated == Position(1, 1)
    assert harness.bus.starts == [1, 2]


async def test_without_shards_it_waits_for_some_and_is_not_current() -> None:
    harness = Harness()
    harness.watches.drop(harness.watch)
    running = asyncio.create_task(harness.feed.run())
    await harness.settle()
    assert harness.bus.starts == []
    assert not harness.feed.is_current
    harness.feed.notify_waiting()
    harness.feed.follow([harness.watch])
    await harness.settle()
    assert harness.bus.starts == [1]
    assert harness.feed.is_current
    running.cancel()


async def test_what_waits_is_armed_once_it_is_sure_where_the_stream_stands(harness: Harness) -> None:
    harness.stream.answer = StreamView(1, 1, 7, is_settled=False)
    harness.alerts.waiting_alerts = [WAITING]
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.alerts.waiting_alerts == [WAITING]
    assert harness.feed.is_current
    harness.stream.answer = StreamView(1, 1, 7)
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.alerts.waiting_alerts == []


async def test_without_shards_the_stream_is_asked_now_and_then_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.feed.ticks.LOOK_EVERY_SECONDS", 0.01)
    harness = Harness()
    harness.watches.drop(harness.watch)
    running = asyncio.create_task(harness.feed.run())
    async with asyncio.timeout(10):
        while harness.stream.times_asked < 3:
            await asyncio.sleep(0.01)
    running.cancel()


async def test_what_others_have_armed_is_read_again_from_there(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(2))
    harness.alerts.waiting_alerts = [replace(WAITING, armed=Position(1, 1))]
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.bus.starts == [1, 2]
    assert harness.watch.backlog == 0
    await harness.receive(make_message(2))
    (candidate,) = harness.watch.candidates(10)
    assert (candidate.position, candidate.crossed_during_gap) == (Position(1, 2), False)


async def test_while_the_database_is_away_ticks_are_evaluated(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waiting(_: Sequence[int]) -> Sequence[Alert]:
        raise DatabaseUnavailable

    monkeypatch.setattr(harness.alerts, "waiting", waiting)
    harness.feed.notify_waiting()
    await harness.settle()
    await harness.receive(make_message(1))
    assert harness.watch.evaluated == Position(1, 1)
    assert harness.bus.starts == [1]


async def test_what_became_somebody_elses_while_it_was_looked_for_is_left_to_them(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waiting(_: Sequence[int]) -> Sequence[Alert]:
        harness.watches.drop(harness.watch)
        return [WAITING]

    monkeypatch.setattr(harness.alerts, "waiting", waiting)
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.watch.watched == 0


async def test_what_goes_wrong_unexpectedly_is_logged_and_read_again(
    harness: Harness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "evaluate", fail)
        with caplog.at_level(logging.ERROR):
            await harness.receive(make_message(1))
            await harness.next_session()
    assert "ticks are not followed" in caplog.text
    await harness.receive(make_message(1))
    assert harness.watch.evaluated == Position(1, 1)


@pytest.mark.parametrize("failure", [BusUnavailable(), OSError()])
async def test_while_nats_is_away_it_is_not_current_and_tries_again(failure: Exception) -> None:
    harness = Harness()
    harness.stream.answer = failure
    running = asyncio.create_task(harness.feed.run())
    await harness.settle()
    assert not harness.feed.is_current
    harness.stream.answer = StreamView(1, 1, 5_000)
    await harness.next_session()
    assert harness.bus.starts == [1]
    assert not harness.feed.is_current  # 5,000 batches behind
    running.cancel()


async def test_alerts_that_wait_are_armed_at_the_end_of_the_stream() -> None:
    harness = Harness()
    harness.alerts.waiting_alerts = [WAITING]
    harness.alerts.failures = 1
    harness.stream.answer = StreamView(1, 1, 1)
    running = asyncio.create_task(harness.feed.run())
    await harness.settle()
    harness.feed.notify_waiting()
    await harness.settle()
    await harness.receive(make_message(1))
    assert harness.watch.backlog == 0
    await harness.receive(make_message(2))
    assert harness.watch.backlog == 1
    running.cancel()


async def test_an_alert_that_may_have_been_armed_is_watched_for() -> None:
    harness = Harness()
    harness.alerts.waiting_alerts = [WAITING]
    harness.alerts.is_answer_lost = True
    running = asyncio.create_task(harness.feed.run())
    await harness.next_session()
    await harness.receive(make_message(1))
    assert harness.watch.backlog == 1
    running.cancel()


@pytest.mark.parametrize(
    ("change", "sessions"), [("nothing", 1), ("another stream", 2), ("a reconnect", 2), ("an alert that waits", 1)]
)
async def test_it_looks_again_and_again_for_what_changed(
    change: str, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.feed.ticks.LOOK_EVERY_SECONDS", 0.001)
    harness = Harness()
    running = asyncio.create_task(harness.feed.run())
    await harness.settle()
    if change == "another stream":
        harness.stream.answer = StreamView(2, 1, 0)
    if change == "a reconnect":
        assert harness.bus.reconnected is not None
        await harness.bus.reconnected()
    if change == "an alert that waits":
        harness.alerts.waiting_alerts = [WAITING]
        harness.feed.notify_waiting()
    await asyncio.sleep(0.02)
    await harness.next_session()
    assert len(harness.bus.starts) == sessions
    assert harness.alerts.waiting_alerts == []
    running.cancel()


async def test_what_is_read_is_counted_once_however_often_it_is_delivered(harness: Harness) -> None:
    await harness.receive(make_message(1), make_message(2), make_message(1), make_message(3, b"\xff"))
    await harness.receive(make_message(4, subject="ticks.3", shard=3))
    assert harness.feed.tally == Tally(batches=2, ticks=2, unreadable=1)


async def test_the_lag_is_known_while_the_stream_is_followed(harness: Harness) -> None:
    harness.stream.answer = StreamView(1, 1, 7)
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.feed.lag_batches == 7
    assert harness.feed.interruptions == 0
    harness.stream.answer = BusUnavailable()
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.feed.lag_batches is None
    await harness.next_session()
    assert harness.feed.interruptions == 2


async def test_it_knows_how_many_alerts_wait(harness: Harness) -> None:
    harness.alerts.waiting_alerts = [WAITING]
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.feed.waiting == 1
    harness.feed.notify_waiting()
    await harness.settle()
    assert harness.feed.waiting == 0
