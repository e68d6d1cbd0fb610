"""Portfolio as its callers see it: gRPC in front, a real database behind, market and NATS beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import nats.errors
import nats.js.errors
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats import connect
from pydantic import SecretStr

from bourse.brokers.v1 import brokers_pb2
from bourse.market.v1 import quotes_pb2
from bourse.portfolio.v1 import (
    events_pb2,
    holdings_pb2,
    holdings_pb2_grpc,
    pnl_pb2,
    pnl_pb2_grpc,
    positions_pb2,
    positions_pb2_grpc,
    syncs_pb2,
    syncs_pb2_grpc,
)
from chassis.clock import ManualClock
from chassis.rpc_client import reason_of
from chassis.testing import NatsServer, free_port
from portfolio.app import build
from portfolio.settings import Settings
from portfolio.testing import SmallMarket, holding, position, sync_request

# A Thursday, 11:00 in India.
NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
SERVING = health_pb2.HealthCheckResponse.SERVING
ZERODHA, ICICI = brokers_pb2.BROKER_ZERODHA, brokers_pb2.BROKER_ICICI


class Caller:
    """Speaks to portfolio as brokers and the gateway do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._syncs = syncs_pb2_grpc.SyncedPortfolioServiceStub(channel)
        self._holdings = holdings_pb2_grpc.HoldingServiceStub(channel)
        self._positions = positions_pb2_grpc.PositionServiceStub(channel)
        self._pnl = pnl_pb2_grpc.PnlServiceStub(channel)

    async def replace(self, request: syncs_pb2.ReplaceBrokerRowsRequest) -> syncs_pb2.ReplaceBrokerRowsResponse:
        answer: syncs_pb2.ReplaceBrokerRowsResponse = await self._syncs.ReplaceBrokerRows(request, timeout=10)
        return answer

    async def delete(self, user_id: str = "7") -> syncs_pb2.DeleteSyncedDataResponse:
        request = syncs_pb2.DeleteSyncedDataRequest(user_id=user_id)
        answer: syncs_pb2.DeleteSyncedDataResponse = await self._syncs.DeleteSyncedData(request, timeout=10)
        return answer

    async def holdings(self, user_id: str = "7") -> holdings_pb2.ListHoldingsResponse:
        request = holdings_pb2.ListHoldingsRequest(user_id=user_id)
        answer: holdings_pb2.ListHoldingsResponse = await self._holdings.ListHoldings(request, timeout=10)
        return answer

    async def positions(self, user_id: str = "7", type: int = 0) -> positions_pb2.ListPositionsResponse:  # noqa: A002
        request = positions_pb2.ListPositionsRequest(user_id=user_id, type=type)  # type: ignore[arg-type]
        answer: positions_pb2.ListPositionsResponse = await self._positions.ListPositions(request, timeout=10)
        return answer

    async def pnl(self, days: int = 30, user_id: str = "7") -> pnl_pb2.GetPnlResponse:
        request = pnl_pb2.GetPnlRequest(user_id=user_id, days=days)
        answer: pnl_pb2.GetPnlResponse = await self._pnl.GetPnl(request, timeout=10)
        return answer


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str | None, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), reason_of(raised.value), raised.value.details() or ""


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
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def market(settings: Settings) -> AsyncIterator[SmallMarket]:
    market = SmallMarket()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    async with market.serving(settings.market_address):
        yield market


@pytest.fixture
async def caller(settings: Settings, clock: ManualClock) -> AsyncIterator[Caller]:
    async with build(settings, clock), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        yield Caller(channel)


