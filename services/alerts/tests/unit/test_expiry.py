import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerts.domain.alerts import Alert, AlertType, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.expiry import SWEEP_EVERY_SECONDS, ExpirySweep
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import TickBatch, shard_of
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
EXPIRY = START + timedelta(seconds=10)


def make_alert(alert_id: int, *, instrument: str = "NSE:TCS") -> Alert:
    alert = Alert(alert_id, "7", AlertType.BUY, instrument, "TCS", Decimal(100), 1, START)
    return replace(alert, armed=NOWHERE, expires_at=EXPIRY)


def make_batch(sequence: int, price: float, *, after: timedelta, instrument: str = "NSE:TCS") -> TickBatch:
    return TickBatch(
        position=Position(1, sequence),
        publisher_id="feed",
        epoch=1,
        shard=3,
        sequence=sequence,
        source="sample",
        freshness=Freshness.SIMULATED,
        base_at=START + after,
        instruments=[instrument],
        prices=[price],
        offsets_microseconds=[0],
    )


class StoredAlerts:
    """Armed alerts; raises what is put into `failures` first."""

    def __init__(self, *alerts: Alert) -> None:
        self.armed = list(alerts)
        self.expired: list[int] = []
        self.failures: list[Exception] = []
        self.reads = 0

    async def overdue(self, moment: datetime, *, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        self.reads += 1
        if self.failures:
            raise self.failures.pop(0)
        yield [alert for alert in self.armed if alert.is_past(moment) and shard_of(alert.instrument) in shards]

    async def expire(self, alerts: Sequence[tuple[Lease, Alert]]) -> None:
        ended = [alert for lease, alert in alerts if lease.shard == shard_of(alert.instrument)]
        self.expired += [alert.id for alert in ended]
        self.armed = [alert for alert in self.armed if alert not in ended]


class Bench:
    """A watch with two alerts that expire, and what sweeps them."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.watch = Watch(FIRST_START, Lease(shard_of("NSE:TCS"), 1))
        self.other = Watch(FIRST_START, Lease(shard_of("NSE:INFY"), 1))
        self.watches = Watches()
        for watch in (self.watch, self.other):
            self.watches.add(watch)
        alerts = [make_alert(1), make_alert(2, instrument="NSE:INFY")]
        self.watch.load(alerts[:1])
        self.other.load(alerts[1:])
        self.store = StoredAlerts(*alerts)
        swept: Any = self.store
        self.sweep = ExpirySweep(self.watches, swept, self.clock)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_alert_ends_once_a_later_tick_of_its_instrument_was_evaluated(bench: Bench) -> None:
    bench.watch.evaluate(make_batch(1, 101.0, after=timedelta(seconds=10)))
    await bench.sweep.sweep()
    assert bench.store.expired == []
    bench.watch.evaluate(make_batch(2, 101.0, after=timedelta(seconds=11)))
    await bench.sweep.sweep()
    assert bench.store.expired == [1]
    assert (bench.watch.watched, bench.other.watched) == (0, 1)


async def test_an_alert_whose_instrument_is_silent_ends_a_day_later(bench: Bench) -> None:
    bench.watch.evaluate(make_batch(1, 101.0, after=timedelta(days=1, seconds=11)))
    # The tick was of another shard, which the feed has read on beside this one.
    bench.other.advance(bench.watch.mark)
    await bench.sweep.sweep()
    assert bench.store.expired == [1, 2]
    assert bench.watches.watched == 0


async def test_what_became_somebody_elses_while_it_was_read_is_left_to_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.watch.evaluate(make_batch(1, 101.0, after=timedelta(days=1, seconds=11)))

    async def overdue(moment: datetime, *, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        bench.watches.drop(bench.watch)
        yield [alert for alert in bench.store.armed if alert.is_past(moment) and shards]

    monkeypatch.setattr(bench.store, "overdue", overdue)
    await bench.sweep.sweep()
    assert bench.store.expired == []


async def test_without_shards_nothing_is_swept(bench: Bench) -> None:
    for watch in bench.watches:
        bench.watches.drop(watch)
    await bench.sweep.sweep()
    assert bench.store.reads == 0


async def test_while_a_fire_is_not_committed_nothing_ends(bench: Bench) -> None:
    bench.watch.evaluate(make_batch(1, 99.0, after=timedelta(seconds=9)))
    bench.watch.evaluate(make_batch(2, 101.0, after=timedelta(seconds=11)))
    await bench.sweep.sweep()
    assert bench.store.expired == []
    bench.watch.settle(1)
    await bench.sweep.sweep()
    assert bench.store.expired == [1]


async def test_nothing_is_read_while_no_tick_comes(bench: Bench) -> None:
    bench.watch.evaluate(make_batch(1, 101.0, after=timedelta(seconds=1)))
    await bench.sweep.sweep()
    await bench.sweep.sweep()
    assert bench.store.reads == 1


async def test_a_sweep_that_failed_is_made_up_for(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.watch.evaluate(make_batch(1, 101.0, after=timedelta(seconds=11)))
    bench.store.failures = [DatabaseUnavailable(), ValueError("unexpected")]
    with caplog.at_level(logging.DEBUG):
        running = asyncio.create_task(bench.sweep.run())
        await asyncio.sleep(0)
        for _ in range(3):
            await bench.clock.advance(SWEEP_EVERY_SECONDS)
            await asyncio.sleep(0)
    running.cancel()
    assert bench.store.expired == [1]
    assert caplog.text.count("alerts not swept") == 2
