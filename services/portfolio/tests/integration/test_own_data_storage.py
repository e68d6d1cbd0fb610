"""Watchlists, portfolios entered by hand and deleted accounts on both kinds of database, with writers at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from chassis.clock import ManualClock
from chassis.database import Database, ensure_schema
from portfolio.domain.accounts import LATE_REQUESTS, AccountDeleted, Accounts
from portfolio.domain.brokers import Broker
from portfolio.domain.manual_portfolios import MAX_PORTFOLIOS, MAX_STOCKS, TooManyPortfolios, TooManyStocks
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync, SyncedRows
from portfolio.domain.snapshots import snapshot_at_sync
from portfolio.domain.stock_entries import Stock
from portfolio.domain.syncing import SyncSuperseded
from portfolio.domain.watchlists import MAX_WATCHLISTS, TooManyWatchlists, WatchedTicker, WatchlistName
from portfolio.messages.synced import synced_event
from portfolio.storage.accounts import StoredAccounts
from portfolio.storage.manual_portfolios import StoredManualPortfolios
from portfolio.storage.snapshots import SnapshotsOfSessions
from portfolio.storage.synced_rows import SyncedPortfolios
from portfolio.storage.tables import (
    BROKER_SYNCS,
    HOLDINGS,
    MANUAL_PORTFOLIOS,
    MANUAL_STOCKS,
    POSITIONS,
    SNAPSHOTS,
    WATCHED_TICKERS,
    WATCHLISTS,
)
from portfolio.storage.watchlists import StoredWatchlists

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """One database as two replicas open it."""
    async with Database.open(database_url) as first, Database.open(database_url) as second:
        await ensure_schema(first, "portfolio")
        yield first, second


@pytest.fixture
def database(databases: tuple[Database, Database]) -> Database:
    return databases[0]


@pytest.fixture
def watchlists(database: Database) -> StoredWatchlists:
    return StoredWatchlists(database)


@pytest.fixture
def portfolios(database: Database) -> StoredManualPortfolios:
    return StoredManualPortfolios(database)


def ticker(symbol: str) -> WatchedTicker:
    return WatchedTicker(symbol, f"NASDAQ:{symbol}", f"{symbol} Inc. — ünïcode")


def stock(symbol: str, quantity: str = "1", total_cost: str = "0") -> Stock:
    return Stock(symbol, f"NASDAQ:{symbol.rpartition(':')[2]}", Decimal(quantity), Decimal(total_cost))


def synced(began: datetime, user_id: str = "7", broker: Broker = Broker.ZERODHA) -> SyncedRows:
    sync = Sync(str(uuid4()), user_id, broker, began, began, False)
    holding = BrokerHolding("NSE", "TCS", Decimal(1), Decimal(0), last_price=Decimal(1))
    return SyncedRows(sync, (holding,), (BrokerPosition(PositionType.NET, "NSE", "TCS", Decimal(1), Decimal(1)),))


async def counts_of(database: Database) -> list[int]:
    tables = (BROKER_SYNCS, HOLDINGS, POSITIONS, SNAPSHOTS)
    own = (WATCHLISTS, WATCHED_TICKERS, MANUAL_PORTFOLIOS, MANUAL_STOCKS)
    async with database.reading() as connection:
        return [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one() for table in tables + own
        ]


async def test_a_watchlist_comes_back_as_it_went_in(watchlists: StoredWatchlists) -> None:
    made = await watchlists.create("7", "Tech ☃", at=NOW)
    assert await watchlists.find("7", made.id) == made
    tickers = (ticker("MSFT"), ticker("AAPL"), ticker("GOOGL"))
    replaced = await watchlists.replace_tickers("7", made.id, tickers)
    assert replaced is not None
    assert (replaced.name, replaced.tickers) == ("Tech ☃", tickers)
    assert await watchlists.find("7", made.id) == replaced
    await watchlists.replace_tickers("7", made.id, (ticker("AAPL"), ticker("TSLA")))
    found = await watchlists.find("7", made.id)
    assert found is not None
    assert [each.symbol for each in found.tickers] == ["AAPL", "TSLA"]
    assert await watchlists.replace_tickers("7", made.id, ()) == made


async def test_ids_are_given_once_whoever_asks(
    watchlists: StoredWatchlists, portfolios: StoredManualPortfolios
) -> None:
    first, second = await watchlists.create("7", "A", at=NOW), await watchlists.create("8", "B", at=NOW)
    assert await watchlists.names_of("7") == [WatchlistName(first.id, "A")]
    assert await watchlists.delete("8", second.id)
    assert (await watchlists.create("8", "C", at=NOW)).id > second.id > first.id
    own, other = await portfolios.create("7", "A", at=NOW), await portfolios.create("8", "B", at=NOW)
    assert await portfolios.delete("8", other.id)
    assert (await portfolios.create("7", "C", at=NOW)).id > other.id > own.id
    assert [each.name for each in await portfolios.portfolios_of("7")] == ["A", "C"]


async def test_what_is_another_users_is_not_there(
    database: Database, watchlists: StoredWatchlists, portfolios: StoredManualPortfolios
) -> None:
    watchlist, portfolio = await watchlists.create("7", "A", at=NOW), await portfolios.create("7", "A", at=NOW)
    await watchlists.replace_tickers("7", watchlist.id, [ticker("AAPL")])
    await portfolios.put("7", portfolio.id, [stock("AAPL")])
    assert await watchlists.find("8", watchlist.id) is None
    assert await watchlists.replace_tickers("8", watchlist.id, []) is None
    assert not await watchlists.delete("8", watchlist.id)
    assert await portfolios.find("8", portfolio.id) is None
    assert await portfolios.rename("8", portfolio.id, "Mine") is None
    assert await portfolios.put("8", portfolio.id, [stock("MSFT")]) is None
    assert not await portfolios.remove_stock("8", portfolio.id, "NASDAQ:AAPL")
    assert not await portfolios.delete("8", portfolio.id)
    assert (await watchlists.names_of("8"), await portfolios.portfolios_of("8")) == ([], [])
    assert await counts_of(database) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [each.name for each in await portfolios.portfolios_of("7")] == ["A"]


@pytest.mark.parametrize("unknown", [0, -1, 2**63 - 1, -(2**63)])
async def test_any_number_can_be_asked_for(
    watchlists: StoredWatchlists, portfolios: StoredManualPortfolios, unknown: int
) -> None:
    assert await watchlists.find("7", unknown) is None
    assert not await portfolios.delete("7", unknown)


async def test_what_is_deleted_takes_what_is_in_it_along(
    database: Database, watchlists: StoredWatchlists, portfolios: StoredManualPortfolios
) -> None:
    watchlist, portfolio = await watchlists.create("7", "A", at=NOW), await portfolios.create("7", "A", at=NOW)
    await watchlists.replace_tickers("7", watchlist.id, [ticker("AAPL")])
    await portfolios.put("7", portfolio.id, [stock("AAPL")])
    assert await watchlists.delete("7", watchlist.id)
    assert await portfolios.delete("7", portfolio.id)
    assert await counts_of(database) == [0] * 8
    assert not await watchlists.delete("7", watchlist.id)
    assert not await portfolios.delete("7", portfolio.id)


async def test_stocks_come_back_exactly_in_the_order_they_were_first_added(portfolios: StoredManualPortfolios) -> None:
    portfolio = await portfolios.create("7", "Growth", at=NOW)
    await portfolios.put("7", portfolio.id, [stock("AAPL", "999999999999.99999999", "0"), stock("MSFT", "0.00000001")])
    await portfolios.put("7", portfolio.id, [stock("TSLA"), stock("NASDAQ:AAPL", "2", "3.5")])
    assert await portfolios.remove_stock("7", portfolio.id, "NASDAQ:MSFT")
    put = await portfolios.put("7", portfolio.id, [stock("MSFT", "4")])
    assert put is not None
    assert put.stocks == (stock("NASDAQ:AAPL", "2", "3.5"), stock("TSLA"), stock("MSFT", "4"))
    assert await portfolios.find("7", portfolio.id) == put
    assert await portfolios.portfolios_of("7") == [put]
    assert not await portfolios.remove_stock("7", portfolio.id, "NASDAQ:NOPE")
    renamed = await portfolios.rename("7", portfolio.id, "Value")
    assert renamed is not None
    assert (renamed.name, renamed.stocks) == ("Value", put.stocks)


async def test_stocks_of_several_portfolios_are_not_mixed(portfolios: StoredManualPortfolios) -> None:
    ids = [(await portfolios.create("7", name, at=NOW)).id for name in "ABC"]
    await portfolios.put("7", ids[0], [stock("AAPL"), stock("MSFT")])
    await portfolios.put("7", ids[2], [stock("MSFT", "3")])
    assert [(each.name, [one.symbol for one in each.stocks]) for each in await portfolios.portfolios_of("7")] == [
        ("A", ["AAPL", "MSFT"]),
        ("B", []),
        ("C", ["MSFT"]),
    ]


async def test_a_portfolio_has_so_many_stocks_and_no_more(portfolios: StoredManualPortfolios) -> None:
    portfolio = await portfolios.create("7", "Growth", at=NOW)
    full = [stock(f"S{number}") for number in range(MAX_STOCKS)]
    put = await portfolios.put("7", portfolio.id, full)
    with pytest.raises(TooManyStocks):
        await portfolios.put("7", portfolio.id, [stock("S0", "2"), stock("ONE")])
    assert await portfolios.find("7", portfolio.id) == put
    assert await portfolios.put("7", portfolio.id, [stock("S0", "2")]) is not None


async def refusals(error: type[Exception], *calls: "asyncio.Future[Any]") -> int:
    results = await asyncio.gather(*calls, return_exceptions=True)
    wrong = [result for result in results if isinstance(result, BaseException) and not isinstance(result, error)]
    assert wrong == []
    return sum(isinstance(result, error) for result in results)


async def test_two_replicas_together_make_no_more_than_there_may_be(databases: tuple[Database, Database]) -> None:
    lists = [StoredWatchlists(each) for each in databases]
    own = [StoredManualPortfolios(each) for each in databases]
    for number in range(MAX_WATCHLISTS - 4):
        await lists[0].create("7", f"{number}", at=NOW)
    for number in range(MAX_PORTFOLIOS - 4):
        await own[0].create("7", f"{number}", at=NOW)
    making = [asyncio.ensure_future(lists[number % 2].create("7", "N", at=NOW)) for number in range(10)]
    assert await refusals(TooManyWatchlists, *making) == 6
    making_own = [asyncio.ensure_future(own[number % 2].create("7", "N", at=NOW)) for number in range(10)]
    assert await refusals(TooManyPortfolios, *making_own) == 6
    ids = [each.id for each in await lists[1].names_of("7")]
    assert (len(ids), ids) == (MAX_WATCHLISTS, sorted(set(ids)))
    assert len(await own[1].portfolios_of("7")) == MAX_PORTFOLIOS


async def test_two_replicas_together_lose_no_stock_of_one_portfolio(databases: tuple[Database, Database]) -> None:
    own = [StoredManualPortfolios(each) for each in databases]
    portfolio = await own[0].create("7", "Growth", at=NOW)

    async def put(number: int) -> Sequence[Stock]:
        answered = await own[number % 2].put("7", portfolio.id, [stock(f"S{number}"), stock("ALL", f"{number + 1}")])
        assert answered is not None
        return answered.stocks

    answers = await asyncio.gather(*map(put, range(30)))
    found = await own[0].find("7", portfolio.id)
    assert found is not None
    assert {each.symbol for each in found.stocks} == {"ALL", *(f"S{number}" for number in range(30))}
    # Each answer is what stood at its own moment: all before it and itself, in one order for all.
    for number, stocks in enumerate(answers):
        assert stock(f"S{number}") in stocks
        assert [each.symbol for each in stocks] == [each.symbol for each in found.stocks][: len(stocks)]
    assert sorted(map(len, answers)) == list(range(2, 32))
    assert found in [found.__class__(found.id, found.name, tuple(stocks)) for stocks in answers]


async def test_two_replicas_together_never_mix_two_lists_of_tickers(databases: tuple[Database, Database]) -> None:
    lists = [StoredWatchlists(each) for each in databases]
    watchlist = await lists[0].create("7", "Tech", at=NOW)
    written = [tuple(ticker(f"S{number}X{place}") for place in range(20)) for number in range(20)]
    seen = []
    is_written = asyncio.Event()

    async def read() -> None:
        while not is_written.is_set():
            found = await lists[1].find("7", watchlist.id)
            assert found is not None
            seen.append(found.tickers)

    reading = asyncio.create_task(read())
    await asyncio.gather(
        *(lists[number % 2].replace_tickers("7", watchlist.id, tickers) for number, tickers in enumerate(written))
    )
    is_written.set()
    await reading
    assert set(seen) <= {(), *written}
    found = await lists[0].find("7", watchlist.id)
    assert found is not None
    assert found.tickers in written


async def test_a_list_is_replaced_or_deleted_and_nothing_is_left_over(databases: tuple[Database, Database]) -> None:
    lists = [StoredWatchlists(each) for each in databases]
    for _ in range(10):
        watchlist = await lists[0].create("7", "Tech", at=NOW)
        replacing = lists[0].replace_tickers("7", watchlist.id, [ticker("AAPL")])
        _, was_there = await asyncio.gather(replacing, lists[1].delete("7", watchlist.id))
        assert was_there
    assert (await counts_of(databases[0]))[4:6] == [0, 0]


async def fill(database: Database, user_id: str, at: datetime) -> None:
    lists, own = StoredWatchlists(database), StoredManualPortfolios(database)
    await lists.replace_tickers(user_id, (await lists.create(user_id, "A", at=at)).id, [ticker("AAPL")])
    await own.put(user_id, (await own.create(user_id, "A", at=at)).id, [stock("AAPL")])
    for broker in Broker:
        rows = synced(at, user_id, broker)
        await SyncedPortfolios(database, synced_event).replace(rows, await snapshot_at_sync(rows))


async def test_with_an_account_all_goes_and_others_keep_theirs(database: Database) -> None:
    await fill(database, "7", NOW)
    await fill(database, "8", NOW)
    assert await counts_of(database) == [4, 4, 4, 4, 2, 2, 2, 2]
    for _ in range(2):
        await StoredAccounts(database).delete_account("7", through=NOW)
        assert await counts_of(database) == [2, 2, 2, 2, 1, 1, 1, 1]
    assert await StoredWatchlists(database).names_of("7") == []
    assert await SyncedPortfolios(database, synced_event).rows_of("7") == []
    assert len(await SyncedPortfolios(database, synced_event).rows_of("8")) == 2


async def test_the_deletion_of_who_never_was_here_changes_nothing(database: Database) -> None:
    await StoredAccounts(database).delete_account("7", through=NOW)
    assert await counts_of(database) == [0] * 8


async def test_what_began_before_the_deletion_is_refused_after_it(database: Database) -> None:
    await StoredAccounts(database).delete_account("7", through=NOW)
    await StoredAccounts(database).delete_account("7", through=NOW - SECOND)
    rows = synced(NOW)
    with pytest.raises(SyncSuperseded):
        await SyncedPortfolios(database, synced_event).replace(rows, await snapshot_at_sync(rows))
    with pytest.raises(AccountDeleted):
        await StoredWatchlists(database).create("7", "A", at=NOW)
    with pytest.raises(AccountDeleted):
        await StoredManualPortfolios(database).create("7", "A", at=NOW)
    assert await counts_of(database) == [0] * 8


async def test_deleting_synced_data_then_does_not_let_it_in_again(database: Database) -> None:
    await StoredAccounts(database).delete_account("7", through=NOW + SECOND)
    portfolios = SyncedPortfolios(database, synced_event)
    await portfolios.delete("7", at=NOW)
    rows = synced(NOW + SECOND)
    with pytest.raises(SyncSuperseded):
        await portfolios.replace(rows, await snapshot_at_sync(rows))


async def test_who_comes_back_keeps_what_is_new_however_often_the_deletion_is_heard(database: Database) -> None:
    await fill(database, "7", NOW)
    await StoredAccounts(database).delete_account("7", through=NOW)
    await fill(database, "7", NOW + SECOND)
    await StoredAccounts(database).delete_account("7", through=NOW)
    assert await counts_of(database) == [2, 2, 2, 2, 1, 1, 1, 1]


async def test_of_an_old_sync_and_a_new_one_the_old_goes(database: Database) -> None:
    for began, broker in ((NOW, Broker.ICICI), (NOW + SECOND, Broker.ZERODHA)):
        rows = synced(began, broker=broker)
        await SyncedPortfolios(database, synced_event).replace(rows, await snapshot_at_sync(rows))
    await StoredAccounts(database).delete_account("7", through=NOW)
    assert await counts_of(database) == [1, 1, 1, 1, 0, 0, 0, 0]
    (kept,) = await SyncedPortfolios(database, synced_event).rows_of("7")
    assert kept.sync.broker is Broker.ZERODHA


@pytest.mark.parametrize(
    ("made_after", "heard_after"),
    [
        # Made a second before the deletion, by a clock that is a minute ahead.
        (timedelta(seconds=59), timedelta(minutes=1)),
        # Let in by gateways that heard of nothing; auth told of the deletion when it was back.
        (timedelta(seconds=20), timedelta(hours=1)),
        (timedelta(seconds=150), timedelta(hours=1)),
    ],
)
async def test_what_a_dead_token_brought_goes_with_the_account(
    database: Database, made_after: timedelta, heard_after: timedelta
) -> None:
    await fill(database, "7", NOW + made_after)
    await Accounts(StoredAccounts(database), ManualClock(NOW + heard_after)).delete("7", NOW)
    assert await counts_of(database) == [0] * 8


async def test_who_comes_back_as_soon_as_may_be_keeps_all_of_it(database: Database) -> None:
    come_back_at = NOW + LATE_REQUESTS + SECOND
    await fill(database, "7", come_back_at)
    await Accounts(StoredAccounts(database), ManualClock(come_back_at + SECOND)).delete("7", NOW)
    assert await counts_of(database) == [2, 2, 2, 2, 1, 1, 1, 1]


async def test_a_nightly_snapshot_of_rows_from_before_goes_with_them(database: Database) -> None:
    rows = synced(NOW)
    await SyncedPortfolios(database, synced_event).replace(rows, await snapshot_at_sync(rows))
    nightly = replace(await snapshot_at_sync(rows), taken_at=NOW + timedelta(hours=12), is_nightly=True)
    assert await SnapshotsOfSessions(database).save_nightly(nightly, sync_id=rows.sync.id)
    await StoredAccounts(database).delete_account("7", through=NOW)
    assert await counts_of(database) == [0] * 8


async def test_a_deletion_among_writers_leaves_nothing(databases: tuple[Database, Database]) -> None:
    lists = [StoredWatchlists(each) for each in databases]
    making = [asyncio.ensure_future(lists[number % 2].create("7", "A", at=NOW)) for number in range(10)]
    deleting = asyncio.ensure_future(StoredAccounts(databases[0]).delete_account("7", through=NOW))
    await refusals(AccountDeleted, *making, deleting)
    assert (await counts_of(databases[0]))[4] == 0
