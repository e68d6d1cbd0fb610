"""The lease on both kinds of database: each change finds it as it was seen, or leaves it alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
from sqlalchemy import Connection, insert, inspect
from sqlalchemy.exc import IntegrityError

from chassis.bus import Bus
from chassis.clock import SystemClock
from chassis.database import Database, ensure_schema
from chassis.errors import BusUnavailable
from chassis.testing import PostgresServer
from market.domain.leadership import Candidate
from market.domain.lease import NOT_WHOLE, Lease
from market.storage.leases import Leases
from market.storage.tables import LEADER_LEASE, METADATA
from market.world import leadership_in

FREE = Lease(None, 0, 0)
AT = 1_775_552_400_000_000


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "market")
        yield opened


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database)


def columns_of(connection: Connection) -> dict[str, tuple[str, bool]]:
    columns = inspect(connection).get_columns("leader_lease")
    return {column["name"]: (str(column["type"]), column["nullable"]) for column in columns}


async def test_the_migration_makes_the_table_the_code_declares(database: Database) -> None:
    async with database.transaction() as connection:
        migrated = await connection.run_sync(columns_of)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert migrated == await connection.run_sync(columns_of)


async def test_there_is_one_row_and_there_can_be_no_other(database: Database, leases: Leases) -> None:
    assert await leases.read() == FREE
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(insert(LEADER_LEASE).values(id=2, epoch=0, renewals=0))


async def test_it_is_taken_as_it_was_seen_renewed_and_given_back(leases: Leases) -> None:
    taken = await leases.take(FREE, FREE.taken_by("first", AT))
    assert taken == Lease("first", AT, 0) == await leases.read()
    renewed = await leases.renew(taken)
    assert renewed == Lease("first", AT, 1) == await leases.read()
    await leases.release("second", is_whole=True)
    assert await leases.read() == renewed
    await leases.release("first", is_whole=True)
    assert await leases.read() == Lease(None, AT, 1)


async def test_it_says_when_it_is_given_back_with_a_loss(leases: Leases) -> None:
    taken = await leases.take(FREE, FREE.taken_by("first", AT))
    assert taken is not None
    assert (taken.is_free, taken.is_whole) == (False, False)
    await leases.release("first", is_whole=False)
    left = await leases.read()
    assert left == Lease(NOT_WHOLE, AT, 0)
    assert (left.is_free, left.is_whole, FREE.is_free, FREE.is_whole) == (True, False, True, True)
    assert await leases.take(left, left.taken_by("second", AT)) == Lease("second", AT + 1, 0)


async def test_what_has_changed_since_it_was_seen_is_not_taken(leases: Leases) -> None:
    first = await leases.take(FREE, FREE.taken_by("first", AT))
    assert first is not None
    assert await leases.take(FREE, FREE.taken_by("second", AT + 1)) is None
    await leases.renew(first)
    assert await leases.take(first, first.taken_by("second", AT + 1)) is None
    seen = await leases.read()
    assert seen == Lease("first", AT, 1)
    assert await leases.take(seen, seen.taken_by("second", AT + 1)) == Lease("second", AT + 1, 0)


async def test_an_old_turn_is_not_renewed(leases: Leases) -> None:
    first = await leases.take(FREE, FREE.taken_by("first", AT))
    assert first is not None
    again = await leases.take(first, first.taken_by("first", AT))
    assert again == Lease("first", AT + 1, 0)
    assert await leases.renew(first) is None
    await leases.release("first", is_whole=True)
    assert await leases.renew(again) is None


async def test_of_many_who_saw_it_free_one_takes_it(leases: Leases) -> None:
    turns = [FREE.taken_by(f"replica-{number}", AT + number) for number in range(8)]
    taken = [turn for turn in await asyncio.gather(*(leases.take(FREE, turn) for turn in turns)) if turn is not None]
    assert taken == [await leases.read()]


class FakeBus:
    """A bus that answers or not, and can break."""

    def __init__(self, *, answers: bool = True) -> None:
        self.lose: list[Callable[[], Awaitable[None]]] = []
        self._answers = answers

    def on_lost(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.lose.append(callback)

    async def stream_position(self, _: str) -> None:
        if not self._answers:
            raise BusUnavailable


@pytest.mark.parametrize(("answers", "breaks"), [(True, False), (True, True), (False, False)])
async def test_a_lease_is_given_back_as_whole_when_all_is_known_to_have_reached_nats(
    postgres: PostgresServer, *, answers: bool, breaks: bool
) -> None:
    bus = FakeBus(answers=answers)
    async with Database.open(postgres.create_database()) as database:
        await ensure_schema(database, "market")
        async with leadership_in(database, cast("Bus", bus), SystemClock(), name="first") as leadership:
            assert leadership.is_seamless
            if breaks:
                (lose,) = bus.lose
                await lose()
        assert (await Leases(database).read()).holder == (None if answers and not breaks else NOT_WHOLE)


async def test_candidates_follow_one_another(leases: Leases) -> None:
    clock = SystemClock()
    first, second = Candidate("first", leases, clock), Candidate("second", leases, clock)
    assert await first.look()
    assert await second.look()
    assert (first.is_leading, second.is_leading) == (True, False)
    await first.leave()
    assert await second.look()
    assert (first.is_leading, second.is_leading) == (False, True)
