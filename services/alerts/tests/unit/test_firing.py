import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from alerts.domain import firing as firing_module
from alerts.domain.alerts import Alert, AlertType, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.firing import RETRY_SECONDS, Firing
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.progress import SAVE_EVERY_SECONDS, ProgressKeeper
from alerts.domain.ticks import TickBatch
from alerts.domain.watch import Candidate, Watch
from alerts.domain.watches import Watches
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
LEASE = Lease(3, 1)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())


def make_alert(alert_id: int) -> Alert:
    return Alert(
        alert_id, "7", AlertType.BUY, "NSE:TCS", "TCS", Decimal(100), 1, START, updated_at=None, armed=Position(1, 0)
    )


def make_batch(sequence: int, price: float) -> TickBatch:
    return TickBatch(
        position=Position(1, sequence),
        publisher_id="feed",
        epoch=1,
        shard=3,
        sequence=sequence,
        source="sample",
        freshness=Freshness.SIMULATED,
        base_at=START,
        instruments=["NSE:TCS"],
        prices=[price],
        offsets_microseconds=[0],
    )


@dataclass
class StoredFires:
    """Fires each armed alert once; raises what is put into `failures` first."""

    armed: dict[int, Alert]
    fired: list[int] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        assert committed_at >= START
        if self.failures:
            raise self.failures.pop(0)
        fired = [
            replace(self.armed.pop(candidate.alert_id), fired=candidate.price)
            for candidate in candidates
            if candidate.alert_id in self.armed
        ]
        self.fired += [alert.id for alert in fired]
        return fired


@dataclass
class SavedCheckpoints:
    """Keeps every checkpoint that was saved; raises what is put into `failures` first."""

    saved: list[Progress] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    lost: set[Lease] = field(default_factory=set)

    async def load(self, shards: Sequence[int], *, now: datetime) -> Mapping[int, Checkpoint]:
        raise NotImplementedError

    async def save(self, progress: Sequence[Progress]) -> Collection[Lease]:
        if self.failures:
            raise self.failures.pop(0)
        held = [each for each in progress if each.lease not in self.lost]
        self.saved += held
        return {each.lease for each in held}