async def test_the_documented_example_comes_out_to_the_paisa(market: SmallMarket, caller: Caller) -> None:
    market.price("NSE:TCS", 3842.5, at=NOW, previous_close=3800.0)
    stored = await caller.replace(
        sync_request(
            holding("TCS", "10", average_price="3600", last_price="3840", pnl="2400"),
            positions=(position("INFY", "0", buy_value="100", sell_value="150.5"),),
            synced_at=NOW - SECOND,
        )
    )
    assert (stored.holdings_count, stored.positions_count, stored.net_positions_count) == (1, 1, 1)
    answer = await caller.holdings()
    (row,) = answer.holdings
    assert (row.instrument, row.quantity, row.average_price, row.last_price) == ("NSE:TCS", "10", "3600", "3842.5")
    assert (row.invested, row.current_value, row.pnl, row.pnl_percent) == ("36000.00", "38425.00", "2425.00", "6.74")
    assert (row.day_change, row.day_change_percent) == ("425.00", "1.12")
    assert (row.broker_pnl, row.pnl_difference) == ("2400.00", "25.00")
    assert [(part.reason, part.amount) for part in row.pnl_differences] == [("price_time", "25.00")]
    assert row.split_factor == "1"
    assert row.provenance.freshness == quotes_pb2.FRESHNESS_LIVE
    assert row.provenance.source == "zerodha"
    assert answer.is_synced
    assert (answer.summary.total_invested, answer.summary.total_current_value) == ("36000.00", "38425.00")
    assert (answer.summary.total_pnl, answer.summary.total_pnl_percent) == ("2425.00", "6.74")
    assert (answer.summary.total_day_change, answer.summary.day_unvalued_count) == ("425.00", 0)
    assert [(sync.broker, sync.synced_at.ToDatetime(tzinfo=UTC)) for sync in answer.syncs] == [(ZERODHA, NOW - SECOND)]


async def test_who_never_synced_has_nothing_and_is_told_so(market: SmallMarket, caller: Caller) -> None:
    holdings = await caller.holdings("nobody")
    assert not holdings.is_synced
    assert (len(holdings.holdings), holdings.summary.total_pnl) == (0, "0.00")
    assert not holdings.summary.HasField("total_pnl_percent")
    positions = await caller.positions("nobody")
    assert (positions.is_synced, positions.summary.total_pnl) == (False, "0.00")
    pnl = await caller.pnl(user_id="nobody")
    assert (pnl.is_synced, len(pnl.trend), pnl.summary.total_invested) == (False, 0, "0.00")
    assert market.quote_requests == []


async def test_a_sync_replaces_its_own_brokers_rows_alone(market: SmallMarket, caller: Caller) -> None:
    await caller.replace(sync_request(holding("TCS"), holding("INFY"), synced_at=NOW - 60 * SECOND))
    await caller.replace(sync_request(holding("ITC"), broker=ICICI, synced_at=NOW - 50 * SECOND))
    await caller.replace(sync_request(holding("SBIN"), synced_at=NOW - 40 * SECOND))
    held = [(row.broker, row.tradingsymbol) for row in (await caller.holdings()).holdings]
    assert held == [(ICICI, "ITC"), (ZERODHA, "SBIN")]


async def test_the_same_sync_again_changes_nothing_and_answers_the_same(market: SmallMarket, caller: Caller) -> None:
    request = sync_request(holding("TCS"), synced_at=NOW - SECOND)
    first = await caller.replace(request)
    assert await caller.replace(request) == first
    assert len((await caller.holdings()).holdings) == 1


async def test_a_sync_that_began_earlier_is_refused(market: SmallMarket, caller: Caller) -> None:
    await caller.replace(sync_request(holding("TCS"), synced_at=NOW))
    late = sync_request(holding("INFY"), started_at=NOW - 9 * SECOND, synced_at=NOW)
    code, reason, _ = await refusal(caller.replace(late))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "SYNC_SUPERSEDED")
    assert [row.tradingsymbol for row in (await caller.holdings()).holdings] == ["TCS"]


async def test_a_deletion_leaves_nothing_and_refuses_what_began_before(market: SmallMarket, caller: Caller) -> None:
    synced = sync_request(holding("TCS"), holding("INFY"), positions=(position(),), synced_at=NOW - SECOND)
    await caller.replace(synced)
    await caller.replace(sync_request(holding("ITC"), user_id="8", synced_at=NOW - SECOND))
    counts = await caller.delete()
    assert (counts.holdings_count, counts.positions_count, counts.snapshots_count) == (2, 1, 1)
    assert not (await caller.holdings()).is_synced
    assert (await caller.pnl()).trend == []
    assert (await refusal(caller.replace(synced)))[1] == "SYNC_SUPERSEDED"
    assert await caller.delete() == syncs_pb2.DeleteSyncedDataResponse()
    assert (await caller.holdings("8")).is_synced


