import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.exc import IntegrityError

from chassis.database import Database, ensure_schema
from market.domain.pattern_statistics import PatternKey, PatternStatistics, TrackRecord
from market.domain.patterns import PATTERNS, Direction
from market.storage.pattern_statistics import PatternStatisticsStore
from market.storage.tables import METADATA, PATTERN_STATISTICS

SESSION = date(2024, 5, 31)
HAMMER = PatternKey("hammer", Direction.BULLISH)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "market")
        yield opened


@pytest.fixture
def store(database: Database) -> PatternStatisticsStore:
    return PatternStatisticsStore(database, source="sample", configuration="00000000000000aa")


def statistics(session: date = SESSION, *, more: int = 0) -> PatternStatistics:
    """Statistics in which no two records are alike; `more` makes them others."""
    keys = [PatternKey(pattern.name, direction) for pattern in PATTERNS for direction in Direction]
    records = {
        key: TrackRecord(cases=5_000_000_000 + number, hits=number + more, base_cases=10**12, base_hits=10**11 + number)
        for number, key in enumerate(keys)
    }
    return PatternStatistics(session, records)


def columns_of(connection: Connection) -> dict[str, tuple[str, bool, bool]]:
    inspector = inspect(connection)
    keys = inspector.get_pk_constraint("pattern_statistics")["constrained_columns"]
    return {
        column["name"]: (str(column["type"]), column["nullable"], column["name"] in keys)
        for column in inspector.get_columns("pattern_statistics")
    }


async def test_the_migration_makes_the_table_the_code_declares(database: Database) -> None:
    async with database.transaction() as connection:
        migrated = await connection.run_sync(columns_of)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert migrated == await connection.run_sync(columns_of)


async def test_statistics_are_read_as_they_were_written(store: PatternStatisticsStore) -> None:
    await store.replace(statistics())
    assert await store.read(SESSION) == statistics()


async def test_they_outlive_the_process_that_measured_them(database_url: str) -> None:
    for write in (True, False):
        async with Database.open(database_url) as opened:
            await ensure_schema(opened, "market")
            store = PatternStatisticsStore(opened, source="sample", configuration="00000000000000aa")
            if write:
                await store.replace(statistics())
            else:
                assert await store.read(SESSION) == statistics()


async def test_writing_again_replaces_the_session_alone(store: PatternStatisticsStore) -> None:
    day_before = SESSION - timedelta(days=1)
    await store.replace(statistics(day_before))
    await store.replace(statistics())
    await store.replace(statistics(more=7))
    assert await store.read(SESSION) == statistics(more=7)
    assert await store.read(day_before) == statistics(day_before)


async def test_what_was_not_measured_is_not_answered(store: PatternStatisticsStore) -> None:
    await store.replace(statistics())
    assert await store.read(SESSION + timedelta(days=1)) is None


@pytest.mark.parametrize(("source", "configuration"), [("sample", "00000000000000bb"), ("replay", "00000000000000aa")])
async def test_another_seed_or_source_is_never_served(
    database: Database, store: PatternStatisticsStore, source: str, configuration: str
) -> None:
    other = PatternStatisticsStore(database, source=source, configuration=configuration)
    await store.replace(statistics())
    assert await other.read(SESSION) is None
    await other.replace(statistics(more=1))
    assert await store.read(SESSION) == statistics()
    assert await other.read(SESSION) == statistics(more=1)


async def test_a_replacement_that_fails_halfway_leaves_what_was_there(store: PatternStatisticsStore) -> None:
    await store.replace(statistics())
    broken = statistics(more=7)
    impossible = {**broken.records, HAMMER: TrackRecord(cases=1, hits=2, base_cases=0, base_hits=0)}
    with pytest.raises(IntegrityError):
        await store.replace(replace(broken, records=impossible))
    assert await store.read(SESSION) == statistics()


async def test_statistics_that_lack_a_pattern_are_not_answered(store: PatternStatisticsStore) -> None:
    whole = statistics()
    lacking = {key: record for key, record in whole.records.items() if key != HAMMER}
    await store.replace(whole)
    await store.replace(replace(whole, records=lacking))
    assert await store.read(SESSION) is None


async def test_nothing_takes_the_place_of_something_when_so_told(store: PatternStatisticsStore) -> None:
    await store.replace(statistics())
    await store.replace(PatternStatistics(SESSION, {}))
    assert await store.read(SESSION) is None


async def test_writers_at_once_leave_one_of_their_results_whole(database_url: str, database: Database) -> None:
    async def write(more: int) -> None:
        async with Database.open(database_url) as own:
            await PatternStatisticsStore(own, source="sample", configuration="a").replace(statistics(more=more))

    async with asyncio.timeout(60):
        await asyncio.gather(*(write(more) for more in range(6)))
    found = await PatternStatisticsStore(database, source="sample", configuration="a").read(SESSION)
    assert found in [statistics(more=more) for more in range(6)]


@pytest.mark.parametrize(
    "changed", [{"direction": 0}, {"hits": 6}, {"hits": -1}, {"base_hits": 11}, {"cases": None}], ids=str
)
async def test_the_database_refuses_impossible_counts(database: Database, changed: dict[str, int | None]) -> None:
    row = {
        "source": "sample",
        "configuration": "a",
        "session": SESSION,
        "pattern": "hammer",
        "direction": 1,
        "cases": 5,
        "hits": 5,
        "base_cases": 10,
        "base_hits": 10,
    }
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(insert(PATTERN_STATISTICS).values(row | changed))
    async with database.reading() as connection:
        assert (await connection.execute(select(PATTERN_STATISTICS))).all() == []
