"""Watchlists and portfolios entered by hand as the gateway sees them: gRPC in front, a real database behind."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from bourse.auth.v1.events_pb2 import UserDeleted
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats import connect
from nats.aio.client import Client
from pydantic import SecretStr

from bourse.market.v1 import quotes_pb2
from bourse.portfolio.v1 import (
    holdings_pb2,
    holdings_pb2_grpc,
    manual_portfolios_pb2,
    manual_portfolios_pb2_grpc,
    syncs_pb2_grpc,
    watchlists_pb2,
    watchlists_pb2_grpc,
)
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable
from chassis.rpc_client import reason_of
from chassis.testing import NatsServer, free_port, python_module, stop_process
from portfolio.app import build
from portfolio.domain.accounts import LATE_REQUESTS
from portfolio.feed.deletions import DURABLE, SUBJECT
from portfolio.settings import Settings
from portfolio.storage.accounts import StoredAccounts
from portfolio.testing import SmallMarket, holding, sync_request

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STREAM = "EVENTS"
SERVING = health_pb2.HealthCheckResponse.SERVING
INVALID, UNAVAILABLE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE
NOT_FOUND = grpc.StatusCode.NOT_FOUND


class Caller:
    """Speaks to portfolio as the gateway does, for one user."""

    def __init__(self, channel: grpc.aio.Channel, user_id: str = "7") -> None:
        self.channel = channel
        self.user_id = user_id
        self._lists = watchlists_pb2_grpc.WatchlistServiceStub(channel)
        self._own = manual_portfolios_pb2_grpc.ManualPortfolioServiceStub(channel)

    async def names(self) -> list[tuple[int, str]]:
        request = watchlists_pb2.ListWatchlistsRequest(user_id=self.user_id)
        answer = await self._lists.ListWatchlists(request, timeout=20, wait_for_ready=True)
        return [(each.id, each.name) for each in answer.watchlists]

    async def create(self, name: str) -> watchlists_pb2.Watchlist:
        request = watchlists_pb2.CreateWatchlistRequest(user_id=self.user_id, name=name)
        return (await self._lists.CreateWatchlist(request, timeout=20, wait_for_ready=True)).watchlist

    async def get(self, watchlist_id: int) -> watchlists_pb2.Watchlist:
        request = watchlists_pb2.GetWatchlistRequest(user_id=self.user_id, watchlist_id=watchlist_id)
        return (await self._lists.GetWatchlist(request, timeout=20)).watchlist

    async def replace(self, watchlist_id: int, *tickers: str) -> watchlists_pb2.Watchlist:
        request = watchlists_pb2.ReplaceTickersRequest(user_id=self.user_id, watchlist_id=watchlist_id, tickers=tickers)
        return (await self._lists.ReplaceTickers(request, timeout=20)).watchlist

    async def delete(self, watchlist_id: int) -> None:
        request = watchlists_pb2.DeleteWatchlistRequest(user_id=self.user_id, watchlist_id=watchlist_id)
        await self._lists.DeleteWatchlist(request, timeout=20)

    async def portfolios(self) -> list[manual_portfolios_pb2.ManualPortfolio]:
        request = manual_portfolios_pb2.ListPortfoliosRequest(user_id=self.user_id)
        return list((await self._own.ListPortfolios(request, timeout=20, wait_for_ready=True)).portfolios)

    async def create_portfolio(self, name: str) -> manual_portfolios_pb2.ManualPortfolio:
        request = manual_portfolios_pb2.CreatePortfolioRequest(user_id=self.user_id, name=name)
        return (await self._own.CreatePortfolio(request, timeout=20, wait_for_ready=True)).portfolio

    async def rename(self, portfolio_id: int, name: str) -> manual_portfolios_pb2.ManualPortfolio:
        request = manual_portfolios_pb2.RenamePortfolioRequest(
            user_id=self.user_id, portfolio_id=portfolio_id, name=name
        )
        return (await self._own.RenamePortfolio(request, timeout=20)).portfolio

    async def put(self, portfolio_id: int, *stocks: tuple[str, str, str]) -> manual_portfolios_pb2.PutStocksResponse:
        entries = [
            manual_portfolios_pb2.StockEntry(symbol=symbol, quantity=quantity, total_cost=total_cost)
            for symbol, quantity, total_cost in stocks
        ]
        request = manual_portfolios_pb2.PutStocksRequest(
            user_id=self.user_id, portfolio_id=portfolio_id, stocks=entries
        )
        answer: manual_portfolios_pb2.PutStocksResponse = await self._own.PutStocks(request, timeout=20)
        return answer

    async def remove(self, portfolio_id: int, symbol: str) -> str:
        request = manual_portfolios_pb2.RemoveStockRequest(
            user_id=self.user_id, portfolio_id=portfolio_id, symbol=symbol
        )
        return str((await self._own.RemoveStock(request, timeout=20)).symbol)

    async def delete_portfolio(self, portfolio_id: int) -> None:
        request = manual_portfolios_pb2.DeletePortfolioRequest(user_id=self.user_id, portfolio_id=portfolio_id)
        await self._own.DeletePortfolio(request, timeout=20)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str | None, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), reason_of(raised.value), raised.value.details() or ""


def stocks_in(portfolio: manual_portfolios_pb2.ManualPortfolio) -> list[tuple[str, str, str, str]]:
    return [(each.symbol, each.instrument, each.quantity, each.total_cost) for each in portfolio.stocks]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(f"nats://127.0.0.1:{free_port()}"),
        portfolio_address=f"127.0.0.1:{free_port()}",
        portfolio_database_url=SecretStr(database_url),
        market_address=f"127.0.0.1:{free_port()}",
    )


@pytest.fixture
async def market(settings: Settings) -> AsyncIterator[SmallMarket]:
    market = SmallMarket()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    for instrument, name in [
        ("NASDAQ:AAPL", "Apple Inc."),
        ("NASDAQ:MSFT", "Microsoft Corporation"),
        ("NASDAQ:GOOGL", "Alphabet Inc."),
        ("NASDAQ:TWO", "Two of NASDAQ"),
        ("NYSE:TWO", "Two of NYSE"),
        ("NSE:TCS", "Tata Consultancy Services"),
    ]:
        market.list_instrument(instrument, name)
    async with market.serving(settings.market_address):
        yield market


@pytest.fixture
async def channel(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    async with build(settings, ManualClock(NOW)), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        yield channel


@pytest.fixture
def caller(channel: grpc.aio.Channel) -> Caller:
    return Caller(channel)


async def test_the_documented_watchlist_comes_out_with_its_prices(market: SmallMarket, caller: Caller) -> None:
    market.price("NASDAQ:AAPL", 201.28, at=NOW, previous_close=199.13, currency="USD", source="yahoo")
    market.price("NSE:TCS", 3842.5, at=NOW, freshness="CLOSED")
    made = await caller.create("Tech Stocks")
    assert (made.name, len(made.tickers)) == ("Tech Stocks", 0)
    assert await caller.names() == [(made.id, "Tech Stocks")]
    replaced = await caller.replace(made.id, "aapl", "MSFT", "nse:tcs", "NASDAQ:AAPL")
    apple, microsoft, tata = replaced.tickers
    assert (apple.symbol, apple.instrument, apple.name) == ("AAPL", "NASDAQ:AAPL", "Apple Inc.")
    assert (apple.price, round(apple.change, 2), round(apple.change_percent, 2)) == (201.28, 2.15, 1.08)
    assert (apple.provenance.source, apple.provenance.as_of.ToDatetime(tzinfo=UTC)) == ("yahoo", NOW)
    assert apple.provenance.freshness == quotes_pb2.FRESHNESS_LIVE
    assert (microsoft.symbol, microsoft.name) == ("MSFT", "Microsoft Corporation")
    assert [microsoft.HasField(each) for each in ("price", "change", "change_percent", "provenance")] == [False] * 4
    assert (tata.symbol, tata.price, tata.HasField("change")) == ("NSE:TCS", 3842.5, False)
    assert tata.provenance.freshness == quotes_pb2.FRESHNESS_CLOSED
    assert await caller.get(made.id) == replaced
    await caller.delete(made.id)
    assert await caller.names() == []
    assert await refusal(caller.get(made.id)) == (
        NOT_FOUND,
        "WATCHLIST_NOT_FOUND",
        f"there is no watchlist {made.id}",
    )


async def test_tickers_that_cannot_be_leave_the_watchlist_as_it_was(market: SmallMarket, caller: Caller) -> None:
    made = await caller.create("Tech")
    await caller.replace(made.id, "AAPL")
    code, reason, details = await refusal(caller.replace(made.id, "MSFT", "nope", "two", "nada", "INVALID"))
    assert (code, reason) == (INVALID, "SYMBOLS_UNKNOWN")
    assert details.startswith("NOPE, NADA name no known instrument; ")
    assert "'TWO' could be NASDAQ:TWO or NYSE:TWO; write one of these" in details
    assert (await refusal(caller.replace(made.id, "A B")))[:2] == (INVALID, "SYMBOL_INVALID")
    assert (await refusal(caller.replace(made.id, *["AAPL"] * 201)))[:2] == (INVALID, "TOO_MANY_TICKERS")
    assert (await refusal(caller.create("\n")))[:2] == (INVALID, "NAME_INVALID")
    assert [each.symbol for each in (await caller.get(made.id)).tickers] == ["AAPL"]


async def test_two_hundred_unknown_symbols_fit_into_a_refusal(market: SmallMarket, caller: Caller) -> None:
    made = await caller.create("Tech")
    unknown = [f"NASDAQ:NONE{number}" for number in range(200)]
    code, reason, details = await refusal(caller.replace(made.id, *unknown))
    assert (code, reason) == (INVALID, "SYMBOLS_UNKNOWN")
    assert "NASDAQ:NONE0, NASDAQ:NONE1, " in details
    long = [f"NASDAQ:{'X' * 22}{number:03}" for number in range(200)]
    code, reason, details = await refusal(caller.replace(made.id, *long))
    assert (code, reason) == (INVALID, "SYMBOLS_UNKNOWN")
    assert details.count("NASDAQ:") > 70
    assert (await refusal(caller.replace(made.id, *(["☃" * 30] * 199), "é")))[:2] == (INVALID, "SYMBOL_INVALID")


async def test_five_hundred_wrong_rows_fit_into_a_refusal(market: SmallMarket, caller: Caller) -> None:
    made = await caller.create_portfolio("Growth")
    rows = [(f"{number} {'%' * 99}", "☃" * 99, "-1" * 99) for number in range(500)]
    code, reason, details = await refusal(caller.put(made.id, *rows))
    assert (code, reason) == (INVALID, "STOCKS_INVALID")
    assert "row 1 (" in details
    assert details.endswith(" more")


async def test_prices_are_asked_for_by_fifty(market: SmallMarket, caller: Caller) -> None:
    symbols = [f"NYSE:S{number}" for number in range(120)]
    for symbol in symbols:
        market.list_instrument(symbol, symbol)
        market.price(symbol, 5.0, at=NOW, currency="USD")
    made = await caller.create("Long")
    replaced = await caller.replace(made.id, *symbols)
    assert [each.symbol for each in replaced.tickers] == symbols
    assert all(each.price == 5.0 for each in replaced.tickers)
    assert sorted(map(len, market.quote_requests)) == [20, 50, 50]


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
async def test_what_is_no_price_is_not_shown(market: SmallMarket, caller: Caller, price: float) -> None:
    market.price("NASDAQ:AAPL", price, at=NOW)
    market.price("NASDAQ:MSFT", 5.0, at=NOW, freshness="UNSPECIFIED")
    market.price("NASDAQ:GOOGL", 5.0, at=NOW, previous_close=float("nan"))
    made = await caller.create("Tech")
    apple, microsoft, alphabet = (await caller.replace(made.id, "AAPL", "MSFT", "GOOGL")).tickers
    assert (apple.HasField("price"), microsoft.HasField("price")) == (False, False)
    assert (alphabet.price, alphabet.HasField("change")) == (5.0, False)


async def test_while_market_is_away_lists_are_shown_and_known_symbols_kept(market: SmallMarket, caller: Caller) -> None:
    market.price("NASDAQ:AAPL", 201.28, at=NOW)
    made = await caller.create("Tech")
    portfolio = await caller.create_portfolio("Growth")
    await caller.replace(made.id, "AAPL", "MSFT")
    market.is_down = True
    shown = await caller.get(made.id)
    assert [(each.symbol, each.name, each.HasField("price")) for each in shown.tickers] == [
        ("AAPL", "Apple Inc.", False),
        ("MSFT", "Microsoft Corporation", False),
    ]
    assert [each.symbol for each in (await caller.replace(made.id, "MSFT", "AAPL")).tickers] == ["MSFT", "AAPL"]
    assert (await refusal(caller.replace(made.id, "MSFT", "GOOGL")))[:2] == (UNAVAILABLE, "INSTRUMENTS_UNAVAILABLE")
    assert [each.symbol for each in (await caller.get(made.id)).tickers] == ["MSFT", "AAPL"]
    await caller.put(portfolio.id, ("AAPL", "1", "2"))
    refused = await refusal(caller.put(portfolio.id, ("AAPL", "3", "4"), ("GOOGL", "1", "1")))
    assert refused[:2] == (UNAVAILABLE, "INSTRUMENTS_UNAVAILABLE")
    assert (await refusal(caller.remove(portfolio.id, "GOOGL")))[:2] == (UNAVAILABLE, "INSTRUMENTS_UNAVAILABLE")
    assert stocks_in((await caller.portfolios())[0]) == [("AAPL", "NASDAQ:AAPL", "1", "2")]


async def test_a_market_that_is_not_there_at_all_takes_nothing_but_prices(caller: Caller) -> None:
    made = await caller.create("Tech")
    assert (await refusal(caller.replace(made.id, "AAPL")))[1] == "INSTRUMENTS_UNAVAILABLE"
    assert (await caller.replace(made.id)).tickers == []
    assert (await caller.get(made.id)).name == "Tech"


async def test_the_documented_portfolio_comes_out_in_decimals(market: SmallMarket, caller: Caller) -> None:
    made = await caller.create_portfolio("Growth Portfolio")
    put = await caller.put(made.id, ("AAPL", "10", "1500.00"), ("msft", "5", "1200.10"), ("GOOGL", "0.1", "0"))
    assert put.processed == 3
    assert stocks_in(put.portfolio) == [
        ("AAPL", "NASDAQ:AAPL", "10", "1500"),
        ("MSFT", "NASDAQ:MSFT", "5", "1200.1"),
        ("GOOGL", "NASDAQ:GOOGL", "0.1", "0"),
    ]
    put = await caller.put(made.id, ("MSFT", "6", "1300"))
    assert put.processed == 1
    assert stocks_in(put.portfolio)[1] == ("MSFT", "NASDAQ:MSFT", "6", "1300")
    assert await caller.portfolios() == [put.portfolio]
    assert await caller.remove(made.id, "nasdaq:msft") == "MSFT"
    assert (await refusal(caller.remove(made.id, "MSFT")))[:2] == (NOT_FOUND, "STOCK_NOT_FOUND")
    assert (await refusal(caller.remove(made.id, "A B")))[:2] == (INVALID, "SYMBOL_INVALID")
    renamed = await caller.rename(made.id, "Value Portfolio")
    assert (renamed.name, [each.symbol for each in renamed.stocks]) == ("Value Portfolio", ["AAPL", "GOOGL"])
    assert (await refusal(caller.rename(made.id, "")))[:2] == (INVALID, "NAME_INVALID")
    await caller.delete_portfolio(made.id)
    assert await caller.portfolios() == []


async def test_a_bulk_is_taken_whole_or_not_at_all(market: SmallMarket, caller: Caller) -> None:
    made = await caller.create_portfolio("Growth")
    await caller.put(made.id, ("AAPL", "10", "1500"))
    rows = [("AAPL", "1", "1"), ("nope", "1", "1"), ("MSFT", "NaN", "-1"), ("NASDAQ:AAPL", "2", "2")]
    code, reason, details = await refusal(caller.put(made.id, *rows))
    assert (code, reason) == (INVALID, "STOCKS_INVALID")
    assert "row 2 (NOPE): it names no known instrument; row 3" in details
    assert "row 3 (MSFT): quantity 'NaN' cannot be" in details
    assert "total_cost '-1' is below 0" in details
    assert "row 4 (NASDAQ:AAPL): it is the same stock as row 1 (AAPL)" in details
    market.list_instrument("NSE:TCS", "Tata Consultancy Services Limited")
    assert (await refusal(caller.put(made.id, ("TCS", "1", "1"))))[2].endswith(
        "row 1 (TCS): it is not listed in this market; write NSE:TCS if that is meant"
    )
    assert (await refusal(caller.put(made.id)))[:2] == (INVALID, "STOCKS_EMPTY")
    assert (await refusal(caller.put(made.id, *[("AAPL", "1", "1")] * 501)))[:2] == (INVALID, "TOO_MANY_STOCKS")
    assert stocks_in((await caller.portfolios())[0]) == [("AAPL", "NASDAQ:AAPL", "10", "1500")]


async def test_another_users_things_are_not_found(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    mine, other = Caller(channel, "7"), Caller(channel, "8")
    watchlist, portfolio = await mine.create("Mine"), await mine.create_portfolio("Mine")
    lists = (other.get(watchlist.id), other.replace(watchlist.id, "AAPL"), other.delete(watchlist.id))
    own = (
        other.rename(portfolio.id, "Theirs"),
        other.put(portfolio.id, ("AAPL", "1", "1")),
        other.remove(portfolio.id, "AAPL"),
        other.delete_portfolio(portfolio.id),
    )
    for calls, thing in ((lists, "WATCHLIST_NOT_FOUND"), (own, "PORTFOLIO_NOT_FOUND")):
        for call in calls:
            assert (await refusal(call))[:2] == (NOT_FOUND, thing)
    assert (await other.names(), await other.portfolios()) == ([], [])
    assert (await mine.names(), [each.name for each in await mine.portfolios()]) == ([(watchlist.id, "Mine")], ["Mine"])


async def test_many_writers_on_two_replicas_lose_nothing(
    market: SmallMarket, settings: Settings, tmp_path: Path
) -> None:
    symbols = [f"NYSE:S{number}" for number in range(40)]
    for symbol in symbols:
        market.list_instrument(symbol, symbol)
    second = settings.model_copy(update={"portfolio_address": f"127.0.0.1:{free_port()}"})
    async with AsyncExitStack() as stack:
        callers = []
        for each in (settings, second):
            await stack.enter_async_context(build(each, ManualClock(NOW)))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(each.portfolio_address))
            callers.append(Caller(channel))
        portfolio = await callers[0].create_portfolio("Growth")
        watchlist = await callers[0].create("Tech")

        async def write(number: int) -> None:
            writer, reader = callers[number % 2], callers[(number + 1) % 2]
            symbol = symbols[number]
            made = await writer.create(symbol)
            await writer.put(portfolio.id, (symbol, f"{number + 1}", "1"))
            await writer.replace(watchlist.id, symbol, *symbols[:number])
            # What was acknowledged by one replica is there at once on the other.
            assert (made.id, symbol) in await reader.names()
            (found,) = await reader.portfolios()
            assert symbol in [each.symbol for each in found.stocks]

        await asyncio.gather(*map(write, range(40)))
        (found,) = await callers[1].portfolios()
        assert sorted((each.symbol, each.quantity) for each in found.stocks) == sorted(
            (symbol, f"{number}") for number, symbol in enumerate(symbols, 1)
        )
        ids = [each for each, _ in await callers[0].names()]
        assert (len(ids), len(set(ids))) == (41, 41)
        left = [each.symbol for each in (await callers[1].get(watchlist.id)).tickers]
        number = symbols.index(left[0])
        assert left == [symbols[number], *symbols[:number]]


async def tell(client: Client, user_id: str, deleted_at: datetime, message_id: str = "") -> None:
    event = UserDeleted(user_id=user_id)
    event.deleted_at.FromDatetime(deleted_at)
    headers = {"Nats-Msg-Id": message_id or f"user_deleted:{user_id}"}
    await client.jetstream().publish(SUBJECT, event.SerializeToString(), headers=headers)


async def wait_until_followed(channel: grpc.aio.Channel) -> None:
    """Wait until portfolio says that it hears deletions."""
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="deletions")
    async with asyncio.timeout(20):
        while (await health.Check(request, timeout=5)).status != SERVING:
            await asyncio.sleep(0.02)


async def wait_until_heard(client: Client, delivered: int) -> None:
    """Wait until so many events were delivered and none waits for its acknowledgement."""
    async with asyncio.timeout(20):
        while True:
            info = await client.jetstream().consumer_info(STREAM, DURABLE)
            assert info.delivered is not None
            if info.delivered.consumer_seq >= delivered and not info.num_ack_pending and not info.num_pending:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def told(settings: Settings, nats: NatsServer) -> Settings:
    return settings.model_copy(update={"nats_url": SecretStr(nats.url)})


async def fill(channel: grpc.aio.Channel, user_id: str, at: datetime) -> None:
    caller = Caller(channel, user_id)
    await caller.replace((await caller.create("Tech")).id, "AAPL")
    await caller.put((await caller.create_portfolio("Growth")).id, ("AAPL", "1", "1"))
    syncs = syncs_pb2_grpc.SyncedPortfolioServiceStub(channel)
    await syncs.ReplaceBrokerRows(sync_request(holding(), user_id=user_id, synced_at=at), timeout=20)


async def kept_of(channel: grpc.aio.Channel, user_id: str) -> tuple[int, int, int]:
    caller = Caller(channel, user_id)
    holdings = holdings_pb2_grpc.HoldingServiceStub(channel)
    held = await holdings.ListHoldings(holdings_pb2.ListHoldingsRequest(user_id=user_id), timeout=20)
    return len(await caller.names()), len(await caller.portfolios()), len(held.holdings)


async def test_with_the_account_all_goes_also_what_was_told_while_portfolio_was_down(
    market: SmallMarket, told: Settings, nats: NatsServer
) -> None:
    clock = ManualClock(NOW)
    client = await connect(nats.url)
    async with build(told, clock), grpc.aio.insecure_channel(told.portfolio_address) as channel:
        for user_id in ("7", "8", "sub-9"):
            await fill(channel, user_id, NOW)
        await wait_until_followed(channel)
        await tell(client, "7", NOW + SECOND)
        await wait_until_heard(client, 1)
        assert await kept_of(channel, "7") == (0, 0, 0)
        assert await kept_of(channel, "8") == (1, 1, 1)
        assert (await refusal(Caller(channel, "7").create("Late")))[:2] == (NOT_FOUND, "ACCOUNT_DELETED")
    await client.jetstream().publish(SUBJECT, b"\xff no event")
    await tell(client, "", NOW)
    await tell(client, "sub-9", NOW + SECOND)
    async with build(told, clock), grpc.aio.insecure_channel(told.portfolio_address) as channel:
        await wait_until_heard(client, 4)
        assert await kept_of(channel, "sub-9") == (0, 0, 0)
        assert await kept_of(channel, "8") == (1, 1, 1)
        # The same person signs in with Google again; the deletion is told once more.
        await clock.advance((LATE_REQUESTS + timedelta(minutes=1)).total_seconds())
        await fill(channel, "sub-9", clock.now())
        await tell(client, "sub-9", NOW + SECOND, "told again")
        await wait_until_heard(client, 5)
        assert await kept_of(channel, "sub-9") == (1, 1, 1)
    await client.close()


async def test_a_deletion_told_to_a_server_that_lost_its_memory_of_us_is_heard(
    market: SmallMarket, told: Settings, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.event_reader.FETCH_SECONDS", 0.1)
    monkeypatch.setattr("chassis.event_reader.RETRY_SECONDS", 0.1)
    client = await connect(nats.url)
    async with build(told, ManualClock(NOW)), grpc.aio.insecure_channel(told.portfolio_address) as channel:
        await fill(channel, "7", NOW)
        await wait_until_followed(channel)
        await client.jetstream().delete_consumer(STREAM, DURABLE)
        await tell(client, "7", NOW)
        async with asyncio.timeout(20):
            while await kept_of(channel, "7") != (0, 0, 0):
                await asyncio.sleep(0.02)
    await client.close()


async def test_a_deletion_that_could_not_be_written_is_heard_again(
    market: SmallMarket, told: Settings, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.event_reader.RETRY_SECONDS", 0.1)
    failures = [DatabaseUnavailable(), ZeroDivisionError(), None]
    delete_account = StoredAccounts.delete_account

    async def fail_at_first(accounts: StoredAccounts, user_id: str, *, through: datetime) -> None:
        if (failure := failures.pop(0)) is not None:
            raise failure
        await delete_account(accounts, user_id, through=through)

    monkeypatch.setattr(StoredAccounts, "delete_account", fail_at_first)
    client = await connect(nats.url)
    async with build(told, ManualClock(NOW)), grpc.aio.insecure_channel(told.portfolio_address) as channel:
        await fill(channel, "7", NOW)
        await wait_until_followed(channel)
        await tell(client, "7", NOW)
        async with asyncio.timeout(20):
            while await kept_of(channel, "7") != (0, 0, 0):
                await asyncio.sleep(0.02)
    assert failures == []
    await client.close()


@pytest.fixture
def start(settings: Settings, database_url: str) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    environment = {
        **os.environ,
        "RUN_DIR": str(settings.run_dir),
        "PORTFOLIO_ADDRESS": settings.portfolio_address,
        "PORTFOLIO_DATABASE_URL": database_url,
        "NATS_URL": settings.nats_url.get_secret_value(),
        "MARKET_ADDRESS": settings.market_address,
    }
    started: list[subprocess.Popen[bytes]] = []

    def start_one() -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen(python_module("portfolio"), env=environment))
        return started[-1]

    yield start_one
    for process in started:
        stop_process(process)


async def write_until_dead(caller: Caller, ids: tuple[int, int], first: int, acknowledged: list[int]) -> None:
    """Put one number after the other into every stock of a portfolio, and as many tickers into a watchlist."""
    portfolio_id, watchlist_id = ids
    for number in range(first, first + 10_000):
        try:
            await caller.put(portfolio_id, *((f"NYSE:S{row}", f"{number}", f"{number}") for row in range(100)))
            await caller.replace(watchlist_id, *(f"NYSE:S{row}" for row in range(1 + number % 100)))
        except grpc.aio.AioRpcError:
            return
        acknowledged.append(number)


async def test_a_killed_process_leaves_whole_writes_no_older_than_what_it_acknowledged(
    market: SmallMarket, settings: Settings, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    for row in range(100):
        market.list_instrument(f"NYSE:S{row}", f"S{row}")
    acknowledged: list[int] = []
    ids = (0, 0)
    for kill in range(3):
        process = start()
        async with grpc.aio.insecure_channel(settings.portfolio_address) as channel:
            caller = Caller(channel)
            if kill == 0:
                ids = ((await caller.create_portfolio("Growth")).id, (await caller.create("Tech")).id)
            else:
                await _check(caller, ids, acknowledged)
            writing = asyncio.create_task(write_until_dead(caller, ids, (kill + 1) * 10_000, acknowledged))
            done = len(acknowledged) + 4
            while len(acknowledged) < done:
                assert not writing.done()
                await asyncio.sleep(0.001)
            # Each death falls into another part of a write.
            await asyncio.sleep(0.01 * kill)
            process.send_signal(signal.SIGKILL)
            await writing
        process.wait(10)
    start()
    async with grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        await _check(Caller(channel), ids, acknowledged)


async def _check(caller: Caller, ids: tuple[int, int], acknowledged: list[int]) -> None:
    (portfolio,) = await caller.portfolios()
    assert (portfolio.id, len(portfolio.stocks)) == (ids[0], 100)
    (number,) = {int(each.quantity) for each in portfolio.stocks} | {int(each.total_cost) for each in portfolio.stocks}
    last = max(acknowledged)
    assert number in (last, last + 1)
    tickers = [each.symbol for each in (await caller.get(ids[1])).tickers]
    assert tickers == [f"NYSE:S{row}" for row in range(len(tickers))]
    assert len(tickers) - 1 in (last % 100, number % 100)