async def test_after_a_deletion_a_later_sync_is_welcome(
    market: SmallMarket, caller: Caller, clock: ManualClock
) -> None:
    await caller.delete()
    await clock.advance(10)
    await caller.replace(sync_request(holding("TCS"), synced_at=NOW + 5 * SECOND))
    assert (await caller.holdings()).is_synced


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (sync_request(holding(quantity="ten"), synced_at=NOW), "holdings[0].quantity"),
        (sync_request(holding(), holding(average_price="-1"), synced_at=NOW), "holdings[1].average_price"),
        (sync_request(positions=(position(multiplier="0"),), synced_at=NOW), "positions[0].multiplier"),
        (sync_request(positions=(position(type=0),), synced_at=NOW), "positions[0].type"),
        (sync_request(sync_id="first", synced_at=NOW), "sync_id"),
        (sync_request(broker=brokers_pb2.BROKER_UNSPECIFIED, synced_at=NOW), "broker"),
        (sync_request(synced_at=NOW + DAY), "synced_at"),
        (sync_request(synced_at=NOW, started_at=NOW + SECOND), "synced_at"),
        (syncs_pb2.ReplaceBrokerRowsRequest(broker=ZERODHA), "started_at"),
        (
            syncs_pb2.ReplaceBrokerRowsRequest(broker=ZERODHA, started_at=Timestamp(seconds=10**15)),
            "started_at",
        ),
        (sync_request(*[holding()] * 5_001, synced_at=NOW), "holdings"),
    ],
)
async def test_rows_that_cannot_be_are_refused_by_name(
    market: SmallMarket, caller: Caller, request_: syncs_pb2.ReplaceBrokerRowsRequest, where: str
) -> None:
    code, reason, message = await refusal(caller.replace(request_))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ROWS_INVALID")
    assert message.startswith(f"{where}: ")
    assert not (await caller.holdings()).is_synced


async def test_a_market_that_is_away_leaves_the_brokers_prices(caller: Caller) -> None:
    await caller.replace(sync_request(holding(average_price="3600", last_price="3840"), synced_at=NOW - SECOND))
    (row,) = (await caller.holdings()).holdings
    assert (row.last_price, row.current_value, row.pnl) == ("3840", "38400.00", "2400.00")
    assert (row.provenance.source, row.provenance.freshness) == ("zerodha", quotes_pb2.FRESHNESS_STALE)
    assert row.provenance.as_of.ToDatetime(tzinfo=UTC) == NOW - SECOND


async def test_a_simulated_price_never_stands_in_for_a_real_one(market: SmallMarket, caller: Caller) -> None:
    market.price("NSE:TCS", 1.0, at=NOW, freshness="SIMULATED", source="sample")
    rows = (holding(average_price="3600", last_price="3840"),)
    await caller.replace(sync_request(*rows, synced_at=NOW - SECOND))
    await caller.replace(sync_request(*rows, broker=ICICI, is_simulated=True, synced_at=NOW - SECOND))
    simulated, real = (await caller.holdings()).holdings
    assert (real.last_price, real.provenance.freshness) == ("3840", quotes_pb2.FRESHNESS_STALE)
    assert (simulated.last_price, simulated.provenance.freshness) == ("1.0", quotes_pb2.FRESHNESS_SIMULATED)
    assert (simulated.provenance.source, simulated.is_simulated) == ("sample", True)


