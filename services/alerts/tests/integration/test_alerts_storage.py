import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Row, Table, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.app import build, migrate
from alerts.domain.accounts import AccountDeleted, ended_through
from alerts.domain.alerts import Alert, AlertChanged, AlertType, FiringPrice, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import CLOCKS_APART, NotEvaluated, PublisherShard, Reason
from alerts.domain.deliveries import FireId
from alerts.domain.fires import Fire, FireCursor
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.tape import EvaluatedTick
from alerts.domain.ticks import SHARDS, shard_of
from alerts.domain.watch import Candidate
from alerts.feed.mails import make_policy
from alerts.messages import fired_event
from alerts.settings import Settings
from alerts.storage import alerts as alerts_module
from alerts.storage.alerts import Alerts
from alerts.storage.deliveries import Deliveries
from alerts.storage.fires import Fires
from alerts.storage.leases import Leases
from alerts.storage.progress import SavedProgress
from alerts.storage.tables import DELIVERIES, ENDED_ACCOUNTS, FIRES, METADATA, NOT_EVALUATED, OUTBOX
from alerts.storage.tick_streams import TickStreams
from bourse.alerts.v1 import events_pb2
from chassis.database import Database, SchemaBehind, ensure_schema, migrations_folder

START = datetime(2026, 1, 5, 9, 15, 0, 123_456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Columns = dict[str, tuple[str, bool]]


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ALERTS_DATABASE_URL", database_url)
    return Settings()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "alerts")
        yield opened


@pytest.fixture
async def leases(database: Database) -> Leases:
    """A replica that holds every shard, for the first time."""
    leases = Leases(database, "replica-1")
    assert (await leases.renew()).held == {Lease(shard, 1) for shard in range(SHARDS)}
    return leases


@pytest.fixture
def alerts(database: Database, leases: Leases) -> Alerts:
    return Alerts(database)


@pytest.fixture
def fires(database: Database, leases: Leases) -> Fires:
    return Fires(database, fired_event)


def lease_of(instrument: str) -> Lease:
    return Lease(shard_of(instrument), 1)


AAPL_LEASE = lease_of("NASDAQ:AAPL")
ALL_SHARDS = range(SHARDS)
POLICY = make_policy(mails_per_hour=100, verified_only=False, try_seconds=5)


def make_alert(alert_id: int = 1, *, instrument: str = "NASDAQ:AAPL", user_id: str = "7") -> Alert:
    created_at = START + timedelta(seconds=alert_id)
    alert = Alert(alert_id, user_id, AlertType.BUY, instrument, "AAPL", Decimal("150.10"), 1, created_at=created_at)
    return replace(alert, armed=Position(1, 40))


def make_candidate(alert_id: int = 1, *, generation: int = 1, price: float = 150.1) -> Candidate:
    return Candidate(
        alert_id=alert_id,
        generation=generation,
        price=FiringPrice(START, price, source="sample", freshness=Freshness.SIMULATED),
        publisher_id="feed-1",
        epoch=1_767_604_500_000_000,
        shard=15,
        sequence=9,
        position=Position(1, 41),
        mark=Mark(Position(1, 40), START),
        lease=AAPL_LEASE,
    )


def candidate_of(alert_id: int, instrument: str, *, generation: int = 1) -> Candidate:
    return replace(make_candidate(alert_id, generation=generation), lease=lease_of(instrument))


