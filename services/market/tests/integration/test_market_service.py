"""Market as its callers see it: gRPC in front, a real database and a real NATS behind."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from pydantic import SecretStr

from bourse.market.v1 import (
    calendars_pb2,
    calendars_pb2_grpc,
    corporate_actions_pb2,
    corporate_actions_pb2_grpc,
    instruments_pb2,
    instruments_pb2_grpc,
    quotes_pb2,
    quotes_pb2_grpc,
    snapshot_pb2,
    snapshot_pb2_grpc,
    ticks_pb2,
)
from chassis.rpc_client import reason_of
from chassis.testing import NatsServer, free_port
from market.app import build, migrate
from market.providers.splits.file import SplitsFileInvalid
from market.settings import Settings

CACHE_POLICY = ("cache-control", "public, max-age=1, stale-while-revalidate=5, stale-if-error=60")

SERVING = health_pb2.HealthCheckResponse.SERVING
INDIA, UNITED_STATES = quotes_pb2.LISTING_INDIA, quotes_pb2.LISTING_UNITED_STATES


@pytest.fixture
def settings(nats: NatsServer, database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(nats.url),
        market_address=f"127.0.0.1:{free_port()}",
        market_database_url=SecretStr(database_url),
        market_providers=("sample",),
        sample_always_open=True,
    )


@pytest.fixture
async def channel(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    async with build(settings), grpc.aio.insecure_channel(settings.market_address) as channel:
        yield channel


async def quotes(
    channel: grpc.aio.Channel, *symbols: str, listing: quotes_pb2.Listing.ValueType = INDIA
) -> quotes_pb2.GetQuotesResponse:
    request = quotes_pb2.GetQuotesRequest(symbols=symbols, listing=listing)
    response: quotes_pb2.GetQuotesResponse = await quotes_pb2_grpc.QuoteServiceStub(channel).GetQuotes(request)
    return response


async def refusal(call: "asyncio.Future[object]") -> tuple[grpc.StatusCode, str | None, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), reason_of(raised.value), raised.value.details() or ""


async def test_everything_it_offers_works_from_the_first_moment(channel: grpc.aio.Channel) -> None:
    snapshots = snapshot_pb2_grpc.SnapshotServiceStub(channel)
    call = snapshots.GetSnapshot(snapshot_pb2.GetSnapshotRequest())
    snapshot = await call
    assert CACHE_POLICY in list(await call.initial_metadata())
    for level in (snapshot.nifty, snapshot.bank_nifty, snapshot.sensex):
        assert level.price > 0
        assert level.provenance.freshness == quotes_pb2.FRESHNESS_SIMULATED
    assert snapshot.provenance.source == "sample"
    assert len(snapshot.sectors) >= 10
    assert snapshot.signals
    assert all(signal.instrument.startswith("NSE:") for signal in snapshot.signals)
    assert {signal.session for signal in snapshot.signals} == {snapshot.signals[0].session}

    quoting = quotes_pb2_grpc.QuoteServiceStub(channel).GetQuotes(
        quotes_pb2.GetQuotesRequest(symbols=["tcs", "BSE:HDFCBANK", "NSE:NOSUCH"], listing=INDIA)
    )
    answer = await quoting
    assert CACHE_POLICY in list(await quoting.initial_metadata())
    assert [(each.symbol, each.instrument, each.currency) for each in answer.quotes] == [
        ("tcs", "NSE:TCS", "INR"),
        ("BSE:HDFCBANK", "BSE:HDFCBANK", "INR"),
    ]
    assert [(each.symbol, each.code) for each in answer.missing] == [("NSE:NOSUCH", "SYMBOL_UNKNOWN")]
    age = datetime.now(UTC) - answer.quotes[0].provenance.as_of.ToDatetime(tzinfo=UTC)
    assert age < timedelta(seconds=5)
    assert answer.quotes[0].provenance.freshness == quotes_pb2.FRESHNESS_SIMULATED
    assert abs(answer.quotes[0].change) > 0

    resolve = instruments_pb2_grpc.InstrumentServiceStub(channel).ResolveInstrument
    resolved = await resolve(instruments_pb2.ResolveInstrumentRequest(symbol="aapl", listing=UNITED_STATES))
    assert (resolved.instrument.id, resolved.instrument.name) == ("NASDAQ:AAPL", "Apple Inc.")

    health = health_pb2_grpc.HealthStub(channel)
    for check in ("", "database", "nats", "feed", "warmer:index:snapshot"):
        status = await health.Check(health_pb2.HealthCheckRequest(service=check))
        assert status.status == SERVING, check


async def test_a_second_start_says_the_same(settings: Settings) -> None:
    answers = []
    for _ in range(2):
        async with build(settings), grpc.aio.insecure_channel(settings.market_address) as channel:
            stub = snapshot_pb2_grpc.SnapshotServiceStub(channel)
            snapshot = await stub.GetSnapshot(snapshot_pb2.GetSnapshotRequest())
            answers.append([signal.SerializeToString() for signal in snapshot.signals])
    assert answers[0] == answers[1]
    assert answers[0]


async def test_migrate_makes_the_schema(settings: Settings) -> None:
    await migrate(settings)
    async with build(settings.model_copy(update={"market_migrate_on_start": False})):
        pass


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_cannot_be_answered_is_refused_with_its_reason(channel: grpc.aio.Channel) -> None:
    refused = [
        (quotes(channel), grpc.StatusCode.INVALID_ARGUMENT, "SYMBOLS_EMPTY"),
        (quotes(channel, *["TCS"] * 51), grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_SYMBOLS"),
        (quotes(channel, "TCS", "N\x00E:TCS"), grpc.StatusCode.INVALID_ARGUMENT, "SYMBOL_INVALID"),
        (
            quotes(channel, "TCS", listing=quotes_pb2.LISTING_UNSPECIFIED),
            grpc.StatusCode.INVALID_ARGUMENT,
            "SYMBOL_INVALID",
        ),
        (quotes(channel, "NSE:NOSUCH", "NSE:NONE"), grpc.StatusCode.NOT_FOUND, "SYMBOL_UNKNOWN"),
    ]
    for call, code, reason in refused:
        assert (await refusal(asyncio.ensure_future(call)))[:2] == (code, reason)
    resolve = instruments_pb2_grpc.InstrumentServiceStub(channel).ResolveInstrument
    for symbol, code, reason in (
        ("NOSUCH", grpc.StatusCode.NOT_FOUND, "SYMBOL_UNKNOWN"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "SYMBOL_INVALID"),
        ("A" * 100_000, grpc.StatusCode.INVALID_ARGUMENT, "SYMBOL_INVALID"),
    ):
        request = instruments_pb2.ResolveInstrumentRequest(symbol=symbol, listing=INDIA)
        found = await refusal(asyncio.ensure_future(resolve(request)))
        assert found[:2] == (code, reason)
        assert len(found[2]) < 300


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_sessions_splits_and_instruments_are_listed(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text("instrument,ex_date,new_units,old_units\nNSE:TCS,2018-05-31,2,1\nNSE:IRCTC,2021-10-28,5,1\n")
    settings = settings.model_copy(update={"market_splits_path": file})
    async with build(settings), grpc.aio.insecure_channel(settings.market_address) as channel:
        list_sessions = calendars_pb2_grpc.CalendarServiceStub(channel).ListSessions
        sessions = await list_sessions(
            calendars_pb2.ListSessionsRequest(exchange="BSE", from_date="2026-01-31", to_date="2026-02-02")
        )
        assert [each.date for each in sessions.sessions] == ["2026-02-01", "2026-02-02"]
        assert sessions.sessions[0].opens_at.ToDatetime(tzinfo=UTC) == datetime(2026, 2, 1, 3, 45, tzinfo=UTC)
        assert (sessions.known_from, sessions.known_through) == ("2010-01-01", "2026-12-31")
        for exchange, day, reason in (("LSE", "2026-02-02", "EXCHANGE_UNKNOWN"), ("NSE", "2.2.26", "DATES_INVALID")):
            request = calendars_pb2.ListSessionsRequest(exchange=exchange, from_date=day, to_date=day)
            refused = await refusal(asyncio.ensure_future(list_sessions(request)))
            assert refused[:2] == (grpc.StatusCode.INVALID_ARGUMENT, reason)

        list_splits = corporate_actions_pb2_grpc.CorporateActionServiceStub(channel).ListSplits
        wanted = corporate_actions_pb2.ListSplitsRequest(instruments=["NSE:TCS", "NSE:X"], from_date="2018-01-01")
        assert [each.instrument for each in (await list_splits(wanted)).splits] == ["NSE:TCS"]
        wanted.from_date = ""
        refused = await refusal(asyncio.ensure_future(list_splits(wanted)))
        assert refused[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "DATES_INVALID")

        list_instruments = instruments_pb2_grpc.InstrumentServiceStub(channel).ListInstruments
        listed = await list_instruments(instruments_pb2.ListInstrumentsRequest(exchanges=["NSE", "INDEX"]))
        assert {each.exchange for each in listed.instruments} == {"NSE", "INDEX"}
        assert list(listed.sources) == ["sample"]
        everything = await list_instruments(instruments_pb2.ListInstrumentsRequest())
        assert len(everything.instruments) > len(listed.instruments) > 100


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_of_splits_that_cannot_be_used_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text("instrument,ex_date,new_units,old_units\nNSE:TCS,2018-05-31,2,2\n")
    with pytest.raises(SplitsFileInvalid, match="line 2"):
        async with build(settings.model_copy(update={"market_splits_path": file})):
            raise AssertionError


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_ticks_on_nats_are_what_quotes_say(channel: grpc.aio.Channel, nats: NatsServer) -> None:
    client = Client()
    await client.connect(nats.url)
    subscription = await client.subscribe("ticks.*")
    ticks: dict[str, list[tuple[datetime, float]]] = {}
    async with asyncio.timeout(15):
        while len(ticks) < 500:
            message = await subscription.next_msg(timeout=5)
            batch = ticks_pb2.TickBatch.FromString(message.data)
            assert (batch.source, batch.freshness) == ("sample", quotes_pb2.FRESHNESS_SIMULATED)
            for tick in batch.ticks:
                at = batch.base_time.ToDatetime(tzinfo=UTC) + timedelta(microseconds=tick.offset_microseconds)
                ticks.setdefault(tick.instrument, []).append((at, tick.last_price))
    answer = await quotes(channel, *list(ticks)[:50])
    await asyncio.sleep(1.5)
    async with asyncio.timeout(15):
        while subscription.pending_msgs:
            batch = ticks_pb2.TickBatch.FromString((await subscription.next_msg(timeout=5)).data)
            for tick in batch.ticks:
                at = batch.base_time.ToDatetime(tzinfo=UTC) + timedelta(microseconds=tick.offset_microseconds)
                ticks.setdefault(tick.instrument, []).append((at, tick.last_price))
    await client.close()
    for quote in answer.quotes:
        assert (quote.provenance.as_of.ToDatetime(tzinfo=UTC), quote.last_price) in ticks[quote.instrument]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_lost_nats_takes_neither_quotes_nor_the_service_away(
    channel: grpc.aio.Channel, nats: NatsServer
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    nats.kill()
    async with asyncio.timeout(15):
        while (await health.Check(health_pb2.HealthCheckRequest(service="nats"))).status == SERVING:
            await asyncio.sleep(0.05)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
    assert len((await quotes(channel, "TCS")).quotes) == 1
    nats.start()
    async with asyncio.timeout(15):
        while (await health.Check(health_pb2.HealthCheckRequest(service="nats"))).status != SERVING:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_before_a_held_replay_starts_its_instruments_have_no_price(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("symbol,timestamp,open,high,low,close,volume\nNASDAQ:AAPL,2010-01-04,1,2,0.5,1.5,100\n")
    replay = settings.model_copy(
        update={
            "market_providers": ("replay",),
            "replay_path": file,
            "replay_speed": None,
            "replay_hold": True,
        }
    )
    async with build(replay), grpc.aio.insecure_channel(replay.market_address) as channel:
        answer = await quotes(channel, "AAPL", listing=UNITED_STATES)
        assert [(each.symbol, each.code) for each in answer.missing] == [("AAPL", "NO_PRICE")]
        client = Client()
        await client.connect(settings.nats_url.get_secret_value())
        await client.publish("control.replay.start", b"")
        async with asyncio.timeout(15):
            while (
                not (answer := await quotes(channel, "AAPL", listing=UNITED_STATES)).quotes
                or answer.quotes[0].last_price != 1.5
            ):
                await asyncio.sleep(0.02)
        await client.close()
        quote = answer.quotes[0]
        assert (quote.open, quote.high, quote.low, quote.volume) == (1.0, 2.0, 0.5, 100)
        assert (quote.provenance.source, quote.provenance.freshness) == ("replay", quotes_pb2.FRESHNESS_SIMULATED)
        assert quote.provenance.as_of.ToDatetime(tzinfo=UTC) == datetime(2010, 1, 4, 0, 0, 3, tzinfo=UTC)