async def test_positions_are_open_or_closed_net_or_day(market: SmallMarket, caller: Caller) -> None:
    net_open = position("NIFTY26MARFUT", "-75", exchange="NFO", average_price="100", last_price="90", pnl="750")
    net_closed = position("INFY", "0", buy_value="1000", sell_value="1100.25", expiry="2026-03-26")
    day_open = position("TCS", "5", type=syncs_pb2.POSITION_TYPE_DAY, average_price="10", last_price="11.5")
    await caller.replace(sync_request(positions=(net_open, net_closed, day_open), synced_at=NOW - SECOND))
    both = await caller.positions()
    assert [row.tradingsymbol for row in both.positions] == ["NIFTY26MARFUT", "TCS"]
    assert [(row.tradingsymbol, row.expiry) for row in both.closed] == [("INFY", "2026-03-26")]
    assert [row.pnl for row in (*both.positions, *both.closed)] == ["750.00", "7.50", "100.25"]
    assert (both.summary.total_pnl, both.summary.day_pnl) == ("850.25", "7.50")
    assert not both.positions[0].pnl_differences
    day = await caller.positions(type=syncs_pb2.POSITION_TYPE_DAY)
    assert ([row.tradingsymbol for row in day.positions], len(day.closed)) == (["TCS"], 0)
    assert day.summary == both.summary
    assert all("NFO" not in symbol for symbols in market.quote_requests for symbol in symbols)


async def test_units_and_prices_of_both_sides_of_a_split_agree(market: SmallMarket, caller: Caller) -> None:
    market.split("NSE:TCS", "2026-03-12", 2, 1)
    market.price("NSE:TCS", 1900.0, at=NOW, previous_close=1880.0)
    rows = (holding(average_price="3600", last_price="3700", pnl="1000"),)
    await caller.replace(sync_request(*rows, synced_at=NOW - DAY))
    (row,) = (await caller.holdings()).holdings
    assert (row.quantity, row.average_price, row.split_factor) == ("20", "1800", "2")
    assert (row.invested, row.current_value, row.pnl, row.day_change) == ("36000.00", "38000.00", "2000.00", "400.00")
    parts = {part.reason: part.amount for part in row.pnl_differences}
    assert parts == {"price_time": "-18000.00", "corporate_action": "19000.00"}


async def test_a_sync_on_the_ex_date_is_not_adjusted_again(market: SmallMarket, caller: Caller) -> None:
    market.split("NSE:TCS", "2026-03-12", 2, 1)
    market.price("NSE:TCS", 1900.0, at=NOW)
    await caller.replace(sync_request(holding(quantity="20", average_price="1800"), synced_at=NOW - SECOND))
    (row,) = (await caller.holdings()).holdings
    assert (row.quantity, row.current_value, row.split_factor) == ("20", "38000.00", "1")


async def test_the_trend_has_the_days_that_were_synced(market: SmallMarket, caller: Caller, clock: ManualClock) -> None:
    bought = {"average_price": "100"}
    await caller.replace(sync_request(holding(last_price="110", **bought), synced_at=NOW - SECOND))
    await caller.replace(sync_request(holding(last_price="90", **bought), broker=ICICI, synced_at=NOW))
    await clock.advance(2 * 86_400)
    third = NOW + 2 * DAY - SECOND
    await caller.replace(sync_request(holding(last_price="120", **bought), synced_at=third))
    answer = await caller.pnl(3)
    assert [point.date for point in answer.trend] == ["2026-03-12", "2026-03-14"]
    first, last = answer.trend
    assert (first.total_invested, first.total_current_value, first.total_pnl) == ("2000.00", "2000.00", "0.00")
    assert list(first.brokers) == [ICICI, ZERODHA]
    assert (last.total_pnl, last.total_pnl_percent, list(last.brokers)) == ("200.00", "20.00", [ZERODHA])
    assert last.taken_at.ToDatetime(tzinfo=UTC) == third
    assert (answer.days, answer.summary.total_pnl) == (3, "100.00")
    assert (answer.summary.HasField("day_change"), answer.summary.day_unvalued_count) == (False, 2)
    assert [point.date for point in (await caller.pnl(2)).trend] == ["2026-03-14"]


@pytest.mark.parametrize("days", [0, -1, 366])
async def test_a_trend_of_other_days_is_refused(market: SmallMarket, caller: Caller, days: int) -> None:
    code, reason, _ = await refusal(caller.pnl(days))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DAYS_INVALID")


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\nb"])
async def test_nobody_with_such_an_id_is_refused(market: SmallMarket, caller: Caller, user_id: str) -> None:
    for call in (caller.holdings(user_id), caller.positions(user_id), caller.pnl(3, user_id), caller.delete(user_id)):
        assert (await refusal(call))[1] == "USER_ID_INVALID"


