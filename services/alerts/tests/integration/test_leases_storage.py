"""Leases on both databases: who gets what, and that a holder that lost a shard writes nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.alerts import Alert, AlertType, FiringPrice, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, Progress, TakenUp
from alerts.domain.continuity import NotEvaluated, Reason, Standing
from alerts.domain.leases import Lease, LeaseLost, Share
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import SHARDS, shard_of
from alerts.domain.watch import Candidate
from alerts.messages import fired_event
from alerts.storage import leases as leases_module
from alerts.storage.alerts import Alerts
from alerts.storage.fires import Fires
from alerts.storage.leases import Leases, held_of
from alerts.storage.progress import SavedProgress
from alerts.storage.tables import ALERTS, FIRES, NOT_EVALUATED, REPLICAS, SHARD_LEASES
from chassis.database import Database, ensure_schema
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
AAPL = "NASDAQ:AAPL"
SHARD = shard_of(AAPL)
ALERT = replace(
    Alert(1, "7", AlertType.BUY, AAPL, "AAPL", Decimal(150), 1, START),
    armed=Position(1, 40),
    armed_at=START,
    expires_at=START,
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "alerts")
        yield opened


async def run_out(database: Database, holder: str) -> None:
    """Let a replica not have been heard of for long enough."""
    async with database.transaction() as connection:
        past = datetime.now(UTC) - timedelta(minutes=1)
        await connection.execute(update(REPLICAS).where(REPLICAS.c.holder == holder).values(expires_at=past))


async def holders(database: Database) -> set[str | None]:
    async with database.reading() as connection:
        return set((await connection.execute(select(SHARD_LEASES.c.holder))).scalars())


def shards_of(share: Share) -> list[int]:
    return sorted(lease.shard for lease in share.held)


async def test_one_replica_holds_everything_until_another_comes(database: Database) -> None:
    first, second = Leases(database, "first"), Leases(database, "second")
    assert shards_of(await first.renew()) == list(range(SHARDS))
    assert shards_of(await second.renew()) == []
    share = await first.renew()
    assert [lease.shard for lease in share.surplus] == list(range(8, 16))
    await first.release(share.surplus)
    assert shards_of(await second.renew()) == list(range(8, 16))
    assert shards_of(await first.renew()) == list(range(8))
    assert not (await first.renew()).surplus


async def test_what_a_lost_replica_held_is_taken_over_and_its_leases_are_void(database: Database) -> None:
    first, second = Leases(database, "first"), Leases(database, "second")
    old = (await first.renew()).held
    await second.renew()
    await run_out(database, "first")
    taken = (await second.renew()).held
    assert taken == {Lease(lease.shard, lease.fence + 1) for lease in old}
    async with database.transaction() as connection:
        assert await held_of(connection, old | taken) == taken
    # It comes back, and has to wait until the other gives up half.
    assert (await first.renew()).held == frozenset()


async def test_a_replica_that_was_away_and_that_nobody_replaced_goes_on(database: Database) -> None:
    first = Leases(database, "first")
    before = await first.renew()
    await run_out(database, "first")
    assert await first.renew() == before


async def test_behind_an_outage_of_the_database_those_that_live_keep_what_they_hold(database: Database) -> None:
    first, second, third = (Leases(database, name) for name in ("first", "second", "third"))
    await first.renew()
    await second.renew()
    await first.release((await first.renew()).surplus)
    held = (await second.renew()).held
    for name in ("first", "second"):
        await run_out(database, name)
    for replica in (first, third, first):
        await replica.renew()
    assert shards_of(await first.renew()) == list(range(8))
    assert (await second.renew()).held == held
    # One that did not come back is missed as long as any other.
    await run_out(database, "second")
    await first.renew()
    await third.renew()
    assert await holders(database) == {"first", "third"}


async def test_a_replica_that_leaves_leaves_nothing_behind(database: Database) -> None:
    first, second = Leases(database, "first"), Leases(database, "second")
    old = (await first.renew()).held
    await first.leave()
    async with database.transaction() as connection:
        assert await held_of(connection, old) == frozenset()
        assert (await connection.execute(select(REPLICAS))).all() == []
    assert shards_of(await second.renew()) == list(range(SHARDS))


async def test_whoever_starts_on_an_embedded_database_takes_over_at_once(database: Database) -> None:
    await Leases(database, "killed").renew()
    restarted = Leases(database, "restarted")
    await restarted.begin()
    is_embedded = database.engine.dialect.name == "sqlite"
    assert len((await restarted.renew()).held) == (SHARDS if is_embedded else 0)


async def test_replicas_that_come_at_once_share_without_conflict(database_url: str, database: Database) -> None:
    async with Database.open(database_url) as other:
        replicas = [Leases(each, f"replica-{number}") for number, each in enumerate((database, other, database, other))]
        for _ in range(3):
            shares = await asyncio.gather(*(replica.renew() for replica in replicas))
            await asyncio.gather(
                *(replica.release(share.surplus) for replica, share in zip(replicas, shares, strict=True))
            )
        shares = [await replica.renew() for replica in replicas]
    assert [len(share.held) for share in shares] == [4, 4, 4, 4]
    assert sorted(lease.shard for share in shares for lease in share.held) == list(range(SHARDS))


async def test_a_write_that_a_lost_replica_was_stopped_in_is_ended(database_url: str, database: Database) -> None:
    """On SQLite there is one process."""
    if database.engine.dialect.name == "sqlite":
        return
    first, second = Leases(database, "first"), Leases(database, "second")
    held = (await first.renew()).held
    await run_out(database, "first")
    stopped = [lease for lease in held if lease.shard in (3, 4)]
    async with stopped_in(database_url, "first") as connection:
        assert len(await held_of(connection, stopped)) == 2
        await connection.execute(update(SHARD_LEASES).where(SHARD_LEASES.c.shard == 4).values(holder="nobody"))
        assert shards_of(await second.renew()) == list(range(SHARDS))
    assert shards_of(await second.renew()) == list(range(SHARDS))


@asynccontextmanager
async def stopped_in(url: str, holder: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction of a replica that is stopped in it, and that is ended before this is left."""
    async with Database.open(url, application_name=holder) as other, other.engine.connect() as connection:
        yield connection
        with pytest.raises(DBAPIError):
            await connection.execute(select(1))


