import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError

from chassis.database import Database, ensure_schema
from market.domain.bars import DailyBars
from market.domain.companies import Dividend
from market.domain.raw_history import Coverage, RawHistory
from market.domain.splits import Split
from market.storage.daily_bars import DailyBarStore
from market.storage.tables import DAILY_BARS, METADATA

TABLES = ("daily_bars", "daily_bar_splits", "daily_bar_dividends", "daily_bar_coverages")
COLUMNS = ("open", "high", "low", "close")
TCS = "NSE:TCS"
MONDAY = date(2024, 1, 1)
LONG_AGO = date(1970, 1, 1)
ASKED_AT = datetime(2024, 6, 1, 11, 30, 0, 123_000, tzinfo=UTC)
COVERAGE = Coverage(MONDAY, MONDAY + timedelta(days=9), ASKED_AT)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "market")
        yield opened


@pytest.fixture
def store(database: Database) -> DailyBarStore:
    return DailyBarStore(database)


def history(count: int = 10, *, first: date = MONDAY, instrument: str = TCS, seed: int = 1) -> RawHistory:
    """Bars of consecutive days without a round price, a split on the third day and a dividend on the fourth."""
    close = 100.0 * np.exp(np.random.default_rng(seed).normal(0, 0.02, count).cumsum())
    bars = DailyBars(
        instrument,
        np.datetime64(first) + np.arange(count),
        close * 0.99,
        close * 1.02,
        close * 0.98,
        close,
        volume=np.arange(count, dtype=np.int64) + 5_000_000_000,
    )
    third, fourth = first + timedelta(days=2), first + timedelta(days=3)
    return RawHistory(bars, (Split(instrument, third, 3, 2, "yahoo"),), (Dividend(fourth, 1.0 / 3.0),))


def without_events(raw: RawHistory) -> RawHistory:
    return RawHistory(raw.bars)


def told_of(raw: RawHistory) -> tuple[Any, ...]:
    volume = None if raw.bars.volume is None else raw.bars.volume.tolist()
    prices = [getattr(raw.bars, name).tolist() for name in COLUMNS]
    return raw.bars.instrument, raw.bars.sessions.tolist(), prices, volume, raw.splits, raw.dividends


def schema_of(connection: Connection) -> Mapping[str, Sequence[tuple[str, str, bool, bool]]]:
    inspector = inspect(connection)
    return {
        table: [
            (
                column["name"],
                str(column["type"]),
                column["nullable"],
                column["name"] in inspector.get_pk_constraint(table)["constrained_columns"],
            )
            for column in inspector.get_columns(table)
        ]
        for table in TABLES
    }


async def bars_kept(database: Database) -> int:
    async with database.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(DAILY_BARS))).scalar_one()


async def test_the_migration_makes_the_tables_the_code_declares(database: Database) -> None:
    async with database.transaction() as connection:
        migrated = await connection.run_sync(schema_of)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert migrated == await connection.run_sync(schema_of)