async def test_readers_at_once_ask_market_once(market: SmallMarket, caller: Caller) -> None:
    for number in range(120):
        market.price(f"NSE:S{number}", 10.0, at=NOW)
    rows = [holding(f"S{number}", average_price="9") for number in range(120)]
    await caller.replace(sync_request(*rows, synced_at=NOW - SECOND))
    answers = await asyncio.gather(*(caller.holdings() for _ in range(10)))
    assert {answer.summary.total_current_value for answer in answers} == {"12000.00"}
    assert [len(symbols) for symbols in market.quote_requests] == [50, 50, 20]


async def test_after_the_close_the_day_is_kept_at_its_sessions_prices(
    market: SmallMarket, settings: Settings, clock: ManualClock
) -> None:
    market.session(NOW.replace(hour=3, minute=45))
    closes = NOW.replace(hour=10, minute=0)
    market.price("NSE:TCS", 120.0, at=closes, freshness="CLOSED")
    async with build(settings, clock), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        caller = Caller(channel)
        row = holding(average_price="100", last_price="110")
        await caller.replace(sync_request(row, synced_at=NOW - SECOND))
        (point,) = (await caller.pnl()).trend
        assert point.total_pnl == "100.00"
        while (point := (await caller.pnl()).trend[0]).total_pnl != "200.00":
            await clock.advance(600)
        assert closes + timedelta(seconds=1_800) <= point.taken_at.ToDatetime(tzinfo=UTC) <= clock.now()


async def test_a_sync_in_the_evening_takes_the_place_of_the_days_snapshot_until_it_is_taken_anew(
    market: SmallMarket, settings: Settings, clock: ManualClock
) -> None:
    market.session(NOW.replace(hour=3, minute=45))
    market.price("NSE:TCS", 120.0, at=NOW.replace(hour=10, minute=0), freshness="CLOSED")
    async with build(settings, clock), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        caller = Caller(channel)
        row = holding(average_price="100", last_price="110")
        await caller.replace(sync_request(row, synced_at=NOW - SECOND))
        while (await caller.pnl()).trend[0].total_pnl != "200.00":
            await clock.advance(600)
        # What was sold after the first sync is not there any more.
        left = holding(quantity="4", average_price="100", last_price="119")
        await caller.replace(sync_request(left, synced_at=clock.now()))
        (point,) = (await caller.pnl()).trend
        assert (point.total_invested, point.total_pnl) == ("400.00", "76.00")
        async with asyncio.timeout(15):
            while (point := (await caller.pnl()).trend[0]).total_pnl != "80.00":
                await clock.advance(600)
        assert point.total_invested == "400.00"


async def test_health_names_what_it_is_made_of(market: SmallMarket, caller: Caller) -> None:
    health = health_pb2_grpc.HealthStub(caller.channel)

    async def status(name: str) -> int:
        return int((await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status)

    async with asyncio.timeout(20):
        while await status("market") != SERVING:
            await asyncio.sleep(0.05)
    assert await status("database") == SERVING
    assert await status("nats") != SERVING
    assert await status("") == SERVING


async def test_nats_away_holds_nobody_up_and_the_event_arrives_later(
    nats: NatsServer, settings: Settings, clock: ManualClock
) -> None:
    nats.kill()
    settings = settings.model_copy(update={"nats_url": SecretStr(nats.url)})
    async with build(settings, clock), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        request = sync_request(holding(), positions=(position(),), synced_at=NOW)
        await Caller(channel).replace(request)
        health = health_pb2_grpc.HealthStub(channel)
        overall = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert overall.status == SERVING
        nats.start()
        client = await connect(nats.url)
        event = await _event(client)
        await client.close()
    assert event.headers == {"Nats-Msg-Id": request.sync_id}
    told = events_pb2.PortfolioSynced.FromString(event.data)
    assert (told.user_id, told.broker, told.sync_id) == ("7", ZERODHA, request.sync_id)
    assert (told.holdings_count, told.positions_count) == (1, 1)


async def _event(client: Any) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.jetstream().get_last_msg("EVENTS", "events.portfolio.synced")
            except (nats.errors.Error, nats.js.errors.Error):
                await asyncio.sleep(0.05)