async def never_ends(connection: AsyncConnection) -> None:
    """Let no timeout end a transaction, as none does behind half of the messages of a statement."""
    await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


async def test_a_replica_that_was_stopped_while_it_shares_out_is_ended_when_its_life_has_run_out(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    monkeypatch.setattr(leases_module, "ROUND_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(leases_module, "ROUND_SECONDS", 0.0)
    first, second = Leases(database, "first"), Leases(database, "second")
    await first.renew()
    await second.renew()
    async with stopped_in(database_url, "first") as connection:
        await leases_module._take_turns(connection)
        await never_ends(connection)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await second.renew()
        for name in ("first", "second"):
            await run_out(database, name)
        assert shards_of(await second.renew()) == list(range(SHARDS))


async def test_a_replica_that_was_stopped_in_its_first_round_is_ended_when_that_takes_too_long(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    monkeypatch.setattr(leases_module, "ROUND_WAIT_SECONDS", 0.1)
    second = Leases(database, "second")
    async with stopped_in(database_url, "first") as connection:
        await leases_module._take_turns(connection)
        await never_ends(connection)
        with pytest.raises(DatabaseUnavailable):
            await second.renew()
        monkeypatch.setattr(leases_module, "ROUND_SECONDS", 0.0)
        assert shards_of(await second.renew()) == list(range(SHARDS))


async def test_whatever_a_lost_replica_had_locked_is_free_when_it_is_not_heard_of(
    database_url: str, database: Database
) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    await Leases(database, "first").renew()
    await Alerts(database).save(ALERT, replaces=None, lease=Lease(SHARD, 1))
    async with stopped_in(database_url, "first") as connection:
        await connection.execute(select(ALERTS).with_for_update())
        await never_ends(connection)
        await run_out(database, "first")
        share = await Leases(database, "second").renew()
        lease = next(lease for lease in share.held if lease.shard == SHARD)
        fired = await Fires(database, fired_event).fire([make_candidate(lease)], committed_at=START)
        assert [alert.id for alert in fired] == [1]


async def test_what_somebody_living_writes_is_waited_for(database_url: str, database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    first, second = Leases(database, "first"), Leases(database, "second")
    held = (await first.renew()).held
    await second.renew()
    surplus = (await first.renew()).surplus
    async with Database.open(database_url) as other:
        async with other.transaction() as connection:
            await held_of(connection, [lease for lease in held if lease.shard == 15])
            releasing = asyncio.create_task(first.release(surplus))
            await asyncio.sleep(0.1)
            assert shards_of(await second.renew()) == []
        await releasing
    assert shards_of(await second.renew()) == list(range(8, SHARDS))


async def test_a_shard_that_changes_hands_while_it_is_shared_out_is_not_taken_for_ours(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nothing is written meanwhile."""
    if database.engine.dialect.name == "sqlite":
        return
    await Leases(database, "first").renew()
    await run_out(database, "first")
    lock = leases_module._lock

    async def lock_late(connection: AsyncConnection, turns: Collection[Lease]) -> set[Lease]:
        monkeypatch.setattr(leases_module, "_lock", lock)
        async with Database.open(database_url) as other, other.transaction() as writing:
            columns = SHARD_LEASES.c
            await writing.execute(update(SHARD_LEASES).where(columns.shard == 3).values(fence=columns.fence + 1))
        return await lock(connection, turns)

    monkeypatch.setattr(leases_module, "_lock", lock_late)
    share = await Leases(database, "second").renew()
    assert shards_of(share) == [shard for shard in range(SHARDS) if shard != 3]
    async with database.transaction() as connection:
        assert await held_of(connection, share.held) == share.held


async def test_shards_are_given_back_while_nobody_shares_out(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    monkeypatch.setattr(leases_module, "ROUND_WAIT_SECONDS", 0.1)
    first = Leases(database, "first")
    held = (await first.renew()).held
    async with Database.open(database_url) as other, other.transaction() as connection:
        await leases_module._take_turns(connection)
        with pytest.raises(DatabaseUnavailable):
            await first.release(held)
    await first.release(held)
    async with database.transaction() as connection:
        assert await held_of(connection, held) == frozenset()


def make_candidate(lease: Lease) -> Candidate:
    return Candidate(
        alert_id=1,
        generation=1,
        price=FiringPrice(START, 149.0, source="sample", freshness=Freshness.SIMULATED),
        publisher_id="feed-1",
        epoch=1,
        shard=SHARD,
        sequence=9,
        position=Position(1, 41),
        mark=Mark(Position(1, 40), START),
        lease=lease,
    )


class Stale:
    """A holder that was stopped, and goes on under a lease that somebody else has taken over."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.alerts = Alerts(database)
        self.fires = Fires(database, fired_event)
        self.saved = SavedProgress(database)

    async def lose(self) -> None:
        await Leases(self.database, "stopped").renew()
        await self.alerts.save(ALERT, replaces=None, lease=Lease(SHARD, 1))
        await self.saved.load([SHARD], now=START)
        await run_out(self.database, "stopped")
        share = await Leases(self.database, "next").renew()
        self.lease = next(lease for lease in share.held if lease.shard == SHARD)


@pytest.fixture
async def stale(database: Database) -> Stale:
    stale = Stale(database)
    await stale.lose()
    return stale


async def test_what_was_reached_under_a_lost_lease_is_fired_by_the_next_holder(stale: Stale) -> None:
    assert await stale.fires.fire([make_candidate(Lease(SHARD, 1))], committed_at=START) == []
    both = [make_candidate(Lease(SHARD, 1)), make_candidate(stale.lease)]
    assert len(await stale.fires.fire(both, committed_at=START)) == 1
    async with stale.database.reading() as connection:
        assert len((await connection.execute(select(FIRES))).all()) == 1


async def test_a_checkpoint_of_a_lost_lease_moves_nothing(stale: Stale) -> None:
    before = await stale.saved.load([SHARD], now=START)
    ahead = Checkpoint(START, Mark(Position(1, 99), START), Position(1, 99), ())
    missing = NotEvaluated(Reason.STREAM_TRIMMED, START, START, SHARD)
    progress = Progress(Lease(SHARD, 1), ahead, (missing,))
    assert await stale.saved.save([progress]) == frozenset()
    assert await stale.saved.load([SHARD], now=START) == before
    async with stale.database.reading() as connection:
        assert (await connection.execute(select(NOT_EVALUATED))).all() == []
    assert await stale.saved.save([replace(progress, lease=stale.lease)]) == {stale.lease}
    assert (await stale.saved.load([SHARD], now=START))[SHARD] == ahead


async def test_under_a_lost_lease_nothing_is_set_armed_or_ended(stale: Stale) -> None:
    lost, alerts = Lease(SHARD, 1), stale.alerts
    with pytest.raises(LeaseLost):
        await alerts.save(replace(ALERT, id=2, user_id="8"), replaces=None, lease=lost)
    await alerts.save(replace(ALERT, id=3, user_id="9", armed=None), replaces=None, lease=None)
    mark = Mark(Position(1, 50), START)
    assert await alerts.arm_waiting(lost, mark, at=START, watch=lambda _: pytest.fail("armed")) == []
    await alerts.expire([(lost, ALERT)])
    assert [alert.has_expired for user in ("7", "9") for alert in await alerts.list_of(user)] == [False, False]
    await alerts.expire([(stale.lease, ALERT)])
    assert [alert.has_expired for alert in await alerts.list_of("7")] == [True]
    assert await alerts.list_of("8") == []


async def test_what_was_handed_over_is_waiting_until_the_holder_has_saved_that_it_took_it_up(stale: Stale) -> None:
    alerts = stale.alerts
    handed_over = replace(ALERT, id=2, user_id="8", armed_at=None)
    await alerts.save(handed_over, replaces=None, lease=None)
    assert await alerts.waiting([SHARD]) == [handed_over]
    assert await alerts.waiting([(SHARD + 1) % SHARDS]) == []
    late = START + timedelta(days=1)
    overdue = [alert.id async for portion in alerts.overdue(late, shards=[SHARD]) for alert in portion]
    assert overdue == [1]
    first = Checkpoint(START, Mark(NOWHERE, START), NOWHERE, ())
    progress = Progress(stale.lease, first, (), (TakenUp(2, 1, START), TakenUp(2, 2, late)))
    await stale.saved.save([replace(progress, lease=Lease(SHARD, 1))])
    assert await alerts.waiting([SHARD]) == [handed_over]
    await stale.saved.save([progress])
    assert await alerts.waiting([SHARD]) == []
    assert await alerts.list_of("8") == [replace(handed_over, armed_at=START)]


async def test_how_a_shard_stands_is_known_to_all(stale: Stale) -> None:
    assert await stale.saved.standing(SHARD) == Standing(None, is_held=True)
    checkpoint = Checkpoint(START, Mark(Position(1, 9), START), Position(1, 9), ())
    await stale.saved.save([Progress(stale.lease, checkpoint, ())])
    assert await stale.saved.standing(SHARD) == Standing(START, is_held=True)
    await run_out(stale.database, "next")
    assert await stale.saved.standing(SHARD) == Standing(START, is_held=False)
    async with stale.database.transaction() as connection:
        await connection.execute(update(SHARD_LEASES).values(holder=None))
    assert await stale.saved.standing((SHARD + 1) % SHARDS) == Standing(None, is_held=False)
