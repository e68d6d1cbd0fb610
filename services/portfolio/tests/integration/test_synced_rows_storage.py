"""Brokers' rows and snapshots on both kinds of database: replaced whole, read whole, whoever else is at it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from chassis.database import Database, ensure_schema
from chassis.outbox import OutboxEvent
from portfolio.domain.brokers import Broker
from portfolio.domain.rows import (
    BrokerHolding,
    BrokerPosition,
    PositionType,
    RowCounts,
    Sync,
    SyncedRows,
    counts_of,
)
from portfolio.domain.snapshots import snapshot_at_sync
from portfolio.domain.syncing import SyncSuperseded
from portfolio.messages.synced import synced_event
from portfolio.storage.snapshots import SnapshotsOfSessions
from portfolio.storage.synced_rows import SyncedPortfolios
from portfolio.storage.tables import BROKER_SYNCS, HOLDINGS, OUTBOX, POSITIONS, SNAPSHOTS

START = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
THURSDAY = date(2026, 3, 12)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as database:
        await ensure_schema(database, "portfolio")
        yield database


@pytest.fixture
def portfolios(database: Database) -> SyncedPortfolios:
    return SyncedPortfolios(database, synced_event)


@pytest.fixture
def nightly(database: Database) -> SnapshotsOfSessions:
    return SnapshotsOfSessions(database)


def synced(
    number: int = 0,
    *,
    count: int = 1,
    user_id: str = "7",
    broker: Broker = Broker.ZERODHA,
    is_simulated: bool = False,
    after: timedelta = SECOND,
) -> SyncedRows:
    """Return the sync that began `number` seconds after the start, each of its rows bearing its number."""
    began = START + number * SECOND
    marked = Decimal(number)
    return SyncedRows(
        Sync(str(uuid4()), user_id, broker, began, began + after, is_simulated),
        tuple(
            BrokerHolding("NSE", f"S{row}", marked, Decimal(0), average_price=Decimal("1.50"), last_price=marked)
            for row in range(count)
        ),
        tuple(
            BrokerPosition(PositionType.DAY if row % 2 else PositionType.NET, "NFO", f"F{row}", -marked, Decimal(25))
            for row in range(count)
        ),
    )


async def save(portfolios: SyncedPortfolios, rows: SyncedRows) -> RowCounts:
    return await portfolios.replace(rows, await snapshot_at_sync(rows))


async def test_rows_come_back_as_they_went_in(portfolios: SyncedPortfolios) -> None:
    sync = synced().sync
    price, value = Decimal("-0.000100"), Decimal("1.10")
    full_holding = BrokerHolding(
        exchange="NSE",
        tradingsymbol="M&M",
        quantity=Decimal("1E+3"),
        t1_quantity=Decimal("0.5"),
        isin="INE0",
        product="MTF",
        average_price=price,
        last_price=price,
        close_price=price,
        pnl=price,
        broker_code="MAHMAH",
        collateral_quantity=Decimal(7),
    )
    full_position = BrokerPosition(
        type=PositionType.DAY,
        exchange="CDS",
        tradingsymbol="USDINR",
        quantity=Decimal(-1),
        multiplier=Decimal(1_000),
        product="NRML",
        overnight_quantity=value,
        average_price=value,
        last_price=value,
        close_price=value,
        buy_value=value,
        sell_value=value,
        pnl=value,
        m2m=value,
        realised=value,
        unrealised=value,
        expiry=date(2026, 3, 27),
        strike=Decimal("82.25"),
        option_type="CE",
        broker_code="USD",
    )
    bare_holding = BrokerHolding("BSE", "x" * 64, Decimal("9" * 24), Decimal(0))
    bare_position = BrokerPosition(PositionType.NET, "NFO", "F", Decimal(0), Decimal(1))
    whole = SyncedRows(sync, (full_holding, bare_holding), (full_position, bare_position))
    assert await save(portfolios, whole) == RowCounts(holdings=2, positions=2, net_positions=1)
    assert await portfolios.rows_of("7") == [whole]
    (with_holdings,) = await portfolios.holdings_of("7")
    assert (with_holdings.holdings, with_holdings.positions) == (whole.holdings, ())
    (with_positions,) = await portfolios.positions_of("7")
    assert (with_positions.holdings, with_positions.positions) == ((), whole.positions)
    assert str(with_holdings.holdings[0].average_price) == "-0.000100"


async def test_an_empty_sync_empties_its_broker_and_is_a_sync(portfolios: SyncedPortfolios) -> None:
    await save(portfolios, synced(0, count=3))
    empty = replace(synced(1), holdings=(), positions=())
    assert await save(portfolios, empty) == RowCounts(0, 0, 0)
    assert await portfolios.rows_of("7") == [empty]


async def test_what_a_sync_replaces_is_gone_and_nothing_grows(portfolios: SyncedPortfolios, database: Database) -> None:
    for number in range(5):
        await save(portfolios, synced(number, count=3))
    async with database.reading() as connection:
        counted = [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (BROKER_SYNCS, HOLDINGS, POSITIONS, SNAPSHOTS, OUTBOX)
        ]
    assert counted == [1, 3, 3, 1, 5]


async def test_a_sync_that_fails_half_way_changes_nothing(portfolios: SyncedPortfolios, database: Database) -> None:
    before = synced(0, count=3)
    await save(portfolios, before)

    def breaks(sync: Sync, counts: RowCounts) -> OutboxEvent:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await save(SyncedPortfolios(database, breaks), synced(1))
    rows, snapshots = await portfolios.trend_of("7", first=THURSDAY, last=THURSDAY)
    assert rows == [before]
    assert [snapshot.taken_at for snapshot in snapshots] == [before.sync.synced_at]


async def test_of_syncs_at_once_the_one_that_began_last_stays(portfolios: SyncedPortfolios) -> None:
    syncs = [synced(number, count=20) for number in range(1, 13)]
    results = await asyncio.gather(*(save(portfolios, each) for each in syncs), return_exceptions=True)
    assert all(isinstance(result, RowCounts | SyncSuperseded) for result in results), results
    assert results[-1] == counts_of(syncs[-1])
    assert await portfolios.rows_of("7") == [syncs[-1]]


async def test_syncs_and_deletions_at_once_all_end(portfolios: SyncedPortfolios) -> None:
    changes = [
        change
        for number in range(1, 9)
        for change in (
            save(portfolios, synced(number, count=5)),
            save(portfolios, synced(number, count=5, broker=Broker.ICICI)),
            portfolios.delete("7", at=START + number * SECOND),
        )
    ]
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, SyncSuperseded)]


async def test_readers_never_see_a_mixture(portfolios: SyncedPortfolios) -> None:
    syncs = [synced(number, count=40) for number in range(1, 16)]
    known = {each.sync.id: each for each in syncs}
    await save(portfolios, syncs[0])
    is_over = asyncio.Event()
    seen: set[str] = set()

    async def write() -> None:
        for each in syncs[1:]:
            await save(portfolios, each)
        is_over.set()

    async def read() -> int:
        reads = 0
        while not is_over.is_set():
            (rows,), snapshots = await portfolios.trend_of("7", first=THURSDAY, last=THURSDAY)
            assert rows == known[rows.sync.id]
            assert [snapshot.taken_at for snapshot in snapshots] == [rows.sync.synced_at]
            (held,) = await portfolios.holdings_of("7")
            assert held.holdings == known[held.sync.id].holdings
            seen.add(rows.sync.id)
            reads += 1
        return reads

    writing = asyncio.create_task(write())
    reads = await asyncio.gather(*(read() for _ in range(3)))
    await writing
    assert min(reads) > 3
    assert len(seen) > 2


@pytest.mark.parametrize("is_simulated", [False, True])
async def test_a_days_nightly_snapshot_gives_way_to_a_sync_and_is_due_again(
    portfolios: SyncedPortfolios, nightly: SnapshotsOfSessions, *, is_simulated: bool
) -> None:
    first, second = synced(1, is_simulated=is_simulated), synced(2)
    await save(portfolios, first)
    of_night = replace(await snapshot_at_sync(first), is_nightly=True, pnl=Decimal("123.00"), taken_at=START)
    assert await nightly.save_nightly(of_night, sync_id=first.sync.id)
    await save(portfolios, second)
    _, snapshots = await portfolios.trend_of("7", first=THURSDAY, last=THURSDAY)
    assert snapshots == [await snapshot_at_sync(second)]
    assert await nightly.brokers_with(THURSDAY, "7") == set()
    assert await nightly.users_without(THURSDAY, after="", at_most=9) == ["7"]


async def test_a_nightly_snapshot_of_rows_that_are_gone_is_not_saved(
    portfolios: SyncedPortfolios, nightly: SnapshotsOfSessions
) -> None:
    old, new = synced(1), synced(2)
    await save(portfolios, old)
    of_night = replace(await snapshot_at_sync(old), is_nightly=True)
    await save(portfolios, new)
    assert not await nightly.save_nightly(of_night, sync_id=old.sync.id)
    await portfolios.delete("7", at=START + 60 * SECOND)
    assert not await nightly.save_nightly(of_night, sync_id=new.sync.id)
    assert (await portfolios.trend_of("7", first=THURSDAY, last=THURSDAY)) == ([], [])


async def test_those_without_a_nightly_snapshot_are_listed_in_pages(
    portfolios: SyncedPortfolios, nightly: SnapshotsOfSessions
) -> None:
    for user_id in ("1", "2", "3", "4"):
        await save(portfolios, synced(user_id=user_id))
        await save(portfolios, synced(user_id=user_id, broker=Broker.ICICI))
    done = {each.sync.broker: each for each in await portfolios.rows_of("2")}
    for rows in done.values():
        await nightly.save_nightly(replace(await snapshot_at_sync(rows), is_nightly=True), sync_id=rows.sync.id)
    half = (await portfolios.rows_of("3"))[0]
    await nightly.save_nightly(replace(await snapshot_at_sync(half), is_nightly=True), sync_id=half.sync.id)
    # In India the day ends at 18:30 UTC.
    end_of_day = datetime(2026, 3, 12, 18, 30, tzinfo=UTC) - START
    await save(portfolios, synced(user_id="5", after=end_of_day))
    await save(portfolios, synced(user_id="6", after=end_of_day - SECOND))
    assert await nightly.users_without(THURSDAY, after="", at_most=2) == ["1", "3"]
    assert await nightly.users_without(THURSDAY, after="3", at_most=9) == ["4", "6"]


async def test_a_trend_is_of_its_days_both_ends_with(portfolios: SyncedPortfolios) -> None:
    for day in range(5):
        await save(portfolios, synced(day * 86_400))
    _, snapshots = await portfolios.trend_of("7", first=date(2026, 3, 13), last=date(2026, 3, 15))
    assert [snapshot.date.day for snapshot in snapshots] == [13, 14, 15]