def columns_of(connection: Connection) -> dict[str, Columns]:
    inspector = inspect(connection)
    return {
        table: {column["name"]: (str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def indexes_of(connection: Connection) -> set[tuple[str, str | None]]:
    inspector = inspect(connection)
    tables = inspector.get_table_names()
    return {(table, index["name"]) for table in tables for index in inspector.get_indexes(table)}


async def test_the_migrations_make_the_tables_the_code_declares(settings: Settings) -> None:
    await migrate(settings)
    async with Database.open(settings.database_url) as database, database.transaction() as connection:
        migrated = [await connection.run_sync(columns_of), await connection.run_sync(indexes_of)]
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert migrated == [await connection.run_sync(columns_of), await connection.run_sync(indexes_of)]


async def test_told_not_to_migrate_it_refuses_an_empty_database(settings: Settings) -> None:
    held_back = settings.model_copy(update={"alerts_migrate_on_start": False})
    with pytest.raises(SchemaBehind, match="python -m alerts migrate"):
        async with build(held_back):
            pytest.fail("it started")


async def test_an_alert_is_read_as_it_was_saved(alerts: Alerts) -> None:
    alert = make_alert()
    await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    assert await alerts.find("7", AlertType.BUY, "NASDAQ:AAPL") == alert
    assert await alerts.find("7", AlertType.SELL, "NASDAQ:AAPL") is None
    assert await alerts.list_of("7") == [alert]
    assert (await alerts.count("7"), await alerts.count("8")) == (1, 0)


async def test_the_price_keeps_the_digits_it_was_given_with(alerts: Alerts) -> None:
    alert = replace(make_alert(), price=Decimal("999999999999.99999999"))
    await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    (saved,) = await alerts.list_of("7")
    assert str(saved.price) == "999999999999.99999999"


async def test_the_next_generation_replaces_the_one_it_was_made_from(alerts: Alerts) -> None:
    first = make_alert()
    second = first.set_again(symbol="AAPL", price=Decimal("1E-8"), at=START)
    await alerts.save(first, replaces=None, lease=AAPL_LEASE)
    await alerts.save(second, replaces=first, lease=AAPL_LEASE)
    assert await alerts.list_of("7") == [second]
    with pytest.raises(AlertChanged):
        await alerts.save(first.set_again(symbol="AAPL", price=Decimal(2), at=START), replaces=first, lease=AAPL_LEASE)
    assert await alerts.list_of("7") == [second]


async def test_a_second_alert_of_a_user_type_and_instrument_is_refused(alerts: Alerts) -> None:
    await alerts.save(make_alert(1), replaces=None, lease=AAPL_LEASE)
    with pytest.raises(AlertChanged):
        await alerts.save(make_alert(2), replaces=None, lease=AAPL_LEASE)


async def test_armed_alerts_come_by_instrument_in_portions(alerts: Alerts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "ALERTS_PER_PORTION", 2)
    for alert_id, instrument in ((1, "NSE:TCS"), (2, "NASDAQ:AAPL"), (3, "NSE:TCS"), (4, "FX:EURUSD")):
        await alerts.save(
            make_alert(alert_id, instrument=instrument, user_id=str(alert_id)), replaces=None, lease=AAPL_LEASE
        )
    waiting = replace(make_alert(5), armed=None)
    await alerts.save(waiting, replaces=None, lease=None)
    portions = [[alert.id for alert in portion] async for portion in alerts.armed(ALL_SHARDS)]
    assert portions == [[4, 2], [1, 3]]
    tcs = [alert.id async for portion in alerts.armed([shard_of("NSE:TCS")]) for alert in portion]
    assert tcs == [1, 3]


async def test_waiting_alerts_are_armed_and_the_wait_is_recorded(
    alerts: Alerts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts_module, "WAITING_PER_PORTION", 2)
    for alert_id in (1, 2, 3):
        alert = replace(make_alert(alert_id, user_id=str(alert_id)), armed=None)
        await alerts.save(alert, replaces=None, lease=None)
    now = START + timedelta(minutes=5)
    position, mark = Position(2, 17), Mark(Position(2, 17), START)
    watched: list[Alert] = []
    portions = [await alerts.arm_waiting(AAPL_LEASE, mark, at=now, watch=watched.extend) for _ in range(3)]
    assert await alerts.waiting(ALL_SHARDS) == []
    assert watched == [alert for portion in portions for alert in portion]
    assert [[alert.id for alert in portion] for portion in portions] == [[1, 2], [3], []]
    assert all(alert.armed == position for portion in portions for alert in portion)
    assert [alert.armed for alert in await alerts.list_of("3")] == [position]
    async with database.reading() as connection:
        rows = (await connection.execute(select(NOT_EVALUATED).order_by(NOT_EVALUATED.c.id))).all()
    assert [(row.reason, row.from_at, row.to_at, row.shard) for row in rows] == [
        ("not_armed", make_alert(1).created_at - CLOCKS_APART, now, AAPL_LEASE.shard),
        ("not_armed", make_alert(3).created_at - CLOCKS_APART, now, AAPL_LEASE.shard),
    ]


async def test_a_fire_is_the_alert_its_receipt_and_its_event(alerts: Alerts, fires: Fires, database: Database) -> None:
    await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    committed_at = START + timedelta(seconds=1)
    (fired,) = await fires.fire([make_candidate()], committed_at=committed_at)
    assert fired == replace(make_alert(), fired=make_candidate().price)
    assert await alerts.list_of("7") == [fired]
    async with database.reading() as connection:
        receipt = (await connection.execute(select(FIRES))).one()
        event = (await connection.execute(select(OUTBOX))).one()
    assert (receipt.alert_id, receipt.generation, receipt.price, receipt.fired_price) == (1, 1, "150.10", 150.1)
    assert (receipt.stream, receipt.stream_sequence, receipt.committed_at) == (1, 41, committed_at)
    assert (event.subject, event.message_id) == ("events.alerts.fired", "1:1")
    message = events_pb2.AlertFired.FromString(event.payload)
    assert (message.alert.id, message.alert.fired_price) == ("1", 150.1)
    assert (message.publisher_id, message.epoch, message.shard, message.sequence) == (
        "feed-1",
        1_767_604_500_000_000,
        15,
        9,
    )
    assert message.committed_at.ToDatetime(tzinfo=UTC) == committed_at


async def test_a_note_is_in_the_receipt_and_not_in_the_event(alerts: Alerts, fires: Fires, database: Database) -> None:
    await alerts.save(replace(make_alert(), note="for the car"), replaces=None, lease=AAPL_LEASE)
    (fired,) = await fires.fire([make_candidate()], committed_at=START)
    async with database.reading() as connection:
        receipt = (await connection.execute(select(FIRES))).one()
        event = (await connection.execute(select(OUTBOX))).one()
    assert (receipt.note, fired.note) == ("for the car", "for the car")
    assert not events_pb2.AlertFired.FromString(event.payload).alert.HasField("note")
    assert b"for the car" not in event.payload


async def test_only_what_is_still_armed_fires_and_that_once(alerts: Alerts, fires: Fires, database: Database) -> None:
    for alert_id in (1, 2, 3):
        await alerts.save(make_alert(alert_id, user_id=str(alert_id)), replaces=None, lease=AAPL_LEASE)
    replaced = make_alert(2, user_id="2")
    again = replaced.set_again(symbol="AAPL", price=Decimal(1), at=START)
    await alerts.save(replace(again, armed=Position(1, 50)), replaces=replaced, lease=AAPL_LEASE)
    candidates = [make_candidate(3), make_candidate(2), make_candidate(1), make_candidate(3, price=1.0)]
    fired = await fires.fire(candidates, committed_at=START)
    assert [(alert.id, alert.fired and alert.fired.price) for alert in fired] == [(3, 150.1), (1, 150.1)]
    assert await fires.fire(candidates, committed_at=START) == []
    later = replace(make_candidate(2, generation=2, price=1.0), position=Position(1, 51))
    assert [alert.id for alert in await fires.fire([later], committed_at=START)] == [2]
    async with database.reading() as connection:
        told = (await connection.execute(select(OUTBOX.c.message_id).order_by(OUTBOX.c.id))).scalars().all()
    assert told == ["3:1", "1:1", "2:2"]


async def test_what_reached_an_attempt_that_failed_does_not_fire_the_next_one_of_the_generation(
    alerts: Alerts, fires: Fires
) -> None:
    await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    too_dear, too_early = make_candidate(price=151.0), replace(make_candidate(), position=Position(1, 40))
    assert await fires.fire([too_dear, too_early], committed_at=START) == []
    (fired,) = await fires.fire([too_dear, too_early, make_candidate(price=149.0)], committed_at=START)
    assert fired.fired is not None
    assert fired.fired.price == 149.0


async def test_two_processes_that_fire_the_same_alerts_fire_each_once(
    alerts: Alerts, fires: Fires, database_url: str
) -> None:
    ids = range(1, 41)
    for alert_id in ids:
        await alerts.save(make_alert(alert_id, user_id=str(alert_id)), replaces=None, lease=AAPL_LEASE)
    forwards = [make_candidate(alert_id) for alert_id in ids]
    async with Database.open(database_url) as other:
        results = await asyncio.gather(
            fires.fire(forwards, committed_at=START),
            Fires(other, fired_event).fire(forwards[::-1], committed_at=START),
        )
    assert sorted(alert.id for fired in results for alert in fired) == list(ids)


async def test_a_rearmed_alert_has_nothing_left_of_its_fire(alerts: Alerts, fires: Fires) -> None:
    await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    (fired,) = await fires.fire([make_candidate()], committed_at=START)
    again = fired.set_again(symbol="AAPL", price=Decimal(100), at=START)
    await alerts.save(again, replaces=fired, lease=AAPL_LEASE)
    assert await alerts.list_of("7") == [again]


async def test_the_first_checkpoints_begin_now_and_stay(database: Database) -> None:
    saved = SavedProgress(database)
    first = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
    assert await saved.load([3], now=START) == {3: first}
    later = START + timedelta(days=1)
    assert await SavedProgress(database).load([3, 4], now=later) == {
        3: first,
        4: replace(first, began_at=later, resume=Mark(NOWHERE, later)),
    }


async def test_progress_is_read_as_it_was_saved(database: Database, leases: Leases) -> None:
    saved = SavedProgress(database)
    await saved.load([3, 4], now=START)
    seen = tuple(PublisherShard(f"feed-{number}", 3, 5, 9, START) for number in range(3))
    checkpoint = Checkpoint(
        began_at=START, resume=Mark(Position(2, 2**40), START), evaluated=Position(2, 2**40 + 1), seen=seen
    )
    checkpoint = replace(checkpoint, repeats=(Position(1, 9), Position(2, 3)))
    other = replace(
        checkpoint,
        resume=Mark(Position(2, 7), START),
        seen=(PublisherShard("feed-0", 4, 5, 9, START),),
        repeats=(Position(2, 5),),
    )
    missing = NotEvaluated(Reason.SEQUENCE_JUMP, START, START + timedelta(seconds=1), 3, "feed-1")
    both = [Progress(Lease(4, 1), other, ()), Progress(Lease(3, 1), checkpoint, (missing,))]
    assert await saved.save(both) == {Lease(3, 1), Lease(4, 1)}
    fewer = replace(checkpoint, seen=seen[:1], repeats=())
    await saved.save([Progress(Lease(3, 1), fewer, ())])
    assert await saved.load([3, 4], now=START) == {3: fewer, 4: other}
    async with database.reading() as connection:
        row = (await connection.execute(select(NOT_EVALUATED))).one()
    assert (row.reason, row.from_at, row.to_at, row.shard, row.publisher_id) == (
        "sequence_jump",
        START,
        START + timedelta(seconds=1),
        3,
        "feed-1",
    )


EPOCHS = (
    PublisherShard("feed-1", 3, 7, 9, START, "sample", Freshness.SIMULATED),
    PublisherShard("feed-2", 3, 6, 1, START + timedelta(seconds=1)),
    PublisherShard("feed-1", 3, 5, 2, START + timedelta(seconds=2), "sample", Freshness.SIMULATED),
)


def progress_of(*seen: PublisherShard) -> Progress:
    checkpoint = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=seen)
    return Progress(Lease(3, 1), checkpoint, ())


async def test_each_epoch_of_a_publisher_is_kept_until_it_is_forgotten(database: Database, leases: Leases) -> None:
    saved = SavedProgress(database)
    await saved.load([3], now=START)
    await saved.save([progress_of(*EPOCHS)])
    assert (await saved.load([3], now=START))[3].seen == EPOCHS
    further = replace(EPOCHS[2], sequence=3)
    await saved.save([progress_of(*EPOCHS[:2], further)])
    assert (await saved.load([3], now=START))[3].seen == (*EPOCHS[:2], further)
    await saved.save([progress_of(*EPOCHS[1:])])
    assert (await saved.load([3], now=START))[3].seen == EPOCHS[1:]


async def test_the_release_before_finds_one_epoch_of_each_publisher_and_leaves_the_earlier(
    database: Database, leases: Leases
) -> None:
    saved = SavedProgress(database)
    await saved.load([3], now=START)
    await saved.save([progress_of(*EPOCHS)])
    query = text("SELECT publisher_id, epoch FROM publisher_shards WHERE shard = 3 ORDER BY publisher_id")
    async with database.transaction() as connection:
        assert [tuple(row) for row in await connection.execute(query)] == [("feed-1", 5), ("feed-2", 6)]
        # As it saves what it has seen meanwhile: for one publisher the next epoch, for another an earlier one again.
        await connection.execute(text("DELETE FROM publisher_shards WHERE shard = 3"))
        for epoch, publisher_id in ((8, "feed-1"), (6, "feed-2"), (7, "feed-3")):
            row = f"('{publisher_id}', 3, {epoch}, 12, '2026-01-05 09:16:00+00:00')"
            columns = "publisher_id, shard, epoch, sequence, last_at"
            await connection.exec_driver_sql(f"INSERT INTO publisher_shards ({columns}) VALUES {row}")
    at = datetime(2026, 1, 5, 9, 16, tzinfo=UTC)
    theirs = tuple(PublisherShard(f"feed-{number}", 3, epoch, 12, at) for number, epoch in ((1, 8), (2, 6), (3, 7)))
    assert (await saved.load([3], now=START))[3].seen == (EPOCHS[0], *theirs)


async def test_an_epoch_that_the_release_before_went_back_to_is_read_once(database: Database, leases: Leases) -> None:
    saved = SavedProgress(database)
    await saved.load([3], now=START)
    await saved.save([progress_of(*EPOCHS)])
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE publisher_shards SET epoch = 7, sequence = 30 WHERE epoch = 5"))
    seen = (await saved.load([3], now=START))[3].seen
    assert [(each.publisher_id, each.epoch, each.sequence) for each in seen] == [("feed-2", 6, 1), ("feed-1", 7, 30)]


async def test_streams_are_numbered_in_the_order_they_are_first_seen(database: Database) -> None:
    streams = TickStreams(database)
    later, earlier = START + timedelta(days=1), START
    assert [await streams.ordinal_of(moment) for moment in (later, earlier, later)] == [1, 2, 1]
    assert await TickStreams(database).ordinal_of(earlier) == 2


async def test_two_processes_number_a_stream_alike(database: Database, database_url: str) -> None:
    async with Database.open(database_url) as other:
        processes = [TickStreams(database), TickStreams(other), TickStreams(database), TickStreams(other)]
        ordinals = await asyncio.gather(*(process.ordinal_of(START) for process in processes))
    assert len(set(ordinals)) == 1


async def test_what_is_remembered_of_streams_is_bounded(database: Database) -> None:
    streams = TickStreams(database)
    moments = [START + timedelta(seconds=second) for second in range(70)]
    ordinals = [await streams.ordinal_of(moment) for moment in moments]
    assert [await streams.ordinal_of(moment) for moment in moments] == ordinals


BEFORE = EvaluatedTick(151.0, START, "sample", "feed-1", 1_767_604_500_000_000, 15, 8, Position(1, 41), Freshness.STALE)


async def test_terms_are_read_as_they_were_saved(alerts: Alerts) -> None:
    alert = make_alert().with_terms(note="half of it \N{WAVING HAND SIGN}", expires_at=START + timedelta(days=1))
    alert = replace(alert, armed_at=START)
    await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    assert await alerts.list_of("7") == [alert]
    assert await alerts.find_written("7", AlertType.BUY, "AAPL") == alert
    assert await alerts.find_written("7", AlertType.BUY, "NASDAQ:AAPL") == alert
    assert await alerts.find_written("7", AlertType.BUY, "MSFT") is None
    assert await alerts.find_written("7", AlertType.SELL, "AAPL") is None


async def test_a_tick_later_than_the_expiry_ends_an_alert_instead_of_firing_it(
    alerts: Alerts, fires: Fires, database: Database
) -> None:
    for alert_id, expires_at in ((1, START), (2, START - timedelta(microseconds=1))):
        alert = make_alert(alert_id, user_id=str(alert_id)).with_terms(note=None, expires_at=expires_at)
        await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    fired = await fires.fire([make_candidate(1), make_candidate(2), make_candidate(2)], committed_at=START)
    assert [alert.id for alert in fired] == [1]
    (expired,) = await alerts.list_of("2")
    assert (expired.has_expired, expired.fired) == (True, None)
    assert await fires.fire([make_candidate(2)], committed_at=START) == []
    again = expired.set_again(symbol="AAPL", price=Decimal(1), at=START)
    await alerts.save(again, replaces=expired, lease=AAPL_LEASE)
    assert await alerts.list_of("2") == [again]
    async with database.reading() as connection:
        assert (await connection.execute(select(OUTBOX.c.message_id))).scalars().all() == ["1:1"]


async def test_overdue_alerts_end_as_they_were_read(alerts: Alerts) -> None:
    moments = [None, START, START + timedelta(seconds=1), START + timedelta(seconds=2)]
    for alert_id, expires_at in enumerate(moments, start=1):
        alert = make_alert(alert_id, user_id=str(alert_id)).with_terms(note=None, expires_at=expires_at)
        await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    late = START + timedelta(seconds=2)
    overdue = [alert async for portion in alerts.overdue(late, shards=ALL_SHARDS) for alert in portion]
    assert [alert.id for alert in overdue] == [2, 3]
    (second,) = await alerts.list_of("2")
    await alerts.save(second.set_again(symbol="AAPL", price=Decimal(1), at=START), replaces=second, lease=AAPL_LEASE)
    await alerts.expire([(AAPL_LEASE, alert) for alert in overdue])
    states = [alert.has_expired for number in "1234" for alert in await alerts.list_of(number)]
    assert states == [False, False, True, False]


async def test_a_deleted_alert_does_not_fire_and_its_id_never_comes_again(alerts: Alerts, fires: Fires) -> None:
    await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    assert await alerts.delete(1) == make_alert()
    assert await alerts.delete(1) is None
    assert await fires.fire([make_candidate()], committed_at=START) == []
    with pytest.raises(AlertChanged):
        await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    with pytest.raises(AlertChanged):
        await alerts.save(
            make_alert().set_again(symbol="A", price=Decimal(1), at=START), replaces=make_alert(), lease=AAPL_LEASE
        )
    await alerts.save(make_alert(2), replaces=None, lease=AAPL_LEASE)
    assert [alert.id for alert in await alerts.list_of("7")] == [2]


async def test_all_alerts_of_a_user_or_of_one_type_are_deleted(alerts: Alerts) -> None:
    sell = replace(make_alert(3), type=AlertType.SELL)
    for alert in (make_alert(1), make_alert(2, instrument="NSE:TCS"), sell, make_alert(4, user_id="8")):
        await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    assert [alert.id for alert in await alerts.delete_of("7", AlertType.SELL)] == [3]
    assert sorted(alert.id for alert in await alerts.delete_of("7", None)) == [1, 2]
    assert await alerts.delete_of("7", None) == []
    assert await alerts.count("8") == 1


async def test_everything_of_a_user_who_is_gone_is_deleted(alerts: Alerts, fires: Fires, database: Database) -> None:
    for alert_id, user_id in ((1, "7"), (2, "8")):
        await alerts.save(make_alert(alert_id, user_id=user_id), replaces=None, lease=AAPL_LEASE)
    await fires.fire([make_candidate(1), make_candidate(2)], committed_at=START)
    assert [alert.id for alert in await alerts.delete_user("7", through=START + MINUTE)] == [1]
    assert await alerts.delete_user("7", through=START + MINUTE) == []
    async with database.reading() as connection:
        assert (await connection.execute(select(FIRES.c.user_id))).scalars().all() == ["8"]
    assert await alerts.count("8") == 1


async def rows_of(database: Database, table: Table) -> Sequence[Row[Any]]:
    async with database.reading() as connection:
        return (await connection.execute(select(table))).all()


async def keys_in(database: Database, table: Table) -> set[tuple[int, int]]:
    return {(row.alert_id, row.generation) for row in await rows_of(database, table)}


@pytest.mark.parametrize(
    ("set_after", "heard_after"),
    [
        # Set a second before the deletion, by a clock that is a minute ahead.
        (timedelta(seconds=59), MINUTE),
        # Let in by gateways that heard of nothing; auth told of the deletion when it was back.
        (timedelta(seconds=20), timedelta(hours=1)),
        (timedelta(seconds=150), timedelta(hours=1)),
    ],
)
async def test_what_a_dead_token_set_goes_with_the_account(
    alerts: Alerts, set_after: timedelta, heard_after: timedelta
) -> None:
    alert = replace(make_alert(), created_at=START + set_after)
    await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    through = ended_through(START, now=START + heard_after)
    assert await alerts.delete_user("7", through=through) == [alert]
    assert await alerts.list_of("7") == []


@pytest.mark.parametrize("is_held", [True, False])
async def test_what_a_dead_token_sets_behind_the_deletion_is_refused(
    alerts: Alerts, database: Database, *, is_held: bool
) -> None:
    lease = AAPL_LEASE if is_held else None
    standing = replace(make_alert(), created_at=START + 2 * MINUTE)
    await alerts.save(standing, replaces=None, lease=AAPL_LEASE)
    await alerts.delete_user("7", through=START + MINUTE)
    await alerts.delete_user("7", through=START)
    # Twenty seconds after the account's end, on terms anew too.
    new = replace(make_alert(2, instrument="NSE:TCS"), created_at=START + MINUTE)
    again = standing.set_again(symbol="AAPL", price=Decimal(1), at=START + MINUTE)
    for alert, replaced in ((new, None), (again, standing)):
        with pytest.raises(AccountDeleted):
            await alerts.save(alert, replaces=replaced, lease=lease)
    assert await alerts.list_of("7") == [standing]
    await alerts.save(replace(new, created_at=START + 2 * MINUTE), replaces=None, lease=lease)
    await alerts.save(make_alert(3, user_id="8"), replaces=None, lease=lease)
    (ended,) = await rows_of(database, ENDED_ACCOUNTS)
    assert tuple(ended) == ("7", START + MINUTE)


async def test_of_a_deletion_heard_late_only_what_is_from_before_goes(
    alerts: Alerts, fires: Fires, database: Database
) -> None:
    # 1 and 2 were set before the end, 2 again after it, 3 after it; 1 fired after it, 2 on either side of it.
    deliveries = Deliveries(database, POLICY, sender="a@example.com")
    before, after = START, START + 10 * MINUTE
    for alert_id, instrument, made_at in ((1, "NASDAQ:AAPL", before), (2, "NSE:TCS", before), (3, "NSE:INFY", after)):
        alert = replace(make_alert(alert_id, instrument=instrument), created_at=made_at)
        await alerts.save(alert, replaces=None, lease=lease_of(instrument))
    await fires.fire([candidate_of(2, "NSE:TCS")], committed_at=before)
    (fired,) = [alert for alert in await alerts.list_of("7") if alert.id == 2]
    again = replace(fired.set_again(symbol="TCS", price=fired.price, at=after), armed=Position(1, 40))
    await alerts.save(again, replaces=fired, lease=lease_of("NSE:TCS"))
    candidates = [make_candidate(1), candidate_of(2, "NSE:TCS", generation=2), candidate_of(3, "NSE:INFY")]
    assert len(await fires.fire(candidates, committed_at=after)) == 3
    for alert_id, generation in ((1, 1), (2, 1), (2, 2), (3, 1)):
        assert await deliveries.begin(FireId(alert_id, generation), told_at=after, now=after)
    for gone in ({1}, set()):
        assert {alert.id for alert in await alerts.delete_user("7", through=START + MINUTE)} == gone
        assert {alert.id for alert in await alerts.list_of("7")} == {2, 3}
        assert await keys_in(database, FIRES) == {(2, 2), (3, 1)}
        assert await keys_in(database, DELIVERIES) == {(2, 2), (3, 1)}


async def test_a_deletion_waits_for_what_is_being_set(
    alerts: Alerts, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, is_admitted, may_go_on = alerts_module._insert, asyncio.Event(), asyncio.Event()

    async def insert_later(connection: AsyncConnection, row: dict[str, object]) -> None:
        is_admitted.set()
        await may_go_on.wait()
        await insert(connection, row)

    monkeypatch.setattr(alerts_module, "_insert", insert_later)
    async with Database.open(database_url) as other:
        saving = asyncio.ensure_future(alerts.save(make_alert(), replaces=None, lease=None))
        await is_admitted.wait()
        ending = asyncio.ensure_future(Alerts(other).delete_user("7", through=START + MINUTE))
        await asyncio.wait([ending], timeout=0.3)
        may_go_on.set()
        await saving
        assert [alert.id for alert in await ending] == [1]


async def test_of_a_delete_and_a_fire_at_the_same_moment_the_fire_is_committed_first_or_never(
    alerts: Alerts, fires: Fires, database_url: str
) -> None:
    ids = range(1, 31)
    for alert_id in ids:
        await alerts.save(make_alert(alert_id, user_id=str(alert_id)), replaces=None, lease=AAPL_LEASE)

    async def delete_each(store: Alerts) -> list[Alert | None]:
        return [await store.delete(alert_id) for alert_id in ids]

    async def fire_each() -> list[int]:
        fired = [await fires.fire([make_candidate(alert_id)], committed_at=START) for alert_id in ids[::-1]]
        return [alert.id for each in fired for alert in each]

    async with Database.open(database_url) as other:
        deleted, fired = await asyncio.gather(delete_each(Alerts(other)), fire_each())
    assert fired
    for alert_id, alert in zip(ids, deleted, strict=True):
        assert alert is not None
        history = await fires.list_of(str(alert_id), limit=5, after=None)
        assert [fire.alert_id for fire in history] == ([alert_id] if alert_id in fired else [])
        assert (alert.fired is not None) == (alert_id in fired)
        assert await alerts.list_of(str(alert_id)) == []


async def test_a_receipt_holds_both_ticks_and_outlives_its_alert(alerts: Alerts, fires: Fires) -> None:
    alert = make_alert().with_terms(note="half", expires_at=None)
    await alerts.save(alert, replaces=None, lease=AAPL_LEASE)
    candidate = replace(make_candidate(), before=BEFORE, crossed_during_gap=True)
    await fires.fire([candidate], committed_at=START)
    await alerts.delete(1)
    (fire,) = await fires.list_of("7", limit=5, after=None)
    tick = replace(BEFORE, price=150.1, sequence=9, freshness=Freshness.SIMULATED)
    assert fire == Fire(
        1,
        1,
        AlertType.BUY,
        "NASDAQ:AAPL",
        "AAPL",
        alert.price,
        tick,
        BEFORE,
        START,
        crossed_during_gap=True,
        note="half",
    )
    assert await fires.find(1, 1) == fire
    assert await fires.find(1, 2) is None
    assert await fires.list_of("8", limit=5, after=None) == []


@pytest.mark.parametrize(
    ("source", "freshness"), [("sample", Freshness.SIMULATED), ("replay", Freshness.SIMULATED), ("zerodha", None)]
)
async def test_of_a_receipt_of_a_release_that_noted_less_only_what_is_simulated_is_known(
    alerts: Alerts, fires: Fires, source: str, freshness: Freshness | None
) -> None:
    await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    before = replace(BEFORE, source=source, freshness=None)
    await fires.fire([replace(make_candidate(), before=before)], committed_at=START)
    (fire,) = await fires.list_of("7", limit=5, after=None)
    assert fire.before == replace(before, freshness=freshness)


async def test_a_tick_from_before_the_arming_is_no_part_of_a_receipt(alerts: Alerts, fires: Fires) -> None:
    await alerts.save(make_alert(), replaces=None, lease=AAPL_LEASE)
    candidate = replace(make_candidate(), before=replace(BEFORE, position=Position(1, 40)))
    await fires.fire([candidate], committed_at=START)
    (fire,) = await fires.list_of("7", limit=5, after=None)
    assert fire.before is None


async def test_fires_are_listed_newest_first_from_any_place(alerts: Alerts, fires: Fires) -> None:
    moments = {1: START, 2: START + timedelta(microseconds=1), 3: START, 4: START}
    for alert_id, committed_at in moments.items():
        await alerts.save(make_alert(alert_id, instrument=f"NSE:S{alert_id}"), replaces=None, lease=AAPL_LEASE)
        await fires.fire([make_candidate(alert_id)], committed_at=committed_at)
    listed, after = [], None
    while page := await fires.list_of("7", limit=1, after=after):
        listed.append(page[0].alert_id)
        after = FireCursor.read(FireCursor.behind(page[0]).written)
    assert listed == [2, 4, 3, 1]


async def test_what_was_missed_is_read_by_shard_and_time(database: Database, leases: Leases) -> None:
    saved = SavedProgress(database)
    checkpoint = (await saved.load([3], now=START))[3]
    later = START + timedelta(seconds=9)
    of_all = NotEvaluated(Reason.STREAM_REPLACED, START, later)
    of_three = NotEvaluated(Reason.SEQUENCE_JUMP, START, later, 3, "feed-1")
    of_four = NotEvaluated(Reason.SEQUENCE_JUMP, START, later, 4, "feed-1")
    earlier = NotEvaluated(Reason.STREAM_TRIMMED, START - timedelta(seconds=9), START)
    await saved.save([Progress(Lease(3, 1), checkpoint, (of_all, of_three, of_four, earlier))])
    assert await saved.missing_since(START, shard=3, limit=9) == [of_three, of_all]
    assert await saved.missing_since(START, shard=3, limit=1) == [of_three]


async def upgrade(database: Database, revision: str) -> None:
    """Bring an empty database to an old revision, as it was then."""

    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(migrations_folder("alerts")))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with database.transaction() as connection:
        await connection.run_sync(run)


async def test_what_was_kept_in_the_first_schema_is_still_read(settings: Settings) -> None:
    async with Database.open(settings.database_url) as database:
        await upgrade(database, "0001")
        async with database.transaction() as connection:
            created_at = "'2026-01-05 09:15:00+00:00'"
            for alert_id, instrument, armed in ((1, "NSE:TCS", "2, 17"), (2, "NASDAQ:AAPL", "NULL, NULL")):
                await connection.exec_driver_sql(
                    "INSERT INTO alerts (id, user_id, type, instrument, symbol, price, generation, state, created_at, "
                    "armed_stream, armed_sequence) VALUES "
                    f"({alert_id}, '7', 'buy', '{instrument}', 'X', '1', 1, 'armed', {created_at}, {armed})"
                )
            await connection.exec_driver_sql(
                "INSERT INTO checkpoint (id, began_at, resume_stream, resume_sequence, resume_at, evaluated_stream, "
                "evaluated_sequence) VALUES (1, '2026-01-05 09:15:00+00:00', 2, 20, '2026-01-05 09:16:00+00:00', 2, 25)"
            )
            await connection.exec_driver_sql(
                "INSERT INTO publisher_shards VALUES ('feed-1', 3, 5, 9, '2026-01-05 09:16:00+00:00')"
            )
        await ensure_schema(database, "alerts")
        alerts = Alerts(database)
        (tcs,) = [alert async for portion in alerts.armed([shard_of("NSE:TCS")]) for alert in portion]
        assert (tcs.note, tcs.expires_at, tcs.armed_at, tcs.has_expired) == (None, None, None, False)
        (waiting,) = await alerts.waiting([AAPL_LEASE.shard])
        assert (waiting.id, waiting.armed) == (2, None)
        checkpoints = dict(await SavedProgress(database).load(ALL_SHARDS, now=START))
    at = datetime(2026, 1, 5, 9, 16, tzinfo=UTC)
    expected = Checkpoint(at - timedelta(minutes=1), Mark(Position(2, 20), at), Position(2, 25), ())
    assert checkpoints.pop(3) == replace(expected, seen=(PublisherShard("feed-1", 3, 5, 9, at),))
    assert list(checkpoints.values()) == [expected] * 15