async def test_history_is_read_exactly_as_it_was_written(store: DailyBarStore) -> None:
    await store.append("yahoo", history(), COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(history())
    assert await store.coverages(TCS) == {"yahoo": COVERAGE}


async def test_it_outlives_the_process(database_url: str) -> None:
    for write in (True, False):
        async with Database.open(database_url) as opened:
            await ensure_schema(opened, "market")
            store = DailyBarStore(opened)
            if write:
                await store.append("yahoo", history(), COVERAGE)
            else:
                assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(history())
                assert await store.coverages(TCS) == {"yahoo": COVERAGE}


async def test_what_was_never_asked_is_not_known(store: DailyBarStore) -> None:
    assert await store.coverages(TCS) == {}
    nothing = await store.read(TCS, "yahoo", first=LONG_AGO)
    assert told_of(nothing) == (TCS, [], [[], [], [], []], None, (), ())


async def test_a_span_holds_its_ends_and_the_events_from_its_beginning_on(store: DailyBarStore) -> None:
    await store.append("yahoo", history(), COVERAGE)
    third, fourth = MONDAY + timedelta(days=2), MONDAY + timedelta(days=3)
    span = await store.read(TCS, "yahoo", first=third, last=third)
    assert span.bars.sessions.tolist() == [third]
    assert [each.ex_date for each in span.splits] == [third]
    assert [each.ex_date for each in span.dividends] == [fourth]
    later = await store.read(TCS, "yahoo", first=fourth)
    assert len(later.bars) == 7
    assert (later.splits, len(later.dividends)) == ((), 1)


async def test_sources_and_instruments_are_never_mixed(store: DailyBarStore) -> None:
    other = history(first=MONDAY + timedelta(days=100), seed=2)
    infosys = history(instrument="NSE:INFY", seed=3)
    await store.append("yahoo", history(), COVERAGE)
    await store.append("fmp", without_events(other), replace(COVERAGE, first=LONG_AGO))
    await store.append("yahoo", infosys, COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(history())
    assert told_of(await store.read(TCS, "fmp", first=LONG_AGO)) == told_of(without_events(other))
    assert told_of(await store.read("NSE:INFY", "yahoo", first=LONG_AGO)) == told_of(infosys)
    assert await store.coverages(TCS) == {"yahoo": COVERAGE, "fmp": replace(COVERAGE, first=LONG_AGO)}


async def test_history_without_volume_has_none(store: DailyBarStore) -> None:
    raw = replace(history(), bars=replace(history().bars, volume=None))
    await store.append("yahoo", raw, COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(raw)


async def test_writing_the_same_again_changes_nothing(database: Database, store: DailyBarStore) -> None:
    for _ in range(2):
        await store.append("yahoo", history(), COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(history())
    assert await bars_kept(database) == 10
    assert store.differing_rows == 0


async def test_a_tail_and_a_head_are_joined(store: DailyBarStore) -> None:
    whole = history(30)
    sessions = whole.bars.sessions.tolist()
    middle = without_events(replace(whole, bars=whole.bars.since(sessions[10]).until(sessions[19])))
    tail = without_events(replace(whole, bars=whole.bars.since(sessions[15])))
    head = replace(whole, bars=whole.bars.until(sessions[10]))
    later = ASKED_AT + timedelta(days=1)
    await store.append("yahoo", middle, Coverage(sessions[10], sessions[19], ASKED_AT))
    await store.append("yahoo", tail, Coverage(sessions[10], sessions[29], later))
    await store.append("yahoo", head, Coverage(sessions[0], sessions[19], ASKED_AT))
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(whole)
    assert await store.coverages(TCS) == {"yahoo": Coverage(sessions[0], sessions[29], later)}


async def test_long_history_is_written_in_parts_and_read_whole(
    store: DailyBarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.storage.daily_bars.ROWS_AT_ONCE", 3)
    raw = history()
    for _ in range(2):
        await store.append("yahoo", raw, COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(raw)
    assert store.differing_rows == 0


async def test_what_is_kept_is_never_changed(store: DailyBarStore, caplog: pytest.LogCaptureFixture) -> None:
    kept = history()
    close = kept.bars.close.copy()
    close[4] *= 1.001
    told = RawHistory(
        replace(kept.bars, close=close, volume=kept.bars.volume),
        (replace(kept.splits[0], new_units=5),),
        (replace(kept.dividends[0], amount=9.0),),
    )
    await store.append("yahoo", kept, COVERAGE)
    with caplog.at_level(logging.INFO, "market.storage.daily_bars"):
        await store.append("yahoo", told, COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(kept)
    assert store.differing_rows == 3
    assert [(each.message, each.rows) for each in caplog.records] == [("daily bars told differently", 3)]  # type: ignore[attr-defined]


async def test_rounding_is_no_difference(store: DailyBarStore) -> None:
    kept = history()
    close = kept.bars.close.astype(np.float32).astype(np.float64)
    await store.append("yahoo", kept, COVERAGE)
    await store.append("yahoo", replace(kept, bars=replace(kept.bars, close=close, volume=None)), COVERAGE)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(kept)
    assert store.differing_rows == 0


async def test_a_write_that_fails_halfway_leaves_nothing(database: Database, store: DailyBarStore) -> None:
    raw = history()
    impossible = replace(raw.splits[0], old_units=0)
    with pytest.raises(IntegrityError):
        await store.append("yahoo", replace(raw, splits=(impossible,)), COVERAGE)
    assert await bars_kept(database) == 0
    assert await store.coverages(TCS) == {}


async def test_replicas_that_write_the_same_at_once_do_not_disturb_each_other(
    database_url: str, database: Database
) -> None:
    whole = history(300)
    sessions = whole.bars.sessions.tolist()

    async def write(number: int) -> int:
        part = replace(whole, bars=whole.bars.since(sessions[number]))
        async with Database.open(database_url) as own:
            store = DailyBarStore(own)
            await store.append("yahoo", part, Coverage(sessions[number], sessions[-1], ASKED_AT))
            return store.differing_rows

    async with asyncio.timeout(60):
        assert await asyncio.gather(*(write(number) for number in range(6))) == [0] * 6
    store = DailyBarStore(database)
    assert told_of(await store.read(TCS, "yahoo", first=LONG_AGO)) == told_of(whole)
    assert await store.coverages(TCS) == {"yahoo": Coverage(sessions[0], sessions[-1], ASKED_AT)}


@pytest.mark.parametrize("changed", [{"open": 0.0}, {"low": -1.0}, {"close": None}], ids=str)
async def test_the_database_refuses_impossible_prices(database: Database, changed: Mapping[str, float | None]) -> None:
    row = {"instrument": TCS, "source": "yahoo", "session": MONDAY, **dict.fromkeys(COLUMNS, 1.0)}
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(insert(DAILY_BARS).values({**row, **changed}))
    assert await bars_kept(database) == 0
