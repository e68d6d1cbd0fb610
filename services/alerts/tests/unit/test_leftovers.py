import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.explanations import MAX_STRETCHES
from alerts.domain.ids import AlertIds, first_id_of
from alerts.domain.leases import Lease
from alerts.domain.leftovers import (
    DELETED_IDS_KEPT,
    ENDED_ACCOUNTS_KEPT,
    MOST_TIMES,
    ROWS_AT_ONCE,
    STRETCHES_KEPT,
    SWEEP_EVERY_SECONDS,
    LeftoverSweep,
)
from alerts.domain.positions import NOWHERE
from alerts.domain.ticks import SHARDS
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())


class StoredLeftovers:
    """Counts down how many rows there are of each kind; raises what is put into `failures` first."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        self.asked: list[tuple[str, object]] = []
        self.failures: list[Exception] = []

    async def forget_deleted(self, before_id: int, *, limit: int) -> int:
        return self._take("deleted", before_id, limit)

    async def forget_ended(self, before: datetime, *, limit: int) -> int:
        return self._take("ended", before, limit)

    async def forget_missing(self, shard: int, *, shown: int, kept: int, limit: int) -> int:
        return self._take("missing", (shard, shown, kept), limit)

    def _take(self, kind: str, which: object, limit: int) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.asked.append((kind, which))
        taken = min(self.left[kind], limit)
        self.left[kind] -= taken
        return taken


class Bench:
    """A sweep with everything around it in sight; the first shard is held."""

    def __init__(self) -> None:
        self.store = StoredLeftovers()
        self.clock = ManualClock(START)
        self.watches = Watches()
        self.watches.add(Watch(FIRST_START, Lease(0, 1)))
        self.sweep = LeftoverSweep(self.watches, self.store, self.clock)

    def times(self, kind: str) -> int:
        return sum(each == kind for each, _ in self.store.asked)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_over_for_a_day_goes_and_the_stretches_of_all_shards(bench: Bench) -> None:
    await bench.sweep.sweep()
    assert bench.store.asked == [
        ("deleted", first_id_of(START - DELETED_IDS_KEPT)),
        ("ended", START - ENDED_ACCOUNTS_KEPT),
        *(("missing", (shard, MAX_STRETCHES, STRETCHES_KEPT)) for shard in range(SHARDS)),
    ]


def test_an_id_is_over_when_all_that_are_made_are_later() -> None:
    clock = ManualClock(START)
    smallest, largest = AlertIds(clock, lambda _: 0)(), AlertIds(clock, lambda bits: 2**bits - 1)()
    assert smallest == first_id_of(START)
    assert largest < first_id_of(START + timedelta(milliseconds=1))


async def test_much_goes_in_portions_until_none_is_left(bench: Bench) -> None:
    bench.store.left = Counter(deleted=2 * ROWS_AT_ONCE + 1, ended=ROWS_AT_ONCE - 1)
    await bench.sweep.sweep()
    assert (bench.times("deleted"), bench.times("ended"), bench.store.left.total()) == (3, 1, 0)


async def test_too_much_goes_over_several_sweeps_and_keeps_nothing_else_waiting(bench: Bench) -> None:
    bench.store.left = Counter(deleted=ROWS_AT_ONCE * MOST_TIMES + 1, ended=1)
    await bench.sweep.sweep()
    assert (bench.times("deleted"), dict(+bench.store.left)) == (MOST_TIMES, {"deleted": 1})
    await bench.sweep.sweep()
    assert not +bench.store.left


async def test_who_does_not_hold_the_first_shard_leaves_it_to_who_does(bench: Bench) -> None:
    for watch in bench.watches:
        bench.watches.drop(watch)
    bench.watches.add(Watch(FIRST_START, Lease(1, 1)))
    await bench.sweep.sweep()
    assert bench.store.asked == []


async def test_a_sweep_that_failed_is_made_up_for(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.failures = [DatabaseUnavailable(), ValueError("unexpected")]
    bench.store.left = Counter(deleted=1)
    with caplog.at_level(logging.DEBUG):
        running = asyncio.create_task(bench.sweep.run())
        await asyncio.sleep(0)
        for _ in range(3):
            await bench.clock.advance(SWEEP_EVERY_SECONDS)
            await asyncio.sleep(0)
    running.cancel()
    assert not +bench.store.left
    assert caplog.text.count("leftovers not swept") == 2