class Bench:
    """A watch with alerts 1 and 2, and what commits for it."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.watch = Watch(FIRST_START, LEASE)
        self.watches = Watches()
        self.watches.add(self.watch)
        alerts = [make_alert(1), make_alert(2)]
        self.watch.load(alerts)
        self.fires = StoredFires({alert.id: alert for alert in alerts})
        self.commits = 0
        self.firing = Firing(self.watches, self.fires, self.clock, on_committed=self.count_commit)
        self.checkpoints = SavedCheckpoints()
        self.keeper = ProgressKeeper(self.watches, self.checkpoints, self.clock)

    def count_commit(self) -> None:
        self.commits += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_was_reached_is_committed_told_and_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.watch.evaluate(make_batch(1, 99.5))
    with caplog.at_level(logging.INFO):
        await bench.firing.commit_pending()
    assert bench.fires.fired == [1, 2]
    assert bench.watch.backlog == 0
    assert bench.commits == 1
    records = [record for record in caplog.records if record.message == "alert fired"]
    assert [vars(record)["alert_id"] for record in records] == [1, 2]
    assert vars(records[0])["fired_price"] == 99.5


async def test_what_is_not_armed_any_more_is_settled_without_a_word(bench: Bench) -> None:
    bench.fires.armed.clear()
    bench.watch.evaluate(make_batch(1, 99.5))
    await bench.firing.commit_pending()
    assert bench.watch.backlog == 0
    assert bench.commits == 0


async def test_a_database_that_is_away_is_tried_again(bench: Bench) -> None:
    bench.fires.failures = [DatabaseUnavailable(), ValueError("unexpected")]
    bench.watch.evaluate(make_batch(1, 99.5))
    bench.firing.notify()
    running = asyncio.create_task(bench.firing.run())
    for _ in range(3):
        await asyncio.sleep(0)
        await bench.clock.advance(RETRY_SECONDS)
    running.cancel()
    assert bench.fires.fired == [1, 2]


async def test_it_sleeps_until_something_is_pending(bench: Bench) -> None:
    bench.firing.notify()
    running = asyncio.create_task(bench.firing.run())
    await asyncio.sleep(0)
    bench.watch.evaluate(make_batch(1, 99.5))
    bench.firing.notify()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    assert bench.fires.fired == [1, 2]


async def test_reading_stops_while_too_much_is_pending(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing_module, "MAX_BACKLOG", 1)
    monkeypatch.setattr(firing_module, "FIRES_PER_TRANSACTION", 1)
    await bench.firing.wait_for_room()
    bench.watch.evaluate(make_batch(1, 99.5))
    bench.firing.notify()
    waiting = asyncio.create_task(bench.firing.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await bench.firing.commit_pending()
    await waiting


async def test_progress_is_saved_when_there_is_any(bench: Bench) -> None:
    await bench.keeper.save()
    await bench.keeper.save()
    assert len(bench.checkpoints.saved) == 1
    bench.watch.evaluate(make_batch(1, 101.0))
    await bench.keeper.save()
    assert bench.checkpoints.saved[-1].checkpoint.resume.position == Position(1, 1)


async def test_what_is_missing_is_saved_once_and_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.watch.skip(Position(1, 1), at=START)
    await bench.keeper.save()
    bench.watch.evaluate(make_batch(2, 101.0))
    await bench.keeper.save()
    assert [len(progress.missing) for progress in bench.checkpoints.saved] == [1, 0]
    assert "ticks not evaluated" in caplog.text


async def test_progress_that_could_not_be_saved_is_saved_a_second_later(bench: Bench) -> None:
    bench.checkpoints.failures = [DatabaseUnavailable(), ValueError("unexpected")]
    bench.watch.skip(Position(1, 1), at=START)
    running = asyncio.create_task(bench.keeper.run())
    await asyncio.sleep(0)
    for _ in range(3):
        await bench.clock.advance(SAVE_EVERY_SECONDS)
    running.cancel()
    (progress,) = bench.checkpoints.saved
    assert len(progress.missing) == 1


async def test_two_who_commit_at_once_take_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing_module, "FIRES_PER_TRANSACTION", 1)
    bench.watch.evaluate(make_batch(1, 99.5))
    await asyncio.gather(bench.firing.commit_pending(), bench.firing.commit([bench.watch]))
    assert bench.fires.fired == [1, 2]
    assert bench.watch.backlog == 0


async def test_reading_goes_on_when_what_is_pending_is_somebody_elses_by_now(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing_module, "MAX_BACKLOG", 1)
    bench.watch.evaluate(make_batch(1, 99.5))
    bench.firing.notify()
    bench.watches.drop(bench.watch)
    bench.firing.notify()
    await bench.firing.wait_for_room()
    await bench.firing.commit_pending()
    assert bench.fires.fired == []


async def test_the_progress_of_a_lost_lease_stays_unsaved(bench: Bench) -> None:
    bench.watch.skip(Position(1, 1), at=START)
    bench.checkpoints.lost = {LEASE}
    await bench.keeper.save()
    assert bench.watch.missing
    assert bench.checkpoints.saved == []


async def test_what_several_shards_miss_is_logged_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    other = Watch(FIRST_START, Lease(11, 1))
    bench.watches.add(other)
    for watch in bench.watches:
        watch.skip(Position(1, 1), at=START)
    await bench.keeper.save()
    (record,) = [record for record in caplog.records if record.message == "ticks not evaluated"]
    assert vars(record)["shards"] == "3,11"


@pytest.mark.parametrize("failures", [[], [DatabaseUnavailable()]])
async def test_reading_goes_on_when_a_watch_is_dropped_while_its_fires_are_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
) -> None:
    monkeypatch.setattr(firing_module, "MAX_BACKLOG", 1)
    bench.watch.evaluate(make_batch(1, 99.5))
    bench.firing.notify()
    bench.watches.drop(bench.watch)
    bench.fires.failures = failures
    with suppress(DatabaseUnavailable):
        await bench.firing.commit([bench.watch] if failures else bench.watches)
    await asyncio.wait_for(bench.firing.wait_for_room(), timeout=5)


async def test_what_is_not_saved_grows_old(bench: Bench) -> None:
    await bench.clock.advance(3)
    assert bench.keeper.age_seconds == 3
    await bench.keeper.save()
    assert bench.keeper.age_seconds == 0
    bench.watch.evaluate(make_batch(1, 101.0))
    bench.checkpoints.failures = [DatabaseUnavailable()]
    await bench.clock.advance(5)
    with pytest.raises(DatabaseUnavailable):
        await bench.keeper.save()
    assert bench.keeper.age_seconds == 5
