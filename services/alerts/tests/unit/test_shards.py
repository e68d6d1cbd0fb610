import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from alerts.domain import firing as firing_module
from alerts.domain.alerts import Alert, AlertType, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.firing import Firing
from alerts.domain.leases import RENEW_EVERY_SECONDS, Lease, Share
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.progress import ProgressKeeper
from alerts.domain.shards import ShardKeeper, ShardLoader
from alerts.domain.ticks import TickBatch, shard_of
from alerts.domain.watch import Candidate, Watch
from alerts.domain.watches import Watches
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
TCS = shard_of("NSE:TCS")
ALERT = replace(Alert(1, "7", AlertType.BUY, "NSE:TCS", "TCS", Decimal(100), 1, START), armed=NOWHERE)
BATCH = TickBatch(
    position=Position(1, 1),
    publisher_id="feed",
    epoch=1,
    shard=TCS,
    sequence=1,
    source="sample",
    freshness=Freshness.SIMULATED,
    base_at=START,
    instruments=["NSE:TCS"],
    prices=[99.0],
    offsets_microseconds=[0],
)


class Database:
    """Leases, alerts, fires and checkpoints; answers with `share`, and writes down in which order things happened."""

    def __init__(self) -> None:
        self.share = Share(frozenset())
        self.failures: list[Exception] = []
        self.steps: list[str] = []
        self.while_loading: Any = None
        self.while_firing: Any = None

    async def begin(self) -> None:
        self.steps.append("begin")

    async def renew(self) -> Share:
        if self.failures:
            raise self.failures.pop(0)
        self.steps.append("renew")
        return self.share

    async def release(self, leases: Collection[Lease]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.steps.append(f"release {[lease.shard for lease in leases]}")
        self.share = self.share.without(leases)

    async def leave(self) -> None:
        self.steps.append("leave")

    async def armed(self, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        if self.failures:
            raise self.failures.pop(0)
        if self.while_loading is not None:
            await self.while_loading()
        yield [ALERT] if TCS in shards else []

    async def load(self, shards: Sequence[int], *, now: datetime) -> Mapping[int, Checkpoint]:
        assert now >= START
        return dict.fromkeys(shards, FIRST_START)

    async def save(self, progress: Sequence[Progress]) -> Collection[Lease]:
        if self.failures:
            raise self.failures.pop(0)
        self.steps.append(f"save {[each.lease.shard for each in progress]}")
        return {each.lease for each in progress}

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        assert committed_at >= START
        if self.while_firing is not None:
            await self.while_firing()
        if self.failures:
            raise self.failures.pop(0)
        self.steps.append(f"fire {[each.alert_id for each in candidates]}")
        return []


class Bench:
    """A keeper of shards with everything around it in sight."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.database = Database()
        self.watches = Watches()
        self.followed: list[list[int]] = []
        stores: Any = self.database
        self.firing = Firing(self.watches, stores, self.clock, on_committed=lambda: None)
        self.keeper = ShardKeeper(
            self.watches,
            stores,
            ShardLoader(stores, stores, self.clock),
            firing=self.firing,
            progress=ProgressKeeper(self.watches, stores, self.clock),
            announcer=self,
            follow=self.follow,
            clock=self.clock,
        )

    def follow(self, watches: Sequence[Watch]) -> None:
        self.followed.append([watch.lease.shard for watch in watches])
        for watch in watches:
            self.watches.add(watch)

    async def changed(self, shards: Collection[int], forgotten: Sequence[object]) -> None:
        raise NotImplementedError

    async def released(self) -> None:
        self.database.steps.append("tell")

    def give(self, *shards: int, fence: int = 1, surplus: Sequence[int] = ()) -> None:
        """Let the database say from now on that these shards are ours."""
        held = frozenset(Lease(shard, fence) for shard in shards)
        self.database.share = Share(held, [Lease(shard, fence) for shard in surplus])

    @property
    def held(self) -> list[Lease]:
        return sorted(watch.lease for watch in self.watches)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_had_at_the_start_is_loaded_before_anything_else(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.give(TCS, 3)
    with caplog.at_level(logging.INFO):
        await bench.keeper.begin()
    assert bench.held == [Lease(3, 1), Lease(TCS, 1)]
    assert bench.followed == [[3], [TCS]]
    (record,) = [record for record in caplog.records if record.message == "shards taken"]
    assert (vars(record)["shards"], vars(record)["alerts"]) == (f"3,{TCS}", 1)


async def test_leases_are_renewed_while_what_is_had_at_the_start_is_loaded(bench: Bench) -> None:
    loading, loaded = asyncio.Event(), asyncio.Event()

    async def load_slowly() -> None:
        loading.set()
        await loaded.wait()

    bench.give(3)
    bench.database.while_loading = load_slowly
    beginning = asyncio.create_task(bench.keeper.begin())
    await loading.wait()
    for _ in range(3):
        await bench.clock.advance(RENEW_EVERY_SECONDS)
    assert bench.database.steps == ["begin", *["renew"] * 4]
    loaded.set()
    await beginning
    assert bench.held == [Lease(3, 1)]


async def test_what_is_given_up_is_committed_and_saved_before_others_can_have_it(bench: Bench) -> None:
    bench.give(TCS, 3)
    await bench.keeper.begin()
    watch = bench.watches.of_shard(TCS)
    assert watch is not None
    watch.evaluate(BATCH)
    bench.give(TCS, 3, surplus=[TCS])
    bench.database.steps.clear()
    await bench.keeper.renew()
    await bench.keeper.settle()
    assert bench.database.steps == ["renew", "fire [1]", f"save [{TCS}]", f"release [{TCS}]", "tell"]
    assert bench.held == [Lease(3, 1)]


async def test_under_a_lease_whose_watch_was_dropped_nothing_is_loaded_again(bench: Bench) -> None:
    """An alert may be committed late under it, onto the dropped watch, and the next holder alone is sure to load it."""
    bench.give(TCS, 3)
    await bench.keeper.begin()
    bench.give(TCS, 3, surplus=[TCS])
    await bench.keeper.renew()
    bench.database.failures = [DatabaseUnavailable()]
    with pytest.raises(DatabaseUnavailable):
        await bench.keeper.settle()
    # The other replica is gone again, so the shard is no surplus any more.
    bench.give(TCS, 3)
    bench.database.steps.clear()
    await bench.keeper.renew()
    bench.database.failures = [DatabaseUnavailable()]
    with pytest.raises(DatabaseUnavailable):
        await bench.keeper.settle()
    assert bench.held == [Lease(3, 1)]
    await bench.keeper.settle()
    assert bench.database.steps == ["renew", f"release [{TCS}]", "tell"]
    assert bench.held == [Lease(3, 1)]
    bench.database.share = Share(frozenset({Lease(3, 1), Lease(TCS, 3)}))
    await bench.keeper.renew()
    await bench.keeper.settle()
    assert bench.held == [Lease(3, 1), Lease(TCS, 3)]


async def test_a_dropped_watch_is_released_by_the_loop(bench: Bench) -> None:
    bench.give(TCS)
    await bench.keeper.begin()
    settling = asyncio.create_task(bench.keeper.run_settling())
    bench.give(TCS, surplus=[TCS])
    await bench.keeper.look()
    bench.database.failures = [DatabaseUnavailable()]
    for _ in range(10):
        await asyncio.sleep(0)
    bench.give(TCS)
    await bench.keeper.look()
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.database.steps[-2:] == [f"release [{TCS}]", "tell"]
    settling.cancel()


async def test_reading_goes_on_when_what_is_given_up_cannot_be_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing_module, "MAX_BACKLOG", 1)
    bench.give(TCS, 3)
    await bench.keeper.begin()
    watch = bench.watches.of_shard(TCS)
    assert watch is not None
    watch.evaluate(BATCH)
    bench.firing.notify()
    bench.give(TCS, 3, surplus=[TCS])
    await bench.keeper.renew()
    committing = asyncio.Event()
    bench.database.while_firing = committing.wait
    settling = asyncio.create_task(bench.keeper.settle())
    await asyncio.wait_for(bench.firing.wait_for_room(), timeout=5)
    bench.database.failures = [DatabaseUnavailable()]
    committing.set()
    with pytest.raises(DatabaseUnavailable):
        await settling
    await asyncio.wait_for(bench.firing.wait_for_room(), timeout=5)


async def test_a_lost_shard_is_dropped_at_once_and_nothing_of_it_is_written(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.give(TCS, 3)
    await bench.keeper.begin()
    watch = bench.watches.of_shard(TCS)
    assert watch is not None
    watch.evaluate(BATCH)
    bench.give(3)
    bench.database.steps.clear()
    await bench.keeper.renew()
    await bench.keeper.settle()
    assert bench.held == [Lease(3, 1)]
    assert bench.database.steps == ["renew"]
    (record,) = [record for record in caplog.records if record.message == "shard lost"]
    assert (vars(record)["shard"], vars(record)["fence"]) == (TCS, 1)


async def test_a_shard_that_is_ours_again_is_loaded_anew(bench: Bench) -> None:
    bench.give(3)
    await bench.keeper.begin()
    bench.give(3, fence=3)
    await bench.keeper.renew()
    assert bench.held == []
    await bench.keeper.settle()
    assert bench.held == [Lease(3, 3)]


async def test_a_shard_is_evaluated_before_the_next_is_loaded(bench: Bench) -> None:
    async def fail_later() -> None:
        bench.database.failures = [DatabaseUnavailable()]

    bench.give(3, TCS)
    bench.database.while_loading = fail_later
    with pytest.raises(DatabaseUnavailable):
        await bench.keeper.begin()
    assert bench.held == [Lease(3, 1)]
    bench.database.while_loading = None
    await bench.keeper.settle()
    assert bench.held == [Lease(3, 1), Lease(TCS, 1)]


async def test_what_is_lost_while_it_is_loaded_is_not_evaluated(bench: Bench) -> None:
    async def lose() -> None:
        bench.give()
        await bench.keeper.renew()

    bench.give(3)
    bench.database.while_loading = lose
    await bench.keeper.begin()
    assert bench.held == []


async def test_it_renews_again_and_again_and_settles_what_changes(bench: Bench) -> None:
    await bench.keeper.begin()
    loops = [asyncio.create_task(bench.keeper.run()), asyncio.create_task(bench.keeper.run_settling())]
    await asyncio.sleep(0)
    bench.give(3)
    bench.database.failures = [DatabaseUnavailable(), ValueError("unexpected")]
    for _ in range(3):
        assert bench.held == []
        await bench.clock.advance(RENEW_EVERY_SECONDS)
        for _ in range(10):
            await asyncio.sleep(0)
    assert bench.held == [Lease(3, 1)]
    for loop in loops:
        loop.cancel()


@pytest.mark.parametrize("failure", [DatabaseUnavailable(), ValueError("unexpected")])
async def test_what_could_not_be_loaded_is_loaded_behind_the_next_renewal(bench: Bench, failure: Exception) -> None:
    await bench.keeper.begin()
    settling = asyncio.create_task(bench.keeper.run_settling())
    bench.give(3)
    await bench.keeper.look()
    bench.database.failures = [failure]
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.held == []
    await bench.keeper.look()
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.held == [Lease(3, 1)]
    settling.cancel()


async def test_once_it_has_left_it_takes_nothing_more(bench: Bench) -> None:
    await bench.keeper.begin()
    await bench.keeper.leave()
    bench.give(3)
    await bench.keeper.look()
    await bench.keeper.settle()
    assert bench.database.steps == ["begin", "renew", "leave", "tell"]
    assert bench.held == []


async def test_shards_are_counted_as_they_come_and_go(bench: Bench) -> None:
    bench.give(1, 2, 3)
    await bench.keeper.begin()
    bench.give(1, 2, surplus=[2])
    await bench.keeper.renew()
    await bench.keeper.settle()
    assert (bench.keeper.taken, bench.keeper.released, bench.keeper.lost) == (3, 1, 1)
