from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts.domain.alerts import Alert, AlertType, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import TickBatch, shard_of
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches, portion_of

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
INSTRUMENTS = ("NSE:TCS", "NSE:INFY")


def make_alert(alert_id: int, instrument: str) -> Alert:
    alert = Alert(alert_id, "7", AlertType.BUY, instrument, instrument, Decimal(100), 1, START)
    return replace(alert, armed=NOWHERE)


def make_batch(sequence: int, instrument: str) -> TickBatch:
    return TickBatch(
        position=Position(1, sequence),
        publisher_id="feed",
        epoch=1,
        shard=shard_of(instrument),
        sequence=sequence,
        source="sample",
        freshness=Freshness.SIMULATED,
        base_at=START + timedelta(seconds=sequence),
        instruments=[instrument],
        prices=[99.0],
        offsets_microseconds=[0],
    )


@pytest.fixture
def watches() -> Watches:
    watches = Watches()
    for instrument in INSTRUMENTS:
        watches.add(Watch(FIRST_START, Lease(shard_of(instrument), 1)))
    return watches


def watch_of(watches: Watches, instrument: str) -> Watch:
    watch = watches.of(instrument)
    assert watch is not None
    return watch


def test_fires_of_all_shards_come_in_the_order_of_the_stream(watches: Watches) -> None:
    for alert_id, instrument in ((1, "NSE:TCS"), (2, "NSE:INFY")):
        watch_of(watches, instrument).load([make_alert(alert_id, instrument)])
    watch_of(watches, "NSE:INFY").evaluate(make_batch(1, "NSE:INFY"))
    watch_of(watches, "NSE:TCS").evaluate(make_batch(2, "NSE:TCS"))
    assert watches.backlog == 2
    first = portion_of(watches, 1)
    assert [each.alert_id for each in first.candidates] == [2]
    first.settle()
    rest = portion_of(watches, 5)
    assert [each.alert_id for each in rest.candidates] == [1]
    rest.settle()
    assert (watches.backlog, portion_of(watches, 5).candidates) == (0, [])


def test_what_is_not_held_here_is_not_forgotten_here(watches: Watches) -> None:
    watch_of(watches, "NSE:TCS").load([make_alert(1, "NSE:TCS"), make_alert(2, "NSE:TCS")])
    assert watches.forget(make_alert(1, "NSE:TCS"))
    assert watches.watched == 1
    watches.drop(watch_of(watches, "NSE:TCS"))
    assert not watches.forget(make_alert(2, "NSE:TCS"))
    assert (len(watches), watches.watched) == (1, 0)


def test_a_watch_that_was_replaced_does_not_drop_the_next(watches: Watches) -> None:
    old = watch_of(watches, "NSE:TCS")
    new = Watch(FIRST_START, Lease(old.lease.shard, 3))
    watches.add(new)
    watches.drop(old)
    assert watches.of("NSE:TCS") is new


def test_the_time_of_the_ticks_is_that_of_the_last_of_any_shard(watches: Watches) -> None:
    watch_of(watches, "NSE:TCS").evaluate(make_batch(5, "NSE:TCS"))
    assert watches.evaluated_at == START + timedelta(seconds=5)
    assert Watches().evaluated_at is None
